"""How long a device policy takes on nodes of different sizes: the first time, and again for an equal pod.

Each row: the node, what a claim asks for, milliseconds for the first choice with its runner-up, microseconds for the
next one, and whether the choice is proven to be the best of all valid ones. Run: `python bench/devices.py`.
"""

from __future__ import annotations

import json
from time import perf_counter
from typing import Any

import msgspec

from fairlead.allocator import Allocator
from fairlead.inventory import Features, Inventory, NodeView
from fairlead.placement.wiring import COMPACT, SPREAD, Chooser
from fairlead.resource import DeviceClass, ResourceClaim, ResourceSlice, decode_hook
from fairlead.topology import default_rules

GPU, NIC = "gpu.nvidia.com", "dra.net"


def read(kind: Any, value: Any) -> Any:
    """An object out of JSON values."""
    return msgspec.json.decode(json.dumps(value), type=kind, dec_hook=decode_hook)


def published(driver: str, devices: list[dict[str, Any]]) -> ResourceSlice:
    """A slice of the node."""
    pool = {"name": "node", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": driver, "nodeName": "node", "pool": pool, "devices": devices}
    return read(ResourceSlice, {"metadata": {"name": f"{driver}-devices"}, "spec": spec})


def machine(gpus: int, nics: int, parts: int) -> list[ResourceSlice]:
    """GPUs with a PCIe root each and NICs on it, half of them on each NUMA node; each GPU in so many partitions."""
    made: dict[str, list[dict[str, Any]]] = {GPU: [], NIC: []}
    for number in range(gpus):
        place = {
            "resource.kubernetes.io/pcieRoot": {"string": f"pci{number:04x}:00"},
            "resource.kubernetes.io/numaNode": {"int": 2 * number // gpus},
        }
        for part in range(parts):
            about = {
                "productName": {"string": "NVIDIA H100 80GB HBM3"},
                "type": {"string": "mig" if parts > 1 else "gpu"},
                "resource.kubernetes.io/pciBusID": {"string": f"{number:04x}:01:00.0"},
            }
            made[GPU].append({"name": f"gpu-{number}-{part}", "attributes": {**about, **place}})
        for port in range(nics):
            about = {
                "dra.net/pciDevice": {"string": "MT2910 Family [ConnectX-7]"},
                "dra.net/rdma": {"bool": True},
                "dra.net/pciAddress": {"string": f"{number:04x}:{port + 2:02x}:00.0"},
            }
            made[NIC].append({"name": f"nic-{number}-{port}", "attributes": {**about, **place}})
    return [published(driver, devices) for driver, devices in made.items() if devices]


def claim(gpus: int, nics: int) -> ResourceClaim:
    """So many of each."""
    asked = [(name, count) for name, count in (("gpu", gpus), ("nic", nics)) if count]
    requests = [
        {"name": name, "exactly": {"deviceClassName": name, "allocationMode": "ExactCount", "count": count}}
        for name, count in asked
    ]
    return read(ResourceClaim, {"metadata": {"name": "c"}, "spec": {"devices": {"requests": requests}}})


def main() -> None:
    """Prints the table."""
    selector = 'device.driver == "{}"'
    classes = [
        read(
            DeviceClass,
            {"metadata": {"name": name}, "spec": {"selectors": [{"cel": {"expression": selector.format(driver)}}]}},
        )
        for name, driver in (("gpu", GPU), ("nic", NIC))
    ]
    rules = default_rules()
    print(f"{'GPUs x NICs (x parts)':22}{'asked':>9}{'policy':>9}{'first':>10}{'again':>10}  proven")
    for gpus, nics, parts, wanted in [
        (8, 1, 1, [(1, 1), (2, 2), (4, 4), (8, 8)]),
        (8, 4, 1, [(2, 8), (4, 4), (4, 16)]),
        (16, 1, 1, [(4, 4), (8, 8)]),
        (8, 1, 7, [(1, 0), (2, 2), (4, 0)]),
    ]:
        for asked in wanted:
            for policy in (COMPACT, SPREAD):
                features = Features()
                allocator = Allocator(classes, features)
                view: NodeView = Inventory(machine(gpus, nics, parts), [], (), features).view("node", {}, frozenset())
                chooser = Chooser(allocator, rules)
                decision = allocator.allocate(view, [allocator.wanted(claim(*asked))])
                start = perf_counter()
                _, choice = chooser.choose(decision, policy)
                first = perf_counter() - start
                start = perf_counter()
                for _ in range(20):
                    chooser.choose(decision, policy)
                again = (perf_counter() - start) / 20
                node = f"{gpus} x {nics}" + (f" x {parts}" if parts > 1 else "")
                counts = "+".join(map(str, asked))
                print(
                    f"{node:22}{counts:>9}{policy.name:>9}{first * 1e3:7.0f} ms{again * 1e6:7.0f} us  {choice.proven}"
                )


if __name__ == "__main__":
    main()
