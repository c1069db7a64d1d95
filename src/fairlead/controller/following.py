"""Keeps one planner in step with the cluster: what changed since the last round counts anew, nothing else.

What an object counts as is said by `snapshot`, and worked out here for the objects that were touched: by an event, by
a write of ours, by a plan that was made or given up. So the planner knows before every unit what one that was made from
`snapshot` would know, and what a unit took that was not placed after all is gone before the next one is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from fairlead.controller.events import Kind
from fairlead.controller.patches import PLACED
from fairlead.controller.pins import home_of
from fairlead.controller.rounds import Answer, MakeRound, Round
from fairlead.controller.snapshot import counted_claims, counted_pod, double_of, snapshot
from fairlead.controller.store import Store
from fairlead.controller.unit import Unit, UnitPlan
from fairlead.placement import ClusterState
from fairlead.resource import PlannedPod, Pod
from fairlead.topology import Tree

_SHAPES: Final = 2_000
"""Shapes of claims up to which a planner is kept: what it remembers grows with them."""
_RENEWALS: Final = 20_000
"""The same for slices that changed, or four times as many as there are."""


class Following:
    """The planner of a core."""

    def __init__(self, store: Store, units: Mapping[str, Unit], make_round: MakeRound) -> None:
        """Makes the planner when it is first needed.

        Args:
            store: what is there.
            units: by name; their plans count.
            make_round: makes a planner for a snapshot.
        """
        self._store = store
        self._units = units
        self._make_round = make_round
        self._round: Round | None = None
        self.made = 0
        """How many planners were made so far."""
        self._plans: dict[str, UnitPlan] = {}
        """By unit, the plans that count."""
        self._of_claims: dict[str, dict[str, UnitPlan]] = {}
        """By claim and unit, the same."""
        self._of_pods: dict[str, dict[str, UnitPlan]] = {}
        """By pod and unit, the same."""
        self._pods: dict[str, tuple[Pod, Pod | None]] = {}
        """By name, a pod as it was when it was last looked at, and as what it counts."""
        self._dirty: dict[Kind, dict[str, None]] = {"ResourceClaim": {}, "Pod": {}}
        """What else has to be looked at."""

    def begin(self) -> None:
        """Begins a round of planning."""
        self._note_plans()
        if self._round is not None and not self._outgrown(self._round.state):
            self._round.begin()
            return
        self._store.take_touched()
        self.made += 1
        self._round = self._make_round(snapshot(self._store, self._plans.values(), ()))
        self._pods.clear()
        for touched in self._dirty.values():
            touched.clear()

    def place(self, unit: Unit, pods: Sequence[PlannedPod], released: Collection[str], reasons: bool) -> Answer:
        """Places the pods of one unit, all or none, on the cluster as it is; its plan counts once it is the unit's.

        Args:
            unit: the unit; it has no plan.
            pods: its pods that are to be placed.
            released: claims that it holds itself and that count as free for it.
            reasons: whether to say why there is no place.
        """
        assert self._round is not None, "a round was begun"
        self._note_plan(unit.name, unit.plan)
        self._dirty["ResourceClaim"].update(dict.fromkeys(released))
        self._catch_up(self._round.state, released)
        answer = self._round.place(pods, reasons)
        # What was placed counts as the unit's plan says, and so does what was released.
        self._dirty["ResourceClaim"].update(dict.fromkeys(released))
        for placement in answer.placements:
            self._dirty["Pod"][placement.pod.pod.key] = None
            self._pods.pop(placement.pod.pod.key, None)
            self._dirty["ResourceClaim"].update(dict.fromkeys(used.claim.key for used in placement.pod.claims))
        return answer

    def tree(self, named: Sequence[str]) -> Tree:
        """The levels of the cluster, with those that a user named."""
        assert self._round is not None, "a round was begun"
        self._catch_up(self._round.state, ())
        return self._round.tree(named)

    def settled(self, unit: Unit) -> None:
        """Takes note of the plan that a unit has now."""
        self._note_plan(unit.name, unit.plan)

    def _outgrown(self, state: ClusterState) -> bool:
        slices = len(self._store.slices)
        return state.allocator.shapes > _SHAPES or state.inventory.renewals > max(_RENEWALS, 5 * slices)

    # What has to be looked at

    def _note_plans(self) -> None:
        for name in [name for name in self._plans if name not in self._units]:
            self._note_plan(name, None)
        for unit in self._units.values():
            self._note_plan(unit.name, unit.plan)

    def _note_plan(self, name: str, plan: UnitPlan | None) -> None:
        known = self._plans.get(name)
        if known is plan:
            return
        if known is not None:
            del self._plans[name]
            self._withdraw(name, self._of_claims, known.claims)
            self._withdraw(name, self._of_pods, known.nodes)
        if plan is not None:
            self._plans[name] = plan
            for key in plan.claims:
                self._of_claims.setdefault(key, {})[name] = plan
            for key in plan.nodes:
                self._of_pods.setdefault(key, {})[name] = plan
        for one in (known, plan):
            if one is not None:
                self._dirty["ResourceClaim"].update(dict.fromkeys(one.claims))
                self._dirty["Pod"].update(dict.fromkeys(one.nodes))
                for key in one.nodes:
                    self._pods.pop(key, None)

    def _withdraw(self, name: str, plans: dict[str, dict[str, UnitPlan]], keys: Iterable[str]) -> None:
        for key in keys:
            del plans[key][name]
            if not plans[key]:
                del plans[key]

    # What it counts as

    def _catch_up(self, state: ClusterState, released: Collection[str]) -> None:
        touched = self._store.take_touched()
        if touched["DeviceClass"]:
            assert self._round is not None
            self._round.set_classes(self._store.classes)
        if touched["DeviceTaintRule"]:
            state.set_taint_rules(self._store.taint_rules)
        self._follow_nodes(state, touched["Node"])
        for key in touched["ResourceSlice"]:
            slice_ = self._store.slice(key)
            if slice_ is None:
                state.remove_slice(key)
            else:
                state.set_slice(slice_)
        for key in {**self._dirty["ResourceClaim"], **touched["ResourceClaim"]}:
            self._follow_claim(state, key, released)
            self._touch_users(key)
        for key in {**self._dirty["Pod"], **touched["Pod"]}:
            self._follow_pod(state, key)
        for dirty in self._dirty.values():
            dirty.clear()

    def _follow_nodes(self, state: ClusterState, names: Iterable[str]) -> None:
        there, gone = [], []
        for name in names:
            node = self._store.node(name)
            if node is None:
                gone.append(name)
            else:
                there.append(node)
        if there or gone:
            state.set_nodes(there, gone)

    def _follow_claim(self, state: ClusterState, key: str, released: Collection[str]) -> None:
        held = self._store.held(key)
        plans = self._of_claims.get(key, {}).values()
        counted = counted_claims(held, plans, released) if held is not None else ()
        if not counted:
            state.remove_claim(key)
        for claim in counted:
            if claim is not state.claims.get(claim.key):
                state.set_claim(claim)
        number = max(1, len(counted))
        while state.claims.get(double := double_of(key, number)) is not None:
            state.remove_claim(double)
            number += 1

    def _touch_users(self, claim: str) -> None:
        """A pod that its claims hold counts where they hold it."""
        known = self._store.claim(claim)
        for one in known.status.reserved_for if known is not None else ():
            pod = self._store.pod(f"{claim.partition('/')[0]}/{one.name}")
            if pod is not None and not pod.spec.node_name and pod.metadata.annotations.get(PLACED) == "claim":
                self._dirty["Pod"][pod.key] = None
                self._pods.pop(pod.key, None)

    def _follow_pod(self, state: ClusterState, key: str) -> None:
        pod = self._store.opened_pod(key)
        if pod is None:
            self._pods.pop(key, None)
            state.remove_pod(key)
            return
        known = self._pods.get(key)
        if known is not None and known[0] is pod:
            return
        counted = counted_pod(pod, self._of_pods.get(key, {}).values(), home_of(pod, self._store.claim))
        self._pods[key] = pod, counted
        if counted is None:
            state.remove_pod(key)
        else:
            state.set_pod(counted)
