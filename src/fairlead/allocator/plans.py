"""What demands that belong together can choose: demands under one matching rule choose one value for all.

Proofs that weigh everything at once (`prices`, `packing`) look at demands in this form. A demand under several rules
counts for one of them only, and rules that keep apart are left out, so every completion follows some plan of each unit,
but not every choice of plans is a completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fairlead.allocator.demand import Demand
from fairlead.allocator.moves import State
from fairlead.allocator.rules import Rule

_MOST_PLANNED = 512
"""Values times demands up to which a rule is looked at; larger ones are left out of the proof."""

Option = tuple[int, int, int]
"""One way to meet a demand: tariff, candidates, count."""

Plan = list[list[Option]]
"""The options of each demand that belongs together, under one value."""


class Unit(NamedTuple):
    """Demands that belong together, and the plans among which a completion chooses one."""

    demands: list[Demand]
    plans: list[Plan]


def units_of(rules: Sequence[Rule], demands: Sequence[Demand], state: State) -> list[Unit]:
    """Joins the demands under one rule; each of the others is a unit by itself."""
    made: list[Unit] = []
    grouped = 0
    ruled = sorted({number for demand in demands for choice in demand.choices for number, _ in choice.slot.constraints})
    for number in ruled:
        rule = rules[number]
        ours = [d for d in demands if not grouped >> d.position & 1 and any(number in c.slot.rules for c in d.choices)]
        if rule.distinct or len(ours) < 2 or len(rule.index.masks) * len(ours) > _MOST_PLANNED:
            continue
        for demand in ours:
            grouped |= 1 << demand.position
        plans = [plan for mask in _values(rule, state.rules[number]) if (plan := _plan(ours, number, mask)) is not None]
        made.append(Unit(ours, plans))
    made += [
        Unit([demand], [[[(choice.slot.tariff, choice.candidates, choice.count) for choice in demand.choices]]])
        for demand in demands
        if not grouped >> demand.position & 1
    ]
    return made


def _values(rule: Rule, state: int) -> list[int]:
    """The devices of each value that all devices of a rule can still have in common; none, where it gets no device."""
    masks = rule.index.masks
    if state >= 0:
        return [0, *[mask for value, mask in enumerate(masks) if state >> value & 1]]
    # A value of no known type is good for one device.
    return [0, rule.index.valueless, *masks]


def _plan(demands: Sequence[Demand], rule: int, mask: int) -> Plan | None:
    """What demands can choose under one value of a rule, given by its devices; None where one of them finds nothing."""
    plan: Plan = []
    for demand in demands:
        options = [
            (choice.slot.tariff, candidates, choice.count)
            for choice in demand.choices
            for candidates in [choice.candidates & mask if rule in choice.slot.rules else choice.candidates]
            if candidates.bit_count() >= choice.count
        ]
        if not options:
            return None
        plan.append(options)
    return plan
