"""What the nodes of a cluster offer to a gang: nodes that are the same to it are of one kind.

Two nodes are of one kind when the gang's claims are the same problem on them (`Allocator.likeness`), as much of the
devices in question is taken, and as many pods of each role fit by CPU, memory and the like. For each kind, and for each
set of rails, the allocator says once what fits, so the cost of a decision grows with the kinds and not with the nodes.

The cost of an offer is small where links are fast, and among those where little is left over on the node: a gang takes
broken nodes before whole ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from fairlead.allocator import Allocator, Wanted
from fairlead.inventory import NodeView
from fairlead.placement.gangs import Costs, Offer, Site, Sites
from fairlead.placement.groups.alignment import Alignment, Matched, Rails, combinations_of, values_of, within
from fairlead.placement.groups.ask import MatchAsked
from fairlead.placement.groups.roles import PodRole, keep_apart
from fairlead.placement.node import NodeState
from fairlead.placement.planner import Picker
from fairlead.placement.wiring import Setting
from fairlead.topology import Rules, Tree, Wiring

_MOST_RAIL_SETS = 300
"""Sets of rails that are looked at; with more of them rails are left alone."""

_MOST_TOGETHER = 64
"""Combinations of roles on one node that are looked at."""


@dataclass(slots=True)
class Kind:
    """Nodes that are the same to the gang; `view` is of one of them."""

    view: NodeView
    wiring: Wiring
    matched: tuple[Matched, ...]
    """The gang-wide matches, on such a node."""
    free: int
    """Devices that no claim holds for itself."""
    vectors: tuple[tuple[int, ...], ...]
    """Numbers of pods of each role that fit on such a node by what they need beside devices."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a node is to the gang, as long as nothing on it changes."""

    key: Hashable
    """Equal for nodes of one kind."""
    kind: Kind | None
    """None where it can hold no pod of the gang."""
    trimmed: bool
    """Whether it could hold more pods together than were looked at."""


