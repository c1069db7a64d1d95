"""States that are the same for what follows, so that a dead end is explored once.

Devices are interchangeable when every request and every rule treats them alike; then only how many of them are left
matters, not which. Devices that share ledger fields form a block; blocks of the same build are interchangeable as
wholes, each with the rules that concern no device outside it, and so are equal devices within a block. Where all
constraints compare one attribute, its values are interchangeable in the same way, with all devices that have them. A
key names
what remains and what is taken up to such exchanges: equal keys fail or succeed together, because whether a completion
exists does not depend on the order in which devices are tried.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.allocator.demand import Choice, Demand
from fairlead.allocator.dominance import Dominance
from fairlead.allocator.ledger import Block
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.request import MAX_RESULTS
from fairlead.allocator.slot import Slot, bits

_MOST_CELLS = 128
"""Values of an attribute up to which looking for exchanges of them is worth its cost."""


class Twins:
    """A cell with the number of its build, and its devices in the order in which builds are compared.

    A cell is what belongs together: the devices of a block of ledger fields, or all that have one value of the
    attribute that constraints look at, with the blocks of those.
    """

    __slots__ = ("_pictures", "blocks", "build", "kind_of", "kinds", "low", "mask", "numbers", "rules", "values")

    def __init__(
        self,
        blocks: Sequence[Block],
        build: int,
        numbers: tuple[int, ...],
        signatures: Sequence[object],
        rules: tuple[int, ...],
        values: int,
    ) -> None:
        self.blocks = tuple([(block.shift, (1 << block.width) - 1) for block in blocks])
        self.build = build
        self.numbers = numbers
        self.rules = rules
        """Rules of compatibility groups that concern no device outside the cell."""
        self.values = values
        """The value of the cell's devices, as a bit; 0 where values are not what makes cells."""
        seen: dict[object, int] = {}
        self.kind_of = [seen.setdefault(signature, len(seen)) for signature in signatures]
        """By place in the block, the number of the kind: devices of one kind are interchangeable."""
        self.kinds = [0] * len(seen)
        """By kind, the places."""
        for place, kind in enumerate(self.kind_of):
            self.kinds[kind] |= 1 << place
        self._pictures: dict[tuple[int, ...], tuple[object, ...]] = {}
        self.low = numbers[0]
        contiguous = numbers[-1] - numbers[0] + 1 == len(numbers)
        self.mask = (1 << len(numbers)) - 1 if contiguous else 0

    def local(self, mask: int) -> int:
        """The block's own bits of a mask, in the order of its devices."""
        if self.mask:
            return mask >> self.low & self.mask
        local = 0
        for place, number in enumerate(self.numbers):
            local |= (mask >> number & 1) << place
        return local

    def picture(self, masks: Sequence[int]) -> tuple[object, ...]:
        """Which devices are in which of the masks, up to exchanges of equal ones."""
        if len(self.kinds) == len(self.numbers):
            return tuple([self.local(mask) for mask in masks])
        counts: list[object] = []
        local = tuple([self.local(mask) for mask in masks])
        known = self._pictures.get(local)
        if known is not None:
            return known
        for kind in self.kinds:
            pieces = [(0, kind)]
            for place, mask in enumerate(local):
                inside = [(pattern | 1 << place, piece & mask) for pattern, piece in pieces if piece & mask]
                pieces = inside + [(pattern, piece & ~mask) for pattern, piece in pieces if piece & ~mask]
            counts.append(tuple(sorted([(pattern, piece.bit_count()) for pattern, piece in pieces])))
        known = self._pictures[local] = tuple(counts)
        return known

    def condition(self, state: State, common: Sequence[int]) -> tuple[int, ...]:
        """What is left in the cell's accounts, the states of its own rules, and what the common ones say of its value.

        Args:
            state: what is chosen.
            common: the rules that compare values, where a value is what makes a cell.
        """
        left = [state.left >> shift & width for shift, width in self.blocks]
        if self.rules:
            left += [state.rules[rule] for rule in self.rules]
        if self.values:
            left += [state.rules[rule] & self.values != 0 for rule in common]
        return tuple(left)


