"""What is published of Spyre cards: of whole ones, of virtual functions, and of machines that answer badly."""

from __future__ import annotations

import json
import shutil
import threading
from collections import Counter

import msgspec
import pytest

from fairlead.drivers.spyre import SpyreDriver, make
from fairlead.hardware import RecordedMachine, Recording, RecordingMachine
from fairlead.topology import default_rules, wire
from tests.drivers.ibm import NODE, devices, replayed, slices
from tests.drivers.spyre.machines import (
    CARDS,
    TOPOLOGY,
    add_virtual,
    card,
    layout,
    lose,
    on_power,
    place,
)
from tests.drivers.spyre.machines import cards as make_cards
from tests.drivers.spyre.machines import with_virtual as make_virtual
from tests.hardware.tree import Tree

FIRST = "0000:1a:00.0"
GIB = 1 << 30


@pytest.fixture
def cards(tmp_path):
    return make_cards(tmp_path / "root")


@pytest.fixture
def virtual(tmp_path):
    return make_virtual(tmp_path / "root")


def driver(machine, **options):
    return SpyreDriver(machine, NODE, **options)


def found(tree, **options):
    pool = driver(tree.machine, **options).discover()
    return devices(pool), list(pool.problems)


def test_a_card_has_what_ibms_driver_says_and_the_standard_attributes(cards):
    seen, problems = found(cards)
    assert problems == []
    assert list(seen) == [address.replace(":", "-").replace(".", "-") for address in CARDS]
    assert seen["0000-3d-00-0"] == {
        "index": 4,
        "driverVersion": "0.1.0",
        "vendor": "1014",
        "driver": "vfio-pci",
        "productId": "06a7",
        "pciAddress": "0000:3d:00.0",
        "pfPciAddress": "",
        "isPf": True,
        "subClass": "00",
        "vfId": -1,
        "numaInfo": "1",
        "linkSpeed": "20.0 GB/s",
        "pcieSwitch": "0000:3b:00.0",
        "peerGroup0": "0000:3d:00.0",
        "peerDistance0": 4,
        "peerGroup1": "0000:1a:00.0",
        "peerDistance1": 10,
        "resource.kubernetes.io/pciBusID": "0000:3d:00.0",
        "resource.kubernetes.io/pcieRoot": "pci0000:3a",
        "resource.kubernetes.io/numaNode": 1,
        "memory": "128Gi",
    }


def test_the_nearest_peers_form_a_group(cards):
    seen, _ = found(cards)
    assert Counter(one["peerGroup0"] for one in seen.values()) == {"0000:1a:00.0": 4, "0000:3d:00.0": 4}
    assert {one["peerGroup1"] for one in seen.values()} == {"0000:1a:00.0"}


def test_virtual_functions_come_first_and_share_counters_with_their_card(virtual):
    pool = driver(virtual.machine).discover()
    assert len(pool.devices) == 8 + 64
    assert [one.name for one in pool.devices][:2] == ["0000-1a-00-1", "0000-1a-00-2"]
    assert pool.devices[64].name == "0000-1a-00-0"
    consumed = {
        one.name: [
            (use.counter_set, name, str(amount.value))
            for use in one.consumes_counters
            for name, amount in use.counters.items()
        ]
        for one in pool.devices
    }
    assert consumed["0000-1a-00-0"] == [("0000-1a-00-0", "virtual-functions", "8")]
    assert consumed["0000-1a-00-1"] == [("0000-1a-00-0", "virtual-functions", "1")]
    assert {one.name: str(one.counters["virtual-functions"].value) for one in pool.counters} == {
        address.replace(":", "-").replace(".", "-"): "8" for address in CARDS
    }
    assert pool.parts["0000-1a-00-1"] == "0000-1a-00-0"


