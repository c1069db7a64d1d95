"""An offer as the search reads it: room and options of each kind that there is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fairlead.placement.gangs.demand import Gang, Offer, Vector


@dataclass(slots=True)
class Supply:
    """One offer, for the kinds of the sites.

    Attributes:
        index: where the offer stands in the caller's order.
        room: the most pods (of all roles) that a node holds, by kind; every kind of the sites has an entry.
        options: what a node can hold, with its cost, by kind; kinds that hold nothing are absent.
        single: no node holds more than one pod.
        full: a node that holds n pods holds every smaller number too.
        most: the largest cost.
    """

    offer: Offer
    index: int
    room: dict[int, int]
    options: dict[int, list[tuple[Vector, int]]]
    single: bool
    full: bool
    most: int


def supply(offer: Offer, index: int, gang: Gang, kinds: Collection[int]) -> Supply:
    """Reads an offer.

    Raises:
        ValueError: a cost is negative, or what a node holds is not given in the gang's roles.
    """
    counts = tuple(role.count for role in gang.roles)
    room = dict.fromkeys(kinds, 0)
    options: dict[int, list[tuple[Vector, int]]] = {}
    single = full = True
    most = 0
    for kind in kinds:
        costs = offer.kinds.get(kind)
        if not costs:
            continue
        held: list[tuple[Vector, int]]
        if not isinstance(costs, Mapping):
            if len(counts) > 1:
                raise ValueError(f"offer {offer.alignment!r}, kind {kind}: costs need the pods of each role")
            held = [((pods,), cost) for pods, cost in enumerate(costs[: counts[0]], 1) if cost is not None]
        else:
            held = []
            for vector in sorted(costs):
                if len(vector) != len(counts) or min(vector) < 0:
                    raise ValueError(f"offer {offer.alignment!r}, kind {kind}: {vector} is not pods by role")
                if any(vector) and all(map(int.__le__, vector, counts)):
                    held.append((vector, costs[vector]))
        if not held:
            continue
        if len(held) == 1 and len(counts) == 1:
            best, cost = held[0][0][0], held[0][1]
            low = high = cost
        else:
            best = max(sum(vector) for vector, _ in held)
            low, high = min(cost for _, cost in held), max(cost for _, cost in held)
        if low < 0:
            raise ValueError(f"offer {offer.alignment!r}, kind {kind}: a cost is negative")
        options[kind] = held
        room[kind] = best
        most = max(most, high)
        single = single and best == 1
        full = full and len(held) == best
    return Supply(offer, index, room, options, single, full and len(counts) == 1, most)
