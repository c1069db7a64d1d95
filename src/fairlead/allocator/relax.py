"""The smallest changes that would make claims fit on a node where they do not.

Every change offered is verified: the claims are decided again with exactly that change, on what would be taken then.
Single changes come first: a device or a whole claim let go by its holder, a constraint dropped, a count lowered, a
taint tolerated. Where none helps alone, the fewest holders that would have to let go together are looked for. All of it
within a bounded number of decisions; where the bound ended a search, the answer says so. Alternatives of prioritized
lists are left as they are, and selectors too: whoever wrote one meant it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

from msgspec.structs import replace

from fairlead.allocator.allocator import Allocator, Wanted, decide
from fairlead.allocator.moves import Standing, standing
from fairlead.allocator.problem import Problem
from fairlead.allocator.rules import Across
from fairlead.allocator.slot import bits
from fairlead.inventory import NodeView, Occupancy
from fairlead.resource import (
    DeviceRequest,
    DeviceTaint,
    DeviceToleration,
    ObjectMeta,
    ResourceClaim,
    ResourceClaimSpec,
)

RelaxationKind = Literal["free-claim", "free-device", "lower-count", "drop-constraint", "tolerate-taint", "free-claims"]
"""In the order in which changes of equal cost are offered."""

EFFORT: Final = 300
"""Decisions for single changes, and as many again for holders together."""

_ORDER: Final[tuple[RelaxationKind, ...]] = (
    "free-claim",
    "free-device",
    "lower-count",
    "drop-constraint",
    "tolerate-taint",
    "free-claims",
)
_NAMED: Final = 6
"""Up to how many holders are called by name in texts."""
_SETS_LOOKED_AT: Final = 20_000
"""Sets of holders that are counted through for one that is worth a decision."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A change after which the claims fit. `text` completes the sentence `it would fit ...`."""

    kind: RelaxationKind
    text: str
    cost: int
    """Devices let go or done without; constraints dropped and taints tolerated count one each."""
    claim: str = ""
    """The claim to change; empty where it stays as it is, or where the change is in several."""
    requests: tuple[str, ...] = ()
    """The requests that the change is about."""
    constraint: str = ""
    taint: str = ""
    count: int = 0
    """The greatest count that fits."""
    holders: tuple[str, ...] = ()
    """Who would have to let go."""
    devices: tuple[str, ...] = ()
    """The devices that a whole claim holds here; of `free-device`, those of which any one is enough."""
    fewest: bool = True
    """False where the bound ended the search before it was known that no fewer holders are enough."""

    @property
    def order(self) -> tuple[int, int, str]:
        """Sorts the smallest change first."""
        return (self.cost, _ORDER.index(self.kind), self.text)


@dataclass(frozen=True, slots=True)
class Relaxations:
    """What was found on one node, smallest change first."""

    found: tuple[Relaxation, ...]
    complete: bool
    """False where the bound ended the search for single changes: there may be more, and smaller ones."""
    decisions: int


def relaxations(allocator: Allocator, view: NodeView, claims: Sequence[Wanted]) -> list[Relaxation]:
    """The changes that would make the claims fit on the node, smallest first; empty where they fit already.

    Args:
        allocator: decides.
        view: the node.
        claims: all unallocated claims of a pod, as in `Allocator.allocate`.
    """
    return list(Relaxer(allocator).look(view, claims).found)


class Relaxer:
    """Looks for changes on many nodes; what was decided for one node holds for others that are alike."""

    def __init__(self, allocator: Allocator) -> None:
        self._allocator = allocator
        self._known: dict[tuple[Problem, Standing], bool] = {}

    def look(
        self,
        view: NodeView,
        claims: Sequence[Wanted],
        *,
        keep: Collection[str] = (),
        effort: int = EFFORT,
        across: tuple[Across, ...] = (),
    ) -> Relaxations:
        """The changes that help on one node.

        Args:
            view: the node.
            claims: all unallocated claims of a pod.
            keep: claims that are not asked to let go: those that the pod has already.
            effort: decisions for single changes, and as many again for holders together.
            across: conditions that join the claims; none of the changes drops them.
        """
        node = _Node(self._allocator, self._known, view, claims, keep, effort, across)
        found: list[Relaxation] = []
        complete = True
        try:
            if node.fits(claims, view.occupancy):
                return Relaxations((), True, node.decisions)
            for search in (_constraints, _taints, _counts, _holders, _devices):
                for relaxation in search(node):
                    found.append(relaxation)  # one by one: what was found before the decisions are spent counts
        except _SpentError:
            complete = False
        if not found:
            node.limit = node.decisions + effort
            found.extend(_together(node, complete))
        return Relaxations(tuple(sorted(found, key=lambda one: one.order)), complete, node.decisions)


