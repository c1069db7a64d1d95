"""The least value for every number of pods in a domain, by min-plus sums from the nodes up to the root.

A table maps a state to the least value of it: a state has a field of one int for the pods of each role, and one for
the domains used at each level with a limit above one. Adding two states adds the fields; a guard bit above each field
shows what went over its limit. Domains whose nodes have equal kinds have one table.

Entries that cannot become part of a placement below `ceiling` are left out: what the remaining pods need at least is
known from room alone (`bounds.Room.rest`).

With a `width` the search is cut: a table keeps at most about that many entries, some for each number of pods, so what
comes out is valid but need not be the least. Without it the result is the optimum, or `EffortError` when `effort` is
used up.
"""

from collections.abc import Mapping, Sequence

from fairlead.placement.gangs.demand import Vector
from fairlead.placement.gangs.region import Spot
from fairlead.placement.gangs.scale import Scale
from fairlead.placement.gangs.slices import Cut
from fairlead.placement.gangs.supply import Supply

Table = dict[int, int]

# What each kind of a narrowest domain's sites gets: pods by role, for its first sites in order.
Choice = dict[Spot, dict[int, list[Vector]]]


class EffortError(Exception):
    """The search would take more effort than allowed."""


class Effort:
    """Steps left for exact search, over all tables of a decision."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class Layout:
    """Where the fields of a state are.

    Attributes:
        units: what one pod of each role adds.
        marks: what one domain adds, by depth, for the depths that have a limit above one.
        plain: one role and no such limit; a state is then a number of pods.
    """

    def __init__(self, counts: Sequence[int], limits: Mapping[int, int]) -> None:
        self.counts = tuple(counts)
        self.units: list[int] = []
        self.marks: dict[int, int] = {}
        self.bias = self.guard = 0
        self._fields: list[tuple[int, int]] = []
        offset = 0
        for role, most in enumerate([*counts, *limits.values()]):
            bits = most.bit_length()
            self.bias += ((1 << bits) - 1 - most) << offset
            self.guard |= 1 << (offset + bits)
            if role < len(counts):
                self.units.append(1 << offset)
                self._fields.append((offset, (1 << bits) - 1))
            else:
                self.marks[list(limits)[role - len(counts)]] = 1 << offset
            offset += bits + 1
        self.plain = len(counts) == 1 and not limits
        self._totals: dict[int, int] = {}

    def state(self, vector: Vector) -> int:
        """The state of these pods."""
        return sum(map(int.__mul__, vector, self.units))

    def vector(self, state: int) -> Vector:
        """The pods of a state by role."""
        return tuple(state >> offset & mask for offset, mask in self._fields)

    def total(self, state: int) -> int:
        """The pods of a state."""
        if self.plain:
            return state
        found = self._totals.get(state)
        if found is None:
            found = self._totals[state] = sum(self.vector(state))
        return found


class Curves:
    """Tables of domains for one supply, shared by all roots."""

    def __init__(
        self,
        supply: Supply,
        layout: Layout,
        scale: Scale,
        rest: Sequence[int],
        ceiling: int | None,
        effort: Effort,
        width: int | None = None,
    ) -> None:
        """Tables with values below `ceiling` (None: all)."""
        self._layout = layout
        self._scale = scale
        self._rest = rest
        self._ceiling = ceiling
        self._pods = sum(layout.counts)
        self._effort = effort
        self._width = width
        self._single = supply.single and len(layout.counts) == 1
        self._options = supply.options
        self._nodes: dict[int, Table] = {}
        if self._single:
            self._price = {kind: options[0][1] + scale.node for kind, options in supply.options.items()}
        self._classes: dict[tuple[int, ...], int] = {}
        self._class_of: dict[Spot, int] = {}
        self._tables: dict[tuple[int, Cut | None], Table] = {}

    def table(self, spot: Spot, cut: Cut | None) -> Table:
        """The least value of every state in the domain, with its own weight and mark; state 0 is worth 0."""
        if cut is not None and spot.depth > cut.depth:
            cut = None
        key = (self._class(spot), cut)
        found = self._tables.get(key)
        if found is None:
            found = self._tables[key] = self._marked(spot, self._sums(spot, cut)[-1], cut)
        return found

    def best(self, spot: Spot, cut: Cut | None) -> tuple[int, int] | None:
        """The value and state of the whole gang under `spot`; None where there is none (below the ceiling)."""
        whole = self._layout.state(self._layout.counts)
        table = self.table(spot, cut)
        if self._layout.plain:
            return (table[whole], whole) if whole in table else None
        found = [(value, state) for state, value in table.items() if self._layout.total(state) == self._pods]
        return min(found) if found else None

    def most(self, spot: Spot, cut: Cut | None) -> tuple[int, int]:
        """The largest number of pods in the domain, and a state with it."""
        pods, state = max((self._layout.total(state), -state) for state in self.table(spot, cut))
        return pods, -state

    def expand(self, spot: Spot, state: int, cut: Cut | None, choice: Choice) -> None:
        """Adds to `choice` what the sites under `spot` get in that state. Of equal choices, earlier sites get more."""
        if not state:
            return
        if cut is not None and spot.depth > cut.depth:
            cut = None
        state -= self._layout.marks.get(spot.depth, 0)
        if not spot.children and self._single:
            choice[spot] = self._cheapest(spot, self._layout.vector(state)[0])
            return
        parts: Sequence[tuple[object, Table]]
        if spot.children:
            parts = [(child, self.table(child, cut)) for child in spot.children]
        else:
            parts = [(kind, self._node(kind)) for kind in spot.kinds if kind in self._options]
        sums = self._sums(spot, cut)
        for (part, table), before, after in zip(reversed(parts), sums[-2::-1], sums[:0:-1], strict=True):
            value = after[state]
            given = min(
                (self._layout.total(share), share)
                for share, worth in table.items()
                if before.get(state - share, value + 1) + worth == value
            )[1]
            state -= given
            if isinstance(part, Spot):
                self.expand(part, given, cut, choice)
            elif given:
                assert isinstance(part, int)
                choice.setdefault(spot, {}).setdefault(part, []).append(self._layout.vector(given))

    def _cheapest(self, leaf: Spot, pods: int) -> dict[int, list[Vector]]:
        places = [
            (self._price[site.kind], position, site.kind)
            for position, site in leaf.domain.members.items()
            if site.kind in self._price
        ]
        chosen: dict[int, list[Vector]] = {}
        for _, _, kind in sorted(places)[:pods]:
            chosen.setdefault(kind, []).append((1,))
        return chosen

    def _class(self, spot: Spot) -> int:
        found = self._class_of.get(spot)
        if found is None:
            content = spot.kinds
            if spot.children:
                # What a cut search keeps depends on the order of the children.
                parts = map(self._class, spot.children)
                content = tuple(parts) if self._width is not None else tuple(sorted(parts))
            found = self._classes.setdefault((spot.depth, *content), len(self._classes))
            self._class_of[spot] = found
        return found

    def _node(self, kind: int) -> Table:
        found = self._nodes.get(kind)
        if found is None:
            found = {0: 0}
            for vector, cost in self._options[kind]:
                found[self._layout.state(vector)] = cost + self._scale.node
            self._nodes[kind] = found
        return found

    def _sums(self, spot: Spot, cut: Cut | None) -> list[Table]:
        """Tables of the first 0, 1, ... parts of a domain together, before its own weight; of single nodes the last."""
        if not spot.children and self._single:
            prices = sorted([self._price[kind] for kind in spot.kinds if kind in self._price])[: self._pods]
            value = 0
            table = {0: 0}
            for pods, price in enumerate(prices, 1):
                value += price
                table[pods * self._layout.units[0]] = value
            return [table]
        if spot.children:
            parts = [self.table(child, cut) for child in spot.children]
        else:
            parts = [self._node(kind) for kind in spot.kinds if kind in self._options]
        sums: list[Table] = [{0: 0}]
        for part in parts:
            sums.append(self._merge(sums[-1], part))
        return sums

    def _merge(self, left: Table, right: Table) -> Table:
        if len(right) == 1:
            return left
        if self._width is None and not self._layout.plain:
            self._effort.left -= len(left) * len(right)
            if self._effort.left < 0:
                raise EffortError
        guard, bias = self._layout.guard, self._layout.bias
        out: Table = {}
        get = out.get
        pairs = list(left.items())
        for state, value in right.items():
            state += bias
            for other, more in pairs:
                both = state + other
                if not both & guard:
                    both -= bias
                    worth = value + more
                    known = get(both)
                    if known is None or worth < known:
                        out[both] = worth
        return self._kept(out)

    def _kept(self, table: Table) -> Table:
        ceiling, rest, pods, total = self._ceiling, self._rest, self._pods, self._layout.total
        if ceiling is not None:
            table = {
                state: value
                for state, value in table.items()
                if not state or value + rest[pods - total(state)] < ceiling
            }
        if self._width is not None and len(table) > self._width:
            table = self._trimmed(table, self._width)
        return table

    def _trimmed(self, table: Table, width: int) -> Table:
        """Some of each number of pods: the least values, and of equal ones those nearest to the gang's mix of roles."""
        buckets: dict[int, list[tuple[int, int, int]]] = {}
        counts, pods = self._layout.counts, self._pods
        for state, value in table.items():
            total = self._layout.total(state)
            vector = self._layout.vector(state)
            off = sum(abs(held * pods - count * total) for held, count in zip(vector, counts, strict=True))
            buckets.setdefault(total, []).append((value, off, state))
        each = max(2, width // len(buckets))
        return {state: value for bucket in buckets.values() for value, _, state in sorted(bucket)[:each]}

    def _marked(self, spot: Spot, table: Table, cut: Cut | None) -> Table:
        """The table with what using the domain costs, and without states that the cut forbids."""
        weight = self._scale.domain[spot.depth]
        mark = self._layout.marks.get(spot.depth, 0)
        if cut is not None and cut.depth == spot.depth:
            total = self._layout.total
            table = {state: value for state, value in table.items() if not state or cut.allows(total(state))}
        if weight or mark:
            table = {state + mark if state else 0: value + weight if state else 0 for state, value in table.items()}
        return self._kept(table)
