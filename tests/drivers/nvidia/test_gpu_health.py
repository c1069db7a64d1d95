"""Ills of GPUs become taints that go again; wholes and parts, and what only programs did wrong."""

from __future__ import annotations

import time
from threading import Event as Flag
from threading import Thread

import pytest
from msgspec.structs import replace

from fairlead.driver.health import HealthTracker, tainted
from fairlead.driver.inventory import make_inventory
from fairlead.drivers.nvidia import make
from fairlead.drivers.nvidia.health import Ills, device_of
from fairlead.drivers.nvidia.nvml import Condition, Event, Fabric
from fairlead.hardware import HardwareError, RecordedMachine, Recording, RecordingMachine
from tests.drivers.nvidia import machines
from tests.drivers.nvidia.machines import NODE, Node, claim

FIRST = "0000:1b:00.0"


@pytest.fixture
def box(tmp_path):
    return machines.h100(tmp_path / "tree")


def heard(box, driver, *events):
    """What the watching thread does with events."""
    for event in events:
        driver._ills.hear(event, device_of(event, box.nvml, driver._offer), time.monotonic())


def taints(driver):
    return {one.device: f"{one.taint.key}={one.taint.value}:{one.taint.effect}" for one in driver.health() if one.taint}


def test_a_machine_that_is_well(box):
    driver = box.driver()
    driver.discover()
    assert driver.health() == []


def test_an_xid_counts_until_nothing_has_to_be_done_any_more(box):
    driver = box.driver()
    driver.discover()
    box.nvml.gpus[FIRST].condition = Condition(recovery="reset")
    heard(box, driver, Event(FIRST, 79))
    assert taints(driver) == {"gpu-0": "gpu.nvidia.com/xid=79:NoSchedule"}
    box.nvml.gpus[FIRST].condition = Condition(recovery="none")
    assert taints(driver) == {}


def test_an_xid_is_told_once_however_quickly_the_gpu_recovers(box):
    driver = box.driver()
    driver.discover()
    box.nvml.gpus[FIRST].condition = Condition(recovery="none")
    heard(box, driver, Event(FIRST, 94))
    assert taints(driver) == {"gpu-0": "gpu.nvidia.com/xid=94:NoSchedule"}
    assert taints(driver) == {}


def test_where_the_kernel_driver_does_not_say_an_xid_counts_for_a_time():
    ills = Ills((), 600.0)
    ills.hear(Event(FIRST, 48), "", 100.0)
    assert ills.of(FIRST, None, 110.0) == [("", 48)]
    assert ills.of(FIRST, None, 699.0) == [("", 48)]
    ills.hear(Event(FIRST, 48), "", 690.0)
    assert ills.of(FIRST, None, 701.0) == [("", 48)]
    assert ills.of(FIRST, None, 1290.0) == []


@pytest.mark.parametrize("xid", [13, 31, 43, 45, 68, 109, 95])
def test_xids_of_applications_and_those_to_be_ignored_are_skipped(box, xid):
    driver = box.driver("ignore-xids=95")
    driver.discover()
    heard(box, driver, Event(FIRST, xid))
    assert driver.health() == []


def test_memory_that_fails(box):
    driver = box.driver()
    driver.discover()
    ills = {"remap-failed": Condition(remap_failed=True), "remap-pending": Condition(remap_pending=True)}
    for value, condition in ills.items():
        box.nvml.gpus[FIRST].condition = condition
        assert taints(driver) == {"gpu-0": f"gpu.nvidia.com/ecc={value}:NoSchedule"}
    box.nvml.find(FIRST)
    assert taints(driver) == {}


@pytest.mark.parametrize(
    ("fabric", "value"),
    [
        (Fabric("in-progress"), "in-progress"),
        (Fabric("completed", status=15), "status-15"),
        (Fabric("completed", healthy=False), "unhealthy"),
    ],
)
def test_a_gpu_that_is_not_in_its_fabric(box, fabric, value):
    driver = box.driver()
    driver.discover()
    box.nvml.gpus[FIRST].condition = Condition(fabric=fabric)
    assert taints(driver) == {"gpu-0": f"gpu.nvidia.com/fabric={value}:NoSchedule"}
    box.nvml.gpus[FIRST].condition = Condition(fabric=Fabric("completed"))
    assert taints(driver) == {}