def test_a_virtual_function_knows_its_card_and_sits_where_it_sits(virtual):
    seen, problems = found(virtual)
    assert problems == []
    one = seen["0000-3d-00-2"]
    assert {name: one[name] for name in ("productId", "isPf", "vfId", "pfPciAddress", "numaInfo", "memory")} == {
        "productId": "06a8",
        "isPf": False,
        "vfId": 1,
        "pfPciAddress": "0000:3d:00.0",
        "numaInfo": "1",
        "memory": "16Gi",
    }
    assert (one["peerGroup0"], one["pcieSwitch"]) == ("0000:3d:00.0", "0000:3b:00.0")


@pytest.mark.parametrize("machine", [make_cards, make_virtual])
def test_slices_are_valid_and_the_same_from_a_recording(tmp_path, machine):
    tree = machine(tmp_path / "root")
    live = driver(tree.machine)
    assert slices(live)
    assert slices(replayed(tree.machine, driver, tmp_path)) == slices(live)


def test_a_recording_has_what_health_says(cards, tmp_path):
    lose(cards, FIRST)
    again = replayed(cards.machine, driver, tmp_path)
    assert [one.device for one in again.health()] == ["0000-1a-00-0"]


def test_no_device_says_more_than_the_api_allows(tmp_path):
    tree = make_virtual(tmp_path)
    metadata = {
        "Clocks": {"RPD": "400MHz", "SOC": "1.0GHz"},
        "Memory": {"Boostable": True, "Freq": "6400", "Make": "X", "Size": "128 GB", "Speed": "fast"},
    }
    tree.file(TOPOLOGY, json.dumps(layout(metadata)))
    slices(driver(tree.machine))
    seen, problems = found(tree)
    assert problems == []
    assert {
        name: seen["0000-1a-00-0"][name] for name in ("clockRPD", "clockSOC", "memoryBoostable", "memoryVendor")
    } == {
        "clockRPD": "400MHz",
        "clockSOC": "1.0GHz",
        "memoryBoostable": True,
        "memoryVendor": "X",
    }


@pytest.mark.parametrize(
    ("size", "memory", "share"), [("64 GB", "64Gi", "8Gi"), ("131072MiB", "128Gi", "16Gi"), ("1T", "1Ti", "128Gi")]
)
def test_memory_is_what_the_topology_file_says(virtual, size, memory, share):
    virtual.file(TOPOLOGY, json.dumps(layout({"Memory": {"Size": size}})))
    seen, _ = found(virtual)
    assert (seen["0000-1a-00-0"]["memory"], seen["0000-1a-00-1"]["memory"]) == (memory, share)


def test_without_a_topology_file_the_kernel_says_where_cards_are(tmp_path):
    seen, problems = found(make_cards(tmp_path, topology=False))
    assert problems == []
    one = seen["0000-3d-00-0"]
    assert (one["numaInfo"], one["pcieSwitch"]) == ("1", "0000:3b:00.0")
    assert not {"linkSpeed", "peerGroup0", "peerDistance0"} & one.keys()


def test_cards_of_a_power_partition_have_roots_of_their_own(tmp_path):
    seen, problems = found(on_power(tmp_path))
    assert problems == []
    assert list(seen) == ["0481-50-00-0", "0482-60-00-0", "0483-70-00-0", "0484-80-00-0"]
    roots = [one["resource.kubernetes.io/pcieRoot"] for one in seen.values()]
    assert roots == ["pci0481:50", "pci0482:60", "pci0483:70", "pci0484:80"]
    assert not any("pcieSwitch" in one for one in seen.values())
    slices(driver(on_power(tmp_path / "again").machine))


def test_the_topology_file_is_found_by_node_or_by_name(tmp_path):
    tree = make_cards(tmp_path, topology=False)
    tree.file(f"/etc/aiu/topology/{NODE}", json.dumps(layout()))
    assert found(tree)[0]["0000-1a-00-0"]["peerDistance0"] == 4
    tree.file("/opt/mine.json", json.dumps({"devices": {FIRST: {"linkspeed": "mine"}}}))
    assert found(tree, topology="/opt/mine.json")[0]["0000-1a-00-0"]["linkSpeed"] == "mine"
    assert found(tree, topology="/opt/none.json")[1] == ["topology file: /opt/none.json: No such file or directory"]


