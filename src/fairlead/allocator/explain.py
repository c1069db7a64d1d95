"""The reasons for a no, taken from the masks and bounds that the search itself uses.

First every request by itself: its devices are sorted under the first rule that excludes them, and where too few are
left, the rule under which the number fell short is the reason. Where every request has enough devices by itself, the
bound that proved them impossible together is the reason; where only the exhausted search proved it, that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fairlead.allocator.bounds import Bounds
from fairlead.allocator.demand import Shortfall, remaining
from fairlead.allocator.moves import Moves, standing
from fairlead.allocator.problem import Problem, Slot, bits
from fairlead.allocator.reasons import Excluded, Kind, Reason
from fairlead.inventory import NodeView


def refusal(error: str, claims: Sequence[str]) -> Reason:
    """The reason where an error ended the allocation."""
    return Reason("error", ", ".join(claims), (), 0, 0, error)


def explain(problem: Problem, view: NodeView, claims: Sequence[str]) -> tuple[Reason, ...]:
    """Why the claims do not fit on the node now.

    Args:
        problem: one that has no solution with what is taken now.
        view: the node.
        claims: how the claims are called.
    """
    moves = Moves(problem, standing(problem, view.occupancy))
    reasons: list[Reason] = []
    for position, slots in enumerate(problem.alternatives):
        claim = claims[problem.positions[position][0]]
        found = [_alone(moves, view, slot, claim) for slot in slots]
        if found and all(reason is not None for reason in found):
            reasons.append(_easiest([reason for reason in found if reason is not None]))
    if reasons:
        return tuple(reasons)
    shortfall = None
    if problem.positions:
        demands = remaining(moves, len(problem.positions), 0, -1, 0, moves.start(), 0)
        shortfall = Bounds(moves).shortfall(demands, moves.start())
    return (_joint(moves, shortfall, claims),)


def _easiest(reasons: list[Reason]) -> Reason:
    """Of several alternatives the one that came nearest speaks for the request."""
    if len(reasons) == 1:
        return reasons[0]
    nearest = min(reasons, key=lambda reason: reason.wanted - reason.available)
    parent = nearest.requests[0].partition("/")[0]
    text = f"request {parent}: none of its {len(reasons)} alternatives; nearest {nearest.text.removeprefix('request ')}"
    return Reason(
        nearest.kind,
        nearest.claim,
        nearest.requests,
        nearest.wanted,
        nearest.available,
        text,
        nearest.tally,
        nearest.holders,
    )


def tally(moves: Moves, view: NodeView, slot: Slot) -> tuple[list[tuple[Excluded, int]], int]:
    """Every device of the node under the first rule that excludes it; and those that no rule excludes.

    Returns:
        The exclusions with the number of devices that remain after each, in order; the mask of what remains.
    """
    unit = slot.unit
    own = sum(1 for origin in unit.origins if origin.class_name)
    stages: list[tuple[Excluded, int]] = []
    remaining = (1 << view.size) - 1

    def exclude(rule: Kind, keep: int, detail: str) -> None:
        nonlocal remaining
        out = remaining & ~keep
        remaining &= keep
        if out:
            ids = tuple(str(view.device_id(number)) for number in bits(out))
            stages.append((Excluded(rule, len(ids), detail, ids), remaining.bit_count()))

    exclude("class", view.matches(unit.selectors[:own]).mask, unit.device_class.name)
    expressions = " && ".join(selector.expression.strip() for selector in unit.selectors[own:])
    exclude("selector", view.matches(unit.selectors).mask, " ".join(expressions.split()))
    exclude("node", view.on_node, "for other nodes")
    asked = ", ".join(f"{name} {amount}" for name, amount in unit.capacity.items())
    exclude("capacity", ~slot.unsuited, asked)
    if view.features.device_taints:
        untolerated = remaining & ~view.tolerated(unit.tolerations)
        exclude("taint", ~untolerated, _taints(view, untolerated))
    exclude("counter", ~slot.unaffordable, "needs more than its counter sets have")
    if not unit.admin_access:
        held = remaining & ~moves.free
        exclude("held", moves.free, ", ".join(_holders(view, held)))
    start = moves.start()
    poor = sum(
        1 << number
        for number in bits(remaining)
        if not moves.payable >> number & 1 or not moves.fits(slot, number, start)
    )
    sharing = poor & view.shared
    exclude("capacity", ~sharing, _shares(view, sharing, asked))
    exclude("counter", ~(poor & ~view.shared), "the rest of their counter sets is in use")
    return stages, remaining & slot.mask


def _alone(moves: Moves, view: NodeView, slot: Slot, claim: str) -> Reason | None:
    """Why the slot by itself has too few devices; None where it has enough."""
    stages, remaining = tally(moves, view, slot)
    unit = slot.unit
    entries = tuple(excluded for excluded, _ in stages)
    wanted = moves.count(slot) if unit.all_devices else unit.count
    available = remaining.bit_count()
    if unit.all_devices:
        missing = slot.all_mask & ~remaining
        if moves.numbers(slot) and not missing:
            return None
        wanted = max(len(moves.numbers(slot)), 1)
        available = (slot.all_mask & remaining).bit_count()
    elif available >= wanted:
        return None
    kind: Kind = "class"
    decisive: Excluded | None = None
    for excluded, left in stages:
        if left < wanted:
            kind, decisive = excluded.rule, excluded
            break
    before = available + sum(e.count for e in entries[entries.index(decisive) :]) if decisive else available
    text = f"request {unit.name}: {_clause(view, kind, decisive, unit.device_class.name, wanted, available, before)}"
    broken = next((pool for pool in view.pools if not pool.usable), None)
    if broken is not None and kind == "class":
        kind = "pool"
        text += f"; pool {broken.name} is {_state(broken.incomplete, broken.invalid)}"
    holders = next((tuple(e.detail.split(", ")) for e in entries if e.rule == "held" and e.detail), ())
    return Reason(kind, claim, (unit.name,), wanted, available, text, entries, holders)


def _state(incomplete: str, invalid: str) -> str:
    return f"incomplete ({incomplete})" if incomplete else f"invalid ({invalid})"


def _clause(
    view: NodeView, kind: Kind, decisive: Excluded | None, class_name: str, wanted: int, available: int, before: int
) -> str:
    if not view.size:
        return f"no device reaches the node, {wanted} of class {class_name} wanted"
    detail = decisive.detail if decisive else ""
    have = before - (decisive.count if decisive else 0)
    match kind:
        case "class":
            return (
                f"no device of class {class_name}"
                if not have
                else f"only {have} devices of class {class_name}, {wanted} wanted"
            )
        case "selector":
            return f"{have or 'none'} of {before} devices of class {class_name} match {detail}, {wanted} wanted"
        case "node":
            return f"{have or 'none'} of {before} matching devices is for this node, {wanted} wanted"
        case "taint":
            return (
                f"{have or 'none'} of {before} devices without a taint it does not tolerate ({detail}), {wanted} wanted"
            )
        case "held":
            return f"{have or 'none'} of {before} devices free, {wanted} wanted"
        case "capacity":
            return f"{have or 'none'} of {before} devices has room for {detail}, {wanted} wanted"
        case "counter":
            return f"{have or 'none'} of {before} partitions fits: {detail}, {wanted} wanted"
        case _:
            return f"{available} devices, {wanted} wanted"


def _joint(moves: Moves, shortfall: Shortfall | None, claims: Sequence[str]) -> Reason:
    problem = moves.problem
    positions = shortfall.requests if shortfall is not None else tuple(range(len(problem.positions)))
    names = tuple(
        problem.claims[claim].shape.requests[request].name
        for claim, request in (problem.positions[p] for p in positions)
    )
    claim = ", ".join(dict.fromkeys(claims[problem.positions[p][0]] for p in positions))
    listed = f"request{'s' if len(names) > 1 else ''} {', '.join(names)}"
    if shortfall is None:
        text = f"{listed}: each fits alone, but no combination of free devices satisfies all requests and constraints"
        return Reason("together", claim, names, 0, 0, text)
    wanted, available = shortfall.wanted, shortfall.available
    kind: Kind = "together"
    match shortfall.kind:
        case "match":
            kind = "constraint"
            best = f"at most {available} of {wanted} devices" if available else "no device"
            text = f"{listed}: must have the same {shortfall.attribute}, {best} free with one value"
        case "groups":
            kind = "constraint"
            text = (
                f"{listed}: {wanted} groups must each have the same {shortfall.attribute}, "
                f"the free devices allow {available}"
            )
        case "distinct":
            kind = "constraint"
            text = f"{listed}: {wanted} different values of {shortfall.attribute} wanted, {available} free"
        case "amount":
            kind = "capacity" if any(f.key[0] == "capacity" for f in problem.ledger.fields.values()) else "counter"
            short = f"too little {shortfall.account} is left" if shortfall.account else f"room for {available}"
            text = (
                f"{listed}: {wanted} devices wanted together, {short}"
                if not shortfall.account
                else f"{listed}: {short}"
            )
        case "limit":
            kind = "limit"
            text = f"{listed}: {wanted} devices, a claim can have {available}"
        case _:
            text = f"{listed}: {wanted} devices wanted together, {available} can serve them"
    return Reason(kind, claim, names, wanted, available, text)


def _taints(view: NodeView, mask: int) -> str:
    taints = {
        f"{taint.key}{'=' if taint.value else ''}{taint.value}:{taint.effect}": None
        for number in bits(mask)
        for taint in view.device(number).taints
        if taint.effect in ("NoSchedule", "NoExecute")
    }
    return ", ".join(taints)


def _holders(view: NodeView, mask: int) -> list[str]:
    """Who holds the devices, those with most of them first."""
    count = Counter(holder for number in bits(mask) for holder in view.holders(number))
    return [name for name, _ in sorted(count.items(), key=lambda item: (-item[1], item[0]))]


def _shares(view: NodeView, mask: int, asked: str) -> str:
    holders = ", ".join(_holders(view, mask))
    return f"{asked or 'the whole device'}{f' (shared by {holders})' if holders else ''}"
