"""The openb traces (Alibaba, cluster-trace-gpu-v2023) as Kubernetes objects.

Two CSV files: nodes (`sn,cpu_milli,memory_mib,gpu,model`) and pods (`name,cpu_milli,memory_mib,num_gpu,gpu_milli` and,
where a trace has it, `gpu_spec`: models separated by `|`). Other columns are not looked at.

A node becomes a Node and, where it has GPUs, a ResourceSlice. A GPU is a device that may be given several times, with
its model as an attribute and a consumable capacity of 1000 thousandths; so a part of a GPU is a request for so much of
it, a whole one a request for all of it, and several GPUs a count. Pods that ask for the same devices have claims of one
spec, as from one ResourceClaimTemplate. More than 1000 thousandths of a GPU count as 1000.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from fairlead.inventory import Features
from fairlead.placement import Cluster
from fairlead.resource import (
    CapacityRequirements,
    CELDeviceSelector,
    Container,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    DeviceClaim,
    DeviceClass,
    DeviceClassSpec,
    DeviceRequest,
    DeviceSelector,
    ExactDeviceRequest,
    Node,
    NodeStatus,
    ObjectMeta,
    PlannedPod,
    Pod,
    PodClaim,
    PodSpec,
    Quantity,
    ResourceClaim,
    ResourceClaimSpec,
    ResourcePool,
    ResourceRequirements,
    ResourceSlice,
    ResourceSliceSpec,
)

DRIVER: Final = "gpu.openb.example.com"
CAPACITY: Final = f"{DRIVER}/milli"
WHOLE: Final = 1000
"""Thousandths in a GPU."""
NAMESPACE: Final = "openb"
_MAX_GPUS: Final = 128
"""`ResourceSliceMaxDevices`; a claim can have no more than 32 of them."""
_MAX_ASKED: Final = 32
_MIB: Final = 2**20


class TraceError(ValueError):
    """A trace that cannot be used: file, line, column and reason on one line."""


class NodeRow(NamedTuple):
    """One node of a trace."""

    name: str
    cpu_milli: int
    memory_mib: int
    gpus: int
    model: str


class PodRow(NamedTuple):
    """One pod of a trace; without GPUs, `gpu_milli` is 0."""

    name: str
    cpu_milli: int
    memory_mib: int
    num_gpu: int
    gpu_milli: int
    models: tuple[str, ...]
    """The GPU models that it may have; empty for any."""


def read_nodes(text: str, source: str) -> list[NodeRow]:
    """The nodes of a CSV file.

    Args:
        text: the content of the file.
        source: what messages call it.

    Raises:
        TraceError: a column is missing, a value is none, or two nodes have one name.
    """
    rows = []
    for cells in _cells(text, source, ("sn", "cpu_milli", "memory_mib", "gpu", "model")):
        gpus = cells.number("gpu", _MAX_GPUS)
        model = cells.text("model")
        if gpus and not model:
            raise cells.error("model", "a node with GPUs must name their model")
        rows.append(NodeRow(cells.name("sn"), cells.number("cpu_milli"), cells.number("memory_mib"), gpus, model))
    _check_names([row.name for row in rows], source, "sn")
    return rows


def read_pods(text: str, source: str) -> list[PodRow]:
    """The pods of a CSV file; arguments and errors as for `read_nodes`."""
    rows = []
    for cells in _cells(text, source, ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")):
        count = cells.number("num_gpu", _MAX_ASKED)
        milli = min(cells.number("gpu_milli"), WHOLE) if count else 0
        if count and not milli:
            raise cells.error("gpu_milli", "a pod with GPUs must ask for more than 0 of each")
        spec = cells.text("gpu_spec") if "gpu_spec" in cells.values else ""
        models = tuple(sorted(set(filter(None, spec.split("|"))))) if count else ()
        amounts = (cells.number("cpu_milli"), cells.number("memory_mib"))
        rows.append(PodRow(cells.name("name"), *amounts, count, milli, models))
    _check_names([row.name for row in rows], source, "name")
    return rows


@dataclass(frozen=True, slots=True)
class _Cells:
    """One row by column."""

    values: Mapping[str, str]
    source: str
    line: int

    def text(self, column: str) -> str:
        return self.values[column].strip()

    def name(self, column: str) -> str:
        name = self.text(column)
        if not name:
            raise self.error(column, "must not be empty")
        return name

    def number(self, column: str, most: int = 2**53) -> int:
        # Tools that fill gaps in a column write whole numbers as 1000.0.
        text = self.text(column).removesuffix(".0")
        if not (text.isascii() and text.isdigit()):
            raise self.error(column, f"{text!r} is not a whole number of 0 or more")
        if len(text) > 20 or int(text) > most:
            raise self.error(column, f"{text[:24]} is more than {most}")
        return int(text)

    def error(self, column: str, reason: str) -> TraceError:
        return TraceError(f"{self.source}, line {self.line}, column {column}: {reason}")


def _cells(text: str, source: str, columns: Sequence[str]) -> Iterator[_Cells]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            line = reader.line_num
            if header is None:
                header = [name.strip() for name in row]
                for column in columns:
                    if column not in header:
                        raise TraceError(f"{source}, line 1, column {column}: the header does not name it")
                continue
            if not row:
                continue
            if len(row) != len(header):
                # The first column without a partner says where to look.
                where = header[len(row)] if len(row) < len(header) else len(header) + 1
                reason = f"the row has {len(row)} values, the header {len(header)}"
                raise TraceError(f"{source}, line {line}, column {where}: {reason}")
            yield _Cells(dict(zip(header, row, strict=True)), source, line)
    except csv.Error as error:
        raise TraceError(f"{source}, line {reader.line_num}, column 1: not CSV: {error}") from None
    if header is None:
        raise TraceError(f"{source}, line 1, column {columns[0]}: the file is empty, it must begin with a header")


def _check_names(names: Sequence[str], source: str, column: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise TraceError(f"{source}, column {column}: {name} is there twice")
        seen.add(name)


def cluster(rows: Sequence[NodeRow]) -> Cluster:
    """The nodes with their GPUs, nothing taken."""
    expression = f'device.driver == "{DRIVER}"'
    selector = DeviceSelector(cel=CELDeviceSelector(expression=expression))
    gpu_class = DeviceClass(metadata=ObjectMeta(name="gpu"), spec=DeviceClassSpec(selectors=[selector]))
    return Cluster(
        nodes=[_node(row) for row in rows],
        slices=[_slice(row) for row in rows if row.gpus],
        classes=[gpu_class],
        features=Features(),
    )


def _node(row: NodeRow) -> Node:
    amounts = {"cpu": _milli(row.cpu_milli), "memory": _mib(row.memory_mib)}
    return Node(
        api_version="v1", kind="Node", metadata=ObjectMeta(name=row.name), status=NodeStatus(allocatable=amounts)
    )


def _slice(row: NodeRow) -> ResourceSlice:
    devices = [
        Device(
            name=f"gpu-{number}",
            attributes={f"{DRIVER}/model": DeviceAttribute(string=row.model)},
            capacity={CAPACITY: DeviceCapacity(value=Quantity.from_int(WHOLE))},
            allow_multiple_allocations=True,
        )
        for number in range(row.gpus)
    ]
    return ResourceSlice(
        metadata=ObjectMeta(name=f"{row.name}-gpu"),
        spec=ResourceSliceSpec(
            driver=DRIVER,
            node_name=row.name,
            pool=ResourcePool(name=row.name, generation=1, resource_slice_count=1),
            devices=devices,
        ),
    )


def _milli(amount: int) -> Quantity:
    return Quantity.from_nano(amount * 10**6)


def _mib(amount: int) -> Quantity:
    return Quantity.from_int(amount * _MIB, "BinarySI")


class PodMaker:
    """Makes the pods of rows; rows that ask for the same share the specs of pod and claim."""

    def __init__(self) -> None:
        self._specs: dict[tuple[int, int], PodSpec] = {}
        self._claims: dict[tuple[int, int, tuple[str, ...]], ResourceClaimSpec] = {}

    def pod(self, row: PodRow, name: str = "") -> PlannedPod:
        """The pod of a row, under another name where one is given."""
        metadata = ObjectMeta(name=name or row.name, namespace=NAMESPACE)
        pod = Pod(api_version="v1", kind="Pod", metadata=metadata, spec=self._pod_spec(row))
        claims: tuple[PodClaim, ...] = ()
        if row.num_gpu:
            meta = ObjectMeta(name=f"{metadata.name}-gpu", namespace=NAMESPACE)
            claims = (PodClaim("gpu", ResourceClaim(metadata=meta, spec=self._claim_spec(row)), generated=True),)
        return PlannedPod(pod=pod, owner="", group=None, claims=claims)

    def _pod_spec(self, row: PodRow) -> PodSpec:
        key = (row.cpu_milli, row.memory_mib)
        if key not in self._specs:
            requests = {"cpu": _milli(row.cpu_milli), "memory": _mib(row.memory_mib)}
            container = Container(name="main", resources=ResourceRequirements(requests=requests))
            self._specs[key] = PodSpec(containers=[container])
        return self._specs[key]

    def _claim_spec(self, row: PodRow) -> ResourceClaimSpec:
        key = (row.num_gpu, row.gpu_milli, row.models)
        if key not in self._claims:
            names = ", ".join(f'"{_escaped(model)}"' for model in row.models)
            expression = f'device.attributes["{DRIVER}"].model in [{names}]'
            selectors = [DeviceSelector(cel=CELDeviceSelector(expression=expression))] if row.models else []
            asked = ExactDeviceRequest(
                device_class_name="gpu",
                selectors=selectors,
                allocation_mode="ExactCount",
                count=row.num_gpu,
                capacity=CapacityRequirements(requests={CAPACITY: Quantity.from_int(row.gpu_milli)}),
            )
            requests = [DeviceRequest(name="gpu", exactly=asked)]
            self._claims[key] = ResourceClaimSpec(devices=DeviceClaim(requests=requests))
        return self._claims[key]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
