"""Hardware profiles: what they publish is what the API takes, and what real drivers say."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from fairlead.cli.checks import problems_of
from fairlead.placement import Planner
from fairlead.resource import Objects, ResourceSlice, expand, read_paths, read_text
from fairlead.simulation.hardware import PROFILES
from fairlead.simulation.hardware.mig import PARTITIONS
from fairlead.simulation.manifests import render
from fairlead.simulation.spec import as_cluster, build, parse_line

LINES = [name if not profile.extends else f"h100:nodes=9;{name}" for name, profile in PROFILES.items()]
EVERYTHING = "h100:nodes=9;gb200:racks=3,missing=4;mi300x;mig:nodes=2;power;bluefield;shared-nics;fabric:devices=3"


def slices_of(objects: Objects, driver: str, node: str = "") -> list[ResourceSlice]:
    return [one for one in objects.slices if one.spec.driver == driver and node in ("", one.spec.node_name)]


def values(objects: Objects, driver: str, node: str, attribute: str) -> list[object]:
    found = []
    for one in slices_of(objects, driver, node):
        for device in one.spec.devices:
            value = device.attributes.get(attribute)
            found.append(
                None if value is None else next(v for v in (value.string, value.int_, value.bool_) if v is not None)
            )
    return found


@pytest.mark.parametrize("line", [*LINES, EVERYTHING])
def test_the_api_server_takes_every_object(line: str) -> None:
    assert problems_of(build(parse_line(line))) == []


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("line", [*LINES, EVERYTHING])
def test_what_is_saved_reads_back_equal(line: str, form: str) -> None:
    made = build(parse_line(line))
    read, problems = read_text(render(made, form, "a title\nof two lines").encode(), "x")  # type: ignore[arg-type]
    assert not problems
    assert not read.warnings
    assert (read.nodes, read.slices, read.classes) == (made.nodes, made.slices, made.classes)


def test_the_same_spec_gives_the_same_text() -> None:
    assert render(build(parse_line(EVERYTHING)), "json") == render(build(parse_line(EVERYTHING)), "json")


def test_nothing_is_called_twice() -> None:
    made = build(parse_line(EVERYTHING))
    for names in ([node.name for node in made.nodes], [one.name for one in made.slices]):
        assert [name for name, count in Counter(names).items() if count > 1] == []
    uuids = [
        device.attributes["uuid"].string
        for one in made.slices
        for device in one.spec.devices
        if "uuid" in device.attributes
    ]
    assert len(set(uuids)) == len(uuids)


@pytest.mark.parametrize("profile", ["h100", "mi300x"])
def test_a_gpu_and_the_nic_of_its_rail_share_a_root(profile: str) -> None:
    made = build(parse_line(f"{profile}:nodes=1"))
    driver, root = {"h100": "gpu.nvidia.com", "mi300x": "gpu.amd.com"}[profile], "resource.kubernetes.io/pcieRoot"
    gpus, nics = values(made, driver, "", root), values(made, "dra.net", "", root)
    assert gpus == nics
    assert len(set(gpus)) == 8
    assert values(made, "dra.net", "", "dra.net/numaNode") == [0] * 4 + [1] * 4


def test_probe_order_is_another_order_of_the_same_gpus() -> None:
    plain, probed = (build(parse_line(f"h100:nodes=1,gpu-order={order}")) for order in ("pci", "probe"))
    bus = "resource.kubernetes.io/pciBusID"
    first, second = (values(made, "gpu.nvidia.com", "", bus) for made in (plain, probed))
    assert first == sorted(first, key=str)
    assert second != first
    assert sorted(second, key=str) == first
    names = [device.name for device in slices_of(probed, "gpu.nvidia.com")[0].spec.devices]
    assert names == [f"gpu-{minor}" for minor in range(8)]


def test_a_gb200_rack_is_one_nvlink_domain() -> None:
    made = build(parse_line("gb200:racks=2,missing=3"))
    assert len(made.nodes) == 33
    cliques = Counter(node.metadata.labels["nvidia.com/gpu.clique"] for node in made.nodes)
    assert sorted(cliques.values()) == [16, 17]
    for node in made.nodes:
        fabric = set(values(made, "dra.net", node.name, "oke.dra.net/gpuMemoryFabricId"))
        assert fabric == {node.metadata.labels["nvidia.com/gpu.clique"]}
        gpu_roots = values(made, "gpu.nvidia.com", node.name, "resource.kubernetes.io/pcieRoot")
        assert not set(gpu_roots) & set(values(made, "dra.net", node.name, "resource.kubernetes.io/pcieRoot"))
        assert values(made, "gpu.nvidia.com", node.name, "resource.kubernetes.io/numaNode") == [None] * 4


def test_every_rack_keeps_a_tray() -> None:
    made = build(parse_line("gb200:racks=2,trays=2,missing=10000"))
    assert len({node.metadata.labels["nvidia.com/gpu.clique"] for node in made.nodes}) == 2


def test_racks_lie_in_blocks_and_blocks_in_spines() -> None:
    made = build(parse_line("h100:nodes=24,per-rack=2,per-leaf=4,leaves-per-spine=3"))
    levels = [
        "cloud.provider.com/topology-rack",
        "network.topology.nvidia.com/block",
        "network.topology.nvidia.com/spine",
    ]
    for inner, outer in pairwise(levels):
        above: dict[str, set[str]] = {}
        for node in made.nodes:
            above.setdefault(node.metadata.labels[inner], set()).add(node.metadata.labels[outer])
        assert all(len(domains) == 1 for domains in above.values())
    counts = [len({node.metadata.labels[level] for node in made.nodes}) for level in levels]
    assert counts == [12, 6, 2]


def test_mig_instances_fit_on_the_gpu() -> None:
    for partition in PARTITIONS:
        assert max(partition.starts) + partition.slices <= 8


JOB = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {{name: t, namespace: ml}}
spec:
  spec:
    devices:
      requests:
      - name: r
        exactly: {{deviceClassName: {device_class}, count: {count}{more}}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: j, namespace: ml}}
spec:
  parallelism: {pods}
  completions: {pods}
  template:
    spec:
      containers: [{{name: c, resources: {{claims: [{{name: r}}]}}}}]
      resourceClaims: [{{name: r, resourceClaimTemplateName: t}}]
"""


