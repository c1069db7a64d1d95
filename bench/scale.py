"""A cluster of thousands of nodes in one process: load, events, decisions.

    python bench/scale.py [--nodes N ...] [--taken PERCENT] [-o table|json]

Every node has 8 GPUs and 12 NICs on 4 PCIe roots, published as two slices, with names and addresses of their own. The
cluster is written as JSON and read back as `kubectl get -o json` would give it, with a claim for every device that is
taken. Then pods come and go: three requests and a constraint each (two GPUs and a NIC on one root, and one NIC more),
of shapes known and new, including one that fits nowhere. Times are of this machine; what to look at is how they grow.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from fairlead.allocator import Allocator, Decision
from fairlead.inventory import Features, Inventory
from fairlead.placement.finder import Finder
from fairlead.resource import DeviceClass, ResourceClaim, decode_hook, read_paths

ROOT = "resource.kubernetes.io/pcieRoot"
CLASSES = [
    {
        "metadata": {"name": "gpu"},
        "spec": {"selectors": [{"cel": {"expression": 'device.driver == "gpu.example.com"'}}]},
    },
    {
        "metadata": {"name": "nic"},
        "spec": {"selectors": [{"cel": {"expression": 'device.driver == "nic.example.com"'}}]},
    },
]


def node_devices(number: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The devices of one node by driver."""
    model = "H200" if number % 3 else "H100"
    yield (
        "gpu.example.com",
        [
            {
                "name": f"gpu-{i}",
                "attributes": {
                    "type": {"string": "gpu"},
                    "productName": {"string": model},
                    "uuid": {"string": f"GPU-{number:05d}-{i}"},
                    "driverVersion": {"version": "580.1.2"},
                    "index": {"int": i},
                    ROOT: {"string": f"pci{i // 2}"},
                    "resource.kubernetes.io/numaNode": {"int": i // 4},
                },
                "capacity": {"memory": {"value": "80Gi"}, "cores": {"value": "132"}},
            }
            for i in range(8)
        ],
    )
    yield (
        "nic.example.com",
        [
            {
                "name": f"nic-{i}",
                "attributes": {
                    "ifName": {"string": f"rdma{i}"},
                    "rdma": {"bool": True},
                    "mac": {"string": f"{number:06x}{i:02x}"},
                    "speed": {"int": 400},
                    ROOT: {"string": f"pci{i // 3}"},
                    "numaNode": {"int": i // 6},
                },
            }
            for i in range(12)
        ],
    )


def write_cluster(folder: Path, nodes: int, taken: float) -> None:
    """The slices and the claims of the cluster as two lists in JSON."""
    dice = random.Random(7)
    slices: list[dict[str, Any]] = []
    claims: list[dict[str, Any]] = []
    for number in range(nodes):
        node = f"node-{number:05d}"
        for driver, devices in node_devices(number):
            pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
            slices.append(
                {
                    "apiVersion": "resource.k8s.io/v1",
                    "kind": "ResourceSlice",
                    "metadata": {"name": f"{node}-{driver}"},
                    "spec": {"driver": driver, "nodeName": node, "pool": pool, "devices": devices},
                }
            )
            for device in devices:
                if dice.random() < taken:
                    claims.append(held(f"{node}-{device['name']}", driver, node, device["name"]))
    for name, items in (("slices", slices), ("claims", claims)):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        (folder / f"{name}.json").write_text(text)


def held(name: str, driver: str, pool: str, device: str) -> dict[str, Any]:
    """A claim that holds one device."""
    request = {"name": "r", "exactly": {"deviceClassName": driver[:3], "allocationMode": "ExactCount", "count": 1}}
    here = {"key": "metadata.name", "operator": "In", "values": [pool]}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "ml", "uid": name},
        "spec": {"devices": {"requests": [request]}},
        "status": {
            "allocation": {
                "devices": {"results": [{"request": "r", "driver": driver, "pool": pool, "device": device}]},
                "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [here]}]},
            },
            "reservedFor": [{"resource": "pods", "name": name, "uid": name}],
        },
    }