_Change = Callable[[ResourceClaimSpec], ResourceClaimSpec]


class _SpentError(Exception):
    """All decisions that may be made are made."""


class _Node:
    """The claims on the node as they are, and the decisions made on changes."""

    def __init__(
        self,
        allocator: Allocator,
        known: dict[tuple[Problem, Standing], bool],
        view: NodeView,
        claims: Sequence[Wanted],
        keep: Collection[str],
        effort: int,
        across: tuple[Across, ...],
    ) -> None:
        self.view = view
        self.across = across
        self.claims = claims
        self.limit = effort
        self.effort = effort
        self.decisions = 0
        self._allocator = allocator
        self._known = known
        self.problem = allocator.problem(view, tuple([claim.shape for claim in claims]), across)
        self.steady = not any(slot.unit.all_devices or slot.fatal for slot in self.problem.slots)
        """Whether what fits still fits when more is free. Which devices "all" are, and which error a search meets,
        depends on what is taken."""
        self.helpful: set[str] = set()
        """Holders that are known to help by letting go of everything."""
        self.holdings: dict[str, int] = {}
        """By claim that holds anything that could matter: its devices here."""
        self.in_use = view.occupancy.held | view.occupancy.started
        for number in bits(self.in_use):
            for holder in view.holders(number):
                if holder not in keep:
                    self.holdings[holder] = self.holdings.get(holder, 0) | 1 << number

    def fits(self, claims: Sequence[Wanted], occupancy: Occupancy) -> bool:
        """Whether these claims fit on the node when this is taken."""
        problem = self._allocator.problem(self.view, tuple([claim.shape for claim in claims]), self.across)
        taken = standing(problem, occupancy)
        known = self._known.get((problem, taken))
        if known is None:
            if self.decisions >= self.limit:
                raise _SpentError
            self.decisions += 1
            known = self._known[problem, taken] = decide(problem, self.view, taken, claims).fits
        return known

    def fits_with(self, change: _Change, number: int = -1) -> bool:
        """Whether the claims fit when one claim, or each, has its spec changed."""
        changed = [
            claim if number not in (-1, position) else self._changed(claim, change(claim.shape.spec))
            for position, claim in enumerate(self.claims)
        ]
        return self.fits(changed, self.view.occupancy)

    def fits_without(self, *holders: str) -> bool:
        """Whether the claims fit when these holders let go of everything."""
        return self.fits(self.claims, self.view.occupancy_without(holders))

    def fits_when_free(self, number: int) -> bool:
        """Whether the claims fit when one device is free."""
        return self.fits(self.claims, self.view.occupancy_without(devices=(self.view.device_id(number),)))

    def _changed(self, claim: Wanted, spec: ResourceClaimSpec) -> Wanted:
        if spec == claim.shape.spec:
            return claim
        return self._allocator.wanted(ResourceClaim(metadata=ObjectMeta(name=claim.name), spec=spec))

    def of_claim(self, number: int) -> str:
        """` of claim NAME` where the pod has several."""
        return f" of claim {self.claims[number].name}" if len(self.claims) > 1 else ""

    def names(self, mask: int) -> tuple[str, ...]:
        """The devices of a mask by name."""
        return tuple(str(self.view.device_id(number)) for number in bits(mask))


def _constraints(node: _Node) -> Iterator[Relaxation]:
    for number, claim in enumerate(node.claims):
        names = [str(constraint) for constraint in claim.shape.constraints]
        for position, constraint in enumerate(claim.shape.constraints):

            def dropped(spec: ResourceClaimSpec, position: int = position) -> ResourceClaimSpec:
                kept = [one for i, one in enumerate(spec.devices.constraints) if i != position]
                return replace(spec, devices=replace(spec.devices, constraints=kept))

            if node.fits_with(dropped, number):
                name = names[position]
                scope = f" of {', '.join(constraint.requests) or 'all requests'}" if names.count(name) > 1 else ""
                text = f"without {name}{scope}{node.of_claim(number)}"
                requests = constraint.requests or tuple(request.name for request in claim.shape.requests)
                yield Relaxation("drop-constraint", text, 1, claim.name, requests, constraint=name)


