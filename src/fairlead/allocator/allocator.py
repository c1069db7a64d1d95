"""The allocator: the devices for a pod's claims on one node, or why there are none.

`Allocator` knows the device classes and keeps the shapes of claims that it has seen; `allocate` decides for one node.
Pods of one template meet a prepared problem: the decision itself then looks at masks only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from fairlead.allocator.explain import explain, refusal
from fairlead.allocator.moves import Standing, standing
from fairlead.allocator.problem import Problem
from fairlead.allocator.reasons import Reason
from fairlead.allocator.request import CLAIM, ClaimShape, RequestError, resolve
from fairlead.allocator.result import build, random_share_id
from fairlead.allocator.rules import Across
from fairlead.allocator.search import FatalError, Pick, Search
from fairlead.allocator.slot import DEVICE, Fault
from fairlead.inventory import Features, NodeView, Occupancy, Reader
from fairlead.resource import AllocationResult, DeviceClass, ResourceClaim, ResourceClaimSpec


@dataclass(frozen=True, slots=True)
class Wanted:
    """A claim to allocate: its shape, and how messages call it."""

    name: str
    shape: ClaimShape


@dataclass(slots=True)
class Decision:
    """What came out for one node. Exactly one of `fits`, `error` and neither holds.

    `picks` are the devices where the claims fit. `error` says why the claims cannot be allocated on any node; with
    `node_error` it says so of this node alone. Where both are empty the claims do not fit on this node.
    """

    prepared: Problem | Callable[[], Problem]
    """The problem, or how to prepare it where the decision did not need it."""
    view: NodeView
    claims: Sequence[Wanted]
    picks: Sequence[Pick] | None = None
    error: str = ""
    node_error: bool = False
    steps: int = 0
    """Devices that the search tried; 0 where none was needed."""
    _allocations: list[AllocationResult] | None = field(default=None, repr=False)

    @property
    def problem(self) -> Problem:
        """What was decided."""
        if not isinstance(self.prepared, Problem):
            self.prepared = self.prepared()
        return self.prepared

    @property
    def fits(self) -> bool:
        """Whether every claim gets its devices here."""
        return self.picks is not None

    def reasons(self, named: bool = True) -> tuple[Reason, ...]:
        """What stands in the way on this node; empty where the claims fit.

        Args:
            named: whether to list the names of all devices that are left out, which costs most of the time.
        """
        if self.picks is not None:
            return ()
        names = [claim.name for claim in self.claims]
        if self.error:
            return (refusal(self.error, names),)
        if self.problem.across and (joining := _joining(self.problem, self.view, self.claims)):
            return joining
        return explain(self.problem, self.view, names, named)

    def allocations(self, share_id: Callable[[], str] = random_share_id) -> list[AllocationResult]:
        """One `status.allocation` a claim, made once; only for claims that fit."""
        if self.picks is None:
            raise ValueError("the claims do not fit, there is no allocation")
        if self._allocations is None:
            self._allocations = build(self.problem, self.view, self.picks, share_id)
        return self._allocations


class Local:
    """A problem on one node, with what is taken there as of the last decision."""

    __slots__ = ("occupancy", "problem", "standing")

    def __init__(self, problem: Problem, occupancy: Occupancy) -> None:
        self.problem = problem
        self.occupancy = occupancy
        self.standing = standing(problem, occupancy)


class Allocator:
    """Decides which devices claims get. Holds no allocation state: that is the inventory's.

    It keeps what it has prepared: shapes by spec, problems by shapes and kind of node.
    """

    def __init__(self, classes: Iterable[DeviceClass], features: Features) -> None:
        self.features = features
        self._classes = {device_class.name: device_class for device_class in classes}
        self._shapes: dict[bytes, ClaimShape] = {}
        self._by_spec: dict[int, tuple[ResourceClaimSpec, ClaimShape]] = {}
        self._problems: dict[tuple[tuple[ClaimShape, ...], Hashable, tuple[Across, ...]], Problem] = {}
        self._asked: dict[tuple[ClaimShape, ...], tuple[tuple[tuple[Reader, ...], ...], tuple[str, ...]]] = {}
        """By shapes: the chains of selectors and the attributes of constraints."""

    def set_classes(self, classes: Iterable[DeviceClass]) -> None:
        """Replaces all device classes: every claim is of a new shape from now on."""
        self._classes = {device_class.name: device_class for device_class in classes}
        self._shapes.clear()
        self._by_spec.clear()
        self._problems.clear()
        self._asked.clear()

    @property
    def shapes(self) -> int:
        """How many shapes of claims are remembered."""
        return len(self._shapes)

    def wanted(self, claim: ResourceClaim) -> Wanted:
        """The claim, ready to be allocated.

        Raises:
            RequestError: it cannot be allocated on any node, whatever is free.
        """
        known = self._by_spec.get(id(claim.spec))
        if known is not None and known[0] is claim.spec:
            return Wanted(claim.key, known[1])
        key = msgspec.json.encode(claim.spec, enc_hook=str)
        shape = self._shapes.get(key)
        if shape is None:
            try:
                shape = resolve(claim.spec, self._classes, self.features)
            except RequestError as error:
                raise RequestError(f"claim {claim.key}, {error}") from None
            self._shapes[key] = shape
        if len(self._by_spec) >= _SPECS_KEPT:
            self._by_spec.clear()
        self._by_spec[id(claim.spec)] = (claim.spec, shape)
        return Wanted(claim.key, shape)

    def allocate(
        self, view: NodeView, claims: Sequence[Wanted], within: int = -1, across: tuple[Across, ...] = ()
    ) -> Decision:
        """Decides for one node.

        Args:
            view: the node.
            claims: all unallocated claims of a pod, in the pod's order.
            within: the devices that may be given; all others count as held. A policy that prefers some devices asks
                for these alone: what it gets then satisfies every rule, or there is none.
            across: conditions that join claims.
        """
        shapes = tuple([claim.shape for claim in claims])
        asked: object = (shapes, across) if across else shapes
        local = view.problems.get(asked)
        if local is None:
            if _nothing_is_free(view, shapes):
                return Decision(lambda: self.problem(view, shapes, across), view, claims)
            local = view.problems[asked] = Local(self.problem(view, shapes, across), view.occupancy)
        assert isinstance(local, Local)
        occupancy = view.occupancy
        if local.occupancy is not occupancy:
            local.standing = standing(local.problem, occupancy)
            local.occupancy = occupancy
        taken = local.standing if within == -1 else local.standing._replace(free=local.standing.free & within)
        return decide(local.problem, view, taken, claims)

    def problem(self, view: NodeView, shapes: tuple[ClaimShape, ...], across: tuple[Across, ...] = ()) -> Problem:
        """The problem that claims of these shapes are on the node; nodes with the same hardware share it."""
        key = (shapes, self.likeness(view, shapes), across)
        known = self._problems.get(key)
        if known is None:
            known = self._problems[key] = Problem(view, shapes, across)
        return known

    def likeness(self, view: NodeView, shapes: tuple[ClaimShape, ...]) -> Hashable:
        """Equal for nodes that are the same to claims of these shapes but for what is taken."""
        asked = self._asked.get(shapes)
        if asked is None:
            chains = dict.fromkeys(chain for shape in shapes for chain in shape.chains)
            attributes = dict.fromkeys(constraint.attribute for shape in shapes for constraint in shape.constraints)
            asked = self._asked[shapes] = (tuple(chains), tuple(attributes))
        return view.likeness(*asked)

    def allocate_empty(self, view: NodeView, claims: Sequence[Wanted]) -> Decision:
        """The decision as it would be if no claim held anything."""
        problem = self.problem(view, tuple([claim.shape for claim in claims]))
        return decide(problem, view, standing(problem, view.unoccupied()), claims)


_SPECS_KEPT = 1_000


def _nothing_is_free(view: NodeView, shapes: tuple[ClaimShape, ...]) -> bool:
    """Whether it is plain, before any selector is compiled, that not even the first device can be had."""
    taken = not (1 << view.size) - 1 & ~view.occupancy.held
    return taken and view.valid and bool(shapes) and all(shape.countable for shape in shapes)


def decide(problem: Problem, view: NodeView, taken: Standing, claims: Sequence[Wanted]) -> Decision:
    """The decision on a prepared problem, with what is taken now."""
    if problem.fault is not None:
        return Decision(problem, view, claims, error=_named(problem.fault, view, claims))
    if problem.plain is not None:
        picks, hopeless = _plain(problem, taken)
        if picks is not None:
            return Decision(problem, view, claims, picks)
        if hopeless and view.valid:
            return Decision(problem, view, claims)
    search = Search(problem, taken, first_branch_failed=problem.plain is not None)
    try:
        found = search.run()
    except FatalError as error:
        return Decision(problem, view, claims, error=_named(error.fault, view, claims), steps=search.steps)
    if found is None and not view.valid:
        text = "invalid resource pools were encountered"
        return Decision(problem, view, claims, error=text, node_error=True, steps=search.steps)
    return Decision(problem, view, claims, found, steps=search.steps)


def _joining(problem: Problem, view: NodeView, claims: Sequence[Wanted]) -> tuple[Reason, ...]:
    """The conditions that join claims, where they keep them out: those without which, alone, they fit; or all."""
    shapes = tuple([claim.shape for claim in claims])

    def fits(kept: tuple[Across, ...]) -> bool:
        made = Problem(view, shapes, kept)
        return decide(made, view, standing(made, view.occupancy), claims).fits

    if not fits(()):
        return ()
    guilty = [one for one in problem.across if fits(tuple([other for other in problem.across if other is not one]))]
    reasons = []
    for one in guilty or problem.across:
        names = ", ".join(dict.fromkeys(claims[claim].name for claim, _ in one.members))
        requests = tuple([claims[claim].shape.requests[request].name for claim, request in one.members])
        text = f"{one.name}: the claims fit here without it, the free devices do not satisfy it"
        reasons.append(Reason("constraint", names, requests, 0, 0, text))
    return tuple(reasons)


def _named(fault: Fault, view: NodeView, claims: Sequence[Wanted]) -> str:
    text = fault.text.replace(CLAIM, claims[fault.claim].name)
    return text if fault.device < 0 else text.replace(DEVICE, str(view.device_id(fault.device)))


def _plain(problem: Problem, taken: Standing) -> tuple[list[Pick] | None, bool]:
    """The first branch of the search where there are no alternatives, constraints or errors.

    Returns:
        The picks, or None where the branch ends in a dead end; and whether there is no other branch to try, because
        a request by itself has too few devices.
    """
    assert problem.plain is not None
    free, payable, left, started = taken[:4]
    shared = problem.shared
    guards = problem.ledger.guards
    picks: list[Pick] = []
    for claim, request, count, slot in problem.plain:
        mask = slot.mask & free & payable
        for _ in range(count):
            while True:
                bit = mask & -mask
                if not bit:
                    return None, problem.uniform or (slot.mask & taken.free).bit_count() < count
                mask ^= bit
                number = bit.bit_length() - 1
                needs = slot.more_need if started & bit else slot.first_need
                if needs:
                    rest = left - needs.get(number, 0)
                    if rest & guards != guards:
                        continue
                    left = rest
                break
            if shared & bit:
                started |= bit
            else:
                free ^= bit
            picks.append(Pick(claim, request, 0, number))
    return picks, False
