"""Days in minutes on a real control plane: does the controller's memory stay flat, is every claim given back?

    python bench/soak.py [--minutes 20] [--nodes 100] [--seed N]

Pods and gangs come and go, some of them too big; nodes are lost with their slices and pods and come back; devices are
tainted, so that pods are evicted, and freed again. Each minute a line: memory of the controller, claims, pods,
decisions, problems in its log. At the end all pods are deleted, and a verdict follows, which is the exit status, too:

* memory: in the second half it rises by less than 3 %, on a line through the samples. What is remembered from round to
  round is bounded, and fills in the first minutes: a run of a few minutes says nothing about memory;
* claims: none of them is left, or holds anything;
* log: no line but such as conflicts explain (404, 409, and 422 for a gate that is open already).

Needs Kubernetes' programs (`make kube`).
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "cluster")]

import running as cluster  # noqa: E402 - found through the path above

from kube import ApiError, ControlPlane, add_cluster  # noqa: E402
from kube.api import Json  # noqa: E402
from kube.plane import process_usage  # noqa: E402

NAMESPACE = "soak"
DEVICES = 8
TICK = 0.25
"""Seconds."""
LOAD = 0.9
"""Devices wanted at one time, as a share of all."""
NODE_LOST, TAINTED = 15.0, 10.0
"""Seconds from one to the next, on average."""
AWAY = (10.0, 40.0)
LIFE = (10.0, 90.0)
SAMPLES = 4
"""Seconds from one look at the memory to the next."""


@dataclass(order=True)
class Due:
    """Something to be done later."""

    at: float
    what: str = field(compare=False)
    thing: Any = field(compare=False)


class Soak:
    """What is there, and what is to come."""

    def __init__(self, plane: ControlPlane, nodes: int, seed: int) -> None:
        self.plane, self.api = plane, plane.api
        self.chance = random.Random(seed)
        self.hardware = [one for one in cluster.nodes(nodes, "gpu") if one["kind"] != "DeviceClass"]
        plane.namespace(NAMESPACE)
        add_cluster(self.api, cluster.nodes(nodes, "gpu"))
        for count in (1, 2, 4, 8, DEVICES + 1):
            self.api.create(cluster.template(NAMESPACE, "gpu", count))
        self.capacity = nodes * DEVICES
        self.due: list[Due] = []
        self.living: dict[str, int] = {}
        """Devices by pod."""
        self.lost: set[str] = set()
        self.made = 0
        self.happened: Counter[str] = Counter()
        self.taint_rules = _served(self.api)

    def tick(self, now: float) -> None:
        """What happens in a moment."""
        for one in sorted(one for one in self.due if one.at <= now):
            self.due.remove(one)
            getattr(self, one.what)(one.thing)
        while sum(self.living.values()) < LOAD * self.capacity and self.chance.random() < 0.8:
            self._arrive(now)
        if self.chance.random() < TICK / NODE_LOST:
            self._lose_node(now)
        if self.taint_rules and self.chance.random() < TICK / TAINTED:
            self._taint(now)

    def _arrive(self, now: float) -> None:
        self.made += 1
        name = f"p{self.made}"
        if self.chance.random() < 0.02:
            pods, count = [cluster.pod(NAMESPACE, name, f"gpu-{DEVICES + 1}")], 0
        elif self.chance.random() < 0.15:
            size, count = self.chance.choice((2, 4, 8)), self.chance.choice((2, 4, 8))
            labels = {"fairlead.dev/group": name, "fairlead.dev/group-size": str(size)}
            pods = [cluster.pod(NAMESPACE, f"{name}-{number}", f"gpu-{count}", labels) for number in range(size)]
        else:
            count = self.chance.choice((1, 1, 2, 4, 8))
            pods = [cluster.pod(NAMESPACE, name, f"gpu-{count}")]
        self.api.create_all(pods)
        names = [pod["metadata"]["name"] for pod in pods]
        self.living |= dict.fromkeys(names, count)
        self.happened["pods"] += len(pods)
        self.due.append(Due(now + self.chance.uniform(*LIFE), "end", names))

    def end(self, names: list[str]) -> None:
        """Pods end; half of them first say that they have succeeded."""
        for name in names:
            self.living.pop(name, None)
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"
            try:
                if self.chance.random() < 0.5:
                    self.api.patch(f"{path}/status", {"status": {"phase": "Succeeded"}})
                self.api.delete(path, grace_seconds=0)
            except ApiError as error:
                if error.code != 404:  # it was evicted, or lost with its node
                    raise

    def _lose_node(self, now: float) -> None:
        there = [one["metadata"]["name"] for one in self.hardware if one["kind"] == "Node"]
        name = self.chance.choice([one for one in there if one not in self.lost])
        self.lost.add(name)
        self.happened["nodes lost"] += 1
        for path in (f"/api/v1/nodes/{name}", f"{cluster.GROUP}/resourceslices/{name}-gpu"):
            self.api.delete(path)
        pods = self.api.items(f"/api/v1/namespaces/{NAMESPACE}/pods", fieldSelector=f"spec.nodeName={name}")
        self.end([one["metadata"]["name"] for one in pods])
        self.due.append(Due(now + self.chance.uniform(*AWAY), "bring_back", name))

    def bring_back(self, name: str) -> None:
        """A node that was lost comes again, with its slice."""
        self.lost.discard(name)
        for one in self.hardware:
            if one["metadata"]["name"] in (name, f"{name}-gpu"):
                self.api.create(one)

    def _taint(self, now: float) -> None:
        node = self.chance.choice([one for one in self.hardware if one["kind"] == "Node"])["metadata"]["name"]
        self.happened["taints"] += 1
        effect = self.chance.choice(("NoSchedule", "NoExecute"))
        selector = {"driver": "gpu.example.com", "pool": node}
        name = f"taint-{self.happened['taints']}"
        rule = {
            "apiVersion": self.taint_rules,
            "kind": "DeviceTaintRule",
            "metadata": {"name": name},
            "spec": {"deviceSelector": selector, "taint": {"key": "soak", "effect": effect}},
        }
        self.api.create(rule)
        self.due.append(Due(now + self.chance.uniform(*AWAY), "untaint", name))

    def untaint(self, name: str) -> None:
        """A taint is taken away."""
        self.api.delete(f"/apis/{self.taint_rules}/devicetaintrules/{name}")


def _served(api: Any) -> str:
    """The group version that has DeviceTaintRules; empty for none."""
    for version in ("v1", "v1beta2", "v1alpha3"):
        try:
            api.path_of({"apiVersion": f"resource.k8s.io/{version}", "kind": "DeviceTaintRule"})
        except ApiError:
            continue
        return f"resource.k8s.io/{version}"
    return ""


class Log:
    """The controller's log, read on as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0
        self.decisions = 0
        self.unexplained: list[str] = []
        self.conflicts: Counter[str] = Counter()

    def read(self) -> None:
        """Takes note of what has come."""
        with self.path.open("rb") as file:
            file.seek(self.at)
            text = file.read()
        whole = text.rpartition(b"\n")[0]
        self.at += len(whole) + 1 if whole else 0
        for line in whole.decode(errors="replace").splitlines():
            try:
                said: Json = json.loads(line)
            except ValueError:
                self.unexplained.append(line)
                continue
            self.decisions += said["event"] == "decided"
            if "problem" not in said:
                continue
            kind = f"{said['event']} {said.get('status', '')}".strip()
            if said.get("status") in (404, 409) or kind == "not opened 422":
                self.conflicts[kind] += 1
            else:
                self.unexplained.append(line)