def _counts(node: _Node) -> Iterator[Relaxation]:
    for number, claim in enumerate(node.claims):
        for request in claim.shape.spec.devices.requests:
            if request.exactly is None or request.exactly.allocation_mode != "ExactCount":
                continue
            wanted = request.exactly.count

            def fits(count: int, name: str = request.name, number: int = number) -> bool:
                return node.fits_with(_counting(name, count), number)

            if wanted < 2 or not fits(1):
                continue
            # Fewer devices always fit where more do, but for errors that a search may meet on its way.
            low, high = 1, wanted
            while high - low > 1:
                middle = (low + high) // 2
                if fits(middle):
                    low = middle
                else:
                    high = middle
            text = f"with {low} instead of {wanted} devices in request {request.name}{node.of_claim(number)}"
            yield Relaxation("lower-count", text, wanted - low, claim.name, (request.name,), count=low)


def _taints(node: _Node) -> Iterator[Relaxation]:
    if not node.view.features.device_taints:
        return
    concerned: dict[DeviceTaint, list[tuple[int, str]]] = {}
    for slot in node.problem.slots:
        if slot.unit.name.count("/"):
            continue
        suiting = node.view.matches(slot.unit.selectors).mask & node.view.on_node
        for device in bits(suiting & ~node.view.tolerated(slot.unit.tolerations)):
            for taint in node.view.device(device).taints:
                if taint.effect in ("NoSchedule", "NoExecute"):
                    places = concerned.setdefault(replace(taint, time_added=None), [])
                    if (slot.claim, slot.unit.name) not in places:
                        places.append((slot.claim, slot.unit.name))
    for taint, places in concerned.items():
        name = f"{taint.key}{'=' if taint.value else ''}{taint.value}:{taint.effect}"
        single = False
        for number, request in places:
            if node.fits_with(_tolerating((request,), taint), number):
                single = True
                text = f"if request {request}{node.of_claim(number)} tolerated the device taint {name}"
                yield Relaxation("tolerate-taint", text, 1, node.claims[number].name, (request,), taint=name)
        requests = tuple(dict.fromkeys(request for _, request in places))
        if not single and len(places) > 1 and node.fits_with(_tolerating(requests, taint)):
            text = f"if all of {', '.join(requests)} tolerated the device taint {name}"
            yield Relaxation("tolerate-taint", text, 1, "", requests, taint=name)


def _tolerating(names: Collection[str], taint: DeviceTaint) -> _Change:
    toleration = DeviceToleration(key=taint.key, operator="Equal", value=taint.value, effect=taint.effect)

    def tolerate(request: DeviceRequest) -> DeviceRequest:
        assert request.exactly is not None
        tolerations = [*request.exactly.tolerations, toleration]
        return replace(request, exactly=replace(request.exactly, tolerations=tolerations))

    return lambda spec: _requests(spec, names, tolerate)


def _counting(name: str, count: int) -> _Change:
    def lower(request: DeviceRequest) -> DeviceRequest:
        assert request.exactly is not None
        return replace(request, exactly=replace(request.exactly, count=count))

    return lambda spec: _requests(spec, (name,), lower)


def _requests(
    spec: ResourceClaimSpec, names: Collection[str], change: Callable[[DeviceRequest], DeviceRequest]
) -> ResourceClaimSpec:
    changed = [change(one) if one.name in names and one.exactly is not None else one for one in spec.devices.requests]
    return replace(spec, devices=replace(spec.devices, requests=changed))


def _hopeless(node: _Node) -> bool:
    """Whether the claims would not fit on a node where nobody holds anything; freeing some is no use then either."""
    if not node.holdings or node.problem.fault is not None:
        return True
    return node.steady and not node.fits_without(*node.holdings)