class Surveyor:
    """Looks at nodes for one gang."""

    def __init__(
        self,
        roles: Sequence[PodRole],
        wanted: Sequence[Sequence[Wanted]],
        allocator: Allocator,
        pickers: Sequence[Picker],
        rules: Rules,
        matches: Sequence[MatchAsked] = (),
    ) -> None:
        """A surveyor.

        Args:
            roles: of the gang.
            wanted: the own claims of one pod of each role.
            allocator: tells which nodes are alike.
            pickers: what picks the devices of each role's pods.
            rules: what attributes say of wiring.
            matches: what devices of all pods have in common.
        """
        self._roles = roles
        self._wanted = wanted
        self._shapes = tuple([tuple([claim.shape for claim in claims]) for claims in wanted])
        self._allocator = allocator
        self._pickers = pickers
        self._rules = rules
        self.matches = tuple(matches)
        """What devices of all pods are to have in common."""
        self._apart = keep_apart(roles)
        self._numbers: dict[Hashable, int] = {}
        self._counts: dict[int, tuple[tuple[int, ...], ...]] = {}
        self.kinds: list[Kind] = []
        self.trimmed = False
        """Whether a node could hold more pods together than were looked at: what does not fit then may fit still."""

    @property
    def question(self) -> Hashable:
        """What `look` depends on beside the node, and which pods it refuses."""
        return self._shapes, tuple([len(role.pods) for role in self._roles]), tuple(map(tuple, self._apart))

    def kind(self, look: Look) -> int | None:
        """The number of a node's kind; None where it can hold no pod of the gang."""
        self.trimmed |= look.trimmed
        if look.kind is None:
            return None
        number = self._numbers.get(look.key)
        if number is None:
            number = self._numbers[look.key] = len(self.kinds)
            self.kinds.append(look.kind)
        return number

    def look(self, view: NodeView, node: NodeState, allowed: Sequence[bool]) -> Look:
        """Looks at a node.

        Args:
            view: its devices.
            node: what else it has.
            allowed: by role, whether its pods may run there.
        """
        most, vectors, trimmed = self._vectors(node, allowed)
        if not vectors:
            return Look((), None, trimmed)
        occupancy = view.occupancy
        setting = Setting.of(view, self._rules)
        taken: Hashable = ()
        likeness, asked = self._asked(view)
        if any(self._shapes):
            taken = (
                ~occupancy.held & asked,
                occupancy.started & asked,
                occupancy.exhausted & asked,
                tuple(occupancy.counters.items()),
                tuple([(n, tuple(a.items())) for n, a in sorted(occupancy.consumed.items())]),
                tuple(occupancy.groups.items()),
            )
        matched = self.matched(view)
        shared_values = tuple([tuple(values_of(view, one).items()) for one in matched])
        key = (likeness, taken, setting.kind, most, shared_values)
        kind = Kind(view, setting.wiring, matched, ~occupancy.held & (1 << view.size) - 1, vectors)
        return Look(key, kind, trimmed)

    def _asked(self, view: NodeView) -> tuple[Hashable, int]:
        """What the gang's claims have in common with those on other nodes, and the devices that they could use."""
        key = ("asked", self._shapes)
        known = view.problems.get(key)
        if known is None:
            likeness = self._allocator.likeness(view, tuple([shape for shapes in self._shapes for shape in shapes]))
            known = view.problems[key] = (likeness, self._devices(view))
        assert isinstance(known, tuple)
        likeness, asked = known
        return likeness, asked

    def matched(self, view: NodeView) -> tuple[Matched, ...]:
        """The gang-wide matches, on a node."""
        return tuple([Matched(one.attribute, self._concerned(view, one)) for one in self.matches])

    def _concerned(self, view: NodeView, match: MatchAsked) -> int:
        mask = 0
        for role, claims in zip(self._roles, self._wanted, strict=True):
            if claims:
                problem = self._allocator.problem(view, tuple([claim.shape for claim in claims]))
                for slot in problem.slots:
                    name = f"{role.claim_names[slot.claim]}/{slot.unit.name.partition('/')[0]}"
                    if not match.requests or name in match.requests:
                        mask |= slot.mask
        return mask

    def _devices(self, view: NodeView) -> int:
        """The devices that any claim of the gang could use."""
        mask = 0
        for claims in self._wanted:
            if claims:
                for slot in self._allocator.problem(view, tuple([claim.shape for claim in claims])).slots:
                    mask |= slot.mask | slot.all_mask
        return mask

    def _vectors(self, node: NodeState, allowed: Sequence[bool]) -> tuple[Hashable, tuple[tuple[int, ...], ...], bool]:
        """The numbers of pods of each role that fit on a node.

        Returns:
            What is equal for equal numbers, the numbers, and whether there are more that are not looked at.
        """
        trimmed = False
        most = []
        for number, role in enumerate(self._roles):
            room = _room(node, role) if allowed[number] else 0
            most.append(min(len(role.pods), room, 1 if self._apart[number][number] else room))
        if len(most) == 1:
            known = self._counts.get(most[0])
            if known is None:
                known = self._counts[most[0]] = tuple((count,) for count in range(1, most[0] + 1))
            return most[0], known, False
        while _count(most) > _MOST_TOGETHER:
            most[most.index(max(most))] -= 1
            trimmed = True
        vectors = tuple(
            vector
            for vector in product(*[range(count + 1) for count in most])
            if any(vector) and self._fits(node, vector)
        )
        return vectors, vectors, trimmed

    def _fits(self, node: NodeState, vector: Sequence[int]) -> bool:
        for one, count in enumerate(vector):
            for other in range(one):
                if count and vector[other] and self._apart[one][other]:
                    return False
        needs: dict[str, int] = {}
        for role, count in zip(self._roles, vector, strict=True):
            for name, amount in role.needs.amounts:
                needs[name] = needs.get(name, 0) + count * amount
        return all(
            name not in node.allocatable or node.used.get(name, 0) + amount <= node.allocatable[name]
            for name, amount in needs.items()
        )

    def rail_sets(self) -> list[Rails]:
        """The sets of rails that every pod could have its GPUs on; empty where GPUs or their rails are not known."""
        rails: set[int] = set()
        size = 0
        for kind in self.kinds:
            rails.update(
                place.rail for place in kind.wiring.locations if place.kind == "gpu" and place.rail is not None
            )
        for number, claims in enumerate(self._wanted):
            if not claims:
                continue
            counts = (self._gpus(kind, number) for kind in self.kinds)
            own = next((count for count in counts if count is not None), None)
            if own is None:
                continue
            if size and own != size:
                return []
            size = own
        made = combinations(sorted(rails), size) if 0 < size <= len(rails) else iter(())
        sets = [frozenset(chosen) for _, chosen in zip(range(_MOST_RAIL_SETS + 1), made, strict=False)]
        return sets if len(sets) <= _MOST_RAIL_SETS else []

    def _gpus(self, kind: Kind, role: int) -> int | None:
        """How many GPUs a pod of the role gets; None where it finds none here."""
        vector = tuple(int(number == role) for number in range(len(self._roles)))
        if vector not in kind.vectors:
            return None
        decision = self._pickers[role](kind.view, self._wanted[role], -1)
        if decision.picks is None:
            return None
        return sum(kind.wiring.locations[pick.number].kind == "gpu" for pick in decision.picks)

    def offers(self, rail_sets: Sequence[Rails]) -> list[Offer]:
        """What each kind holds, for each set of rails and values, and without regard to rails."""
        values = combinations_of(self.matches, [(kind.view, kind.matched) for kind in self.kinds])
        aligned = [Alignment(rails, chosen) for rails in rail_sets for chosen in values]
        made = [Offer(alignment, 0, self._by_kind(alignment)) for alignment in aligned]
        made = [offer for offer in made if offer.kinds]
        unaligned = [Alignment(None, chosen) for chosen in values]
        return made + [Offer(alignment, 1 if aligned else 0, self._by_kind(alignment)) for alignment in unaligned]

    def _by_kind(self, alignment: Alignment) -> Mapping[int, Costs]:
        found: dict[int, Costs] = {}
        for number, kind in enumerate(self.kinds):
            mask = within(alignment, kind.view, kind.wiring, kind.matched)
            costs: dict[tuple[int, ...], int] = {}
            failed: list[tuple[int, ...]] = []
            for vector in kind.vectors:
                if any(all(less <= more for less, more in zip(small, vector, strict=True)) for small in failed):
                    continue
                cost = self._cost(kind, vector, mask, alignment.rails)
                if cost is None:
                    failed.append(vector)
                else:
                    costs[vector] = cost
            if costs:
                found[number] = costs
        return found

    def _cost(self, kind: Kind, vector: tuple[int, ...], mask: int, rails: Rails | None) -> int | None:
        pods = [role for role, count in enumerate(vector) for _ in range(count) if self._wanted[role]]
        if not pods:
            return 0
        sets = self._device_sets(kind, pods, mask)
        if sets is None:
            return None
        slowness = 0
        taken: set[int] = set()
        for devices in sets:
            taken.update(devices)
            used = {kind.wiring.locations[n].rail for n in devices if kind.wiring.locations[n].kind == "gpu"}
            if rails is not None and used and used != rails:
                return None
            slowness += slowness_of(kind.wiring, devices)
        left = sum(
            kind.free >> number & 1 and number not in taken and place.kind in ("gpu", "accelerator")
            for number, place in enumerate(kind.wiring.locations)
        )
        return (slowness << 8) + min(left, 255)

    def _device_sets(self, kind: Kind, pods: Sequence[int], mask: int) -> list[list[int]] | None:
        """The devices of each pod, given by role; None where they do not fit together."""
        alone = mask
        sets: list[list[int]] = []
        for role in pods:
            problem = self._allocator.problem(kind.view, tuple([claim.shape for claim in self._wanted[role]]))
            if problem.ledger.fields or problem.shared or problem.group_rules:
                break
            # Devices that one pod has alone: one pod after the other, each as close together as it can be.
            decision = self._pickers[role](kind.view, self._wanted[role], alone)
            if decision.picks is None:
                if len(pods) == 1:
                    return None
                break
            sets.append([pick.number for pick in decision.picks])
            for number in sets[-1]:
                alone &= ~(1 << number)
        if len(sets) == len(pods):
            return sets
        claims = [claim for role in pods for claim in self._wanted[role]]
        together = self._allocator.allocate(kind.view, claims, mask)
        if together.picks is None:
            return None
        owner = [pod for pod, role in enumerate(pods) for _ in self._wanted[role]]
        sets = [[] for _ in pods]
        for pick in together.picks:
            sets[owner[pick.claim]].append(pick.number)
        return sets


