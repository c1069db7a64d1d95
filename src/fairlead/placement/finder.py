"""The nodes that can hold a pod, found from what changed since somebody last asked.

For every set of claim shapes that was asked for, the finder remembers which nodes had no room. Such a node is asked
again only after its devices, or what is taken of them, changed. A shape that was never asked for meets two filters
before any search: nodes with too few free devices are left out by an index, and nodes of a kind of hardware that could
not hold the claims if everything were free are decided together. What keeps a pod off a node beside devices is
remembered in the same way where the caller has a name for it, until the caller says that the node changed. So a
decision costs what changed, not what there is.

Nodes are numbered in the order of their names; a set of nodes is an int, bit i is node i.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from fairlead.allocator import Allocator, ClaimShape, Decision, Wanted
from fairlead.inventory import Inventory, NodeView

_MANY: Final = 64
"""Free devices of a node are counted up to here; also what a node counts as whose devices can be shared."""
_KEPT: Final = 4_000
"""Questions of which the answers are remembered."""


class Finder:
    """Answers for one inventory and its nodes."""

    def __init__(
        self,
        inventory: Inventory,
        allocator: Allocator,
        nodes: Mapping[str, Mapping[str, str]],
        declared: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        """Looks at every node once.

        Args:
            inventory: the devices; what changes in it later is noticed.
            allocator: decides for one node.
            nodes: labels by name; nodes are tried in the order of their names.
            declared: the features that nodes say they have, by name of the node.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        self._inventory = inventory
        self._allocator = allocator
        self._names = sorted(nodes)
        self._labels = [dict(nodes[name]) for name in self._names]
        self._declared = [(declared or {}).get(name, frozenset()) for name in self._names]
        self._hopeful: dict[tuple[ClaimShape, ...], int] = {}
        """By shapes: the nodes that are not known to have no room."""
        self._open: dict[Hashable, int] = {}
        """By the caller's name for it: the nodes that are not known to refuse the pod for other reasons."""
        self._never: dict[object, bool] = {}
        """By shapes and kind of hardware: whether no node of the kind could ever hold them."""
        self._free = [0] * len(self._names)
        self._with_at_least = [0] * (_MANY + 1)
        """By number: the nodes with at least so many free devices."""
        self._mark, _ = inventory.changes(0)
        for number in range(len(self._names)):
            self._count(number)

    def put(self, name: str, labels: Mapping[str, str], declared: frozenset[str] = frozenset()) -> None:
        """Takes note of a node: a new one, or one with other labels or features.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        number = bisect_left(self._names, name)
        if number == len(self._names) or self._names[number] != name:
            self._names.insert(number, name)
            self._labels.insert(number, {})
            self._declared.insert(number, frozenset())
            self._free.insert(number, 0)
            below = (1 << number) - 1
            self._each(lambda mask: mask & below | (mask & ~below) << 1)
        self._labels[number] = dict(labels)
        self._declared[number] = declared
        self._renew([number])
        self.reopen((name,))

    def remove(self, name: str) -> None:
        """Takes note that a node is gone; one that is not there is no error."""
        number = self._number(name)
        if number is None:
            return
        for column in (self._names, self._labels, self._declared, self._free):
            del column[number]
        below = (1 << number) - 1
        self._each(lambda mask: mask & below | mask >> 1 & ~below)

    def reopen(self, names: Iterable[str]) -> None:
        """Takes note that nodes may take pods that they refused."""
        mask = 0
        for name in names:
            number = self._number(name)
            if number is not None:
                mask |= 1 << number
        for key in self._open:
            self._open[key] |= mask

    def catch_up(self) -> None:
        """Takes note of what changed in the inventory.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        self._mark, changed = self._inventory.changes(self._mark)
        if changed is None:
            self._renew(range(len(self._names)))
        elif changed:
            numbers = {self._number(name) for name in changed}
            self._renew([number for number in numbers if number is not None])

    def find(
        self,
        claims: Sequence[Wanted],
        allowed: Callable[[str], bool] = lambda _: True,
        condition: Hashable = None,
    ) -> Iterator[Decision]:
        """The decisions for the nodes that can hold the claims, in order, each made when it is asked for.

        A decision that ends with an error that holds for every node is the last one given.

        Args:
            claims: all unallocated claims of a pod.
            allowed: whether the node of a name may take the pod, devices aside.
            condition: equal for pods for which `allowed` says the same as long as nobody calls `reopen`; None for a pod
                like no other.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        self.catch_up()
        everything = (1 << len(self._names)) - 1
        shapes = tuple([claim.shape for claim in claims])
        hopeful = _remembered(self._hopeful, shapes, everything)
        if condition is not None:
            hopeful &= _remembered(self._open, condition, everything)
        least = min(sum(shape.least for shape in shapes), _MANY)
        candidates = hopeful & self._with_at_least[least]
        while candidates:
            bit = candidates & -candidates
            candidates ^= bit
            number = bit.bit_length() - 1
            if not allowed(self._names[number]):
                if condition is not None:
                    self._open[condition] &= ~bit
                continue
            view = self._view(number)
            if shapes not in view.problems and self._is_never(view, shapes, claims):
                self._hopeful[shapes] &= ~bit
                continue
            decision = self._allocator.allocate(view, claims)
            if decision.fits:
                yield decision
            elif decision.error and not decision.node_error:
                yield decision
                return
            else:
                self._hopeful[shapes] &= ~bit

    def _is_never(self, view: NodeView, shapes: tuple[ClaimShape, ...], claims: Sequence[Wanted]) -> bool:
        """Whether the claims would not even fit if everything on such a node were free."""
        key = (shapes, self._allocator.likeness(view, shapes))
        known = self._never.get(key)
        if known is None:
            if len(self._never) >= _KEPT:
                self._never.clear()
            empty = self._allocator.allocate_empty(view, claims)
            known = self._never[key] = not empty.fits and not empty.error
        return known

    def _number(self, name: str) -> int | None:
        number = bisect_left(self._names, name)
        return number if number < len(self._names) and self._names[number] == name else None

    def _each(self, change: Callable[[int], int]) -> None:
        """Changes every set of nodes that is remembered."""
        self._with_at_least = [change(mask) for mask in self._with_at_least]
        for shapes, mask in self._hopeful.items():
            self._hopeful[shapes] = change(mask)
        for condition, mask in self._open.items():
            self._open[condition] = change(mask)

    def _renew(self, numbers: Iterable[int]) -> None:
        mask = 0
        for number in numbers:
            mask |= 1 << number
            self._count(number)
        for shapes in self._hopeful:
            self._hopeful[shapes] |= mask

    def _view(self, number: int) -> NodeView:
        return self._inventory.view(self._names[number], self._labels[number], self._declared[number])

    def _count(self, number: int) -> None:
        """Brings the index of free devices up to date for a node."""
        view = self._view(number)
        # A shared device serves any number of requests, so such a node is never left out for its number of devices.
        free = _MANY if view.shared else min((view.on_node & ~view.occupancy.held).bit_count(), _MANY)
        before = self._free[number]
        bit = 1 << number
        self._with_at_least[0] |= bit
        if before == free:
            return
        for least in range(min(before, free) + 1, max(before, free) + 1):
            self._with_at_least[least] ^= bit
        self._free[number] = free


def _remembered(known: dict[Hashable, int] | dict[tuple[ClaimShape, ...], int], key: Hashable, otherwise: int) -> int:
    """What is known by a key; the other value, which is known from now on, where nothing is."""
    if len(known) >= _KEPT and key not in known:
        known.clear()
    return known.setdefault(key, otherwise)  # type: ignore[arg-type]