def slope(samples: list[tuple[float, float]]) -> tuple[float, float]:
    """The rise of a line through samples of seconds and MiB, and its standard error, in MiB a second."""
    count = len(samples)
    middle = sum(at for at, _ in samples) / count
    mean = sum(value for _, value in samples) / count
    spread = sum((at - middle) ** 2 for at, _ in samples)
    rise = sum((at - middle) * (value - mean) for at, value in samples) / spread
    rest = sum((value - mean - rise * (at - middle)) ** 2 for at, value in samples)
    return rise, (rest / max(1, count - 2) / spread) ** 0.5


def soak(plane: ControlPlane, minutes: float, nodes: int, seed: int) -> bool:
    """One soak; returns whether all was well."""
    account = plane.service_account("fairlead", cluster.RULES)
    account.write_kubeconfig(plane.folder / "fairlead.kubeconfig")
    run = Soak(plane, nodes, seed)
    log = Log(plane.folder / "logs" / "fairlead.log")
    memory: list[tuple[float, float]] = []
    process = cluster.start(plane)
    try:
        began = time.monotonic()
        minute, sampled = 0, 0.0
        print("minute    MiB  claims   bound  waiting  decisions  conflicts  unexplained   what happened", flush=True)
        while (now := time.monotonic() - began) < minutes * 60:
            run.tick(now)
            if now - sampled >= SAMPLES:
                sampled = now
                memory.append((now, process_usage(process.pid)[0]))
            if now >= (minute + 1) * 60:
                minute += 1
                log.read()
                _line(run, log, minute, memory[-1][1])
            time.sleep(max(0.0, TICK - (time.monotonic() - began - now)))
        left = _leak(plane)
        log.read()
        process.terminate()
        stopped = process.wait(20)
    except subprocess.TimeoutExpired:
        stopped = -1
    finally:
        process.kill()
        process.wait()
    return _verdict(memory, left, log, stopped)


