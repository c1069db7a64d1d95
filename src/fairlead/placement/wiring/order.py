"""The sets of devices that a demand can be met with, best first under a policy, each made when it is asked for.

A queue holds sets that are not complete or not fully scored, each with what it can be worth at best. The most
promising is completed or scored one step further, or given out when it is complete and scored: nothing that is still
in the queue can be worth more. In this order the parts of a score are computed:

1. every selection of devices that talk with each other, with its first part;
2. the network devices for it, class by class, bounded by the pairs that are still possible;
3. the other devices;
4. the remaining parts, one by one, for what is still best by those before.

Of sets that differ by exchanges of devices or places only one is made, with low device numbers.

After a number of steps (`STEPS`) nothing is completed any more, and what is complete is given out in order; `bound`
then says what the sets that were not made can be worth at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count, pairwise
from typing import Final, NamedTuple

from fairlead.allocator.slot import bits
from fairlead.placement.wiring.demand import Class, Demand
from fairlead.placement.wiring.parts import NUMA, ROOT, SWITCH, Scene
from fairlead.placement.wiring.policies import DevicePolicy
from fairlead.placement.wiring.score import Key, Part, Score, by_number, optimism
from fairlead.placement.wiring.symmetry import Cell

SELECTIONS: Final = 10_000
"""Selections of devices that talk with each other; with more there is no order, and nothing is given out."""
STEPS: Final = 20_000
"""Sets, complete or not, that are put into the queue."""
_UNKNOWN: Final[Key] = ()


class _Open(NamedTuple):
    """A set that is not complete."""

    talkers: int
    devices: int
    place: int
    """Which class is decided next; -1 before it is known how many pairs are possible."""
    wanted: int
    counts: tuple[tuple[int, int], ...]
    """Kinds of slots that the devices so far serve, with numbers of devices."""


class _Whole(NamedTuple):
    """A set that is complete, with the parts of its score so far."""

    devices: int
    parts: tuple[Part, ...]


class Order:
    """One walk through the sets."""

    def __init__(self, demand: Demand, policy: DevicePolicy, scene: Scene) -> None:
        self._demand = demand
        self._policy = policy
        self._scene = scene
        setting = scene.setting
        self._talking = (demand.candidates | demand.forced) & setting.compute or -1
        leading = [one for one in demand.classes if self._talking >> one.numbers[0] & 1]
        others = [one for one in demand.classes if one not in leading]
        others.sort(key=lambda one: (not setting.network >> one.numbers[0] & 1, one.numbers))
        self._leading = leading
        self._others = others
        self._rest = [0] * (len(others) + 1)
        """By place: the devices of the classes from there on."""
        for place in range(len(others) - 1, -1, -1):
            self._rest[place] = self._rest[place + 1] | others[place].first(len(others[place].numbers))
        self._comparisons = _comparisons([*leading, *others], demand.cells)
        self._everywhere = list({id(one): one for of_class in self._comparisons for one in of_class}.values())
        self._nics = demand.fixed(setting.network)
        self._queue: list[tuple[tuple[Key, ...], int, int, _Open | _Whole]] = []
        self._ticket = count()
        self._steps = 0
        self.bound: tuple[Key, ...] | None = None
        """The best that a set can be worth that was not made, where there were too many; as `optimism`."""
        self.bounded = True
        """False where there were too many sets to begin with: nothing is given out, and no bound is known."""

    def sets(self) -> Iterator[Score]:
        """All plausible sets with their scores, best first."""
        for size in range(self._demand.least, self._demand.total + 1):
            selections = list(self._selections(size))
            if len(selections) > SELECTIONS:
                self.bounded = False
                return
            for selected in selections:
                self._push((self._first(selected), _UNKNOWN), selected)
        while self._queue:
            key, _, _, item = heappop(self._queue)
            if isinstance(item, _Whole):
                if len(item.parts) == len(self._policy.respects):
                    yield Score(self._policy.name, tuple(bits(item.devices)), item.parts)
                else:
                    self._score(item)
            elif self._steps > STEPS:
                self.bound = key if self.bound is None else min(self.bound, key)
            else:
                self._complete(item, key[0])

    def _selections(self, size: int) -> Iterator[_Open]:
        """Every choice of talking devices for sets of so many devices, by numbers of devices of each class."""
        demand = self._demand
        spare = self._rest[0]
        talkers = demand.fixed(self._talking)
        needed = talkers - (demand.forced & self._talking).bit_count() if talkers is not None else None
        behind = [0] * (len(self._leading) + 1)
        for place in range(len(self._leading) - 1, -1, -1):
            behind[place] = behind[place + 1] + len(self._leading[place].numbers)
        made = 0
        stack: list[tuple[int, int, int, tuple[tuple[int, int], ...]]] = [(0, 0, size, ())]
        while stack and made <= SELECTIONS:
            place, devices, wanted, counts = stack.pop()
            missing = needed - devices.bit_count() if needed is not None else wanted
            if place == len(self._leading) or not missing:
                if (
                    (needed is None or not missing)
                    and wanted <= spare.bit_count()
                    and demand.open(devices | spare | demand.forced)
                    and all(self._ordered(one, len(self._leading) - 1, devices) for one in self._everywhere)
                ):
                    made += 1
                    yield _Open(devices | demand.forced & self._talking, devices | demand.forced, -1, wanted, counts)
                continue
            for child in self._children(self._leading[place], place, devices, wanted, counts):
                taken = wanted - child[2]
                if needed is not None and not taken <= missing <= taken + behind[place + 1]:
                    continue
                if self._canonical(place, child[1]):
                    stack.append(child)

    def _children(
        self, one: Class, place: int, devices: int, wanted: int, counts: tuple[tuple[int, int], ...]
    ) -> Iterator[tuple[int, int, int, tuple[tuple[int, int], ...]]]:
        for number in range(min(len(one.numbers), wanted) + 1):
            after = (*counts, (one.serves, number)) if number else counts
            if number and not self._demand.room(after):
                return
            yield place + 1, devices | one.first(number), wanted - number, after

    def _canonical(self, decided: int, devices: int) -> bool:
        """Whether, as far as classes are decided, no earlier place is used less than one that it can be exchanged with.

        Args:
            decided: the last class that is decided.
            devices: what is chosen.
        """
        return all(self._ordered(comparison, decided, devices) for comparison in self._comparisons[decided])

    def _ordered(self, comparison: _Comparison, decided: int, devices: int) -> bool:
        for earlier, later, place in comparison:
            if place > decided:
                break
            difference = (devices & earlier).bit_count() - (devices & later).bit_count()
            if difference:
                return difference > 0
        return True

    def _first(self, item: _Open) -> Key:
        """The first part; not known where no device of the selection talks, because then all devices count."""
        if not item.talkers & self._scene.setting.compute:
            return _UNKNOWN
        return optimism(self._policy.respects[0].measure(self._scene, item.talkers))

    def _complete(self, item: _Open, first: Key) -> None:
        if item.place < 0:
            bounded = item._replace(place=0)
            self._push((first, self._pairs_at_best(bounded)), bounded)
            return
        if not item.wanted:
            last = len(self._leading) + len(self._others) - 1
            ordered = all(self._ordered(one, last, item.devices) for one in self._everywhere)
            if ordered and self._demand.plausible(item.devices):
                self._score(_Whole(item.devices, ()))
            return
        if item.place == len(self._others):
            return
        room_after = self._rest[item.place + 1].bit_count()
        for place, devices, wanted, counts in self._children(
            self._others[item.place], item.place, item.devices, item.wanted, item.counts
        ):
            if wanted <= room_after and self._canonical(len(self._leading) + item.place, devices):
                child = _Open(item.talkers, devices, place, wanted, counts)
                self._push((first, self._pairs_at_best(child)), child)

    def _score(self, item: _Whole) -> None:
        """Adds the next part; the numbers of the devices come with the last."""
        respect = self._policy.respects[len(item.parts)]
        parts = (
            *item.parts,
            Part(
                respect.name,
                respect.measure(self._scene, item.devices),
                respect.words(self._scene, item.devices),
            ),
        )
        key = tuple([optimism(part.key) for part in parts])
        if len(parts) == len(self._policy.respects):
            key = (*key, optimism(by_number(tuple(bits(item.devices)))))
        heappush(self._queue, (key, -1, next(self._ticket), _Whole(item.devices, parts)))

    def _push(self, key: tuple[Key, ...], item: _Open) -> None:
        self._steps += item.place >= 0
        # Of equals the one that is further on goes first, so that there are complete sets early.
        heappush(self._queue, (key, -item.place, next(self._ticket), item))

    def _pairs_at_best(self, item: _Open) -> Key:
        """The most pairs that a completion can have, tier by tier; no bound where numbers are open."""
        scene, wanted = self._scene, item.wanted
        compute = item.talkers & scene.setting.compute
        if self._nics is None or not compute:
            return _UNKNOWN
        if not self._nics:
            return (0, 0, 0)
        n, m = compute.bit_count(), self._nics
        outward, room = m > n, -(-max(n, m) // min(n, m))
        have = item.devices & scene.setting.network
        could = have | self._rest[item.place] & scene.setting.network
        more = min(wanted, m - have.bit_count()) * (1 if outward else room)
        at_best = []
        for rank in (SWITCH, ROOT, NUMA):
            reach = min(max(n, m), scene.matched(compute, could, rank, outward=outward, room=room))
            if have and reach:
                reach = min(reach, scene.matched(compute, have, rank, outward=outward, room=room) + more)
            elif reach:
                reach = min(reach, more)
            at_best.append(-reach)
        return tuple(at_best)


_Comparison = list[tuple[int, int, int]]
"""Devices of an earlier and a later place that correspond, and the class after which both are decided; in order."""


def _comparisons(classes: list[Class], cells: list[list[Cell]]) -> list[list[_Comparison]]:
    """By class: the comparisons of places that it takes part in."""
    place_of = {number: place for place, one in enumerate(classes) for number in one.numbers}
    masks = [one.first(len(one.numbers)) for one in classes]
    by_class: list[list[_Comparison]] = [[] for _ in classes]
    for orbit in cells:
        for earlier, later in pairwise(orbit):
            pairs = dict.fromkeys(
                (place_of[a], place_of[b]) for a, b in zip(earlier, later, strict=True) if a in place_of
            )
            comparison = [(masks[a], masks[b], max(a, b)) for a, b in sorted(pairs, key=max)]
            for place in dict.fromkeys(place for pair in pairs for place in pair):
                by_class[place].append(comparison)
    return by_class


def leaves_room(bound: tuple[Key, ...], score: Score) -> bool:
    """Whether a bound (as `optimism`) allows for more than a score."""
    reached = tuple([optimism(part) for part in score.key])
    return bound < reached[: len(bound)]
