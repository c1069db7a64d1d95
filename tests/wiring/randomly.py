"""Random wired nodes and claims, for laws."""

from __future__ import annotations

import random
from typing import Any

from wired import CX7, PCIE, ROOT, SXM, Node, gpu, nic, slices

from builders import claim, distinct, either, match, request


def random_place(rng: random.Random) -> dict[str, Any]:
    numa = rng.choice([0, 1])
    place: dict[str, Any] = {}
    if rng.random() < 0.9:
        place["numa"] = numa
    if rng.random() < 0.8:
        root = place["root"] = f"pci000{numa}:{rng.choice('12')}0"
        if rng.random() < 0.5:
            place["switch"] = f"{root}-{rng.choice('ab')}"
    return place


def random_node(rng: random.Random, shared: bool = False, partitions: bool = False) -> Node:
    """A node with up to five GPUs and five NICs, some of which are held; often one whose places are alike."""
    regular = rng.random() < 0.4
    model = rng.choice([SXM, PCIE])
    roots = rng.randint(2, 4)
    places = [{"numa": root // 2, "root": f"pci{root:04d}:00"} for root in range(roots)]
    devices = []
    sets = {}
    for number in range(roots if regular else rng.randint(2, 5)):
        place = places[number] if regular else random_place(rng)
        if partitions:
            sets[f"set-{number}"] = {"memory": "4Gi"}
            for part in range(2):
                bus = f"0000:0{number}:00.0"
                uses = {f"set-{number}": {"memory": rng.choice(["1Gi", "2Gi", "4Gi"])}}
                devices.append(gpu(f"gpu-{number}-{part}", model, bus=bus, uses=uses, **place))
                devices[-1]["attributes"]["type"] = {"string": "mig"}
        else:
            made = model if regular or rng.random() < 0.8 else rng.choice([SXM, PCIE])
            devices.append(gpu(f"gpu-{number}", made, **place))
    for number in range(roots if regular else rng.randint(0, 4 if shared else 5)):
        fields: dict[str, Any] = {"allowMultipleAllocations": True} if shared and rng.random() < 0.7 else {}
        bus = f"0000:{rng.choice(['a0', 'b0'])}:00.{number}"
        place = places[number] | {"bus": f"000{number}:00:00.0"} if regular else random_place(rng) | {"bus": bus}
        devices.append(nic(f"nic-{number}", CX7, **place, **fields))
    names = [one["name"] for one in devices]
    rng.shuffle(devices)
    held = [name for name in names if rng.random() < 0.15 and not shared and not partitions]
    return Node(slices(*devices, sets=sets), held)


def random_claims(rng: random.Random, constrained: bool = True) -> list[dict[str, Any]]:
    """One or two claims for GPUs and NICs, with everything that the API has."""
    gpus = request("gpus", rng.randint(1, 3), device_class="gpu")
    if rng.random() < 0.15:
        gpus = either("gpus", request("four", 4, device_class="gpu"), request("few", 2, device_class="gpu"))
    nics = request("nics", rng.choice([1, 1, 2, 3, "All"]), device_class="nic")
    asked = [gpus, nics] if rng.random() < 0.8 else [rng.choice([gpus, nics])]
    if rng.random() < 0.15:
        asked.append(request("watch", 1, device_class="gpu", adminAccess=True))
    if rng.random() < 0.15:
        asked.append(request("whatever", 1, device_class="any"))
    constraints = []
    if constrained and rng.random() < 0.4:
        names = [one["name"] for one in asked if one["name"] in ("gpus", "nics")]
        constraints.append(rng.choice([match, distinct])(ROOT, *rng.choice([names, names[:1]])))
    if len(asked) > 1 and not constraints and rng.random() < 0.4:
        return [claim(asked[0], name="one"), claim(*asked[1:], name="two")]
    return [claim(*asked, constraints=constraints)]