def _line(run: Soak, log: Log, minute: int, resident: float) -> None:
    pods = run.api.items(f"/api/v1/namespaces/{NAMESPACE}/pods")
    bound = sum(1 for one in pods if one["spec"].get("nodeName"))
    claims = len(run.api.items(f"{cluster.GROUP}/resourceclaims"))
    happened = ", ".join(f"{count} {what}" for what, count in sorted(run.happened.items()))
    figures = f"{minute:6} {resident:6.0f} {claims:7} {bound:7} {len(pods) - bound:8} {log.decisions:10}"
    print(f"{figures} {log.conflicts.total():10} {len(log.unexplained):12}   {happened}", flush=True)
    assert cluster.held_twice(run.api) == []


def _leak(plane: ControlPlane) -> list[str]:
    """Deletes all pods and returns the claims that are still there after a minute."""
    plane.api.clear(f"/api/v1/namespaces/{NAMESPACE}/pods")
    left: list[str] = []
    for _ in range(60):
        left = [one["metadata"]["name"] for one in plane.api.items(f"{cluster.GROUP}/resourceclaims")]
        if not left:
            break
        time.sleep(1)
    return left


def _verdict(memory: list[tuple[float, float]], left: list[str], log: Log, stopped: int) -> bool:
    later = memory[len(memory) // 2 :]
    rise, error = slope(later)
    mean = sum(value for _, value in later) / len(later)
    seconds = later[-1][0] - later[0][0]
    flat = rise * seconds < 0.03 * mean
    print(f"memory {'flat' if flat else 'RISES'}: mean {mean:.0f} MiB in the second half, there on a line")
    print(f"  {rise * seconds:+.1f} MiB in {seconds / 60:.1f} minutes (standard error {error * seconds:.1f})")
    print(f"claims left: {', '.join(left[:10]) or 'none'}")
    print(f"conflicts: {dict(log.conflicts)}")
    print(f"unexplained lines in the log: {len(log.unexplained)}", *log.unexplained[:10], sep="\n  ")
    print(f"told to stop, it ended with status {stopped}")
    return flat and not left and not log.unexplained and stopped == 0


def main() -> None:
    """Reads the options and soaks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    plane = ControlPlane()
    plane.start()
    well = False
    try:
        well = soak(plane, given.minutes, given.nodes, given.seed)
    finally:
        plane.stop(keep=not well)
        if not well:
            print(f"logs are in {plane.folder / 'logs'}")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
