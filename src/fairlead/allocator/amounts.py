"""Proofs that counters and capacities are not enough for what remains.

Every proof charges each demand the least that it could cost and asks for no more than all completions need:

* force: what the demands take that have no choice is not there for the others;
* room: by block, no more devices fit than the cheapest of them would; for all demands, for each by itself, and for
  those of at least a certain size;
* totals: summed over all accounts of one name, and over all counters of a pool, since a partition that needs little
  of each still needs something of some;
* filling: an account can only be filled to an amount that some of the remaining needs add up to;
* packing: shares of few kinds have only so many ways to go into shared devices (`packing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

from fairlead.allocator.demand import Choice, Demand, Shortfall
from fairlead.allocator.ledger import Block
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.packing import Packing
from fairlead.allocator.slot import Slot, bits

_FINEST = 4096
"""Into how many units the largest account is divided to see how far accounts can be filled."""


Amount = tuple[int, ...]
"""One number for each account of the ledger, or for each field of a block and for all of them."""


class Amounts:
    """The proofs for one decision."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._ledger = moves.problem.ledger
        self._packing = Packing(moves)
        self._costs: dict[tuple[int, int], Amount] = {}
        self._ranges: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._sizes: dict[int, int] = {}
        self._rooms: dict[object, int] = {}
        self._needs: dict[tuple[int, int], Amount] = {}
        self._leasts: dict[tuple[int, int], Amount] = {}
        self._sums: dict[tuple[int, int, int], Amount] = {}
        self._left: tuple[int, Amount] = (0, ())

    def shortfall(self, demands: list[Demand], state: State) -> Shortfall | None:
        """The proof that the demands need more than there is, or None where none is found."""
        paying = _paying(demands)
        if not paying:
            return None
        shortfall = self._forced(demands, state)
        if shortfall is not None:
            return shortfall
        for group in self._groups(self._exclusive(paying)):
            shortfall = self._room(group, state)
            if shortfall is not None:
                return shortfall
        return self._totals(paying, state) or self._filling(paying, state)

    def size(self, slot: Slot) -> int:
        """The most that a device for the slot costs, as one number; units of different accounts are simply added."""
        size = self._sizes.get(slot.tariff)
        if size is None:
            fields = self._ledger.fields.values()
            size = self._sizes[slot.tariff] = max(
                (sum(field.amount(need) * field.unit for field in fields) for need in slot.first_need.values()),
                default=0,
            )
        return size

    def spare(self, number: int, state: State) -> int:
        """What is left in the accounts that a device draws on, as one number."""
        block = self._ledger.block_of.get(number)
        return sum(field.amount(state.left) * field.unit for field in block.fields) if block else 0

    def _forced(self, demands: list[Demand], state: State) -> Shortfall | None:
        """What demands take that have no choice is not there for the others; leaves only devices that are paid for."""
        left = state.left
        guards = self._ledger.guards
        forced = [
            demand
            for demand in demands
            if len(demand.choices) == 1
            and demand.choices[0].slot.first_need
            and demand.choices[0].candidates.bit_count() == demand.choices[0].count
        ]
        if not forced or len(demands) == 1:
            return None
        started = state.started
        for demand in forced:
            choice = demand.choices[0]
            for number in bits(choice.candidates & choice.slot.paying):
                left -= self._cheapest(choice.slot, number)
                if left & guards != guards:
                    return _short(forced)
            started |= choice.candidates & self._moves.shared
        after = state._replace(left=left, started=started)
        for demand in demands:
            if demand not in forced:
                least = demand.least()
                for choice in demand.choices:
                    choice.candidates = self._moves.affordable(choice.slot, choice.candidates, after)
                if not demand.narrow():
                    wanted = least + sum([other.least() for other in forced])
                    requests = (*[other.position for other in forced], demand.position)
                    return Shortfall("amount", requests, wanted, wanted - 1)
        return None

    def _exclusive(self, paying: list[Demand]) -> list[Demand]:
        """Those that take devices from each other: what observers get others may have too, unless it is a share."""
        shared = self._moves.shared
        return [demand for demand in paying if not demand.observes(shared)]

    def _groups(self, paying: list[Demand]) -> Iterator[list[Demand]]:
        if paying:
            yield paying
        if len(paying) < 2:
            return
        shared = self._moves.shared
        for demand in paying:
            # Of a shared device a request takes one share, so counting candidates says as much already.
            if demand.least() > 1 and demand.candidates() & ~shared:
                yield [demand]
        sizes = {demand.position: min(self.size(c.slot) for c in demand.choices) for demand in paying}
        for size in sorted(set(sizes.values()))[1:]:
            yield [demand for demand in paying if sizes[demand.position] >= size]

    def places(self, demands: list[Demand], within: int, state: State) -> int:
        """How many of these devices, at most, the demands together can be given."""
        everything = 0
        for demand in demands:
            everything |= demand.candidates()
        everything &= within
        paying = everything & self._ledger.in_blocks
        room = (everything & ~paying).bit_count()
        if paying:
            entries: list[tuple[Slot, int, tuple[int, ...]]] = [
                (demand.choices[0].slot, demand.choices[0].candidates, (demand.choices[0].count,))
                for demand in demands
                if len(demand.choices) == 1
            ]
            several = [demand for demand in demands if len(demand.choices) > 1]
            for block in self._ledger.blocks:
                if here := paying & block.devices:
                    room += self._room_of(entries, several, here, block, state)
        return room

    def _room(self, group: list[Demand], state: State) -> Shortfall | None:
        wanted = sum([demand.least() for demand in group])
        everything = 0
        # What a block can serve depends on tariffs and candidates alone, so equal demands are looked at together.
        kinds: dict[tuple[int, int], tuple[Slot, list[int]]] = {}
        several: list[Demand] = []
        for demand in group:
            everything |= demand.candidates()
            if len(demand.choices) > 1:
                several.append(demand)
                continue
            choice = demand.choices[0]
            kinds.setdefault((choice.slot.tariff, choice.candidates), (choice.slot, []))[1].append(choice.count)
        if everything & ~self._ledger.in_blocks:
            return None
        entries = [(slot, mask, tuple(counts)) for (_, mask), (slot, counts) in kinds.items()]
        room = 0
        for block in self._ledger.blocks:
            here = everything & block.devices
            if here:
                room += self._room_of(entries, several, here, block, state)
                if room >= wanted:
                    return None
        return Shortfall("amount", tuple(demand.position for demand in group), wanted, room)

    def _room_of(
        self,
        entries: list[tuple[Slot, int, tuple[int, ...]]],
        several: list[Demand],
        here: int,
        block: Block,
        state: State,
    ) -> int:
        """How many picks, at most, the devices `here` of one block can serve."""
        left = state.left >> block.shift & (1 << block.width) - 1
        local = [(slot, mask & here, counts) for slot, mask, counts in entries if mask & here]
        key = (
            block.shift,
            left,
            tuple([(slot.tariff, mask, counts) for slot, mask, counts in local]),
            tuple([tuple([(c.slot.tariff, c.candidates & here, c.count) for c in d.choices]) for d in several]),
        )
        known = self._rooms.get(key)
        if known is not None:
            return known
        shared = self._moves.shared
        picks = 0
        leasts: list[Amount] = []
        for slot, mask, counts in local:
            devices = mask.bit_count()
            picks += sum([min(count, devices) for count in counts]) if mask & shared else min(sum(counts), devices)
            leasts.append(self._least_of_each(slot, mask, block))
        for demand in several:
            picks += max([min(choice.count, (choice.candidates & here).bit_count()) for choice in demand.choices])
            leasts += [
                self._least_of_each(choice.slot, candidates, block)
                for choice in demand.choices
                if (candidates := choice.candidates & here)
            ]
        for least, there in zip(map(min, zip(*leasts, strict=True)), _by_field(block, state.left), strict=True):
            if least:
                picks = min(picks, there // least)
        self._rooms[key] = picks
        return picks

    def _least_of_each(self, slot: Slot, mask: int, block: Block) -> Amount:
        """By field of the block, and for all of them, the least that one of these devices of the block takes."""
        key = (slot.tariff, mask)
        known = self._leasts.get(key)
        if known is None:
            needs: list[Amount] = []
            for number in bits(mask):
                need = self._needs.get((slot.tariff, number))
                if need is None:
                    need = _by_field(block, self._cheapest(slot, number))
                    self._needs[slot.tariff, number] = need
                needs.append(need)
            known = self._leasts[key] = tuple(map(min, zip(*needs, strict=True)))
        return known

    def _cheapest(self, slot: Slot, number: int) -> int:
        """The least that the device can cost: a shared one may have been started by then."""
        needs = slot.more_need if self._moves.shared >> number & 1 else slot.first_need
        return needs.get(number, 0)

    def _totals(self, demands: list[Demand], state: State) -> Shortfall | None:
        # Demands for the same devices cannot all have the cheapest: n of them cost what the n cheapest cost.
        together: dict[tuple[int, int], tuple[Choice, int]] = {}
        others: list[Demand] = []
        for demand in demands:
            choice = demand.choices[0]
            if len(demand.choices) > 1:
                others.append(demand)
                continue
            key = (choice.slot.tariff, choice.candidates)
            together[key] = (choice, together.get(key, (choice, 0))[1] + choice.count)
        costs = [self._sum_of_cheapest(choice, count) for choice, count in together.values()]
        for demand in others:
            choices = [self._sum_of_cheapest(choice, choice.count) for choice in demand.choices]
            costs.append(tuple(map(min, zip(*choices, strict=True))))
        for name, wanted, left in zip(
            self._ledger.accounts, map(sum, zip(*costs, strict=True)), self._left_of_each(state), strict=True
        ):
            if wanted > left:
                return Shortfall(
                    "amount", tuple(d.position for d in demands), wanted, left, account=name[2] or "counters"
                )
        return None

    def _left_of_each(self, state: State) -> Amount:
        """What is left, by account."""
        packed, known = self._left
        if packed != state.left:
            known = self._of_each(state.left)
            self._left = (state.left, known)
        return known

    def _of_each(self, packed: int) -> Amount:
        """What there is in a packed int, by account."""
        return tuple(
            [
                sum([account.amount(packed) * weight for account, weight in accounts])
                for accounts in self._ledger.accounts.values()
            ]
        )

    def _sum_of_cheapest(self, choice: Choice, count: int) -> Amount:
        """The least that so many devices of the choice cost; a shared one can be among them again and again."""
        key = (choice.slot.tariff, choice.candidates, count)
        known = self._sums.get(key)
        if known is None:
            costs = zip(*[self._cost(choice.slot, number) for number in bits(choice.candidates)], strict=True)
            if choice.candidates & self._moves.shared:
                known = tuple([min(each) * count for each in costs])
            else:
                known = tuple([sum(sorted(each)[:count]) for each in costs])
            self._sums[key] = known
        return known

    def _filling(self, demands: list[Demand], state: State) -> Shortfall | None:
        for place, (name, accounts) in enumerate(self._ledger.accounts.items()):
            if name[0] != "capacity" or len(accounts) < 2:
                continue
            sizes: list[int] = []
            wanted = 0
            for demand in demands:
                ranges = [self._range(choice)[place] for choice in demand.choices]
                if any(least != most for least, most in ranges):
                    break
                # Of alternatives any may be the one that fills an account, and the cheapest the one that is wanted.
                sizes += [least for least, _ in ranges if least]
                wanted += min([choice.count * least for choice, (least, _) in zip(demand.choices, ranges, strict=True)])
            else:
                lefts = [account.amount(state.left) * weight for account, weight in accounts]
                room = _fillable(sizes, lefts)
                if wanted > room:
                    concerned = tuple(demand.position for demand in demands)
                    return Shortfall("amount", concerned, wanted, room, account=name[2] or "counters")
        return None

    def packed(self, demands: list[Demand], state: State) -> Shortfall | None:
        """The proof that the demands cannot be packed, which is the most costly one."""
        paying = _paying(demands)
        requests = self._packing.impossible(self._exclusive(paying), state)
        if not requests:
            return None
        return _short([demand for demand in demands if demand.position in requests])

    def _range(self, choice: Choice) -> list[tuple[int, int]]:
        """The least and the most that a candidate costs of each account."""
        key = (choice.slot.tariff, choice.candidates)
        known = self._ranges.get(key)
        if known is None:
            costs = [self._cost(choice.slot, number) for number in bits(choice.candidates)]
            known = self._ranges[key] = [(min(each), max(each)) for each in zip(*costs, strict=True)]
        return known

    def _cost(self, slot: Slot, number: int) -> Amount:
        key = (slot.tariff, number)
        known = self._costs.get(key)
        if known is None:
            known = self._costs[key] = self._of_each(self._cheapest(slot, number))
        return known


def _by_field(block: Block, packed: int) -> Amount:
    """What there is in a packed int, by field of the block, and in all its fields together."""
    amounts = [field.amount(packed) for field in block.fields]
    return (*amounts, sum(amounts))


def _short(demands: list[Demand]) -> Shortfall:
    """That what these demands want is too much, by one device at least."""
    wanted = sum([demand.least() for demand in demands])
    return Shortfall("amount", tuple([demand.position for demand in demands]), wanted, wanted - 1)


def _paying(demands: list[Demand]) -> list[Demand]:
    """The demands that need something of the ledger in any case."""
    return [demand for demand in demands if all(choice.slot.first_need for choice in demand.choices)]


def _fillable(sizes: list[int], lefts: list[int]) -> int:
    """How much of all accounts together can be used, at most, by needs of these sizes."""
    unit = gcd(*sizes)
    if not unit:
        return sum(lefts)
    coarse = -(-max(lefts) // _FINEST)
    # Sizes that do not fall on whole units are cut down, so what they add up to may be short by a unit each.
    cut = len(sizes) if coarse > unit else 0
    unit = max(unit, coarse)
    limit = (2 << max(lefts) // unit) - 1
    reachable = 1
    for size in sizes:
        reachable |= reachable << size // unit & limit
    return sum(min(left, ((reachable & (2 << left // unit) - 1).bit_length() - 1 + cut) * unit) for left in lefts)
