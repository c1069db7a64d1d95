"""What a job could have had at best: its bandwidth on the same cluster with nobody else there.

Pods go onto as few nodes as they need, in the narrowest domain that has enough of them, each node with its best set.
The best set of a node is looked for among all sets of its GPUs, each with NICs taken in turn by the GPUs, nearest
first: the optimum where NICs of equal distance are equal, as on all profiles here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from fairlead.simulation.fleet import Fleet, Members, NodeHardware
from fairlead.simulation.jobs import Shape
from fairlead.topology import Bandwidth, Wiring

_NOTHING = Bandwidth(0.0, 0.0, 0.0, ())
_SETS_MAX = 20_000


class Ideal:
    """The best for each shape, computed once."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._known: dict[Shape, Bandwidth] = {}
        self._sets: dict[tuple[int, int, int], frozenset[int]] = {}

    def best(self, shape: Shape) -> Bandwidth:
        """The best bandwidth of a job of the shape; nothing where the cluster is too small for it."""
        known = self._known.get(shape)
        if known is None:
            tried = [self._fleet.bandwidth(members) for members in self._candidates(shape)]
            known = max(tried, key=_worth, default=_NOTHING)
            self._known[shape] = known
        return known

    def best_on(self, members: Members) -> Bandwidth:
        """The best for a job on the very nodes where it is: what other devices alone could change."""
        held: dict[str, set[int]] = {}
        for name, _, devices in members:
            held.setdefault(name, set()).update(devices)
        made: Members = []
        for name, taken in held.items():
            node = self._fleet.nodes[name]
            made.append((name, node.wiring, self._set(node, len(node.gpus & taken), len(node.nics & taken))))
        return self._fleet.bandwidth(made)

    def _candidates(self, shape: Shape) -> Iterator[Members]:
        """One set of nodes for each domain that is large enough, of the narrowest level that has one."""
        fleet = self._fleet
        nics = shape.nics if fleet.classes.nic else 0
        room: dict[str, int] = {}
        for name, node in fleet.nodes.items():
            pods = min(len(node.gpus) // shape.gpus, len(node.nics) // nics if nics else shape.pods)
            if pods:
                room[name] = pods
        if any(pods >= shape.pods for pods in room.values()):
            for _, name in sorted({id(fleet.nodes[n].wiring): n for n, p in room.items() if p >= shape.pods}.items()):
                yield self._members([(name, shape.pods)], shape, nics)
            return
        for level in range(len(fleet.tree.levels) - 1, -2, -1):
            domains: dict[str, list[str]] = {}
            for name in room:
                path = fleet.tree.paths.get(name, ())
                domain = path[level] if 0 <= level < len(path) else ""
                if domain or level < 0:
                    domains.setdefault(domain, []).append(name)
            found = False
            for names in domains.values():
                names.sort(key=lambda name: -room[name])
                chosen, left = [], shape.pods
                for name in names:
                    if left:
                        chosen.append((name, min(room[name], left)))
                        left -= chosen[-1][1]
                if not left:
                    found = True
                    yield self._members(chosen, shape, nics)
            if found:
                return

    def _members(self, chosen: list[tuple[str, int]], shape: Shape, nics: int) -> Members:
        made: Members = []
        for name, pods in chosen:
            node = self._fleet.nodes[name]
            made.append((name, node.wiring, self._set(node, pods * shape.gpus, pods * nics)))
        return made

    def _set(self, node: NodeHardware, gpus: int, nics: int) -> frozenset[int]:
        key = (id(node.wiring), gpus, nics)
        if key not in self._sets:
            self._sets[key] = best_set(node, gpus, nics)
        return self._sets[key]


def best_set(node: NodeHardware, gpus: int, nics: int) -> frozenset[int]:
    """The GPUs and NICs of an empty node that move most."""
    best: frozenset[int] = frozenset()
    worth = (-1.0, -1.0)
    for number, chosen in enumerate(combinations(sorted(node.gpus), gpus)):
        if number >= _SETS_MAX:
            break
        held = frozenset((*chosen, *_nearest(node.wiring, chosen, sorted(node.nics), nics)))
        found = _worth(node.wiring.bandwidth(held))
        if found > worth:
            best, worth = held, found
    return best


def _nearest(wiring: Wiring, gpus: tuple[int, ...], nics: list[int], count: int) -> list[int]:
    taken: list[int] = []
    free = list(nics)
    while len(taken) < count and free:
        gpu = gpus[len(taken) % len(gpus)]
        nearest = min(free, key=lambda nic: (wiring.link(gpu, nic).rank, nic))
        free.remove(nearest)
        taken.append(nearest)
    return taken


def _worth(bandwidth: Bandwidth) -> tuple[float, float]:
    return bandwidth.all_reduce, bandwidth.network