def _holders(node: _Node) -> Iterator[Relaxation]:
    if _hopeless(node):
        return
    for holder, mask in sorted(node.holdings.items(), key=lambda item: (item[1].bit_count(), item[0])):
        if node.fits_without(holder):
            node.helpful.add(holder)
            devices = node.names(mask)
            what = f"its device {_short(devices[0])}" if len(devices) == 1 else f"its {len(devices)} devices"
            text = f"if claim {holder} released {what}"
            yield Relaxation("free-claim", text, len(devices), holders=(holder,), devices=devices)


def _devices(node: _Node) -> Iterator[Relaxation]:
    if _hopeless(node):
        return
    enough: dict[tuple[str, ...], int] = {}
    for number in bits(node.in_use):
        holders = tuple(node.view.holders(number))
        if not holders or any(holder not in node.holdings for holder in holders):
            continue
        if len(holders) == 1 and node.holdings[holders[0]].bit_count() == 1:
            continue  # the same as releasing the claim
        if len(holders) == 1 and node.steady and holders[0] not in node.helpful:
            continue  # all of its devices together are not enough
        if node.fits_when_free(number):
            enough[holders] = enough.get(holders, 0) | 1 << number
    for holders, mask in enough.items():
        devices = node.names(mask)
        if len(holders) > 1:
            text = f"if claims {_listed(holders)} released their shares of {_either(devices)}"
        elif mask == node.holdings[holders[0]]:
            text = f"if claim {holders[0]} released one of its {len(devices)} devices"
        else:
            text = f"if claim {holders[0]} released {_either(devices)}"
        yield Relaxation("free-device", text, 1, holders=holders, devices=devices)


def _together(node: _Node, fewest: bool) -> Iterator[Relaxation]:
    """The fewest holders that let go together; looked for only where no single change is enough.

    Args:
        node: the node.
        fewest: whether it is known that no single holder is enough.
    """
    holders = sorted(node.holdings, key=lambda name: (-node.holdings[name].bit_count(), name))
    try:
        if len(holders) < 2 or _hopeless(node) or not node.fits_without(*holders):
            return
    except _SpentError:
        return
    best = holders
    try:
        # One after another is kept where the rest is enough: what remains could not do without any of them.
        for holder in reversed(holders):
            rest = [name for name in best if name != holder]
            if node.fits_without(*rest):
                best = rest
        shorter = next((some for size in range(2, len(best)) for some in _sets(node, holders, size)), None)
        best = best if shorter is None else list(shorter)
    except _SpentError:
        fewest = False
    masks = [node.holdings[name] for name in best]
    count = sum(mask.bit_count() for mask in masks)
    names = [f"{name} ({_number(mask.bit_count())})" for name, mask in zip(best, masks, strict=True)]
    text = f"if {len(best)} claims released their devices: {_listed(names, _NAMED)}"
    if not fewest:
        text += f"; fewer may be enough, the search ended after {node.effort} decisions"
    devices = tuple(name for mask in masks for name in node.names(mask))
    yield Relaxation("free-claims", text, count, holders=tuple(best), devices=devices, fewest=fewest)


def _sets(node: _Node, holders: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """The sets of so many holders after which the claims fit; those that leave a request too few are not tried."""
    occupancy = node.view.occupancy
    needs = [
        (slots[0].mask & ~occupancy.held, slots[0].mask & occupancy.held, slots[0].count)
        for slots in node.problem.alternatives
        if len(slots) == 1 and not slots[0].unit.all_devices and not slots[0].unit.admin_access
    ]
    for looked_at, some in enumerate(combinations(holders, size)):
        if looked_at >= _SETS_LOOKED_AT:
            raise _SpentError
        freed = 0
        for name in some:
            freed |= node.holdings[name]
        enough = all(free.bit_count() + (held & freed).bit_count() >= count for free, held, count in needs)
        if enough and node.fits_without(*some):
            yield some


def _short(device: str) -> str:
    return device.rpartition("/")[2]


def _number(count: int) -> str:
    return f"{count} device{'' if count == 1 else 's'}"


def _listed(names: Sequence[str], shown: int = 1_000, word: str = "and") -> str:
    if len(names) > shown + 1:
        names = [*names[:shown], f"{len(names) - shown} more"]
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else names[0]


def _either(devices: Sequence[str]) -> str:
    return _listed([_short(device) for device in devices], _NAMED, "or")
