"""Whether the pods of a unit can be placed, which claims it may give back, and whether its plan still holds."""

from __future__ import annotations

from fairlead.controller.grouping import UnitError, claims_of, counts, has_gate, other_gates, owner_of, size_of
from fairlead.controller.pins import PIN
from fairlead.controller.roster import Roster, claim_keys
from fairlead.controller.store import Store
from fairlead.controller.unit import Unit, UnitPlan, releasable
from fairlead.resource import PlannedPod, Pod, ResourceClaim


class Readiness:
    """Answers from what the watches show and what our own writes may have done."""

    def __init__(self, store: Store, roster: Roster) -> None:
        """Looks at these.

        Args:
            store: what is there.
            roster: which units use a claim.
        """
        self._store = store
        self._roster = roster

    def gated(self, unit: Unit) -> list[Pod]:
        """The pods that wait for us: no write of ours may have opened them."""
        return [
            pod
            for key, pod in sorted(unit.pods.items())
            if has_gate(pod) and not self._store.opened(key) and pod.metadata.deletion_timestamp is None
        ]

    def complete(self, unit: Unit, gated: list[Pod]) -> list[PlannedPod]:
        """The gated pods with their claims.

        Raises:
            UnitError: something is still missing.
        """
        for pod in gated:
            if (asked := pod.metadata.annotations.get(PIN, "node")) not in ("node", "claim"):
                raise UnitError(f"pod {pod.key}: {PIN}: {asked!r} is neither node nor claim")
            if others := other_gates(pod):
                raise UnitError(f"pod {pod.key} waits for scheduling gates of others: {', '.join(others)}")
        if unit.group:
            there = [pod for pod in unit.pods.values() if counts(pod)]
            size = size_of(there, self._store.pod_group)
            if len(there) < size:
                raise UnitError(f"{unit.name} has {len(there)} of {size} pods, and is placed whole or not at all")
        group = unit.name if unit.group else None
        return [PlannedPod(pod, owner_of(pod), group, tuple(claims_of(pod, self._store.claim))) for pod in gated]

    def releasable(self, unit: Unit, gated: list[Pod]) -> list[ResourceClaim]:
        """The claims with devices that no pod can use but those of the unit that are gated."""
        alone = all(has_gate(pod) and not self._store.opened(key) for key, pod in unit.pods.items())
        found = []
        for key in dict.fromkeys(key for pod in gated for key in claim_keys(pod)):
            claim = self._store.claim(key)
            if claim is None or not releasable(claim, gated, alone):
                continue
            others = [other.plan for other in self._roster.users_of(key) if other is not unit]
            if not any(plan is not None and key in plan.claims for plan in others):
                found.append(claim)
        return found

    def valid(self, unit: Unit, plan: UnitPlan) -> bool:
        """Whether pods, claims and nodes of a plan are still the ones that it was made for."""
        for key, pod_uid in plan.pods.items():
            pod = unit.pods.get(key)
            if pod is None or pod.metadata.uid != pod_uid or pod.metadata.deletion_timestamp is not None:
                return False
            if not has_gate(pod) or self._store.opened(key):
                return False
        for key, target in plan.claims.items():
            claim = self._store.claim(key)
            if claim is None or claim.metadata.uid != target.metadata.uid or claim.metadata.deletion_timestamp:
                return False
        return all(not name or self._store.node(name) is not None for name in plan.nodes.values())