def test_a_numa_node_that_only_the_topology_file_knows_is_the_standard_one(cards):
    cards.file(f"{place(cards, FIRST)}/numa_node", -1)
    seen, problems = found(cards)
    assert (seen["0000-1a-00-0"]["resource.kubernetes.io/numaNode"], problems) == (0, [])


def test_a_topology_file_that_disagrees_with_the_kernel_is_told(cards):
    cards.file(f"{place(cards, FIRST)}/numa_node", 1)
    seen, problems = found(cards)
    assert problems == [f"{FIRST}: is on NUMA node 1 for the kernel, on 0 by the topology file"]
    one = seen["0000-1a-00-0"]
    assert (one["resource.kubernetes.io/numaNode"], one["numaInfo"]) == (1, "0")


@pytest.mark.parametrize("rubbish", ["", "{", "[]", '{"devices": 3}', "\xff\x00"])
def test_a_topology_file_of_rubbish_costs_the_peers_only(cards, rubbish):
    cards.file(TOPOLOGY, rubbish)
    seen, problems = found(cards)
    assert len(seen) == 8
    assert "peerGroup0" not in seen["0000-1a-00-0"]
    assert len(problems) == 1
    assert problems[0].startswith(f"{TOPOLOGY}: ")


def test_a_bad_entry_of_the_topology_file_is_named_and_the_others_count(cards):
    wrong = layout()
    wrong["devices"][FIRST]["numanode"] = "left"
    wrong["devices"]["0000:3d:00.0"]["metadata"] = {"Memory": {"Size": "plenty"}}
    cards.file(TOPOLOGY, json.dumps(wrong))
    seen, problems = found(cards)
    assert "peerGroup0" not in seen["0000-1a-00-0"]
    assert seen["0000-1c-00-0"]["peerGroup0"] == FIRST
    assert len(problems) == 2
    assert problems[0].startswith(f"{TOPOLOGY}: {FIRST}: Expected `int")
    assert problems[1] == f"{TOPOLOGY}: 0000:3d:00.0: metadata.Memory.Size: 'plenty' is no size such as 128 GB"


def test_peers_that_do_not_agree_have_no_group(cards):
    wrong = layout()
    del wrong["devices"][FIRST]["peers"]["peers_0"]["0000:1c:00.0"]
    cards.file(TOPOLOGY, json.dumps(wrong))
    seen, problems = found(cards)
    assert "peerGroup0" not in seen["0000-1a-00-0"]
    assert seen["0000-3d-00-0"]["peerGroup0"] == "0000:3d:00.0"
    assert f"{TOPOLOGY}: {FIRST}: peers_0: its peers do not see the same peers: has no group" in problems


def test_a_function_of_another_driver_is_left_out_and_told(cards):
    cards.bind(FIRST, "spyre-native")
    seen, problems = found(cards)
    assert "0000-1a-00-0" not in seen
    assert problems == [f"{FIRST}: is bound to spyre-native, not to vfio-pci: is left out"]


def test_virtual_functions_of_a_card_that_is_not_ours_have_nothing_to_exclude(virtual):
    virtual.bind(FIRST, "spyre-native")
    pool = driver(virtual.machine).discover()
    one = next(device for device in pool.devices if device.name == "0000-1a-00-1")
    assert one.consumes_counters == []
    assert "0000-1a-00-1" not in pool.parts
    assert str(one.capacity["memory"].value) == "16Gi"


def test_functions_of_one_iommu_group_are_told(cards):
    link = cards.root / place(cards, FIRST).lstrip("/") / "iommu_group"
    link.unlink()
    link.symlink_to("/sys/kernel/iommu_groups/41")
    assert found(cards)[1] == [
        "0000:1a:00.0, 0000:1c:00.0: share IOMMU group 41: only one container can use one of them"
    ]


def told(live, changed, right):
    """The devices once they are right, looked at whenever a change is told: a look may fall between two changes."""
    while True:
        assert changed.wait(10)
        changed.clear()
        if right(found := devices(live.discover())):
            return found


