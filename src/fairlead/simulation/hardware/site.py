"""A cluster that is being built: nodes with labels and amounts, what drivers publish of them, and the classes.

Holds what the API asks of slices: at most 128 devices in one, 64 where devices consume counters, counters in slices of
their own with at most 8 sets, and the right count of slices in every pool. Names of slices are `<pool>-<driver>-<n>`
where a real driver appends random letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairlead.resource import (
    CELDeviceSelector,
    CounterSet,
    Device,
    DeviceClass,
    DeviceClassSpec,
    DeviceSelector,
    Node,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeStatus,
    ObjectMeta,
    Objects,
    Quantity,
    ResourcePool,
    ResourceSlice,
    ResourceSliceSpec,
)

DEVICES_MAX = 128
DEVICES_MAX_ADVANCED = 64
COUNTER_SETS_MAX = 8
API = "resource.k8s.io/v1"
ARCH = "kubernetes.io/arch"
RACK = "cloud.provider.com/topology-rack"


class Site:
    """Objects of a cluster, in the order in which they were added."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._slices: list[ResourceSlice] = []
        self._classes: dict[str, DeviceClass] = {}

    def add_node(self, name: str, arch: str, amounts: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Adds a node.

        Args:
            name: `metadata.name`, also its hostname label.
            arch: amd64, arm64 or ppc64le.
            amounts: its allocatable amounts, as quantities; 110 pods are added.
            labels: its other labels.
        """
        own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", ARCH: arch}
        allocatable = {key: Quantity.parse(value) for key, value in {**amounts, "pods": "110"}.items()}
        status = NodeStatus(allocatable=allocatable, capacity=allocatable)
        meta = ObjectMeta(name=name, labels=own | dict(labels))
        self.nodes.append(Node(api_version="v1", kind="Node", metadata=meta, status=status))

    def publish(
        self,
        driver: str,
        devices: Sequence[Device],
        *,
        pool: str,
        only: tuple[str, str] | None = None,
        counters: Sequence[CounterSet] = (),
    ) -> None:
        """Adds the slices of one pool.

        Args:
            driver: name of the driver.
            devices: in the order in which they are allocated.
            pool: name of the pool: of the node, where `only` is not given.
            only: label and value of the nodes that reach the pool.
            counters: what the devices share.
        """
        most = DEVICES_MAX_ADVANCED if any(device.consumes_counters for device in devices) else DEVICES_MAX
        pieces: list[tuple[list[Device], list[CounterSet]]] = []
        for start in range(0, len(counters), COUNTER_SETS_MAX):
            pieces.append(([], list(counters[start : start + COUNTER_SETS_MAX])))
        for start in range(0, len(devices), most):
            pieces.append((list(devices[start : start + most]), []))
        selector = None
        if only is not None:
            requirement = NodeSelectorRequirement(key=only[0], operator="In", values=[only[1]])
            selector = NodeSelector(node_selector_terms=[NodeSelectorTerm(match_expressions=[requirement])])
        for index, (members, sets) in enumerate(pieces):
            name = f"{pool}-{driver}" if len(pieces) == 1 else f"{pool}-{driver}-{index}"
            spec = ResourceSliceSpec(
                driver=driver,
                pool=ResourcePool(name=pool, generation=1, resource_slice_count=len(pieces)),
                node_name=pool if selector is None else None,
                node_selector=selector,
                devices=members,
                shared_counters=sets,
            )
            meta = ObjectMeta(name=name)
            self._slices.append(ResourceSlice(api_version=API, kind="ResourceSlice", metadata=meta, spec=spec))

    def need_class(self, name: str, expression: str) -> None:
        """Makes sure that a DeviceClass is there."""
        selector = DeviceSelector(cel=CELDeviceSelector(expression=expression))
        spec = DeviceClassSpec(selectors=[selector])
        meta = ObjectMeta(name=name)
        self._classes.setdefault(name, DeviceClass(api_version=API, kind="DeviceClass", metadata=meta, spec=spec))

    def objects(self) -> Objects:
        """Everything that was added."""
        return Objects(nodes=list(self.nodes), slices=list(self._slices), classes=list(self._classes.values()))
