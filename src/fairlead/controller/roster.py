"""Which pods are in which unit, and which units use a claim: kept up to date pod by pod.

Of a group all pods are in its unit, since they are counted; a pod alone only while it has our gate.
"""

from __future__ import annotations

from collections.abc import Callable

from fairlead.controller.grouping import has_gate, unit_of
from fairlead.controller.unit import Unit
from fairlead.resource import Pod, PodGroup


class Roster:
    """Units by name."""

    def __init__(self, pod_group: Callable[[str], PodGroup | None]) -> None:
        """Starts empty; `pod_group` looks up a PodGroup by `namespace/name`."""
        self.units: dict[str, Unit] = {}
        self._pod_group = pod_group
        self._names: dict[str, str] = {}
        """By pod."""
        self._users: dict[str, dict[str, int]] = {}
        """By claim, the units whose pods name it, and how many of these do."""

    def unit_of(self, pod: str) -> Unit | None:
        """The unit of a pod (`namespace/name`)."""
        name = self._names.get(pod)
        return self.units[name] if name is not None else None

    def users_of(self, claim: str) -> list[Unit]:
        """The units whose pods name a claim (`namespace/name`)."""
        return [self.units[name] for name in self._users.get(claim, ())]

    def file(self, before: Pod | None, after: Pod | None) -> tuple[set[str], list[Unit]]:
        """Takes note of how a pod was and is; returns the names of changed units, and the units that are no more."""
        pod = before or after
        assert pod is not None
        old = self._names.pop(pod.key, None)
        new = self._add(after) if after is not None else None
        emptied = []
        if old is not None and before is not None:
            self._release(before, old)
            if old != new:
                unit = self.units[old]
                del unit.pods[pod.key]
                if not unit.pods:
                    emptied.append(self.units.pop(old))
        return {name for name in (old, new) if name is not None and name in self.units}, emptied

    def _add(self, pod: Pod) -> str | None:
        named = unit_of(pod, self._pod_group)
        if not named.group and not has_gate(pod):
            return None
        self.units.setdefault(named.text, Unit(named.text, named.group)).pods[pod.key] = pod
        self._names[pod.key] = named.text
        for claim in claim_keys(pod):
            users = self._users.setdefault(claim, {})
            users[named.text] = users.get(named.text, 0) + 1
        return named.text

    def _release(self, pod: Pod, unit: str) -> None:
        """Forgets that a pod of a unit names its claims."""
        for claim in claim_keys(pod):
            users = self._users[claim]
            users[unit] -= 1
            if not users[unit]:
                del users[unit]
            if not users:
                del self._users[claim]


def claim_keys(pod: Pod) -> list[str]:
    """The claims that a pod names (`namespace/name`), as far as they are known."""
    names = [one.resource_claim_name for one in pod.spec.resource_claims]
    names += [one.resource_claim_name for one in pod.status.resource_claim_statuses]
    return [f"{pod.namespace}/{name}" for name in dict.fromkeys(names) if name is not None]