def test_what_has_to_be_done_is_told_without_an_xid(box):
    driver = box.driver()
    driver.discover()
    box.nvml.gpus[FIRST].condition = Condition(recovery="drain-and-reset")
    assert taints(driver) == {"gpu-0": "gpu.nvidia.com/recovery=drain-and-reset:NoSchedule"}


def test_a_lost_gpu_and_its_return(box):
    driver = box.driver()
    driver.discover()
    heard(box, driver, Event(FIRST, 79))
    box.nvml.lose(FIRST)
    driver.discover()
    assert taints(driver) == {"gpu-0": "gpu.nvidia.com/gpu-lost=:NoSchedule"}
    box.nvml.find(FIRST)
    driver.discover()
    assert taints(driver) == {}


def test_a_gpu_of_which_nothing_can_be_known_gets_no_taint(box):
    driver = box.driver()
    driver.discover()
    box.nvml.gpus[FIRST].refuse["condition"] = HardwareError(f"{FIRST}: Insufficient Permissions", "4")
    [report] = driver.health()
    assert (report.device, report.healthy, report.message) == ("gpu-0", None, f"{FIRST}: Insufficient Permissions")


def conditions(driver, pool):
    inventory = make_inventory(pool, NODE)
    tracker = HealthTracker(driver.name, "NoSchedule", NODE)
    tracker.report(driver.health(), 0.0)
    [published] = tainted(inventory.pools, tracker.conditions(inventory))
    return {one.name: [taint.key for taint in one.taints] for one in published.devices if one.taints}


def test_a_gpu_taints_its_places(box):
    driver = box.driver("mig=dynamic")
    pool = driver.discover()
    box.nvml.lose(FIRST)
    found = conditions(driver, pool)
    assert len(found) == 26
    assert set(map(tuple, found.values())) == {("gpu.nvidia.com/gpu-lost",)}
    assert {name.split("-mig")[0] for name in found} == {"gpu-0"}


def test_an_xid_of_an_instance_taints_it_and_the_whole_but_no_sibling(box, tmp_path):
    driver = box.driver("mig=dynamic")
    Node(tmp_path / "node").engine(driver).prepare(claim("u", "gpu-0-mig-2g20gb-14-4"), "u")
    pool = driver.discover()
    heard(box, driver, Event(FIRST, 79, box.nvml.instances(FIRST)[0].number))
    assert conditions(driver, pool) == {
        "gpu-0": ["gpu.nvidia.com/xid"],
        "gpu-0-mig-2g20gb-14-4": ["gpu.nvidia.com/xid"],
    }


def test_a_gpu_that_is_not_published_itself_taints_its_instances(tmp_path):
    box = machines.a100(tmp_path, machines.half_balanced())
    driver = box.driver()
    pool = driver.discover()
    heard(box, driver, Event("0000:10:1c.0", 79))
    assert sorted(conditions(driver, pool)) == [
        "gpu-0-mig-1g5gb-19-2",
        "gpu-0-mig-1g5gb-19-3",
        "gpu-0-mig-2g10gb-14-0",
        "gpu-0-mig-3g20gb-9-4",
    ]


def test_an_xid_of_an_instance_that_is_not_ours_is_the_gpus(box):
    driver = box.driver()
    driver.discover()
    heard(box, driver, Event(FIRST, 79, 5))
    assert taints(driver) == {"gpu-0": "gpu.nvidia.com/xid=79:NoSchedule"}


def test_events_reach_health_through_watching(box):
    driver = box.driver()
    driver.discover()
    box.nvml.events.append(Event(FIRST, 79))
    stop = Flag()
    thread = Thread(target=driver.watch, args=(lambda: None, stop))
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not driver.health() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert taints(driver) == {"gpu-0": "gpu.nvidia.com/xid=79:NoSchedule"}
    finally:
        stop.set()
        thread.join()


def test_a_recording_has_no_ills(box):
    recording = Recording()
    make("", NODE, RecordingMachine(box, recording))[0].discover()
    driver = make("", NODE, RecordedMachine(recording))[0]
    driver.discover()
    assert driver.health() == []


def test_mig_mode_changes_are_seen_by_discovery(box):
    driver = box.driver()
    driver.discover()
    card = box.nvml.gpus[FIRST]
    card.gpu = replace(card.gpu, mig=True)
    assert "gpu-0" not in {one.name for one in driver.discover().devices}