def slowness_of(wiring: Wiring, devices: Iterable[int]) -> int:
    """A cost of a pod's devices: 10,000 divided by the GB/s of an all-reduce, and of the way out of the node."""
    numbers = list(devices)
    gpus = sum(wiring.locations[number].kind == "gpu" for number in numbers)
    nics = sum(wiring.locations[number].kind == "nic" for number in numbers)
    if not gpus:
        return 0
    speed = wiring.bandwidth(numbers)
    inside = round(10_000 / max(speed.all_reduce, 1.0)) if gpus > 1 else 0
    outside = round(10_000 / max(speed.network, 1.0)) if nics else 0
    return inside + outside


def sites_of(tree: Tree, levels: Sequence[str], kinds: Mapping[str, int | None]) -> Sites:
    """The nodes that can hold something, where they are."""
    places = [at for at, level in enumerate(tree.levels) if level.name in levels]
    return Sites(
        [tree.levels[at].name for at in places],
        [
            Site(name, tuple([tree.paths[name][at] for at in places]), kind)
            for name, kind in kinds.items()
            if kind is not None
        ],
    )


def _room(node: NodeState, role: PodRole) -> int:
    """How many pods of the role the node could run, devices aside."""
    if not node.allocatable:
        return len(role.pods)
    fits = [
        (node.allocatable[name] - node.used.get(name, 0)) // amount
        for name, amount in role.needs.amounts
        if name in node.allocatable
    ]
    if role.needs.ports:
        fits.append(1)
    return max(0, min([len(role.pods), *fits]))


def _count(most: Sequence[int]) -> int:
    total = 1
    for count in most:
        total *= count + 1
    return total
