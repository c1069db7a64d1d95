"""A controller core in a modelled cluster: clusters and pods in a few words, and the steps that can interleave."""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cluster_model import TYPES, ApiModel, Watch, gated, key_of

import builders
from fairlead.controller import KINDS, UNKNOWN_OUTCOME, Core, PlannedRound, Refused, Seen, Write, Written

START = datetime(2026, 1, 1, tzinfo=UTC)


class Play:
    """The model, a core, and what is on its way between them."""

    def __init__(self) -> None:
        self.api = ApiModel()
        self.now = START
        self.outbox: list[Write] = []
        self.answers: list[Written | Refused] = []
        self.kills = 0
        self._made: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {}
        for device_class in builders.CLASSES:
            self.api.create("DeviceClass", copy.deepcopy(device_class))
        self._begin()

    def _begin(self) -> None:
        numbers = itertools.count()
        self.core = Core(lambda snapshot: PlannedRound(snapshot, lambda: f"share-{self.kills}-{next(numbers)}"))
        self.watch = Watch(self.api)
        self.recent: deque[Any] = deque(maxlen=5)
        self.unlisted = list(KINDS)

    # What is there

    def node(self, name: str, gpus: int, labels: Mapping[str, str] | None = None, **allocatable: str) -> None:
        meta = {"name": name, "labels": dict(labels or {})}
        self.api.create("Node", {"metadata": meta, "spec": {}, "status": {"allocatable": allocatable}})
        devices = builders.devices(" ".join(f"gpu-{number}" for number in range(gpus)))
        self.api.create("ResourceSlice", builders.slice_(devices, pool=name, nodeName=name))

    def pod(
        self,
        name: str,
        *counts: int,
        group: str = "",
        size: int = 0,
        shared: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        owner: str = "",
        **spec: Any,
    ) -> dict[str, Any]:
        """A gated pod with a claim of its own for each of `counts` devices, and the shared claims it names.

        One with an owner (`Job/train`) is made anew by it (`make_anew`).
        """
        if owner:
            known = {"group": group, "size": size, "shared": shared, "labels": labels, "annotations": annotations}
            self._made[name] = counts, {**known, "owner": owner, **spec}
        marks = dict(labels or {})
        if size:
            marks |= {"fairlead.dev/group": group, "fairlead.dev/group-size": str(size)} if group else {}
            marks.setdefault("fairlead.dev/group-size", str(size))
        claims = [{"name": f"c{n}", "resourceClaimTemplateName": f"t{count}"} for n, count in enumerate(counts)]
        claims += [{"name": other, "resourceClaimName": other} for other in shared]
        spec = {
            "containers": [{"name": "main"}],
            "schedulingGates": [{"name": "fairlead.dev/allocation"}],
            "resourceClaims": claims,
            **spec,
        }
        meta: dict[str, Any] = {"name": name, "namespace": "ml", "labels": marks}
        if annotations:
            meta["annotations"] = dict(annotations)
        if owner:
            kind, _, named = owner.partition("/")
            meta["ownerReferences"] = [{"kind": kind, "name": named, "uid": f"uid-{owner}", "controller": True}]
        pod = self.api.create("Pod", {"metadata": meta, "spec": spec})
        statuses = []
        for number, count in enumerate(counts):
            owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"], "controller": True}
            made = builders.claim(builders.request("gpu", count), name=f"{name}-c{number}")
            made["metadata"]["ownerReferences"] = [owner]
            self.api.create("ResourceClaim", made)
            statuses.append({"name": f"c{number}", "resourceClaimName": f"{name}-c{number}"})
        if statuses:
            pod = self.api.update("Pod", {**pod, "status": {"resourceClaimStatuses": statuses}})
        return pod

    def claim(self, name: str, count: int) -> None:
        """A claim that pods can share."""
        self.api.create("ResourceClaim", builders.claim(builders.request("gpu", count), name=name))

    def pod_group(self, name: str, minimum: int, **spec: Any) -> None:
        """A PodGroup with a gang policy."""
        spec = {"schedulingPolicy": {"gang": {"minCount": minimum}}, **spec}
        version = "scheduling.k8s.io/v1beta1"
        meta = {"name": name, "namespace": "ml"}
        self.api.create("PodGroup", {"apiVersion": version, "kind": "PodGroup", "metadata": meta, "spec": spec})

    # Steps

    def deliver(self, choice: int = 0) -> bool:
        """One event, or the list of one kind or of all that are left, reaches the core."""
        if self.unlisted:
            for _ in range(len(self.unlisted) if choice % 2 else 1):
                self.core.handle(self.watch.start(self.unlisted.pop(choice % len(self.unlisted))), self.now)
            return True
        kinds = [kind for kind in KINDS if self.watch.behind(kind)]
        if not kinds:
            return False
        event = self.watch.next(kinds[choice % len(kinds)])
        if event is not None:
            self.core.handle(event, self.now)
            if isinstance(event, Seen):
                self.recent.append(event)
        return True

    def repeat(self, choice: int = 0) -> None:
        """An event comes once more; of every object only the newest one that came can be repeated."""
        if self.recent:
            event = self.recent[-1 - choice % min(2, len(self.recent))]
            latest = [one for one in self.recent if one.object.key == event.object.key and one.kind == event.kind][-1]
            key = latest.object.key
            if key in self.api.objects[latest.kind]:
                self.core.handle(latest, self.now)

    def relist(self, choice: int = 0) -> None:
        """A watch has to start over."""
        kind = KINDS[choice % len(KINDS)]
        if kind not in self.unlisted:
            self.core.handle(self.watch.start(kind), self.now)
            self.recent.clear()

    def decide(self, choice: int = 0) -> None:
        self.outbox += self.core.decide(self.now)

    def do(self, choice: int = 0) -> None:
        """The server does a write; the answer is on its way."""
        if self.outbox:
            self.answers.append(self.api.do(self.outbox.pop(choice % len(self.outbox))))

    def lose_answer(self, choice: int = 0) -> None:
        """The server does a write, and nobody hears of it."""
        if self.outbox:
            answer = self.api.do(self.outbox.pop(choice % len(self.outbox)))
            self.answers.append(Refused(answer.write, UNKNOWN_OUTCOME, "timed out"))

    def lose_write(self, choice: int = 0) -> None:
        """A write never reaches the server."""
        if self.outbox:
            write = self.outbox.pop(choice % len(self.outbox))
            self.answers.append(Refused(write, UNKNOWN_OUTCOME, "timed out"))

    def answer(self, choice: int = 0) -> None:
        if self.answers:
            self.core.handle(self.answers.pop(choice % len(self.answers)), self.now)

    def kill(self, choice: int = 0) -> None:
        """The controller dies; of what it had sent some is done. Another one starts with nothing."""
        for number, write in enumerate(self.outbox):
            if choice >> number & 1:
                self.api.do(write)
        self.outbox.clear()
        self.answers.clear()
        self.kills += 1
        self._begin()

    def schedule(self, choice: int = 0) -> None:
        self.api.schedule()

    def collect(self, choice: int = 0) -> None:
        self.api.collect()

    def wait(self, choice: int = 0) -> None:
        self.now += timedelta(milliseconds=(4, 6, 1500, 15000)[choice % 4])

    def disturb(self, choice: int = 0) -> None:
        """Somebody else writes to a claim: our next write to it is refused."""
        claims = list(self.api.objects["ResourceClaim"].values())
        if claims:
            claim = copy.deepcopy(claims[choice % len(claims)])
            claim["metadata"].setdefault("labels", {})["touched"] = str(self.api.version)
            self.api.update("ResourceClaim", claim)

    def finish(self, choice: int = 0) -> None:
        """A pod that has a node ends."""
        bound = [pod for pod in self.api.objects["Pod"].values() if pod["spec"].get("nodeName")]
        running = [pod for pod in bound if pod.get("status", {}).get("phase") != "Succeeded"]
        if running:
            pod = copy.deepcopy(running[choice % len(running)])
            pod.setdefault("status", {})["phase"] = "Succeeded"
            self.api.update("Pod", pod)

    def delete(self, choice: int = 0) -> None:
        """Somebody deletes a pod."""
        pods = list(self.api.objects["Pod"])
        if pods:
            self.api.delete("Pod", pods[choice % len(pods)])

    def block(self, choice: int = 0) -> None:
        """kube-scheduler binds nothing on a node, or on all nodes again."""
        nodes = list(self.api.objects["Node"])
        self.api.blocked = {nodes[choice % len(nodes)]} if choice % 3 else set()

    def make_anew(self, choice: int = 0) -> None:
        """Controllers make the pods anew that are gone; the claims of the old ones go first."""
        for name, (counts, how) in list(self._made.items()):
            if f"ml/{name}" not in self.api.objects["Pod"]:
                del self._made[name]
                stem, _, number = name.partition("+")
                self.pod(f"{stem}+{int(number or 0) + 1}", *counts, **how)

    # To the end

    def settle(self, rounds: int = 400) -> None:
        """Everything happens in good order until nothing does."""
        for _ in range(rounds):
            before = self.api.version, len(self.api.events), self.now
            self.api.collect()
            self.make_anew()
            heard = self.step()
            wake = self.core.wake
            if not heard and (self.api.version, len(self.api.events), self.now) == before:
                if wake is None or wake > START + timedelta(days=1):
                    return
                self.now = max(self.now, wake)
        raise AssertionError(f"still busy after {rounds} rounds: {self.open_ends()}")

    def step(self) -> bool:
        """All that is on its way arrives, and what follows is done; returns whether there was anything."""
        heard = bool(self.answers)
        while self.deliver():
            heard = True
        self.decide()
        while self.outbox:
            self.do()
        while self.answers:
            heard = True
            self.answer()
        self.api.schedule()
        return heard

    def run(self, seconds: float) -> None:
        """Everything happens until some seconds have passed."""
        end = self.now + timedelta(seconds=seconds)
        while True:
            self.api.collect()
            self.make_anew()
            wake = self.core.wake
            if not self.step() and (wake is None or wake > self.now):
                if wake is None or wake > end:
                    break
                self.now = wake
        self.now = end

    def open_ends(self) -> list[str]:
        """Pods that neither have a node nor were told why."""
        told = {event["involvedObject"]["uid"] for event in self.api.events.values()}
        return [
            f"{key_of(pod)}{' gated' if gated(pod) else ' ungated'}"
            for pod in self.api.objects["Pod"].values()
            if not pod["spec"].get("nodeName")
            and not pod["metadata"].get("deletionTimestamp")
            and not (gated(pod) and pod["metadata"]["uid"] in told)
        ]

    def bound(self) -> dict[str, str]:
        """Name and node of the pods that have one."""
        return {
            pod["metadata"]["name"]: pod["spec"]["nodeName"]
            for pod in self.api.objects["Pod"].values()
            if pod["spec"].get("nodeName")
        }

    def pins(self) -> list[str]:
        """The claims that have an entry of the controller's own."""
        return [
            key
            for key, claim in self.api.objects["ResourceClaim"].items()
            if any(one.get("apiGroup") == "fairlead.dev" for one in claim.get("status", {}).get("reservedFor") or ())
        ]

    def told(self, name: str) -> list[str]:
        """What a pod was told."""
        return [event["message"] for event in self.api.events.values() if event["involvedObject"]["name"] == name]


assert set(KINDS) == set(TYPES)
