"""Where devices sit: what drivers publish, what is inferred by which rule, and what stays unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
from machines import BUS, DRANET, NUMA, NVIDIA, ROOT, SRIOV, device, gb200, gpu, hgx, mi300x, nic, wired

from fairlead.resource import read_paths
from fairlead.topology import Wiring


def recorded(shared: Path, folder: str) -> Wiring:
    """A recorded machine, GPUs first."""
    files = [shared / "manifests" / folder / f"resourceslice-{kind}.yaml" for kind in ("gpu", "dranet")]
    found = [read_paths([str(file)])[0].slices for file in files]
    return wired((one.spec.driver, device) for slices in found for one in slices for device in one.spec.devices)


def test_published_facts_carry_the_attribute_that_gave_them() -> None:
    found = wired([gpu("g", bus="0000:18:00.0", root="pci0000:18", numa=1)]).locations[0]
    assert (found.kind, found.bus, found.root, found.numa) == ("gpu", "0000:18:00.0", "pci0000:18", 1)
    assert found.sources["bus"] == f"attribute {BUS}"
    assert found.sources["numa"] == f"attribute {NUMA}"
    assert found.sources["model"] == "attribute productName"


def test_every_known_fact_has_a_source_and_no_other() -> None:
    for machine in (hgx(), gb200(), gb200("fabric-1"), mi300x(), [gpu("bare")]):
        for found in wired(machine).locations:
            facts = ("model", "bus", "switch", "root", "numa", "rail", "nvlink", "rdma", "port")
            assert set(found.sources) == {f for f in facts if getattr(found, f) not in ("", None)}


def test_a_device_that_says_nothing_has_no_facts() -> None:
    for driver in (NVIDIA, "unheard.example.com"):
        found = wired([device(driver, "d", {})]).locations[0]
        assert not found.sources
        assert (found.bus, found.root, found.numa, found.rail, found.nvlink) == ("", "", None, None, "")


@pytest.mark.parametrize(
    ("driver", "attributes", "numa"),
    [
        (DRANET, {"dra.net/numaNode": 1}, 1),
        (DRANET, {"numaNode": 1}, 1),  # the driver's own domain may be left out
        (SRIOV, {"dra.net/numaNode": 0}, 0),
        ("gpu.amd.com", {"numaNode": 3}, 3),
        ("dra.cpu", {"dra.cpu/numaNodeID": 2}, 2),
        ("spyre.ibm.com", {"numaInfo": "1"}, 1),
        ("spyre.ibm.com", {"numaInfo": "none"}, None),
        ("any.example.com", {NUMA: 1, "dra.net/numaNode": 0}, 1),
        ("any.example.com", {"numaNode": 1}, None),  # a name that no rule knows
        ("any.example.com", {NUMA: -1}, None),  # Linux for "none"
        ("any.example.com", {NUMA: True}, None),
        ("any.example.com", {NUMA: [1]}, 1),
        ("any.example.com", {NUMA: [0, 1]}, None),
    ],
)
def test_numa_nodes_of_all_drivers(driver: str, attributes: dict[str, object], numa: int | None) -> None:
    assert wired([device(driver, "d", attributes)]).locations[0].numa == numa


@pytest.mark.parametrize(
    ("driver", "attributes", "kind", "part"),
    [
        (NVIDIA, {"type": "gpu"}, "gpu", False),
        (NVIDIA, {"type": "mig"}, "gpu", True),
        ("gpu.amd.com", {"parentPciAddr": "0000:05:00.0"}, "gpu", True),
        ("gpu.intel.com", {"type": "vf"}, "gpu", True),
        (DRANET, {"dra.net/virtual": False}, "nic", False),
        (DRANET, {"dra.net/virtual": True}, "other", False),
        ("compute-domain.nvidia.com", {}, "other", False),
        ("spyre.ibm.com", {}, "accelerator", False),
        ("spyre.ibm.com", {"productId": "06a8"}, "accelerator", True),
        ("nx.device.power.ibm.com", {"type": "nx-gzip"}, "accelerator", False),
        ("unheard.example.com", {}, "other", False),
    ],
)
def test_kinds(driver: str, attributes: dict[str, object], kind: str, part: bool) -> None:
    found = wired([device(driver, "d", attributes)]).locations[0]
    assert (found.kind, found.part) == (kind, part)


def test_something_that_is_no_address_is_none() -> None:
    found = wired([device(SRIOV, "vf", {"pciAddress": "0000:3B:02.1", "pfPciAddress": "0"})]).locations[0]
    assert (found.bus, found.port) == ("0000:3b:02.1", "0000:3b:02.1")
    assert found.sources["port"] == "rule port-of-bus"


def test_a_virtual_function_belongs_to_the_port_of_its_parent() -> None:
    found = wired([device(SRIOV, "vf", {"pciAddress": "0000:3b:02.1", "pfPciAddress": "0000:3b:00.0"})]).locations[0]
    assert found.port == "0000:3b:00.0"


def test_gb200_gpus_get_their_numa_node_from_the_pci_domain() -> None:
    found = wired(gb200()).locations[:4]
    assert [one.numa for one in found] == [0, 0, 1, 1]
    assert {one.sources["numa"] for one in found} == {"rule gb200-numa-by-pci-domain"}


def test_the_rule_for_gb200_leaves_other_machines_alone() -> None:
    alone = {"bus": "0008:06:00.0", "root": "pci0008:00"}
    assert wired([gpu("g", "NVIDIA GB300", **alone)]).locations[0].numa is None
    assert wired([gpu("g", "NVIDIA H100 80GB HBM3", **alone)]).locations[0].numa is None
    elsewhere = wired(gb200(domains=("0008", "0009", "0018", "0020"))).locations[:4]
    assert [one.numa for one in elsewhere] == [None] * 4  # a board that is wired otherwise


def test_the_rule_for_gb200_gives_way_to_a_driver_that_says_otherwise() -> None:
    tray = gb200()
    tray[0] = gpu("gpu-0", "NVIDIA GB200", bus="0008:06:00.0", root="pci0008:00", numa=1)
    assert [one.numa for one in wired(tray).locations[:4]] == [1, None, None, None]


def test_devices_of_one_root_share_the_numa_node_that_one_of_them_publishes() -> None:
    found = wired([gpu("g", root="pci0000:10"), nic("n", "0000:10:1b.0", root="pci0000:10", numa=1)]).locations[0]
    assert found.numa == 1
    assert found.sources["numa"] == "rule numa-of-root"


def test_a_root_with_two_numa_nodes_gives_none() -> None:
    root = "pci0000:10"
    devices = [
        gpu("g", root=root),
        nic("a", "0000:10:1b.0", root=root, numa=0),
        nic("b", "0000:10:1c.0", root=root, numa=1),
    ]
    assert wired(devices).locations[0].numa is None


def test_nvswitch_joins_the_gpus_of_a_node_only() -> None:
    gpus = wired(hgx()).locations[:8]
    assert {one.nvlink for one in gpus} == {"node/h100-sxm"}
    assert not any(one.spans for one in gpus)
    assert gpus[0].sources["nvlink"] == "rule model h100-sxm"


def test_the_domain_of_a_gb200_tray_is_that_which_a_device_of_the_node_publishes() -> None:
    wiring = wired(gb200("fabric-7"))
    assert {one.nvlink for one in wiring.locations[:4]} == {"fabric-7"}
    assert all(one.spans for one in wiring.locations[:4])
    assert {one.nvlink for one in wiring.locations[4:]} == {""}  # NICs have no part in it
    assert {one.nvlink for one in wired(gb200()).locations[:4]} == {"node/gb200"}


def test_a_published_fabric_says_nothing_of_gpus_that_cannot_span() -> None:
    devices = [*hgx()[:8], nic("n", "0000:18:01.0", fabric="fabric-7")]
    assert wired(devices).locations[0].nvlink == "node/h100-sxm"


def test_pcie_cards_and_partitions_are_in_no_domain() -> None:
    assert wired([gpu("g", "NVIDIA H100 PCIe")]).locations[0].nvlink == ""
    assert wired([gpu("g", type="mig")]).locations[0].nvlink == ""


def test_rails_follow_pci_order_and_a_gpu_is_on_the_rail_of_its_nic() -> None:
    found = wired(reversed(hgx())).locations
    by_name = dict(
        zip([f"nic-{i}" for i in range(7, -1, -1)] + [f"gpu-{i}" for i in range(7, -1, -1)], found, strict=True)
    )
    assert [by_name[f"nic-{i}"].rail for i in range(8)] == list(range(8))
    assert [by_name[f"gpu-{i}"].rail for i in range(8)] == list(range(8))
    assert by_name["gpu-3"].sources["rail"] == "rule rails-by-pci-order"


def test_nics_apart_from_gpus_and_nics_without_rdma_make_no_rail() -> None:
    storage = nic("storage", "0000:01:00.0", root="pci0000:00")
    front = nic("front", "0000:18:02.0", root="pci0000:18", rdma=False)
    found = wired([*hgx(), storage, front]).locations
    assert [one.rail for one in found] == [*range(8), *range(8), None, None]


def test_four_nics_of_one_gpu_are_one_rail() -> None:
    devices = [
        *(gpu(f"g{r}", root=f"pci0000:{r}0") for r in (1, 2)),
        *(nic(f"n{r}{i}", f"0000:{r}0:0{i}.0", root=f"pci0000:{r}0") for r in (1, 2) for i in range(4)),
    ]
    assert [one.rail for one in wired(devices).locations] == [0, 1, 0, 0, 0, 0, 1, 1, 1, 1]


def test_which_of_two_nics_is_whose_is_unknown() -> None:
    root = "pci0000:10"
    devices = [
        *(gpu(f"g{i}", root=root) for i in (0, 1)),
        *(nic(f"n{i}", f"0000:10:0{i}.0", root=root) for i in (0, 1)),
    ]
    assert [one.rail for one in wired(devices).locations] == [None, None, 0, 1]


def test_gpus_are_on_the_rail_that_their_nics_publish() -> None:
    roots = [f"pci0000:{r}0" for r in (1, 2, 3, 4)]
    published = [(0, 3), (1, 0), (2, 1), (3, None), (2, 2)]
    devices = [
        *(gpu(f"g{r}", root=root) for r, root in enumerate(roots)),
        *(nic(f"n{i}", f"0000:{r}0:0{i}.0", root=roots[r], rail=rail) for i, (r, rail) in enumerate(published)),
    ]
    found = wired(devices).locations
    assert [one.rail for one in found] == [3, 0, None, None, 3, 0, 1, None, 2], "two rails beside one GPU say nothing"
    assert found[0].sources["rail"] == "rule rail-of-nic"


def test_partitions_do_not_count_as_gpus_that_share_nics() -> None:
    root = "pci0000:10"
    nics = [nic(f"n{i}", f"0000:10:0{i}.0", root=root) for i in (0, 1)]
    parts = [gpu(f"mig{i}", root=root, type="mig") for i in (0, 1)]
    assert [one.rail for one in wired([gpu("g", root=root), *nics, *parts]).locations] == [0, 0, 0, None, None]


def test_recorded_gb200(shared: Path) -> None:
    wiring = recorded(shared, "oci-gb200")
    gpus, nics = wiring.locations[:4], wiring.locations[4:]
    assert [one.numa for one in gpus] == [0, 0, 1, 1]
    assert [one.numa for one in nics] == [0] * 4 + [1] * 4
    assert {one.sources["numa"] for one in gpus} == {"rule gb200-numa-by-pci-domain"}
    assert [one.rail for one in nics] == list(range(8))
    kinds = [[wiring.link(a, b).kind for b in range(4, 12)] for a in range(4)]
    assert kinds == [["numa"] * 4 + ["system"] * 4] * 2 + [["system"] * 4 + ["numa"] * 4] * 2


def test_recorded_p4d(shared: Path) -> None:
    wiring = recorded(shared, "eks-gpu-efa")
    gpus = wiring.locations[:8]
    assert [one.rail for one in gpus] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [one.numa for one in gpus] == [0] * 4 + [1] * 4
    efa = [i for i, one in enumerate(wiring.locations) if one.rail is not None and one.kind == "nic"]
    assert [[wiring.link(a, b).kind == "root" for b in efa] for a in (0, 3, 7)] == [
        [True, False, False, False],
        [False, True, False, False],
        [False, False, False, True],
    ]
    assert wiring.locations[0].sources["root"] == f"attribute {ROOT}"
