"""The claims of one pod on one kind of node, ready to be searched.

A problem joins shapes with a view: the slots of every request (`slot`), the rules, and what each device needs from
counters and capacities. It depends on shapes, features and the content of slices alone, so it is made once for all
nodes with the same hardware and all claims of one shape; what is taken comes in as `Occupancy` with each decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.allocator.ledger import FieldKey, Ledger
from fairlead.allocator.request import CLAIM, MAX_RESULTS, ClaimShape
from fairlead.allocator.rules import Across, AcrossRule, GroupRule, Index, Rule, group_rules, windows
from fairlead.allocator.slot import DEVICE, Fault, RefusedError, Slot, agree, bits, slot_like
from fairlead.cel import Derived, EvaluationError
from fairlead.inventory import NodeView
from fairlead.resource import DeviceAttribute


@dataclass(slots=True, eq=False)
class ClaimProblem:
    """One claim: its requests, each a list of slots, and its rules."""

    shape: ClaimShape
    requests: tuple[tuple[Slot, ...], ...]
    rules: tuple[Rule, ...]


class Problem:
    """The claims of a pod on a node."""

    __slots__ = (
        "across",
        "alternatives",
        "capacities",
        "claims",
        "counting",
        "fault",
        "group_rules",
        "ledger",
        "plain",
        "positions",
        "rules",
        "shared",
        "size",
        "slots",
        "uniform",
    )

    def __init__(self, view: NodeView, shapes: Sequence[ClaimShape], across: Sequence[Across] = ()) -> None:
        """Prepares the search for claims of these shapes on the node, under conditions that join them."""
        self.across = tuple(across)
        """The conditions that join claims."""
        self.shared = view.shared
        """Devices that can be given several times."""
        self.counting = view.counting
        """Devices that consume counters."""
        self.size = view.size
        self.fault: Fault | None = None
        """Why the claims can not be allocated here at all, found before any search."""
        self.claims: tuple[ClaimProblem, ...] = ()
        self.ledger = Ledger((), {})
        self.slots: list[Slot] = []
        """All slots, by their number."""
        self.positions: list[tuple[int, int]] = []
        """Claim and request of every request, in order; a position is an index into this."""
        self.alternatives: list[tuple[Slot, ...]] = []
        """The slots of the request at each position."""
        self.rules: tuple[Rule, ...] = ()
        """The rules of all claims, then those that belong to no claim."""
        self.group_rules: tuple[GroupRule | AcrossRule, ...] = ()
        """The rules of compatibility groups, then those that join claims."""
        self.uniform = False
        """Whether the first branch of plain requests fails only where every branch does."""
        self.plain: tuple[tuple[int, int, int, Slot], ...] | None = None
        """Claim, request, count and slot of each request, where there are no alternatives, constraints or errors."""
        self.capacities: dict[FieldKey, int] = {}
        """All there is, in 10^-9, of every capacity that candidates share."""
        claims = []
        known: dict[object, Slot] = {}
        for number, shape in enumerate(shapes):
            try:
                claims.append(_claim(view, shape, number, known))
            except RefusedError as error:
                self.fault = Fault(number, str(error), error.device)
                return
        self.claims = tuple(claims)
        self._number()
        self._lay_out_ledger(view)
        self._add_group_rules(view)
        self._add_across([AcrossRule(one) for one in across])
        self._find_plain()

    def _number(self) -> None:
        rules: list[Rule] = []
        for number, claim in enumerate(self.claims):
            offset = len(rules)
            rules.extend(claim.rules)
            for request, slots in enumerate(claim.requests):
                self.positions.append((number, request))
                self.alternatives.append(slots)
                for slot in slots:
                    slot.number = len(self.slots)
                    slot.claim = number
                    slot.rules = tuple(offset + constraint for constraint in slot.unit.constraints)
                    slot.constraints = tuple(
                        (offset + constraint, slot.looks.get(constraint, claim.rules[constraint]))
                        for constraint in slot.unit.constraints
                    )
                    slot.opening = not request
                    slot.agreeing = slot.opening and slot.unit.all_devices and agree(slot, slot.all_numbers)
                    self.slots.append(slot)
        self.rules = tuple(rules)

    def _add_group_rules(self, view: NodeView) -> None:
        candidates = 0
        for slot in self.slots:
            if not slot.unit.admin_access:
                candidates |= slot.mask
        if not candidates & view.counting:
            return
        self.group_rules = tuple([rule for rule in group_rules(view) if rule.affected & candidates])
        for number, rule in enumerate(self.group_rules, len(self.rules)):
            for slot in self.slots:
                if slot.mask & rule.affected and not slot.unit.admin_access:
                    slot.rules += (number,)
                    slot.groups += ((number, rule),)
        self.rules += self.group_rules

    def _add_across(self, rules: Sequence[AcrossRule]) -> None:
        for number, rule in enumerate(rules, len(self.rules)):
            for position, place in enumerate(self.positions):
                for slot in self.alternatives[position]:
                    if place in rule.members and not slot.unit.admin_access:
                        slot.rules += (number,)
                        slot.groups += ((number, rule),)
        self.group_rules += tuple(rules)
        self.rules += tuple(rules)

    def _lay_out_ledger(self, view: NodeView) -> None:
        """Collects the needs of all candidates; devices that can never be paid for leave the masks."""
        counter_totals: dict[FieldKey, int] = {
            ("counter", number, counter_set.name, name): counter.value.nano
            for number, pool in enumerate(view.pools)
            for counter_set in pool.counter_sets.values()
            for name, counter in counter_set.counters.items()
        }
        totals = dict(counter_totals)
        needs: list[tuple[Slot, int, dict[FieldKey, int], dict[FieldKey, int]]] = []
        for slot in self.slots:
            # A shared device belongs to "all" or not by its room, even where a taint then keeps it away.
            for number in bits((slot.mask | slot.all_mask & view.shared) & (view.counting | view.shared)):
                pays = slot.mask >> number & 1 and not slot.unit.admin_access
                counters = _counter_need(view, number) if pays else {}
                capacities: dict[FieldKey, int] = {}
                if 1 << number & view.shared:
                    for name, amount in slot.taken[number].items():
                        key: FieldKey = ("capacity", number, "", name)
                        totals[key] = view.device(number).capacity[name].value.nano
                        self.capacities[key] = totals[key]
                        if amount.nano:
                            capacities[key] = amount.nano
                if any(amount > totals[key] for key, amount in counters.items()):
                    # Only a share of a device that is shared already could do without its counters.
                    if not (1 << number & view.shared):
                        slot.mask &= ~(1 << number)
                        slot.unaffordable |= 1 << number
                        continue
                    totals.update({key: max(amount, totals[key]) for key, amount in counters.items()})
                if counters or capacities:
                    needs.append((slot, number, counters, capacities))
        self.ledger = Ledger(
            [(number, {**counters, **capacities}) for _, number, counters, capacities in needs], totals
        )
        for slot, number, counters, capacities in needs:
            slot.first_need[number] = self.ledger.pack_need({**counters, **capacities})
            if 1 << number & view.shared:
                slot.more_need[number] = self.ledger.pack_need(capacities)
        tariffs: dict[object, int] = {}
        for slot in self.slots:
            for number in slot.first_need:
                slot.paying |= 1 << number
            needs_of_all = (tuple(slot.first_need.items()), tuple(slot.more_need.items()))
            slot.tariff = tariffs.setdefault(needs_of_all, len(tariffs))

    def _find_plain(self) -> None:
        plain: list[tuple[int, int, int, Slot]] = []
        for number, claim in enumerate(self.claims):
            count = 0
            for request, slots in enumerate(claim.requests):
                slot = slots[0]
                unit = slot.unit
                if len(slots) > 1 or unit.all_devices or unit.admin_access or slot.rules or slot.error_mask:
                    return
                count += unit.count
                plain.append((number, request, unit.count, slot))
            if count > MAX_RESULTS:
                return
        self.plain = tuple(plain)
        first = plain[0][3] if plain else None
        # Equal requests whose devices do not compete with each other: what one takes is lost to one other, whichever
        # it is, so the first branch places as many as any.
        self.uniform = first is not None and all(
            slot.mask == first.mask
            and slot.tariff == first.tariff
            and not slot.mask & self.counting
            and (count == 1 or not slot.mask & self.shared)
            for _, _, count, slot in plain
        )


def _counter_need(view: NodeView, number: int) -> dict[FieldKey, int]:
    pool = view.pool_number(number)
    need: dict[FieldKey, int] = {}
    for consumed in view.device(number).consumes_counters:
        for name, counter in consumed.counters.items():
            key: FieldKey = ("counter", pool, consumed.counter_set, name)
            if counter.value.nano > 0:
                need[key] = need.get(key, 0) + counter.value.nano
    return need


def _claim(view: NodeView, shape: ClaimShape, claim: int, known: dict[object, Slot]) -> ClaimProblem:
    requests = []
    least = 0
    for request in shape.requests:
        slots = tuple(slot_like(view, unit, known) for unit in request.units)
        least += min(slot.count - (slot.all_mask & view.shared).bit_count() for slot in slots)
        requests.append(slots)
    if least > MAX_RESULTS:
        raise RefusedError(over_limit(least))
    rules = [
        Rule(constraint.attribute, constraint.distinct, view.attribute(constraint.attribute))
        for constraint in shape.constraints
    ]
    if any(slot.unit.derived for slots in requests for slot in slots):
        _compute(view, shape, claim, [slot for slots in requests for slot in slots], rules)
    return ClaimProblem(shape, tuple(requests), tuple(rules))


def _compute(view: NodeView, shape: ClaimShape, claim: int, slots: Sequence[Slot], rules: list[Rule]) -> None:
    """Lets constraints look at derived attributes in place of the devices' own, for the requests that have them.

    What is computed depends on the request, so each such request looks through a window of its own, and the rule that
    proofs work with has all values that any request can see. A device on which the computation fails is let through by
    that constraint and those after it: it ends the search when it is reached.
    """
    late: list[dict[int, str]] = [{} for _ in slots]
    for number, constraint in enumerate(shape.constraints):
        concerned = [place for place, slot in enumerate(slots) if number in slot.unit.constraints]
        columns: list[list[DeviceAttribute | None]] = []
        window_of: dict[int, int] = {}
        own = 0
        masks: list[int] = []
        for place in concerned:
            derived = slots[place].unit.derived.get(constraint.attribute)
            if derived is None:
                own |= slots[place].mask | slots[place].all_mask
                continue
            columns.append(_column(view, slots[place], constraint.attribute, derived, late[place]))
            window_of[place] = len(columns)
            masks.append(slots[place].mask)
        tables: Sequence[Index] = (rules[number].index,)
        name = constraint.attribute
        if columns:
            tables, everything = windows(view, constraint.attribute, columns, [own, *masks])
            # Not the name alone, because the values are not those that others know by it.
            name = f"{constraint.attribute} (derived, constraint #{number}{f' of claim #{claim + 1}' if claim else ''})"
            rules[number] = Rule(name, constraint.distinct, everything)
        for place in concerned:
            if columns or late[place]:
                failing = 0
                for device in late[place]:
                    failing |= 1 << device
                table = tables[window_of.get(place, 0)]
                slots[place].looks[number] = Rule(name, constraint.distinct, table, failing)
    for slot, errors in zip(slots, late, strict=True):
        slot.late = errors


def _column(
    view: NodeView, slot: Slot, name: str, derived: Derived | str, late: dict[int, str]
) -> list[DeviceAttribute | None]:
    """A derived attribute by device, for the candidates of the slot; errors are added to `late`."""
    column: list[DeviceAttribute | None] = [None] * view.size
    for record, start, _ in view.parts:
        for number in bits(slot.mask >> start & record.full):
            if number + start in late:
                continue
            if isinstance(derived, str):
                late[number + start] = derived
                continue
            value = record.derived(derived, number)
            if isinstance(value, EvaluationError):
                late[number + start] = f"evaluate derived attribute {name} on device {DEVICE} failed: {value}"
            else:
                column[number + start] = value
    return column


def over_limit(count: int) -> str:
    """What is said of a claim that takes more devices than a result can hold."""
    return f"claim {CLAIM}: number of requested devices {count} exceeds the claim limit of {MAX_RESULTS}"
