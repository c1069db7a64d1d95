"""A small model of an API server and of the controllers around ours, for tests: no model is the real thing.

The server: resource versions, 409 on a stale one or another UID, 404, 422 on a failed JSON patch test and on changes
that validation forbids (an allocation that is set cannot be changed, no reservation without one, a pod's gates and
affinity), the status subresource, and a log of watch events for each kind. `Watch` delivers that log late and, where a
test wants it, twice, never in another order.

The others: kube-scheduler's binding of ungated pods (`schedule`), the garbage collector and the claim controller
(`collect`). The scheduler checks node affinity and that claims are allocated, reserved, timestamped and in reach.

`ApiModel.check` is the judge: after every write no device may be held by two claims.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from builders import convert
from fairlead.controller import FINALIZER, GATE, Gone, Kind, Listed, Refused, Seen, Write, Written
from fairlead.controller.patches import CONDITION
from fairlead.resource import (
    DeviceClass,
    DeviceTaintRule,
    KubeObject,
    Node,
    Pod,
    PodGroup,
    ResourceClaim,
    ResourceSlice,
)

TYPES: dict[Kind, type[KubeObject]] = {
    "Node": Node,
    "Pod": Pod,
    "PodGroup": PodGroup,
    "ResourceClaim": ResourceClaim,
    "ResourceSlice": ResourceSlice,
    "DeviceClass": DeviceClass,
    "DeviceTaintRule": DeviceTaintRule,
}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


class RefusedError(Exception):
    """The server's no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def key_of(item: dict[str, Any]) -> str:
    meta = item["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


@dataclass
class ApiModel:
    """Objects as JSON values, by kind and key."""

    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {kind: {} for kind in TYPES})
    log: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    blocked: set[str] = field(default_factory=set)
    """Nodes on which kube-scheduler binds nothing, for reasons of its own."""
    eager: bool = False
    """Whether kube-scheduler allocates claims of ungated pods that have no devices, as the real one does."""

    def create(self, kind: str, item: dict[str, Any]) -> dict[str, Any]:
        item = copy.deepcopy(item)
        assert key_of(item) not in self.objects[kind]
        meta = item["metadata"]
        meta.setdefault("creationTimestamp", f"2026-01-01T00:00:{len(self.objects[kind]) % 60:02d}Z")
        meta["uid"] = f"uid-{self.version}-{meta['name']}"
        return self._store(kind, "new", item)

    def update(self, kind: str, item: dict[str, Any]) -> dict[str, Any]:
        return self._store(kind, "changed", copy.deepcopy(item))

    def delete(self, kind: str, key: str) -> None:
        """As the server does it: an object with finalizers is only marked."""
        item = copy.deepcopy(self.objects[kind][key])
        if item["metadata"].get("finalizers"):
            item["metadata"].setdefault("deletionTimestamp", "2026-01-02T00:00:00Z")
            self._store(kind, "changed", item)
            return
        del self.objects[kind][key]
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self.log.append(("gone", kind, item))

    def _store(self, kind: str, what: str, item: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self.objects[kind][key_of(item)] = item
        self.log.append((what, kind, item))
        self.check()
        return item

    def list(self, kind: Kind) -> Listed:
        return Listed(kind, [convert(TYPES[kind], item) for item in self.objects[kind].values()], self.version)

    def do(self, write: Write) -> Written | Refused:
        """Does one of our writes."""
        self.writes[write.purpose] += 1
        try:
            if write.purpose == "say":
                if write.name in self.events:
                    raise RefusedError(409, "already exists")
                self.events[write.name] = write.body
                return Written(write, None)
            if write.purpose == "evict":
                self._evict(write)
                return Written(write, None)
            if write.purpose == "mark":
                item = self._pod_status(write)
            else:
                item = self._claim(write) if write.kind == "ResourceClaim" else self._pod(write)
        except RefusedError as error:
            return Refused(write, error.status, str(error))
        return Written(write, convert(TYPES[write.kind], item))

    def _claim(self, write: Write) -> dict[str, Any]:
        known = self.objects["ResourceClaim"].get(write.key)
        if known is None:
            raise RefusedError(404, "not found")
        meta = write.body["metadata"]
        if meta["uid"] != known["metadata"]["uid"] or meta["resourceVersion"] != known["metadata"]["resourceVersion"]:
            raise RefusedError(409, "the object has been modified")
        item = copy.deepcopy(known)
        if write.purpose in ("finalizer", "unprotect"):
            item["metadata"]["finalizers"] = list(meta["finalizers"])  # the status in such a request is dropped
            return self._store("ResourceClaim", "changed", item)
        status = item.setdefault("status", {})
        before = copy.deepcopy(status)
        for name, value in write.body["status"].items():
            if value is None:
                status.pop(name, None)
            else:
                status[name] = value
        if before.get("allocation") and status.get("allocation") not in (None, before["allocation"]):
            raise RefusedError(422, "status.allocation: field is immutable")
        if status.get("reservedFor") and not status.get("allocation"):
            raise RefusedError(422, "status.reservedFor: may not be specified when `allocated` is not set")
        if len(status.get("reservedFor") or ()) > len(before.get("reservedFor") or ()) and known["metadata"].get(
            "deletionTimestamp"
        ):
            raise RefusedError(422, "status.reservedFor: new reservations may not be added: the claim is being deleted")
        return self._store("ResourceClaim", "changed", item)

    def _evict(self, write: Write) -> None:
        known = self.objects["Pod"].get(write.key)
        if known is None:
            raise RefusedError(404, "not found")
        if known["metadata"]["uid"] != write.body["deleteOptions"]["preconditions"]["uid"]:
            raise RefusedError(409, "the UID in the precondition does not match")
        self.delete("Pod", write.key)

    def _pod(self, write: Write) -> dict[str, Any]:
        known = self.objects["Pod"].get(write.key)
        if known is None:
            raise RefusedError(404, "not found")
        item = copy.deepcopy(known)
        for operation in write.body:
            _json_patch(item, operation)
        before, after = known["spec"], item["spec"]
        gates = [gate["name"] for gate in before.get("schedulingGates", ())]
        assert all(gate["name"] in gates for gate in after.get("schedulingGates", ()))
        for name in before.get("affinity") or {}:
            if name != "nodeAffinity" and after["affinity"].get(name) != before["affinity"][name]:
                raise RefusedError(422, "spec.affinity: pod updates may not change it")
        return self._store("Pod", "changed", item)

    def _pod_status(self, write: Write) -> dict[str, Any]:
        """A strategic merge patch: conditions are merged by type, and so are the fields of each."""
        known = self.objects["Pod"].get(write.key)
        if known is None:
            raise RefusedError(404, "not found")
        if write.body["metadata"]["uid"] != known["metadata"]["uid"]:
            raise RefusedError(422, "metadata.uid: field is immutable")
        item = copy.deepcopy(known)
        conditions = item.setdefault("status", {}).setdefault("conditions", [])
        for patch in write.body["status"]["conditions"]:
            condition = next((one for one in conditions if one["type"] == patch["type"]), None)
            if condition is None:
                conditions.append(condition := {})
            condition |= patch
        return item if item == known else self._store("Pod", "changed", item)

    # The judge

    def held(self) -> dict[tuple[str, str, str], list[str]]:
        """Who holds each device."""
        holders: dict[tuple[str, str, str], list[str]] = {}
        for key, claim in self.objects["ResourceClaim"].items():
            allocation = claim.get("status", {}).get("allocation")
            for result in allocation["devices"]["results"] if allocation else ():
                holders.setdefault((result["driver"], result["pool"], result["device"]), []).append(key)
        return holders

    def check(self) -> None:
        twice = {device: keys for device, keys in self.held().items() if len(keys) > 1}
        assert not twice, f"held twice: {twice}"

    # The controllers around ours

    def schedule(self) -> int:
        """Binds every ungated pod whose claims are ready and whose node affinity allows a node; returns how many."""
        bound = 0
        for pod in list(self.objects["Pod"].values()):
            spec = pod["spec"]
            if spec.get("nodeName") or spec.get("schedulingGates") or pod["metadata"].get("deletionTimestamp"):
                continue
            claims = [self.objects["ResourceClaim"].get(key) for key in claim_keys(pod)]
            lacking = [claim for claim in claims if claim and not claim.get("status", {}).get("allocation")]
            if lacking and tried(pod):
                if self.eager:
                    self._allocate(pod, lacking)
                continue  # it is being moved
            allocations = [(claim or {}).get("status", {}).get("allocation") for claim in claims]
            assert all(allocations), f"{key_of(pod)} was opened before its claims had devices"
            for claim, allocation in zip(claims, allocations, strict=True):
                assert claim is not None
                assert allocation is not None
                assert allocation["allocationTimestamp"]
                assert FINALIZER in claim["metadata"]["finalizers"]
                uids = [one["uid"] for one in claim["status"]["reservedFor"]]
                group = spec.get("schedulingGroup", {}).get("podGroupName")
                groups = [one["name"] for one in claim["status"]["reservedFor"] if one["resource"] == "podgroups"]
                if pod["metadata"]["uid"] not in uids and tried(pod):
                    continue  # kube-scheduler took its reservation back, and makes it again when it binds
                assert pod["metadata"]["uid"] in uids or group in groups, "opened without a reservation"
            selectors = [allocation["nodeSelector"] for allocation in allocations if allocation.get("nodeSelector")]
            affinity = spec.get("affinity", {}).get("nodeAffinity", {}).get(REQUIRED)
            names = [
                name
                for name in self.objects["Node"]
                if all(_selects(selector, name) for selector in [*selectors, *([affinity] if affinity else [])])
            ]
            if not affinity and names != list(self.objects["Node"]):
                moved = tried(pod)
                pins = [
                    one for claim in claims if claim for one in claim["status"]["reservedFor"] if one.get("apiGroup")
                ]
                assert pins or moved, "kube-scheduler would clear an allocation without a pin if the pod does not fit"
            names = [name for name in names if name not in self.blocked]
            pod = copy.deepcopy(pod)
            if names:
                pod["spec"]["nodeName"] = names[0]
                self.update("Pod", pod)
                bound += 1
            elif not tried(pod):
                said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
                conditions = pod.setdefault("status", {}).setdefault("conditions", [])
                conditions.append(said | {"message": "0/2 nodes are available."})
                self.update("Pod", pod)
        return bound

    def _allocate(self, pod: dict[str, Any], claims: list[dict[str, Any]]) -> None:
        """What kube-scheduler does for a pod without devices: the first that are free on a node where it can bind."""
        for pool in self.objects["ResourceSlice"].values():
            node = pool["spec"].get("nodeName")
            free = [
                one["name"]
                for one in pool["spec"]["devices"]
                if (pool["spec"]["driver"], node, one["name"]) not in self.held()
            ]
            wanted = [claim["spec"]["devices"]["requests"][0]["exactly"]["count"] for claim in claims]
            if node in self.blocked or len(free) < sum(wanted):
                continue
            for claim, count in zip(claims, wanted, strict=True):
                results = [
                    {"request": "gpu", "driver": pool["spec"]["driver"], "pool": node, "device": free.pop(0)}
                    for _ in range(count)
                ]
                field_ = {"key": "metadata.name", "operator": "In", "values": [node]}
                claim = copy.deepcopy(claim)
                claim["status"] = {
                    "allocation": {
                        "devices": {"results": results},
                        "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field_]}]},
                        "allocationTimestamp": "2026-01-01T00:00:00Z",
                    },
                    "reservedFor": [
                        {"resource": "pods", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
                    ],
                }
                self.update("ResourceClaim", claim)
            return

    def collect(self) -> None:
        """What kube-controller-manager does for claims: owners that are gone, reservations of pods that are gone."""
        uids = {pod["metadata"]["uid"] for pod in self.objects["Pod"].values() if not _done(pod)}
        for key, claim in list(self.objects["ResourceClaim"].items()):
            status = claim.get("status", {})
            reserved = status.get("reservedFor") or []
            kept = [one for one in reserved if one["resource"] != "pods" or one["uid"] in uids]
            owners = [owner["uid"] for owner in claim["metadata"].get("ownerReferences", ())]
            orphan = bool(owners) and not any(uid in uids for uid in owners)
            marked = bool(claim["metadata"].get("deletionTimestamp"))
            if kept == reserved and not orphan and not marked:
                continue
            changed = copy.deepcopy(claim)
            changed.setdefault("status", {})["reservedFor"] = kept
            if not kept and FINALIZER in claim["metadata"].get("finalizers", ()):
                changed["status"].pop("allocation", None)
            if changed != claim:
                self.update("ResourceClaim", changed)
            if orphan and not marked:
                self.delete("ResourceClaim", key)
            claim = self.objects["ResourceClaim"].get(key)
            if claim is not None and not kept and claim["metadata"].get("deletionTimestamp"):
                gone = copy.deepcopy(claim)
                gone["metadata"]["finalizers"] = []
                self.update("ResourceClaim", gone)
                self.delete("ResourceClaim", key)


@dataclass
class Watch:
    """One client's view of the log: a position for each kind."""

    api: ApiModel
    at: dict[str, int] = field(default_factory=dict)

    def start(self, kind: Kind) -> Listed:
        self.at[kind] = len(self.api.log)
        return self.api.list(kind)

    def behind(self, kind: str) -> bool:
        return any(entry[1] == kind for entry in self.api.log[self.at[kind] :])

    def next(self, kind: Kind) -> Seen | Gone | None:
        while self.at[kind] < len(self.api.log):
            what, of, item = self.api.log[self.at[kind]]
            self.at[kind] += 1
            if of == kind:
                return (Gone if what == "gone" else Seen)(kind, convert(TYPES[kind], item))
        return None


def claim_keys(pod: dict[str, Any]) -> list[str]:
    """The claims of a pod."""
    made = {one["name"]: one.get("resourceClaimName") for one in pod.get("status", {}).get("resourceClaimStatuses", ())}
    names = [one.get("resourceClaimName") or made[one["name"]] for one in pod["spec"].get("resourceClaims", ())]
    return [f"{pod['metadata']['namespace']}/{name}" for name in names]


def gated(pod: dict[str, Any]) -> bool:
    """Whether the pod still waits for us."""
    return GATE in [gate["name"] for gate in pod["spec"].get("schedulingGates", ())]


def tried(pod: dict[str, Any]) -> bool:
    """Whether kube-scheduler could not bind the pod before."""
    return any(one["type"] == "PodScheduled" for one in pod.get("status", {}).get("conditions", ()))


def condition(pod: dict[str, Any]) -> dict[str, Any] | None:
    """What the controller shows on the pod."""
    return next((one for one in pod.get("status", {}).get("conditions", ()) if one["type"] == CONDITION), None)


def _done(pod: dict[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _selects(selector: dict[str, Any], name: str) -> bool:
    return any(
        all(one["key"] == "metadata.name" and name in one["values"] for one in term.get("matchFields", ()))
        for term in selector["nodeSelectorTerms"]
    )


def _json_patch(item: dict[str, Any], operation: dict[str, Any]) -> None:
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    target: Any = item
    missing = operation["op"] == "test" and operation["value"] is None
    try:
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        if isinstance(target, list) and operation["op"] == "add" and last == "-":
            target.append(operation["value"])
            return
        index: Any = int(last) if isinstance(target, list) else last
        match operation["op"]:
            case "test":
                if (target.get(index) if missing else target[index]) != operation["value"]:
                    raise RefusedError(422, f"testing path {operation['path']} failed")
            case "remove":
                del target[index]
            case "add" if isinstance(target, list):
                target.insert(index, operation["value"])
            case "add":
                target[index] = operation["value"]
    except (KeyError, IndexError):
        raise RefusedError(422, f"no such path: {operation['path']}") from None