def pod_claim(name: str, model: str = "H200", gpus: int = 2, speed: int = 400) -> ResourceClaim:
    """Two GPUs and a NIC on one root, and one NIC anywhere."""

    def request(name: str, device_class: str, count: int, selector: str) -> dict[str, Any]:
        exactly = {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": count}
        return {"name": name, "exactly": {**exactly, "selectors": [{"cel": {"expression": selector}}]}}

    raw = {
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {
            "devices": {
                "requests": [
                    request("gpu", "gpu", gpus, f'device.attributes["gpu.example.com"].productName == "{model}"'),
                    request("nic", "nic", 1, f'device.attributes["nic.example.com"].speed >= {speed}'),
                    request("extra", "nic", 1, 'device.attributes["nic.example.com"].rdma'),
                ],
                "constraints": [{"requests": ["gpu", "nic"], "matchAttribute": ROOT}],
            }
        },
    }
    return msgspec.json.decode(json.dumps(raw).encode(), type=ResourceClaim, dec_hook=decode_hook)


def timed(work: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    """Milliseconds, and what the work returned."""
    start = time.perf_counter_ns()
    result = work(*given)
    return (time.perf_counter_ns() - start) / 1e6, result


def measure(nodes: int, taken: float) -> dict[str, Any]:
    """All figures for one size."""
    row: dict[str, Any] = {"nodes": nodes}
    with tempfile.TemporaryDirectory() as folder:
        write_cluster(Path(folder), nodes, taken)

        def load() -> tuple[Inventory, Finder, list[ResourceClaim]]:
            gc.disable()
            slices, wrong = read_paths([f"{folder}/slices.json"])
            claims, also_wrong = read_paths([f"{folder}/claims.json"])
            assert not wrong, wrong
            assert not also_wrong, also_wrong
            inventory = Inventory(slices.slices, claims.claims, features=Features())
            finder = Finder(inventory, allocator, {name: {} for name in inventory.node_names})
            gc.freeze()
            gc.enable()
            return inventory, finder, claims.claims

        classes = [msgspec.convert(entry, DeviceClass) for entry in CLASSES]
        allocator = Allocator(classes, Features())
        row["load s"], (inventory, finder, claims) = timed(load)
        row["load s"] /= 1000
    row["devices"] = sum(len(slice_.spec.devices) for slice_ in inventory.slices)
    row["resident MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def decide(claim: ResourceClaim) -> Decision | None:
        return next(finder.find([allocator.wanted(claim)]), None)

    dice = random.Random(3)
    events: list[float] = []
    for claim in dice.sample(claims, min(2000, len(claims))):
        released, _ = timed(inventory.remove_claim, claim)
        again, _ = timed(inventory.set_claim, claim)
        events += [released, again]
    row["event ms, worst"] = max(events)
    # A pod of a shape never seen, and one that no node can ever hold, on the cluster as it was loaded.
    row["first of a shape ms"], first = timed(decide, pod_claim("first"))
    row["fits"] = first is not None and first.fits
    row["first, fits nowhere ms"], nowhere = timed(decide, pod_claim("nowhere", gpus=3))
    assert nowhere is None
    row["first, no such model ms"], nothing = timed(decide, pod_claim("nothing", model="B300"))
    assert nothing is None
    # Pods come and go: each round frees or takes some devices, then a pod of each kind asks.
    known: list[float] = []
    fitting = 0
    churn = dice.sample(claims, min(400, len(claims)))
    for number, claim in enumerate(churn):
        inventory.remove_claim(claim)
        for wanted in (pod_claim(f"a{number}"), pod_claim(f"b{number}", gpus=3), pod_claim(f"c{number}", model="H100")):
            elapsed, decision = timed(decide, wanted)
            known.append(elapsed)
            if decision is not None and decision.fits:
                fitting += 1
                status = msgspec.structs.replace(wanted.status, allocation=decision.allocations()[0])
                inventory.set_claim(msgspec.structs.replace(wanted, status=status))
        inventory.set_claim(claim)
    row["decision ms, median"] = statistics.median(known)
    row["decision ms, worst"] = max(known)
    row["placed"] = fitting
    return row


def main() -> None:
    """Runs the sizes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[500, 1000, 2000, 5000])
    parser.add_argument("--taken", type=float, default=95.0, help="percent of devices that are taken")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    options = parser.parse_args()
    rows = [measure(nodes, options.taken / 100) for nodes in options.nodes]
    if options.output == "json":
        print(json.dumps(rows, indent=2))
        return
    for key in rows[0]:
        print(
            f"{key:26}"
            + "".join(f"{row[key]:>12.3f}" if isinstance(row[key], float) else f"{row[key]!s:>12}" for row in rows)
        )


if __name__ == "__main__":
    main()
