"""Attaching and detaching at both kinds of managers, with all that managers do to their clients."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.driver.inventory import DiscoveryError
from fairlead.driver.slices import Publication, problems_of
from fairlead.drivers.fabric import FabricDriver
from tests.drivers.fabric.bench import DRIVER, POOLS, config, driver_of, held, names, settle
from tests.drivers.fabric.emulator import Emulator, Hardware, gpus

KINDS = ("resource-blocks", "connections")
WHEN = ("before", "after", "reading")


@pytest.fixture(params=[*KINDS, "patch"])
def box(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    kind = "resource-blocks" if request.param == "patch" else request.param
    with Emulator(kind, patch_only=request.param == "patch") as emulator:
        yield emulator
        assert emulator.violations == []


def said(driver: FabricDriver, claim: object) -> list[tuple[bool, bool, str]]:
    return [(one.ready, one.failed, one.message) for one in driver.allocated(claim.claim)]  # type: ignore[attr-defined]


def tainted(driver: FabricDriver) -> list[str]:
    (pool,) = driver.discover()
    return [one.name for one in pool.devices if [taint.key for taint in one.taints] == [f"{DRIVER}/returning"]]


def test_free_devices_are_published_for_the_nodes_that_reach_them(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    (pool,) = driver.discover()
    assert pool.name == POOLS[box.kind]
    assert [one.name for one in pool.devices] == ["gpu-gpu-0", "gpu-gpu-1"]
    (term,) = pool.reach.node_selector_terms  # type: ignore[union-attr]
    (requirement,) = term.match_expressions
    assert (requirement.key, requirement.values) == ("kubernetes.io/hostname", ["node-1", "node-2"])
    device = pool.devices[0]
    attributes = {name: value.string for name, value in device.attributes.items() if value.string}
    assert attributes == {
        "type": "GPU",
        "manufacturer": "NVIDIA",
        "model": "NVIDIA H100 PCIe",
        "serialNumber": "SN-000",
        "uuid": "GPU-1111-0",
        "vendorId": "10de",
        "deviceId": "2331",
        "manager": "rack",
        "unit": "GPU-0",
        "productName": "NVIDIA H100 80GB",
    }
    assert (device.attributes["spare"].bool_, device.attributes["tier"].int_) == (False, 2)
    assert str(device.capacity["memory"].value) == "80Gi"
    assert device.binds_to_node
    assert device.binding_conditions == [f"{DRIVER}/Attached"]
    assert problems_of(Publication(DRIVER, "", "", True), [pool]) == []


def test_a_claim_gets_its_device_and_gives_it_back(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    claim = held(POOLS[box.kind], "gpu-gpu-0", "node-1")
    driver.settle([])
    assert said(driver, claim) == []  # of a claim that was not in the list, nothing is known
    driver.settle([claim])
    assert said(driver, claim) == [(False, False, "is being attached to Sys-1")]
    settle(driver, [claim])
    assert said(driver, claim) == [(True, False, "is attached to Sys-1")]
    assert box.attached == {"GPU-0": "Sys-1"}
    assert names(driver.discover())[POOLS[box.kind]] == ["gpu-gpu-0", "gpu-gpu-1"]  # it stays in the pool that it is of
    box.seconds = 0.3
    driver.settle([])
    assert tainted(driver) == ["gpu-gpu-0"]  # not free before it is back, and in its pool all the time
    settle(driver, [])
    assert box.attached == {}
    assert tainted(driver) == []
    assert names(driver.discover())[POOLS[box.kind]] == ["gpu-gpu-0", "gpu-gpu-1"]
    assert box.writes == ["attach GPU-0 Sys-1", "detach GPU-0 Sys-1"]


def test_a_device_moves_to_the_next_claims_node(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    pool = POOLS[box.kind]
    settle(driver, [held(pool, "gpu-gpu-0", "node-1", "u1")])
    second = held(pool, "gpu-gpu-0", "node-2", "u2")
    driver.settle([second])
    assert said(driver, second) == [(False, False, "is being detached from Sys-1")]
    settle(driver, [second])
    assert said(driver, second) == [(True, False, "is attached to Sys-2")]
    assert box.attached == {"GPU-0": "Sys-2"}


def test_a_slow_change_is_waited_for_and_not_begun_twice(box: Emulator, tmp_path: Path) -> None:
    box.seconds = 0.4
    path = config(tmp_path, box)
    claim = held(POOLS[box.kind], "gpu-gpu-1", "node-2")
    driver_of(path).settle([claim])
    rounds = settle(driver_of(path), [claim])  # another process, which has not begun it
    assert rounds > 3
    assert box.writes == ["attach GPU-1 Sys-2"]


def test_a_refusal_is_told_once_and_the_device_is_tainted(box: Emulator, tmp_path: Path) -> None:
    box.refuse["GPU-0"] = (400, "the port is disabled")
    driver = driver_of(config(tmp_path, box))
    claim = held(POOLS[box.kind], "gpu-gpu-0", "node-1")
    settle(driver, [claim])
    settle(driver, [claim])
    ((ready, failed, message),) = said(driver, claim)
    assert (ready, failed) == (False, True)
    assert "400 the port is disabled" in message
    assert box.writes == ["attach GPU-0 Sys-1"]
    assert [(one.device, one.healthy) for one in driver.health()] == [("gpu-gpu-0", False)]
    box.refuse.clear()
    again = held(POOLS[box.kind], "gpu-gpu-0", "node-1", since="t2")  # allocated anew
    settle(driver, [again])
    assert said(driver, again) == [(True, False, "is attached to Sys-1")]


def test_a_task_that_fails_is_told(box: Emulator, tmp_path: Path) -> None:
    box.fail_tasks.add("GPU-0")
    driver = driver_of(config(tmp_path, box))
    claim = held(POOLS[box.kind], "gpu-gpu-0", "node-1")
    settle(driver, [claim])
    ((_, failed, message),) = said(driver, claim)
    assert failed
    assert "ended as Exception: the link of GPU-0 did not train" in message
    assert box.writes == ["attach GPU-0 Sys-1"]


def test_a_manager_that_is_not_available_changes_nothing(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    claim = held(POOLS[box.kind], "gpu-gpu-0", "node-1")
    settle(driver, [claim])
    before = driver.discover()
    box.unavailable = 1
    assert driver.settle([claim]) < 60
    assert names(driver.discover()) == names(before)
    assert "503" in driver.discover()[0].problems[0]
    assert {one.healthy for one in driver.health()} == {None}
    ((_, failed, _),) = said(driver, claim)
    assert not failed
    assert settle(driver, [claim]) == 1
    assert said(driver, claim) == [(True, False, "is attached to Sys-1")]


def test_a_manager_that_never_answered_leaves_what_is_published(tmp_path: Path) -> None:
    with Emulator() as box:
        path = config(tmp_path, box)
    driver = driver_of(path)
    assert driver.settle([]) < 60
    with pytest.raises(DiscoveryError, match="rack: "):
        driver.discover()


def test_503_in_the_middle_of_a_change(box: Emulator, tmp_path: Path) -> None:
    claim = held(POOLS[box.kind], "gpu-gpu-0", "node-1")
    path = config(tmp_path, box)
    driver = driver_of(path)
    driver.settle([])
    before = box.requests
    driver.settle([])
    reading = box.requests - before
    for nth in range(reading, reading + 4):
        settle(driver, [])
        calls = box.requests
        original = box._serve

        def failing(*arguments: object, at: int = calls + nth, real: object = original) -> object:
            if box.requests == at:
                box.unavailable = 1
            return real(*arguments)  # type: ignore[operator]

        box._serve = failing  # type: ignore[method-assign, assignment]
        settle(driver, [claim])
        box._serve = original  # type: ignore[method-assign]
        assert box.attached == {"GPU-0": "Sys-1"}
    settle(driver_of(path), [])


def test_a_stale_etag_is_read_again(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    claim = held(POOLS[box.kind], "gpu-gpu-0", "node-1")
    box.stale = 2 if box.kind == "resource-blocks" else 0
    settle(driver, [claim])
    assert said(driver, claim) == [(True, False, "is attached to Sys-1")]
    box.stale = 2
    settle(driver, [])
    assert box.attached == {}
    assert box.writes == ["attach GPU-0 Sys-1", "detach GPU-0 Sys-1"]


def test_a_lost_device_fails_its_claim_and_others_stay(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    settle(driver, [])
    box.lost.add("GPU-0")
    lost, other = (held(POOLS[box.kind], f"gpu-gpu-{n}", "node-1", f"u{n}") for n in range(2))
    settle(driver, [lost, other])
    assert said(driver, lost) == [(False, True, "the device has gone from its manager")]
    assert said(driver, other) == [(True, False, "is attached to Sys-1")]
    assert names(driver.discover())[POOLS[box.kind]] == ["gpu-gpu-1"]
    box.lost.clear()
    settle(driver, [other])
    assert names(driver.discover())[POOLS[box.kind]] == ["gpu-gpu-0", "gpu-gpu-1"]


def test_a_resource_that_cannot_be_read_is_named_and_not_taken_for_gone(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    settle(driver, [])
    box.broken.add("GPU-0")
    claim = held(POOLS[box.kind], "gpu-gpu-0", "node-1")
    assert driver.settle([claim]) < 60
    ((_, failed, message),) = said(driver, claim)
    assert not failed
    assert "rack: GPU-0" in message
    (pool,) = driver.discover()
    assert [one.name for one in pool.devices] == ["gpu-gpu-0", "gpu-gpu-1"]  # else its node would publish it
    assert any("rack: GPU-0" in one for one in pool.problems)
    assert [(one.device, one.healthy) for one in driver.health()] == [("gpu-gpu-0", None)]
    box.broken.clear()
    settle(driver, [claim])
    assert said(driver, claim) == [(True, False, "is attached to Sys-1")]


def test_a_host_that_cannot_be_read_neither_detaches_nor_refuses(tmp_path: Path) -> None:
    for kind, host in (("connections", "Host-Sys-1"), ("resource-blocks", "Compute-Sys-1")):
        with Emulator(kind) as box:
            driver = driver_of(config(tmp_path, box))
            first, second = (held(POOLS[kind], f"gpu-gpu-{n}", "node-1", f"u{n}") for n in range(2))
            settle(driver, [first])
            box.broken.add(host)
            assert driver.settle([first, second]) < 60
            assert box.attached == {"GPU-0": "Sys-1"}
            assert [failed for _, failed, _ in said(driver, second)] == [False]
            box.broken.clear()
            settle(driver, [first, second])
            assert box.attached == {"GPU-0": "Sys-1", "GPU-1": "Sys-1"}
            assert box.writes == ["attach GPU-0 Sys-1", "attach GPU-1 Sys-1"]


def test_critical_health_taints_and_good_health_does_not(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    settle(driver, [])
    assert list(driver.health()) == []
    box.devices[1].health = "Critical"
    settle(driver, [])
    assert [(one.device, one.healthy) for one in driver.health()] == [("gpu-gpu-1", False)]
    box.devices[1].health = "OK"
    settle(driver, [])
    assert list(driver.health()) == []


def test_a_nodes_limit_fails_the_claim(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box, devicesPerNode=1))
    first, second = (held(POOLS[box.kind], f"gpu-gpu-{n}", "node-1", f"u{n}") for n in range(2))
    settle(driver, [first])
    settle(driver, [first, second])
    assert said(driver, second) == [(False, True, "node node-1 has 1 devices attached, the limit is 1")]
    assert list(driver.health()) == []  # the device is as good as before


def test_two_claims_of_one_device(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    first, second = (held(POOLS[box.kind], "gpu-gpu-0", f"node-{n}", f"u{n}") for n in (2, 1))
    settle(driver, [first])
    settle(driver, [second, first])
    assert box.attached == {"GPU-0": "Sys-2"}
    assert said(driver, first) == [(True, False, "is attached to Sys-2")]
    assert [failed for _, failed, _ in said(driver, second)] == [True]


def test_what_is_attached_elsewhere_is_left_alone(box: Emulator, tmp_path: Path) -> None:
    box.attached["GPU-1"] = "Sys-2"
    driver = driver_of(config(tmp_path, box, nodes={"hostnames": {"node-1": "Sys-1"}}))
    settle(driver, [])
    assert box.attached == {"GPU-1": "Sys-2"}
    (pool,) = driver.discover()
    assert [one.name for one in pool.devices] == ["gpu-gpu-0"]
    assert any("gpu-gpu-1: is attached to Sys-2, which is no node" in one for one in pool.problems)


def test_a_node_that_is_not_known(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    claim = held(POOLS[box.kind], "gpu-gpu-0", "node-9")
    settle(driver, [claim])
    assert said(driver, claim) == [(False, True, "node node-9: it is not known which system it is")]
    # and a node that has gone takes nothing away from a claim that still has the device
    known = held(POOLS[box.kind], "gpu-gpu-1", "node-1", "u2")
    settle(driver, [known])
    gone = held(POOLS[box.kind], "gpu-gpu-1", "node-9", "u2")
    settle(driver, [gone])
    assert box.attached == {"GPU-1": "Sys-1"}


def test_zones_make_pools_of_their_own(tmp_path: Path) -> None:
    devices = [*gpus(1), Hardware("GPU-9", "SN-9", zone="zone-2")]
    with Emulator(devices=devices, systems={"Sys-1": "zone-1", "Sys-2": "zone-2"}) as box:
        driver = driver_of(config(tmp_path, box))
        settle(driver, [])
        assert names(driver.discover()) == {"rack-zone-1": ["gpu-gpu-0"], "rack-zone-2": ["gpu-gpu-9"]}
        reach = {pool.name: pool.reach.node_selector_terms for pool in driver.discover()}  # type: ignore[union-attr]
        assert [one.match_expressions[0].values for one in reach["rack-zone-2"]] == [["node-2"]]
        wrong = held("rack-zone-2", "gpu-gpu-9", "node-1")
        settle(driver, [wrong])
        assert said(driver, wrong) == [(False, True, "system Sys-1 of node node-1 does not reach the device")]


MOMENTS = ("read 1", "read 8", *(f"{when} {verb}" for verb in ("detach", "attach") for when in WHEN))


def test_a_process_killed_at_any_moment_neither_leaks_nor_attaches_twice(box: Emulator, tmp_path: Path) -> None:
    """One claim goes and another comes, so that each run detaches and attaches; a second process ends what is left."""
    box.seconds = 0.15
    path = config(tmp_path, box)
    pool = POOLS[box.kind]
    turns = ([[pool, "gpu-gpu-0", "node-1", "a"]], [[pool, "gpu-gpu-1", "node-2", "b"]])
    expected = ({"GPU-0": "Sys-1"}, {"GPU-1": "Sys-2"})
    settle(driver_of(path), [held(*one) for one in turns[1]])
    for turn, moment in enumerate(MOMENTS):
        wanted = turns[turn % 2]
        begun = len(box.writes)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.drivers.fabric.bench", str(path), json.dumps(wanted)], stdin=subprocess.PIPE
        )
        box.arm(moment, process.pid)
        assert process.wait(60) == -9, moment
        settle(driver_of(path), [held(*one) for one in wanted])
        assert box.attached == expected[turn % 2], moment
        assert box.violations == [], moment
        assert len(box.writes) == begun + 2, moment  # nothing was begun twice
    settle(driver_of(path), [])
    assert box.attached == {}
