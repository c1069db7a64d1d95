"""Nodes with eight H100 that can be partitioned (MIG), with shared counters (KEP-4815).

As NVIDIA's driver with dynamic MIG publishes them: a counter set a GPU holds what it has and its eight memory slices;
every possible instance and the whole GPU are devices that consume of it. Sizes and places of the profiles are those of
the H100 80GB (NVIDIA MIG user guide). Profiles with media extensions (`1g.10gb+me`) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fairlead.resource import Counter, CounterSet, Device, DeviceCapacity, DeviceCounterConsumption, Quantity
from fairlead.simulation.hardware import nvidia
from fairlead.simulation.hardware.h100 import AMOUNTS, PLACES
from fairlead.simulation.hardware.layout import LEAVES_PER_SPINE, PER_LEAF, PER_RACK, node_name, place_labels
from fairlead.simulation.hardware.parts import BUS, NUMA, ROOT, attributes, capacity, uuid_of
from fairlead.simulation.hardware.profile import ZONE, Field, Part, Profile, name_field
from fairlead.simulation.hardware.site import Site

MEMORY_SLICES: Final = 8


@dataclass(frozen=True, slots=True)
class Partition:
    """A MIG profile: how large an instance is, and where on the GPU it can begin."""

    profile: str
    number: int
    """Id of the profile."""
    multiprocessors: int
    engines: int
    """Copy engines."""
    decoders: int
    """Of video, and as many of JPEG."""
    flow: int
    """Optical flow accelerators."""
    memory: str
    slices: int
    """Memory slices."""
    starts: tuple[int, ...]


PARTITIONS: Final = (
    Partition("1g.10gb", 19, 16, 1, 1, 0, "9856Mi", 1, (0, 1, 2, 3, 4, 5, 6)),
    Partition("1g.20gb", 15, 26, 1, 1, 0, "20096Mi", 2, (0, 2, 4, 6)),
    Partition("2g.20gb", 14, 32, 2, 2, 0, "20096Mi", 2, (0, 2, 4)),
    Partition("3g.40gb", 9, 60, 3, 3, 0, "40448Mi", 4, (0, 4)),
    Partition("4g.40gb", 5, 64, 4, 4, 0, "40448Mi", 4, (0,)),
    Partition("7g.80gb", 0, 132, 8, 7, 1, "81153Mi", 8, (0,)),
)
WHOLE: Final = PARTITIONS[-1]
"""What a GPU has to give to instances is what the largest takes."""


def _counters(partition: Partition, start: int) -> dict[str, Counter]:
    amounts = {
        "multiprocessors": str(partition.multiprocessors),
        "copy-engines": str(partition.engines),
        "decoders": str(partition.decoders),
        "encoders": "0",
        "jpeg-engines": str(partition.decoders),
        "ofa-engines": str(partition.flow),
        "memory": partition.memory,
        **{f"memory-slice-{index}": "1" for index in range(start, start + partition.slices)},
    }
    return {name: Counter(value=Quantity.parse(amount)) for name, amount in amounts.items()}


def _capacity(partition: Partition) -> dict[str, DeviceCapacity]:
    return capacity(
        multiprocessors=str(partition.multiprocessors),
        copyEngines=str(partition.engines),
        decoders=str(partition.decoders),
        encoders="0",
        jpegEngines=str(partition.decoders),
        ofaEngines=str(partition.flow),
        memory=partition.memory,
    )


def _devices(node: str, minor: int, bus: str, root: str, numa: int) -> list[Device]:
    """The whole GPU and every instance that it can hold."""
    counter_set = f"gpu-{minor}-counter-set"

    def consumes(partition: Partition, start: int) -> list[DeviceCounterConsumption]:
        return [DeviceCounterConsumption(counter_set=counter_set, counters=_counters(partition, start))]

    whole = nvidia.gpu(nvidia.H100, node, minor, bus, root, numa)
    made = [
        Device(
            name=whole.name,
            attributes=whole.attributes,
            capacity={**_capacity(WHOLE), **whole.capacity},
            consumes_counters=consumes(WHOLE, 0),
        )
    ]
    for partition in PARTITIONS:
        values = nvidia.model_attributes(nvidia.H100, "mig")
        values |= {"parentUUID": f"GPU-{uuid_of(f'{node}/gpu/{bus}')}", "profile": partition.profile}
        values |= {BUS: bus, ROOT: root, NUMA: numa}
        made.extend(
            Device(
                name=f"gpu-{minor}-mig-{partition.profile.replace('.', '')}-{partition.number}-{start}",
                attributes=attributes(values),
                capacity=_capacity(partition),
                consumes_counters=consumes(partition, start),
            )
            for start in partition.starts
        )
    return made


def _build(part: Part, site: Site) -> None:
    count = part.number("nodes")
    nvidia.need_classes(site)
    for number in range(count):
        node = node_name(part, number, count)
        rack, leaf = number // part.number("per-rack"), number // part.number("per-leaf")
        site.add_node(node, "amd64", AMOUNTS, place_labels(part, number, rack, leaf, "h100-mig"))
        devices: list[Device] = []
        counters = []
        for minor, (gpu, _, root) in enumerate(PLACES):
            devices += _devices(node, minor, f"0000:{gpu}:00.0", f"pci0000:{root}", minor // 4)
            counters.append(CounterSet(name=f"gpu-{minor}-counter-set", counters=_counters(WHOLE, 0)))
        site.publish(nvidia.DRIVER, devices, pool=node, counters=counters)


PROFILE = Profile(
    "mig",
    "nodes with 8 NVIDIA H100 that can be partitioned (MIG), as counters",
    (Field("nodes", 4, "number of nodes"), name_field("mig"), ZONE, PER_RACK, PER_LEAF, LEAVES_PER_SPINE),
    _build,
)
