"""The reasons for a no, taken from the masks and bounds that the search itself uses.

First every request by itself: its devices are sorted under the first rule that excludes them, and where too few are
left, the rule under which the number fell short is the reason. Where every request has enough devices by itself, the
bound that proved them impossible together is the reason; where only the exhausted search proved it, that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fairlead.allocator.bounds import Bounds
from fairlead.allocator.completion import Completion
from fairlead.allocator.demand import Shortfall, remaining
from fairlead.allocator.equivalence import Equivalence
from fairlead.allocator.moves import Moves, standing
from fairlead.allocator.problem import Problem
from fairlead.allocator.reasons import Excluded, Kind, Reason
from fairlead.allocator.slot import Slot, bits
from fairlead.inventory import NodeView

_SHARED_BY = " (shared by "


def refusal(error: str, claims: Sequence[str]) -> Reason:
    """The reason where an error ended the allocation."""
    return Reason("error", ", ".join(claims), (), 0, 0, error)


def explain(problem: Problem, view: NodeView, claims: Sequence[str], named: bool = True) -> tuple[Reason, ...]:
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
        found = [_alone(moves, view, slot, claim, named) for slot in slots]
        if found and all(reason is not None for reason in found):
            reasons.append(_easiest([reason for reason in found if reason is not None]))
    if reasons:
        return tuple(reasons)
    shortfall = None
    guilty: tuple[int, ...] = ()
    if problem.positions:
        bounds = Bounds(moves)
        demands = remaining(moves, len(problem.positions), 0, -1, 0, moves.start(), 0)
        shortfall = bounds.shortfall(demands, moves.start())
        if shortfall is None:
            guilty = Completion(moves, bounds, Equivalence(moves)).impossible_claim(demands, moves.start())
    return (_joint(moves, shortfall, guilty, claims),)


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


def tally(moves: Moves, view: NodeView, slot: Slot, named: bool = True) -> tuple[list[tuple[Excluded, int]], int]:
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
            ids = tuple([str(view.device_id(number)) for number in bits(out)]) if named else ()
            stages.append((Excluded(rule, out.bit_count(), detail, ids), remaining.bit_count()))

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


def _alone(moves: Moves, view: NodeView, slot: Slot, claim: str, named: bool) -> Reason | None:
    """Why the slot by itself has too few devices; None where it has enough."""
    stages, remaining = tally(moves, view, slot, named)
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
    matching = "matching " if any(not origin.class_name for origin in unit.origins) else ""
    asked = "all" if unit.all_devices else str(wanted)
    clause = _clause(view, kind, decisive, f"of class {unit.device_class.name}", before, matching, asked)
    text = f"request {unit.name}: {clause}"
    broken = next((pool for pool in view.pools if not pool.usable), None)
    if broken is not None and kind == "class":
        kind = "pool"
        text += f"; pool {broken.name} is {_state(broken.incomplete, broken.invalid)}"
    holders = next((tuple(e.detail.split(", ")) for e in entries if e.rule == "held" and e.detail), ())
    if decisive is not None and (shared := decisive.detail.partition(_SHARED_BY)[2]):
        holders = tuple(shared.removesuffix(")").split(", "))
    return Reason(kind, claim, (unit.name,), wanted, available, text, entries, holders)


def _state(incomplete: str, invalid: str) -> str:
    return f"incomplete ({incomplete})" if incomplete else f"invalid ({invalid})"


def _clause(
    view: NodeView, kind: Kind, decisive: Excluded | None, of_class: str, before: int, matching: str, asked: str
) -> str:
    """What one rule left of the devices before it, as a clause that is the same wherever the same is true.

    Args:
        view: the node.
        kind: the rule.
        decisive: what it excluded.
        of_class: `of class` and the name.
        before: how many devices there were before the rule.
        matching: a word for devices that passed the request's own selectors, where it has some.
        asked: how many are wanted, or `all`.
    """
    if not view.size:
        return f"no device reaches the node, {asked} {of_class} wanted"
    detail = decisive.detail.partition(_SHARED_BY)[0] if decisive else ""
    have = before - (decisive.count if decisive else 0)
    only = before == 1
    if kind == "class":
        few = f"only {have} {'device' if have == 1 else 'devices'}" if have else "no device"
        return f"{few} {of_class}, {asked} wanted"
    if kind != "selector":
        of_class = f"{matching}{'device' if only else 'devices'} {of_class}"
    else:
        of_class = f"{'device' if only else 'devices'} {of_class}"
    some = f"the only {of_class}" if only else f"{have or 'none'} of {before} {of_class}"
    every = f"the only {of_class}" if only else f"{'both' if before == 2 else f'all {before}'} {of_class}"
    one = have <= 1
    match kind:
        case "selector":
            said = f"{some} does not match {detail}" if only else f"{some} {'matches' if one else 'match'} {detail}"
        case "node":
            said = f"{some} is for another node" if only else f"{some} {'is' if one else 'are'} for this node"
        case "taint":
            without = "has a taint that it does not tolerate" if only else "have a taint that it does not tolerate"
            said = f"{some} free of taints that it does not tolerate" if have else f"{every} {without}"
            said += f" ({detail})"
        case "held":
            said = f"{some} free" if have else f"{every} {'is' if only else 'are'} held"
        case "capacity":
            verb = "has no" if only else "has" if one else "have"
            said = f"{some} {verb} room{f' for {detail}' if detail else ''}"
        case "counter":
            too_big = detail.startswith("needs")
            if only:
                why = (
                    "needs more than its counter sets have" if too_big else "does not fit in what its counter sets have"
                )
                said = f"{some} {why}{'' if too_big else ' left'}"
            else:
                left = "all of their counter sets" if too_big else "what is left of their counter sets"
                said = f"{some} {'fits' if one else 'fit'} in {left}"
        case _:
            said = f"{some} can serve it"
    return f"{said}, {asked} wanted"


def _joint(moves: Moves, shortfall: Shortfall | None, guilty: tuple[int, ...], claims: Sequence[str]) -> Reason:
    problem = moves.problem
    positions = shortfall.requests if shortfall is not None else guilty or tuple(range(len(problem.positions)))
    names = tuple(
        problem.claims[claim].shape.requests[request].name
        for claim, request in (problem.positions[p] for p in positions)
    )
    claim = ", ".join(dict.fromkeys(claims[problem.positions[p][0]] for p in positions))
    listed = f"request{'s' if len(names) > 1 else ''} {', '.join(names)}"
    if shortfall is None:
        alone = "each fits alone, but " if len(names) > 1 else ""
        text = f"{listed}: {alone}no combination of free devices satisfies all requests and constraints"
        return Reason("together", claim, names, 0, 0, text)
    wanted, available = shortfall.wanted, shortfall.available
    kind: Kind = "together"
    match shortfall.kind:
        case "match":
            kind = "constraint"
            most = f"at most {available}" if available else "none"
            text = (
                f"{listed}: {wanted} devices with the same {shortfall.attribute} wanted, {most} {_are(available)} free"
            )
        case "groups":
            kind = "constraint"
            text = (
                f"{listed}: {wanted} groups must each have the same {shortfall.attribute}, "
                f"the free devices allow {available or 'none'}"
            )
        case "distinct":
            kind = "constraint"
            most = f"only {available}" if available else "none"
            text = f"{listed}: {wanted} different values of {shortfall.attribute} wanted, {most} {_are(available)} free"
        case "amount":
            kind = "capacity" if any(f.key[0] == "capacity" for f in problem.ledger.fields.values()) else "counter"
            if shortfall.account:
                text = f"{listed}: too little {shortfall.account} is left"
            else:
                text = f"{listed}: {_devices(wanted)} wanted together, there is room for {available or 'none'}"
        case "limit":
            kind = "limit"
            text = f"{listed}: {_devices(wanted)} wanted, a claim can have {available}"
        case _:
            text = f"{listed}: {_devices(wanted)} wanted together, {available or 'none'} can serve them"
    return Reason(kind, claim, names, wanted, available, text)


def _are(count: int) -> str:
    return "is" if count <= 1 else "are"


def _devices(count: int) -> str:
    return f"{count} {'device' if count == 1 else 'devices'}"


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
    return f"{asked or 'the whole device'}{f'{_SHARED_BY}{holders})' if holders else ''}"