class Equivalence:
    """Which devices and blocks are interchangeable in one decision."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        problem = moves.problem
        relevant = 0
        for slot in problem.slots:
            relevant |= moves.masks[slot.number] | slot.error_mask | slot.all_mask
        self.twins: list[Twins] = []
        self.in_blocks = 0
        """Devices that belong to a block."""
        builds: dict[object, int] = {}
        rules_of = self._own_rules(relevant)
        own = {rule for rules in rules_of.values() for rule in rules}
        self._comparing: list[int] = []
        """The rules that compare values, where each cell has a value of its own: only which of them it has been used in
        matters then, not which value it is."""
        cells = self._cells_by_value(relevant)
        if cells:
            self._comparing = list(range(len(problem.rules) - len(problem.group_rules)))
        else:
            cells = [(block.devices, [place], 0) for place, block in enumerate(problem.ledger.blocks)]
        looks = [rule for slot in problem.slots for number, rule in slot.constraints if number not in self._comparing]
        groups = [
            rule for number, rule in enumerate(problem.rules) if number not in own and number not in self._comparing
        ]
        self._common = list(dict.fromkeys(looks + groups))
        self._own = own
        for devices, places, value in cells:
            numbers = tuple(bits(devices & relevant))
            if not numbers:
                continue
            self.in_blocks |= devices
            blocks = [problem.ledger.blocks[place] for place in places]
            rules = tuple([rule for place in places for rule in rules_of.get(place, ())])
            fields = tuple(
                [tuple([(field.width, field.shift - block.shift) for field in block.fields]) for block in blocks]
            )
            home = {
                number: (order, block.shift) for order, block in enumerate(blocks) for number in bits(block.devices)
            }
            signatures = tuple(
                [
                    (order, self._signature(number, shift, rules))
                    for number in numbers
                    for order, shift in (home.get(number, (-1, 0)),)
                ]
            )
            build = builds.setdefault((fields, signatures), len(builds))
            self.twins.append(Twins(blocks, build, numbers, signatures, rules, value))
        classes: dict[object, int] = {}
        for number in bits(relevant & ~self.in_blocks):
            signature = self._signature(number, 0, ())
            classes[signature] = classes.get(signature, 0) | 1 << number
        self.classes = [mask for mask in classes.values() if mask & mask - 1]
        """Sets of interchangeable devices outside blocks."""
        self.unique = sum(mask for mask in classes.values() if not mask & mask - 1)
        """Devices outside blocks that are like no other."""
        self._observing = any(moves.observes(slot) for slot in problem.slots)
        self._class_of = self._slot_classes()
        self.limited = any(
            sum(max(moves.count(slot) for slot in slots) for slots in claim.requests) > MAX_RESULTS
            for claim in problem.claims
        )

    def _cells_by_value(self, relevant: int) -> list[tuple[int, list[int], int]]:
        """Devices, places of blocks and value of each cell; empty where values do not make cells.

        They do where all constraints compare one attribute, of which a device has one value at most, and no block
        spans values: then an exchange of values changes nothing that matters.
        """
        problem = self._moves.problem
        rules = problem.rules[: len(problem.rules) - len(problem.group_rules)]
        if (
            not rules
            or len({id(rule.index) for rule in rules}) > 1
            or rules[0].index.multiple
            or len(rules[0].index.masks) > _MOST_CELLS
            or any(rule is not problem.rules[number] for slot in problem.slots for number, rule in slot.constraints)
        ):
            return []
        cells: list[tuple[int, list[int], int]] = []
        placed: set[int] = set()
        for value, mask in enumerate(rules[0].index.masks):
            touched = [place for place, block in enumerate(problem.ledger.blocks) if block.devices & mask & relevant]
            if any(problem.ledger.blocks[place].devices & relevant & ~mask for place in touched):
                return []
            placed.update(touched)
            cells.append((mask, touched, 1 << value))
        cells += [
            (block.devices, [place], 0) for place, block in enumerate(problem.ledger.blocks) if place not in placed
        ]
        return cells

    def _own_rules(self, relevant: int) -> dict[int, list[int]]:
        """By block, the rules of compatibility groups that concern no device outside it."""
        problem = self._moves.problem
        if not problem.group_rules:
            return {}
        block_of = {
            number: place for place, block in enumerate(problem.ledger.blocks) for number in bits(block.devices)
        }
        rules_of: dict[int, list[int]] = {}
        first = len(problem.rules) - len(problem.group_rules)
        for number, rule in enumerate(problem.group_rules, first):
            places = {block_of.get(device, -1) for device in bits(rule.affected & relevant)}
            if len(places) == 1 and -1 not in places:
                rules_of.setdefault(places.pop(), []).append(number)
        return rules_of

    def _signature(self, number: int, shift: int, own_rules: tuple[int, ...]) -> tuple[object, ...]:
        moves = self._moves
        problem = moves.problem
        return (
            moves.free >> number & 1,
            moves.payable >> number & 1,
            moves.shared >> number & 1,
            tuple(
                (
                    moves.masks[slot.number] >> number & 1,
                    slot.error_mask >> number & 1,
                    slot.all_mask >> number & 1,
                    # Where an error may be raised it matters which device comes first, so none equals another.
                    moves.fatal[slot.number]
                    and ((slot.error_mask | slot.all_mask) >> number & 1 or number in slot.late)
                    and number,
                    slot.first_need.get(number, 0) >> shift,
                    slot.more_need.get(number, 0) >> shift,
                )
                for slot in problem.slots
            ),
            tuple((rule.index.present >> number & 1, rule.index.values_of[number]) for rule in self._common),
            tuple(problem.rules[rule].index.values_of[number] for rule in own_rules),
        )

    def _slot_classes(self) -> list[int]:
        """By slot, a number that is the same for slots that treat all devices alike and are under the same rules.

        Where it matters in which order requests come, every slot is a class of its own.
        """
        moves = self._moves
        slots = moves.problem.slots
        if self._observing or any(moves.fatal):
            return list(range(len(slots)))
        classes: dict[object, int] = {}
        return [
            classes.setdefault(
                (
                    slot.tariff,
                    moves.masks[slot.number],
                    slot.unit.all_devices,
                    slot.unit.admin_access,
                    slot.constraints,
                    slot.groups,
                ),
                len(classes),
            )
            for slot in slots
        ]

    def key(self, demands: Sequence[Demand], state: State, restricted: int) -> object:
        """What of the state matters for the demands, up to exchanges of equal devices and blocks.

        Args:
            demands: everything that remains.
            state: what is chosen.
            restricted: the positions, as a mask, of demands whose candidates do not follow from the state alone.
        """
        free = ~state.taken
        parts: list[object] = []
        narrowed: list[int] = []
        rules: dict[int, int] = {}
        class_of = self._class_of
        ordered = sorted(
            [
                (
                    [(class_of[choice.slot.number], choice.count) for choice in demand.choices],
                    demand.claim if self.limited else 0,
                    demand.position,
                    demand,
                )
                for demand in demands
            ]
        )
        for alike, claim, position, demand in ordered:
            special = restricted >> position & 1
            parts.append((special, claim, *alike))
            for choice in demand.choices:
                if special:
                    narrowed.append(choice.candidates)
                    parts.extend(self._counts(choice.candidates))
                if choice.slot.error_mask:
                    parts.extend(self._counts(choice.slot.error_mask & free))
                for rule in choice.slot.rules:
                    if rule not in self._own:
                        rules[rule] = state.rules[rule]
        for rule in self._comparing:
            if rule in rules:
                made = self._moves.problem.rules[rule]
                rules[rule] = -1 if rules[rule] == made.initial else rules[rule] >> len(made.index.values)
        parts.extend(self._counts(state.taken))
        if self._observing:
            parts.extend(self._counts(state.claim_taken))
        masks = [state.taken, state.started, state.claim_taken if self._observing else 0, *narrowed]
        blocks = sorted(
            [(twins.build, twins.condition(state, self._comparing), twins.picture(masks)) for twins in self.twins]
        )
        return (tuple(parts), tuple(blocks), tuple(rules.items()), state.used if self.limited else 0)

    def _counts(self, devices: int) -> list[int]:
        """The devices outside blocks up to exchanges."""
        counts = [(mask & devices).bit_count() for mask in self.classes]
        counts.append(self.unique & devices)
        return counts

    def representatives(self, choice: Choice, state: State, others: Sequence[int]) -> list[tuple[int, int]]:
        """One candidate of each kind, with all candidates of that kind.

        Args:
            choice: what is to be chosen.
            state: what is chosen.
            others: candidates of other demands, where those do not follow from the state alone.

        Returns:
            Pairs of device number and mask; trying one device of a kind decides for all of them.
        """
        found: list[tuple[int, int]] = []
        for mask in self.classes:
            pieces = [mask & choice.candidates]
            for other in others:
                pieces = [part for piece in pieces for part in (piece & other, piece & ~other) if part]
            found.extend([((alike & -alike).bit_length() - 1, alike) for alike in pieces if alike])
        found.extend((number, 1 << number) for number in bits(self.unique & choice.candidates))
        kinds: dict[object, int] = {}
        for twins in self.twins:
            local = twins.local(choice.candidates)
            if not local:
                continue
            picture = twins.picture([state.taken, state.started, choice.candidates, *others])
            condition = (twins.build, twins.condition(state, self._comparing), picture)
            for place in bits(local):
                number = twins.numbers[place]
                seen = tuple([other >> number & 1 for other in others])
                kind = (condition, twins.kind_of[place], state.started >> number & 1, seen)
                kinds[kind] = kinds.get(kind, 0) | 1 << number
        found.extend(((alike & -alike).bit_length() - 1, alike) for alike in kinds.values())
        return found


def merged(demands: Sequence[Demand], shared: int, dominance: Dominance) -> list[Demand]:
    """The demands with equal ones joined: n requests for one device each are one for n devices.

    Only demands whose candidates all serve one request at a time, cost nothing and are under the same rules are equal
    in this sense.
    """
    kept: dict[object, Demand] = {}
    for demand in demands:
        choices = dominance.needed(demand.choices)
        choice = choices[0]
        key: object = demand.position
        if len(choices) == 1 and joinable(choice.slot) and not choice.candidates & shared:
            key = ("joined", demand.claim, choice.slot.constraints, choice.slot.groups, choice.candidates)
        known = kept.get(key)
        if known is None:
            copies = [Choice(c.slot, c.candidates, c.count) for c in choices]
            kept[key] = Demand(demand.position, demand.claim, copies)
        else:
            known.choices[0].count += choice.count
    return list(kept.values())


def joinable(slot: Slot) -> bool:
    """Whether the slot's devices differ in nothing but who gets them."""
    return not slot.first_need and not slot.unit.all_devices and not slot.unit.admin_access
