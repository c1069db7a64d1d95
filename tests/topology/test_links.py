"""Links between two devices, and what a set of devices moves inside its node and out of it."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import AMD, H100, NUMA, NVIDIA, ROOT, SRIOV, device, gb200, gpu, hgx, mi300x, nic, wired
from test_facts import recorded

from fairlead.topology import LINK_KINDS, Wiring, read_rules

PCIE = "NVIDIA H100 PCIe"
SWITCHES = read_rules("attributes: {switch: [type]}", "test")
"""Rules that read a switch from an attribute that our GPUs have, as no driver publishes one yet."""


def cards(*places: tuple[str | None, str | None, int | None]) -> Wiring:
    """PCIe cards by switch, root and NUMA node."""
    devices = [gpu(f"g{i}", PCIE, type=s, root=r, numa=n) for i, (s, r, n) in enumerate(places)]
    return wired(devices, SWITCHES)


@pytest.mark.parametrize(
    ("one", "two", "kind"),
    [
        (("s", "r", 0), ("s", "r", 0), "switch"),
        (("s", "r", 0), ("t", "r", 0), "root"),
        (("s", "r", 0), (None, "r", 0), "root"),
        (("s", "r", 0), ("t", "q", 0), "numa"),
        (("s", "r", 0), ("t", "q", 1), "system"),
        ((None, "r", 0), (None, "q", None), "unknown"),
        ((None, None, None), (None, None, None), "unknown"),
        ((None, None, 1), (None, None, 1), "numa"),
    ],
)
def test_kinds_of_links(one: tuple[str, str, int], two: tuple[str, str, int], kind: str) -> None:
    link = cards(one, two).link(0, 1)
    assert (link.kind, link.rank) == (kind, LINK_KINDS.index(kind))


def test_worse_kinds_never_carry_more() -> None:
    places = [("s", "r", 0), ("s", "r", 0), ("t", "r", 0), ("u", "q", 0), ("v", "p", 1), ("w", "o", None)]
    wiring = cards(*places)
    links = [wiring.link(0, other) for other in range(1, 6)]
    assert [link.rank for link in links] == [1, 2, 3, 4, 5]
    assert [link.gbytes for link in links] == sorted((link.gbytes for link in links), reverse=True)


def test_links_are_the_same_from_both_ends() -> None:
    for machine in (hgx(), gb200(), mi300x()):
        wiring = wired(machine)
        count = len(wiring.locations)
        assert all(wiring.link(a, b) == wiring.link(b, a) for a in range(count) for b in range(count))


def test_there_is_no_such_device() -> None:
    with pytest.raises(IndexError):
        wired(hgx()).link(0, 99)


def test_what_is_assumed_says_so() -> None:
    unknown = wired([gpu("a", "Nobody X1", root="r"), gpu("b", "Nobody X1", root="r")]).link(0, 1)
    assert unknown.source.startswith("assumed, as the model is unknown: ")
    assert cards((None, "r", 0), (None, "q", 1)).link(0, 1).source.startswith("assumed between sockets: ")
    assert cards((None, "r", None), (None, "q", 1)).link(0, 1).source.startswith("the way is unknown, ")
    assert "assumed" not in wired(hgx()).link(0, 1).source


def test_a_partition_of_a_gpu_has_no_nvlink() -> None:
    wiring = wired([gpu("mig-0", type="mig", root="r"), gpu("mig-1", type="mig", root="q")])
    assert wiring.link(0, 1).kind == "unknown"


FABRIC = read_rules("attributes: {nvlink: [fabric]}", "test")
"""Rules that read the domain from an attribute."""


def test_one_domain_of_two_fabrics_joins_nobody() -> None:
    models = (H100, "NVIDIA A100-SXM4-80GB", H100)
    devices = [device(NVIDIA, f"g{i}", {"productName": m, "fabric": "f"}) for i, m in enumerate(models)]
    wiring = wired(devices, FABRIC)
    assert (wiring.link(0, 1).kind, wiring.link(0, 2).kind) == ("unknown", "nvlink")


def test_a_partition_that_names_a_domain_is_still_not_joined() -> None:
    devices = [device(NVIDIA, f"g{i}", {"productName": H100, "type": "mig", "fabric": "f"}) for i in range(2)]
    assert wired(devices, FABRIC).link(0, 1).kind == "unknown"


def test_two_meshes_are_not_one() -> None:
    facts = {"productName": "AMD_Instinct_MI300X_OAM", NUMA: 0}
    wiring = wired([device(AMD, f"g{i}", {**facts, "fabric": f"f{i // 2}"}) for i in range(4)], FABRIC)
    assert wiring.bandwidth([0, 1]).all_reduce == 64
    assert wiring.bandwidth(range(4)).all_reduce == wiring.bandwidth(range(4)).ring == 63


@pytest.mark.parametrize(
    ("model", "gbytes"),
    [(H100, 450), ("NVIDIA A100-SXM4-80GB", 300), ("NVIDIA H200", 450), ("NVIDIA B200", 900), ("NVIDIA GB200", 900)],
)
def test_switched_nvlink(model: str, gbytes: float) -> None:
    wiring = wired([gpu(f"g{i}", model) for i in range(8)])
    for count in (2, 3, 8):
        found = wiring.bandwidth(range(count))
        assert (found.ring, found.all_reduce) == (gbytes, gbytes)
        assert found.parts[0].startswith(f"g0 - g1: nvlink {gbytes} GB/s (NVIDIA ")


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_a_mesh_is_used_all_at_once(count: int) -> None:
    found = wired(mi300x()).bandwidth(range(count))
    assert (found.ring, found.all_reduce) == (64, 64 * (count - 1))


def test_one_gpu_has_nothing_to_move() -> None:
    wiring = wired(hgx())
    assert (wiring.bandwidth([0]).ring, wiring.bandwidth([0]).all_reduce) == (inf, inf)
    assert wiring.bandwidth([]).network == 0


def test_two_sockets_limit_a_ring_of_pcie_cards() -> None:
    wiring = cards((None, "r", 0), (None, "r", 0), (None, "q", 1), (None, "q", 1))
    assert wiring.bandwidth([0, 1]).ring == 63
    found = wiring.bandwidth(range(4))
    assert found.ring == 32
    assert found.parts[0].startswith("g0 - g2: system 32 GB/s (assumed between sockets")


def test_a_mixed_set_is_limited_by_its_worst_hop() -> None:
    wiring = wired([*mi300x(2), gpu("h", H100, numa=0)])
    assert wiring.bandwidth(range(3)).all_reduce < 64


def test_a_nic_under_the_gpus_root_carries_all_of_its_speed() -> None:
    wiring = wired(hgx())
    near, same_numa, far = (wiring.bandwidth([0, 8 + other]) for other in (0, 1, 7))
    assert (near.network, same_numa.network, far.network) == (50, 25, 16)
    assert not any("host memory" in part for part in near.parts)
    assert "gpu-0 - nic-1: only on the same NUMA node, through host memory: 25 GB/s" in same_numa.parts[-1]
    assert "gpu-0 - nic-7: on another NUMA node, through host memory: 16 GB/s" in far.parts[-1]


def test_eight_gpus_and_their_nics() -> None:
    assert wired(hgx()).bandwidth(range(16)).network == 400


def test_a_gpu_sends_no_more_than_its_own_link() -> None:
    root = "r"
    wiring = wired([gpu("g", root=root), *(nic(f"n{i}", f"0000:1{i}:00.0", root=root) for i in range(3))])
    assert [wiring.bandwidth([0, *range(1, 1 + count)]).network for count in (1, 2, 3)] == [50, 63, 63]


def test_gb200_reads_all_nics_of_its_numa_node_directly() -> None:
    wiring = wired(gb200())
    assert wiring.bandwidth([0, 4]).network == 50  # one of two ports of an 800 Gb/s card
    assert wiring.bandwidth([0, 4, 5, 6, 7]).network == 200
    assert wiring.bandwidth([0, 8]).network == 16
    assert wiring.bandwidth([0, 1, 2, 3, *range(4, 12)]).network == 400


def test_crossing_sockets_shares_the_way() -> None:
    wiring = wired(gb200())
    assert wiring.bandwidth([0, 1, 8, 9, 10, 11]).network == 16


def test_virtual_functions_share_their_port() -> None:
    attributes = {"pfDeviceID": "1021", "pfPciAddress": "0000:10:00.0", ROOT: "r"}
    functions = [device(SRIOV, f"vf{i}", {**attributes, "pciAddress": f"0000:10:02.{i}"}) for i in range(4)]
    wiring = wired([gpu("g", root="r"), *functions])
    assert wiring.bandwidth([0, 1]).network == wiring.bandwidth(range(5)).network == 50


def test_a_nic_of_unknown_speed_is_named_and_not_counted() -> None:
    found = wired([gpu("g", root="r"), nic("n", "0000:10:00.0", "Elastic Network Adapter (ENA)", root="r")]).bandwidth(
        [0, 1]
    )
    assert found.network == 0
    assert found.parts == ("n: its speed is unknown, so it is not counted",)


def test_gpus_with_network_ports_of_their_own() -> None:
    cards = [device("gaudi.intel.com", f"g{i}", {"model": "Gaudi3"}) for i in range(8)]
    found = wired(cards).bandwidth(range(8))
    assert (found.ring, found.all_reduce, found.network) == (75, 525, 600)


def test_nics_without_gpus_count_alone() -> None:
    assert wired(hgx()).bandwidth([8, 9]).network == 100


MACHINES = st.sampled_from([wired(hgx()), wired(gb200("f")), wired([*mi300x(), *hgx()[8:]]), wired([*hgx(PCIE)])])


@given(MACHINES, st.data())
def test_the_order_of_devices_does_not_matter(wiring: Wiring, data: st.DataObject) -> None:
    devices = data.draw(st.lists(st.integers(0, len(wiring.locations) - 1), max_size=8))
    shuffled = data.draw(st.permutations(devices))
    assert wiring.bandwidth(devices) == wiring.bandwidth(shuffled) == wiring.bandwidth([*devices, *devices])


@given(MACHINES, st.data())
def test_one_more_nic_never_lowers_what_goes_out(wiring: Wiring, data: st.DataObject) -> None:
    devices = data.draw(st.sets(st.integers(0, len(wiring.locations) - 1), max_size=8))
    if not any(wiring.locations[device].kind == "gpu" for device in devices):
        devices.add(0)
    more = data.draw(st.integers(0, len(wiring.locations) - 1))
    assert wiring.bandwidth({*devices, more}).network >= wiring.bandwidth(devices).network - 1e-6


@given(st.lists(st.sampled_from(["r0", "q0", "p1", "o1"]), min_size=3, max_size=8))
def test_one_more_pcie_card_never_makes_a_faster_ring(roots: list[str]) -> None:
    wiring = cards(*((None, root, int(root[1])) for root in roots))
    assert wiring.bandwidth(range(len(roots))).ring <= wiring.bandwidth(range(len(roots) - 1)).ring


@given(st.sampled_from([1, 100, 449.0]), st.integers(2, 8))
def test_a_slower_figure_never_makes_a_faster_set(gbytes: float, count: int) -> None:
    slower = read_rules(f"figures: [{{name: nvlink4, gbytes: {gbytes}, source: test}}]", "test")
    assert wired(hgx(), slower).bandwidth(range(count)).all_reduce <= wired(hgx()).bandwidth(range(count)).all_reduce


def test_recorded_gb200_measurements_stay_below_the_estimate(shared: Path) -> None:
    """The claim templates note 111 GB/s for a GPU with its four near ports, and less for one on the other NUMA node."""
    wiring = recorded(shared, "oci-gb200")
    assert wiring.bandwidth([0, 4, 5, 6, 7]).network >= 111
    assert wiring.bandwidth([0, 8]).network < wiring.bandwidth([0, 4]).network


def test_recorded_p4d(shared: Path) -> None:
    wiring = recorded(shared, "eks-gpu-efa")
    found = wiring.bandwidth(range(len(wiring.locations)))
    assert (found.ring, found.network) == (300, 50)  # 400 Gb/s, as AWS says of p4d


def test_amd_gpus_are_known_under_their_driver() -> None:
    driver, _ = mi300x(1)[0]
    assert driver == AMD
    assert wired(mi300x(2)).link(0, 1).kind == "nvlink"