def test_virtual_functions_appear_and_a_card_goes_and_comes_back(cards):
    live = driver(cards.machine)
    live.poll = 0.01
    changed, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=live.watch, args=(changed.set, stop))
    thread.start()
    try:
        assert changed.wait(10), "what came before the first look is not asked for"
        changed.clear()
        assert not changed.wait(0.1)
        add_virtual(cards, FIRST, 2, 100)
        seen = told(live, changed, lambda found: len(found) == 10)
        assert list(seen)[:2] == ["0000-1a-00-1", "0000-1a-00-2"]
        gone = place(cards, "0000:41:00.0")
        cards.remove("/sys/bus/pci/devices/0000:41:00.0")
        shutil.rmtree(cards.root / gone.lstrip("/"))
        told(live, changed, lambda found: "0000-41-00-0" not in found)
        card(cards, "0000:41:00.0", "pci0000:3a", ["0000:3a:01.0", "0000:3b:00.0", "0000:3c:03.0"], 1, 47)
        told(live, changed, lambda found: "0000-41-00-0" in found)
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("error", ["EACCES", "EIO"])
def test_one_card_that_cannot_be_read_is_named_and_the_others_are_found(cards, error):
    recording = Recording()
    driver(RecordingMachine(cards.machine, recording)).discover()
    path = f"{place(cards, FIRST)}/class"
    recording.files[path].error = error
    recording.files[TOPOLOGY].error = error
    pool = driver(RecordedMachine(recording)).discover()
    reason = {"EACCES": "Permission denied", "EIO": "Input/output error"}[error]
    assert pool.problems == [f"{FIRST}: {path}: {reason}", f"topology file: {TOPOLOGY}: {reason}"]
    assert len(pool.devices) == 7


@pytest.mark.parametrize("rubbish", ["", "card", "0x"])
def test_rubbish_of_one_card_is_named(cards, rubbish):
    cards.file(f"{place(cards, FIRST)}/class", rubbish)
    seen, problems = found(cards)
    assert len(seen) == 7
    assert problems[0].startswith(f"{FIRST}: {place(cards, FIRST)}/class: holds no number")


def test_a_machine_without_cards_has_nothing(tmp_path):
    assert found(Tree(tmp_path)) == ({}, [])


def test_the_topology_model_reads_cards_and_their_groups(virtual):
    pool = driver(virtual.machine).discover()
    wiring = wire([("spyre.ibm.com", one) for one in pool.devices], default_rules())
    by_name = dict(zip(wiring.names, wiring.locations, strict=True))
    card_ = by_name["0000-1a-00-0"]
    assert (card_.kind, card_.part, card_.model) == ("accelerator", False, "06a7")
    assert (card_.switch, card_.root, card_.numa) == ("0000:18:00.0", "pci0000:17", 0)
    part = by_name["0000-1a-00-1"]
    assert (part.kind, part.part, part.port) == ("accelerator", True, FIRST)
    index = {name: number for number, name in enumerate(wiring.names)}
    assert wiring.link(index["0000-1a-00-0"], index["0000-1c-00-0"]).kind == "switch"
    assert wiring.link(index["0000-1a-00-0"], index["0000-3d-00-0"]).kind == "system"


def test_the_topology_model_takes_the_nearest_peers_where_no_switch_is_seen(tmp_path):
    tree = make_cards(tmp_path)
    recording = Recording()
    pool = driver(RecordingMachine(tree.machine, recording)).discover()
    known = [
        msgspec.structs.replace(one, attributes={k: v for k, v in one.attributes.items() if k != "pcieSwitch"})
        for one in pool.devices
    ]
    wiring = wire([("spyre.ibm.com", one) for one in known], default_rules())
    assert wiring.locations[0].switch == FIRST
    assert (wiring.link(0, 3).kind, wiring.link(0, 4).kind) == ("switch", "system")


@pytest.mark.parametrize("argument", ["topology", "topology=", "size=3"])
def test_a_wrong_argument_is_refused(cards, argument):
    with pytest.raises(ValueError, match=r"must be \[topology=FILE\]"):
        make(argument, "n", cards.machine)
