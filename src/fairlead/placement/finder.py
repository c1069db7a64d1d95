"""The nodes that can hold a pod's claims, found from what changed since somebody last asked.

For every set of claim shapes that was asked for, the finder remembers which nodes had no room. Such a node is asked
again only after its devices, or what is taken of them, changed. A shape that was never asked for meets two filters
before any search: nodes with too few free devices are left out by an index, and nodes of a kind of hardware that could
not hold the claims if everything were free are decided together. So a decision costs what changed, not what there is.

Nodes are numbered in the order in which they are given; a set of nodes is an int, bit i is node i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from fairlead.allocator import Allocator, ClaimShape, Decision, Wanted
from fairlead.inventory import Inventory, NodeView

_MANY = 64
"""Free devices of a node are counted up to here; also what a node counts as whose devices can be shared."""


class Finder:
    """Answers for one inventory and one list of nodes."""

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
            nodes: labels by name, in the order in which nodes are tried.
            declared: the features that nodes say they have, by name of the node.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        self._inventory = inventory
        self._allocator = allocator
        self._labels = [dict(labels) for labels in nodes.values()]
        self._names = list(nodes)
        self._declared = [(declared or {}).get(name, frozenset()) for name in nodes]
        self._number = {name: number for number, name in enumerate(self._names)}
        self._all = (1 << len(self._names)) - 1
        self._hopeful: dict[tuple[ClaimShape, ...], int] = {}
        """By shapes: the nodes that are not known to have no room."""
        self._never: dict[object, bool] = {}
        """By shapes and kind of hardware: whether no node of the kind could ever hold them."""
        self._free = [0] * len(self._names)
        self._with_at_least = [0] * (_MANY + 1)
        """By number: the nodes with at least so many free devices."""
        self._mark, _ = inventory.changes(0)
        for number in range(len(self._names)):
            self._count(number)

    def relabel(self, name: str, labels: Mapping[str, str]) -> None:
        """Takes note of a node's new labels.

        Raises:
            KeyError: the node is not one of the finder's.
        """
        number = self._number[name]
        if self._labels[number] != labels:
            self._labels[number] = dict(labels)
            self._renew([number])

    def find(self, claims: Sequence[Wanted], allowed: Callable[[str], bool] = lambda _: True) -> Iterator[Decision]:
        """The decisions for the nodes that can hold the claims, in order, each made when it is asked for.

        A decision that ends with an error that holds for every node is the last one given.

        Args:
            claims: all unallocated claims of a pod.
            allowed: whether the node of a name may take the pod, devices aside.
        """
        self._catch_up()
        shapes = tuple([claim.shape for claim in claims])
        hopeful = self._hopeful.setdefault(shapes, self._all)
        least = min(sum(shape.least for shape in shapes), _MANY)
        candidates = hopeful & self._with_at_least[least]
        while candidates:
            bit = candidates & -candidates
            candidates ^= bit
            number = bit.bit_length() - 1
            if not allowed(self._names[number]):
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
            empty = self._allocator.allocate_empty(view, claims)
            known = self._never[key] = not empty.fits and not empty.error
        return known

    def _catch_up(self) -> None:
        self._mark, changed = self._inventory.changes(self._mark)
        if changed is None:
            self._renew(range(len(self._names)))
        elif changed:
            self._renew({self._number[name] for name in changed if name in self._number})

    def _renew(self, numbers: Sequence[int] | set[int] | range) -> None:
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
        if before == free:
            return
        bit = 1 << number
        for least in range(min(before, free) + 1, max(before, free) + 1):
            self._with_at_least[least] ^= bit
        self._free[number] = free