HALF = """, selectors: [{cel: {expression: 'device.attributes["gpu.nvidia.com"].profile == "3g.40gb"'}}]"""
CREDITS = ", capacity: {requests: {credits: 4}}"
NX = "nx.device.power.ibm.com"
POWER = "power:nodes=1,credits=10,qos-credits=2"


@pytest.mark.parametrize(
    ("line", "device_class", "count", "more", "pods", "fit"),
    [
        ("h100:nodes=2", "gpu.nvidia.com", 4, "", 5, 4),
        ("gb200:racks=1,trays=2", "dranet.net", 8, "", 3, 2),
        ("mi300x:nodes=1", "gpu.amd.com", 2, "", 5, 4),
        ("mig:nodes=1", "gpu.nvidia.com", 1, "", 9, 8),
        (
            "mig:nodes=1",
            "mig.nvidia.com",
            1,
            ', selectors: [{cel: {expression: \'device.attributes["gpu.nvidia.com"].profile == "3g.40gb"\'}}]',
            20,
            16,
        ),
        (
            POWER,
            NX,
            1,
            CREDITS,
            4,
            2,
        ),
        (POWER, NX, 1, "", 20, 12),
        ("h100:nodes=1;bluefield", "dpu.fairlead.dev", 1, ", capacity: {requests: {bandwidth: 100G}}", 5, 4),
        ("h100:nodes=2;shared-nics", "nic.fairlead.dev", 1, ", capacity: {requests: {bandwidth: 60G}}", 8, 6),
        ("h100:nodes=5;fabric:devices=3", "fabric.fairlead.dev", 1, "", 9, 6),
    ],
)
def test_as_many_pods_fit_as_the_hardware_has_room_for(
    line: str, device_class: str, count: int, more: str, pods: int, fit: int
) -> None:
    text = JOB.format(device_class=device_class, count=count, more=more, pods=pods)
    job, problems = read_text(text.encode(), "x")
    assert not problems
    made = build(parse_line(line))
    waiting, faults = expand(job, [node.name for node in made.nodes])
    assert not faults
    planner = Planner(as_cluster(made))
    assert sum(planner.place(pod).placed for pod in waiting) == fit


def test_recorded_gb200_trays_say_the_same(shared: Path) -> None:
    """Names of devices, attributes and their types are those of the recording, redacted values aside."""
    folder = shared / "manifests" / "oci-gb200"
    recorded, problems = read_paths([str(folder / f"resourceslice-{name}.yaml") for name in ("gpu", "dranet")])
    assert not problems
    made = build(parse_line("gb200:racks=1,trays=1"))
    for driver in ("gpu.nvidia.com", "dra.net"):
        (real,), (ours,) = slices_of(recorded, driver), slices_of(made, driver)
        assert [device.name for device in ours.spec.devices] == [device.name for device in real.spec.devices]
        for one, other in zip(ours.spec.devices, real.spec.devices, strict=True):
            missing = {"oke.dra.net/hpcIslandId", "oke.dra.net/networkBlockId"}
            assert set(one.attributes) == set(other.attributes) - missing
            assert set(one.capacity) == set(other.capacity)
            free = ("uuid", "dra.net/mac", "oke.dra.net/")
            for name, value in one.attributes.items():
                if not name.startswith(free):
                    assert value == other.attributes[name], name
