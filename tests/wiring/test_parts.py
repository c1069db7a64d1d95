"""What sets of devices are worth, by hand: each respect, and the order in which they decide."""

from __future__ import annotations

import pytest
from wired import CX7, NUMA, PCIE, Node, gpu, nic, slices

import builders
from builders import claim, request
from fairlead.placement.wiring import COMPACT, FIRST_FIT, SPREAD, DevicePolicy


def pair(gpus: int = 1, nics: int = 1) -> dict[str, object]:
    return claim(request("gpus", gpus, device_class="gpu"), request("nics", nics, device_class="nic"))


def chosen(node: Node, policy: DevicePolicy, asked: dict[str, object]) -> list[str]:
    decision, _ = node.choose(policy, asked)
    return sorted(node.names(decision))


def test_gpus_on_one_root_talk_faster_than_across_sockets() -> None:
    near = {"numa": 1, "root": "b"}
    node = Node(slices(gpu("gpu-0", PCIE, numa=0, root="a"), gpu("gpu-1", PCIE, **near), gpu("gpu-2", PCIE, **near)))
    two = claim(request("gpus", 2, device_class="gpu"))
    assert chosen(node, FIRST_FIT, two) == ["gpu-0", "gpu-1"]
    assert chosen(node, COMPACT, two) == ["gpu-1", "gpu-2"]
    assert chosen(node, SPREAD, two) == ["gpu-0", "gpu-1"]


@pytest.mark.parametrize(
    ("near", "far"),
    [
        ({"numa": 0, "root": "a", "switch": "s"}, {"numa": 0, "root": "a"}),
        ({"numa": 0, "root": "a"}, {"numa": 0, "root": "b"}),
        ({"numa": 0, "root": "c"}, {"numa": 1, "root": "b"}),
    ],
    ids=["switch before root", "root before NUMA node", "NUMA node before the rest"],
)
def test_the_closest_nic(near: dict[str, object], far: dict[str, object]) -> None:
    node = Node(slices(gpu("gpu-0", numa=0, root="a", switch="s"), nic("nic-0", **far), nic("nic-1", **near)))
    assert chosen(node, FIRST_FIT, pair()) == ["gpu-0", "nic-0"]
    for policy in (COMPACT, SPREAD):
        assert chosen(node, policy, pair()) == ["gpu-0", "nic-1"]


def test_every_gpu_its_nic() -> None:
    roots = ["a", "a", "b", "b"]
    gpus = [gpu(f"gpu-{number}", root=root) for number, root in enumerate(roots)]
    node = Node(slices(*gpus, nic("nic-0", root="a"), nic("nic-1", root="b")))
    assert chosen(node, FIRST_FIT, pair(2, 2)) == ["gpu-0", "gpu-1", "nic-0", "nic-1"]
    assert chosen(node, COMPACT, pair(2, 2)) == ["gpu-0", "gpu-2", "nic-0", "nic-1"]
    assert chosen(node, COMPACT, pair(2, 1)) == ["gpu-0", "gpu-1", "nic-0"]


def test_two_cards_carry_more_than_two_ports_of_one() -> None:
    buses = ["0000:01:00.0", "0000:01:00.1", "0000:02:00.0"]
    nics = [nic(f"nic-{number}", CX7, bus=bus, root="a") for number, bus in enumerate(buses)]
    node = Node(slices(gpu("gpu-0", root="a"), gpu("gpu-1", root="a"), *nics))
    assert chosen(node, FIRST_FIT, pair(2, 2)) == ["gpu-0", "gpu-1", "nic-0", "nic-1"]
    assert chosen(node, COMPACT, pair(2, 2)) == ["gpu-0", "gpu-1", "nic-0", "nic-2"]


def test_the_smaller_group_is_used_up_first() -> None:
    gpus = [gpu(f"gpu-{number}", numa=number // 4) for number in range(8)]
    node = Node(slices(*gpus), held=["gpu-4", "gpu-5"])
    assert chosen(node, COMPACT, claim(request("gpus", 2, device_class="gpu"))) == ["gpu-6", "gpu-7"]


def test_partitions_fill_a_gpu_that_is_in_use() -> None:
    sets = {f"set-{number}": {"memory": "2Gi"} for number in range(2)}
    parts = []
    for number in range(2):
        for half in range(2):
            uses = {f"set-{number}": {"memory": "1Gi"}}
            parts.append(gpu(f"gpu-{number}-{half}", bus=f"0000:0{number}:00.0", root=f"{number}", uses=uses))
            parts[-1]["attributes"]["type"] = {"string": "mig"}
    node = Node(slices(*parts, sets=sets), held=["gpu-1-0"])
    one = claim(request("part", 1, device_class="gpu"))
    assert chosen(node, FIRST_FIT, one) == ["gpu-0-0"]
    assert chosen(node, COMPACT, one) == ["gpu-1-1"]


def test_what_is_not_known_is_no_reason() -> None:
    node = Node(slices(gpu("gpu-0", PCIE), gpu("gpu-1", PCIE), gpu("gpu-2", PCIE)))
    decision, choice = node.choose(COMPACT, claim(request("gpus", 2, device_class="gpu")))
    assert node.names(decision) == ["gpu-0", "gpu-1"]
    assert choice.runner_up is None
    assert "a way that is not known between both" in str(choice.score)


def test_devices_of_other_kinds_by_the_same_rules() -> None:
    disks = [builders.device(f"disk-{number}", {NUMA: numa}) for number, numa in enumerate([0, 1, 1])]
    node = Node(slices(*disks))
    two = claim(request("disks", 2, device_class="disk"))
    assert chosen(node, COMPACT, two) == ["disk-1", "disk-2"]
    assert chosen(node, SPREAD, two) == ["disk-0", "disk-1"]


def test_in_words() -> None:
    spots = [{"numa": number // 2, "root": f"{number}"} for number in range(3)]
    gpus = [gpu(f"gpu-{number}", **spot) for number, spot in enumerate(spots)]
    node = Node(slices(*gpus, *[nic(f"nic-{number}", **spot) for number, spot in enumerate(spots)]))
    _, choice = node.choose(COMPACT, pair(2, 2))
    assert str(choice.score) == (
        "all-reduce 300 GB/s, NVLink between both; 2 of 2 GPUs with their NIC on one PCIe root; 63 GB/s network; "
        "1 NUMA node; leaves 1 GPU and 1 NIC together on one NUMA node"
    )
    assert choice.runner_up is not None
    assert choice.runner_up_names == ("nic-0", "nic-2", "gpu-0", "gpu-2")
    assert choice.runner_up.behind(choice.score) == "2 NUMA nodes (the choice: 1 NUMA node)"
    assert any("nvlink 300 GB/s" in limit for limit in choice.limits)
