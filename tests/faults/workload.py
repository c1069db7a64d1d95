"""The pods of a scenario: singles, gangs, pods that share a claim, with two claims, without any, and too big ones.

Nodes have the same devices and room enough otherwise, so whether a pod could go somewhere is simple arithmetic here,
apart from everything that the controller knows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from observer import Observer, devices_of, key_of

from kube.api import Json
from kube.nodes import fake_node

NAMESPACE = "faults"
NODES, DEVICES = 4, 4
DRIVER = "gpu.example.com"
GATE = "fairlead.dev/allocation"
TEMPLATES = (1, 2, DEVICES + 1)


def cluster() -> list[Json]:
    """Nodes, slices, the class, and the templates."""
    made: list[Json] = [fake_node(f"node-{number}") for number in range(NODES)]
    for number in range(NODES):
        pool = {"name": f"node-{number}", "generation": 1, "resourceSliceCount": 1}
        devices = [{"name": f"gpu-{device}"} for device in range(DEVICES)]
        spec = {"driver": DRIVER, "nodeName": f"node-{number}", "pool": pool, "devices": devices}
        made.append(_dra("ResourceSlice", f"node-{number}", spec))
    made.append(_dra("DeviceClass", "gpu", {"selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}]}))
    made += [_dra("ResourceClaimTemplate", f"t{count}", {"spec": _wanted(count)}, NAMESPACE) for count in TEMPLATES]
    return made


@dataclass
class Unit:
    """Pods that are placed together: each needs `count` devices on one node."""

    name: str
    own: tuple[int, ...]
    """Devices of each claim that a pod has for itself."""
    size: int = 1
    gang: bool = False
    shared: int = 0
    """Devices of a claim that all its pods share."""
    names: list[str] = field(default_factory=list)
    """The names of all its pods."""
    wanted: set[str] = field(default_factory=set)
    """The names of the pods that are to be there."""

    def __post_init__(self) -> None:
        self.names = [f"{self.name}-{number}" for number in range(self.size)]
        self.wanted = set(self.names)

    @property
    def count(self) -> int:
        """Devices of one pod."""
        return sum(self.own) + self.shared

    def claims(self) -> list[Json]:
        """Claims that stand alone."""
        return [_dra("ResourceClaim", self.name, _wanted(self.shared), NAMESPACE)] if self.shared else []

    def pod(self, name: str) -> Json:
        """One of its pods."""
        claims = [{"name": f"c{n}", "resourceClaimTemplateName": f"t{count}"} for n, count in enumerate(self.own)]
        claims += [{"name": "shared", "resourceClaimName": self.name}] if self.shared else []
        labels = {"fairlead.dev/group": self.name, "fairlead.dev/group-size": str(self.size)} if self.gang else {}
        resources = {"claims": [{"name": one["name"]} for one in claims]}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "spec": {
                "schedulingGates": [{"name": GATE}],
                "containers": [{"name": "main", "image": "none", "resources": resources}],
                "resourceClaims": claims,
            },
        }


def draw(chance: random.Random) -> list[Unit]:
    """What a scenario has; about half of them ask for more than there is."""
    units = [Unit("g0", (chance.choice((1, 2)),), chance.randint(2, 3), gang=True)]
    units += [Unit(f"s{number}", (chance.choice((1, 1, 2)),)) for number in range(chance.randint(2, 5))]
    if chance.random() < 0.5:
        units.append(Unit("g1", (1,), chance.randint(2, 4), gang=True))
    if chance.random() < 0.6:
        units.append(Unit("shared", (), 2, shared=chance.choice((1, 2))))
    if chance.random() < 0.5:
        units.append(Unit("two", (1, 1)))
    if chance.random() < 0.7:
        units.append(Unit("big", (DEVICES + 1,)))
    if chance.random() < 0.4:
        units.append(Unit("plain", ()))
    chance.shuffle(units)
    return units


def open_ends(units: list[Unit], seen: Observer) -> list[str]:
    """Pods that are neither bound nor wait rightly: told why, and with no room for them."""
    found = []
    with seen.lock:
        free = dict.fromkeys((f"node-{number}" for number in range(NODES)), DEVICES)
        for (_, pool, _), holders in seen.holders.items():
            if holders:
                free[pool] -= 1
        for unit in units:
            pods = {name: seen.pods.get(f"{NAMESPACE}/{name}") for name in sorted(unit.wanted)}
            waiting = [name for name, pod in pods.items() if pod is None or not pod["spec"].get("nodeName")]
            together = unit.size if unit.gang and len(waiting) == len(unit.wanted) else 1
            places = sum(left // unit.count for left in free.values()) if unit.count else NODES
            for name in waiting:
                pod = pods[name]
                if pod is None:
                    found.append(f"{name} is not seen yet")
                elif not any(gate["name"] == GATE for gate in pod["spec"].get("schedulingGates", ())):
                    found.append(f"{name} is open and not bound")
                elif unit.gang and len(waiting) < unit.size and waiting == sorted(unit.wanted):
                    if pod["metadata"]["uid"] not in seen.told:
                        found.append(f"{name} waits for pods that do not come, and was not told so")
                elif _shared_elsewhere(unit, seen):
                    found.append(f"{name} waits though its claim has devices")
                elif places >= together and (together > 1 or any(left >= unit.count for left in free.values())):
                    found.append(f"{name} waits though there is room: free {free}")
                elif pod["metadata"]["uid"] not in seen.told:
                    found.append(f"{name} waits and was not told why")
    return found


def torn(units: list[Unit], seen: Observer, remade: set[str]) -> list[str]:
    """Gangs of which a part is bound, but for pods made anew."""
    found = []
    with seen.lock:
        for unit in units:
            pods = [seen.pods.get(f"{NAMESPACE}/{name}") for name in unit.wanted if name not in remade]
            bound = {bool(pod and pod["spec"].get("nodeName")) for pod in pods}
            if unit.gang and len(bound) > 1:
                found.append(f"{unit.name} is bound in part")
    return found


def not_ours(seen: Observer) -> list[str]:
    """Claims whose devices somebody else gave."""
    found = []
    with seen.lock:
        for claim in seen.claims.values():
            fields = claim["metadata"].get("managedFields", ())
            by = [
                one["manager"]
                for one in fields
                if "f:allocation" in (one.get("fieldsV1") or {}).get("f:status", {}) and one["manager"] != "fairlead"
            ]
            if by and devices_of(claim):
                found.append(f"{key_of(claim)} was given its devices by {', '.join(by)}")
    return found


def leaked(seen: Observer) -> list[str]:
    """What is left of claims when all pods are gone."""
    found = []
    with seen.lock:
        for key, claim in seen.claims.items():
            status, meta = claim.get("status", {}), claim["metadata"]
            if status.get("allocation") or status.get("reservedFor"):
                found.append(f"{key} still has devices or is reserved")
            elif meta.get("deletionTimestamp") or meta.get("ownerReferences"):
                found.append(f"{key} is still there, finalizers {meta.get('finalizers', [])}")
    return found


def _shared_elsewhere(unit: Unit, seen: Observer) -> bool:
    claim = seen.claims.get(f"{NAMESPACE}/{unit.name}") if unit.shared else None
    return claim is not None and bool(devices_of(claim))


def _wanted(count: int) -> dict[str, Any]:
    return {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu", "count": count}}]}}


def _dra(kind: str, name: str, spec: dict[str, Any], namespace: str = "") -> Json:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
