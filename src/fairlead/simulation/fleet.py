"""What a simulation knows of a cluster beside the planner: how nodes are wired, and which GPUs and NICs are free.

The free sets follow from the claims of placements alone, and are the check on the planner: a device that is given
twice, or given back without having been given, is an error here. Whole GPUs and RDMA NICs are those that the topology
rules call so; partitions, shared devices and pools that belong to no node are not counted. Where there are GPUs of
several drivers, only those of the driver with most of them are counted, and jobs ask for these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf

from fairlead.placement import Placement
from fairlead.resource import Device, Node, Objects
from fairlead.simulation.jobs import Shape
from fairlead.simulation.workloads import Classes
from fairlead.topology import Bandwidth, Rules, Tree, Wiring, build_tree, job_bandwidth, wire

DeviceKey = tuple[str, str, str]
"""Driver, pool and device."""


class BookingError(RuntimeError):
    """A device was given to two claims at one time, or came back without having been given."""


@dataclass(frozen=True, slots=True)
class NodeHardware:
    """One node: its wiring, and which of the devices in it are whole GPUs and NICs."""

    wiring: Wiring
    index: Mapping[DeviceKey, int]
    gpus: frozenset[int]
    nics: frozenset[int]

    def only(self, driver: str) -> NodeHardware:
        """The same with the GPUs of one driver alone."""
        of_driver = frozenset(number for key, number in self.index.items() if key[0] == driver)
        return NodeHardware(self.wiring, self.index, self.gpus & of_driver, self.nics)


Members = list[tuple[str, Wiring, frozenset[int]]]


class Fleet:
    """The nodes of a cluster with what is taken of them."""

    def __init__(self, objects: Objects, rules: Rules) -> None:
        """Wires every node.

        Args:
            objects: nodes, slices and classes.
            rules: how to read attributes and labels.
        """
        self.rules = rules
        self.tree: Tree = build_tree({node.name: node.metadata.labels for node in objects.nodes}, rules)
        wired = {node.name: hardware for node, hardware in _wired(objects, rules)}
        self.classes = _classes(objects, wired.values())
        self.nodes = {name: hardware.only(self.classes.gpu) for name, hardware in wired.items()}
        self.gpus = sum(len(node.gpus) for node in self.nodes.values())
        """Whole GPUs of the cluster."""
        self._taken: dict[str, set[int]] = {name: set() for name in self.nodes}
        self._free = Counter(self._left(name) for name in self.nodes)
        """How many nodes have so many GPUs and NICs free."""
        self._home = {key: name for name, node in self.nodes.items() for key in node.index}

    @property
    def node_gpus(self) -> int:
        """GPUs of the largest node."""
        return max((len(node.gpus) for node in self.nodes.values()), default=0)

    @property
    def node_nics(self) -> int:
        """NICs of a node with that many GPUs."""
        most = self.node_gpus
        return max((len(node.nics) for node in self.nodes.values() if len(node.gpus) == most), default=0)

    @property
    def free_gpus(self) -> int:
        """GPUs that nobody holds."""
        return sum(free * nodes for (free, _), nodes in self._free.items())

    def could_hold(self, shape: Shape) -> int:
        """How many pods of the shape could start by the free GPUs and NICs of nodes, CPU and memory aside."""
        return self._pods(shape, self._free)

    def when(self, shape: Shape, leaving: Iterable[tuple[float, Members]]) -> float:
        """When a job of the shape could start if nothing came before it, by free GPUs and NICs alone.

        Args:
            shape: what the job asks for.
            leaving: when those who run leave, in that order, and what they hold.

        Returns:
            The time at which the one leaves whose devices are the last that are needed; infinite where all together
            are too few.
        """
        free = Counter(self._free)
        left: dict[str, tuple[int, int]] = {}
        for at, members in leaving:
            for node, _, devices in members:
                gpus, nics = before = left.get(node) or self._left(node)
                hardware = self.nodes[node]
                after = gpus + len(hardware.gpus & devices), nics + len(hardware.nics & devices)
                left[node] = after
                free[before] -= 1
                free[after] += 1
            if self._pods(shape, free) >= shape.pods:
                return at
        return inf

    def _pods(self, shape: Shape, free: Mapping[tuple[int, int], int]) -> int:
        nics = shape.nics if self.classes.nic else 0
        return sum(
            nodes * min(gpus // shape.gpus, left // nics if nics else gpus) for (gpus, left), nodes in free.items()
        )

    def startable(self, gpus: int) -> int:
        """GPUs of the largest job with so many GPUs a pod that could still start, NICs aside."""
        return sum(nodes * (free // gpus) * gpus for (free, _), nodes in self._free.items())

    def take(self, placements: Iterable[Placement]) -> Members:
        """Notes what placed pods got; where each of them is, with which devices.

        Raises:
            BookingError: a device is held already.
        """
        return self._book(placements, taken=True)

    def give_back(self, placements: Iterable[Placement]) -> None:
        """Notes that pods have gone.

        Raises:
            BookingError: a device was not held.
        """
        self._book(placements, taken=False)

    def bandwidth(self, members: Members) -> Bandwidth:
        """What a job with these devices can move."""
        return job_bandwidth(members, self.tree, self.rules)

    def _book(self, placements: Iterable[Placement], *, taken: bool) -> Members:
        members: Members = []
        for placement in placements:
            devices: dict[str, set[int]] = {}
            for used in placement.claims:
                allocation = used.claim.status.allocation
                for result in allocation.devices.results if allocation is not None else ():
                    key = (result.driver, result.pool, result.device)
                    node = self._home.get(key)
                    if node is None or result.share_id is not None:
                        continue
                    number = self.nodes[node].index[key]
                    if (number in self._taken[node]) is taken:
                        raise BookingError(f"{'/'.join(key)} {'is held twice' if taken else 'was not held'}")
                    before = self._left(node)
                    (self._taken[node].add if taken else self._taken[node].remove)(number)
                    self._move(before, self._left(node))
                    devices.setdefault(node, set()).add(number)
            members += [(node, self.nodes[node].wiring, frozenset(held)) for node, held in devices.items()]
        return members

    def _move(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        self._free[before] -= 1
        if not self._free[before]:
            del self._free[before]
        self._free[after] += 1

    def _left(self, node: str) -> tuple[int, int]:
        hardware, taken = self.nodes[node], self._taken[node]
        return len(hardware.gpus - taken), len(hardware.nics - taken)


def _wired(objects: Objects, rules: Rules) -> Iterator[tuple[Node, NodeHardware]]:
    """Every node with its hardware. Nodes whose devices have the same places share one wiring."""
    devices: dict[str, list[tuple[DeviceKey, Device]]] = {node.name: [] for node in objects.nodes}
    for one in objects.slices:
        if one.spec.node_name in devices:
            pool = one.spec.pool.name
            devices[one.spec.node_name] += [
                ((one.spec.driver, pool, device.name), device) for device in one.spec.devices
            ]
    known: dict[object, Wiring] = {}
    for node in objects.nodes:
        held = devices[node.name]
        wiring = wire([(key[0], device) for key, device in held], rules)
        kind = (wiring.locations, tuple(device.name for _, device in held))
        wiring = known.setdefault(kind, wiring)
        whole = [number for number, one in enumerate(wiring.locations) if one.kind == "gpu" and not one.part]
        nics = [number for number, one in enumerate(wiring.locations) if one.kind == "nic" and one.rdma]
        index = {key: number for number, (key, _) in enumerate(held)}
        yield node, NodeHardware(wiring, index, frozenset(whole), frozenset(nics))


def _classes(objects: Objects, nodes: Iterable[NodeHardware]) -> Classes:
    """The class that is called as the driver of most GPUs, and DRANET's class where it is there."""
    drivers: Counter[str] = Counter()
    for node in nodes:
        numbers = {number: key[0] for key, number in node.index.items()}
        drivers.update(numbers[number] for number in node.gpus)
    names = {one.name for one in objects.classes}
    usable = [driver for driver, _ in drivers.most_common() if driver in names]
    return Classes(usable[0] if usable else "", "dranet.net" if "dranet.net" in names else "")
