"""What boxes do wrong: each is named, nothing crashes, and devices that have no part in it are as before."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.driver import Pool
from fairlead.driver.inventory import DiscoveryError
from fairlead.driver.slices import Publication, plan
from fairlead.drivers.fabric import FabricDriver, Redfish, read_options
from fairlead.hardware import (
    HardwareError,
    LiveMachine,
    RecordedMachine,
    Recording,
    RecordingMachine,
    read_recording,
    write_recording,
)
from tests.drivers.fabric.bench import DRIVER, POOLS, config, driver_of, held, names, settle
from tests.drivers.fabric.emulator import Emulator, Hardware
from tests.drivers.fabric.plain import PlainMachine

KINDS = ("resource-blocks", "connections")


@pytest.fixture(params=KINDS)
def box(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    with Emulator(request.param) as emulator:
        yield emulator
        assert emulator.violations == []


def said(driver: FabricDriver, claim: Any) -> list[tuple[bool, bool, str]]:
    return [(one.ready, one.failed, one.message) for one in driver.allocated(claim.claim)]


def problems(driver: FabricDriver) -> list[str]:
    return [line for pool in driver.discover() for line in pool.problems]


def health(driver: FabricDriver) -> dict[str, bool | None]:
    return {one.device: one.healthy for one in driver.health()}


class Within(Redfish):
    """The emulator asked without HTTP: a thousand times in seconds."""

    def __init__(self, box: Emulator) -> None:
        self.box = box

    def get(self, manager: str, path: str) -> dict[str, Any]:
        return self._ask("GET", path, {}, "")

    def send(self, manager: str, method: str, path: str, body: dict[str, Any], etag: str) -> dict[str, Any]:
        return self._ask(method, path, body, etag)

    def _ask(self, method: str, path: str, body: dict[str, Any], etag: str) -> dict[str, Any]:
        status, _, answer = self.box.handle(method, path, body, {"If-Match": etag} if etag else {})
        if status >= 400:
            raise HardwareError(f"rack: {method} {path}: {status} {answer['error']['message']}", str(status))
        found: dict[str, Any] = copy.deepcopy(answer)
        return found


class WithinMachine(LiveMachine):
    def __init__(self, box: Emulator) -> None:
        super().__init__(Path("/nonexistent"))
        self._box = box

    def door(self, kind: Any, live: Any) -> Any:
        return Within(self._box)


# A box as a whole.


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_box_that_refuses_to_be_read(box: Emulator, tmp_path: Path, status: int) -> None:
    driver = driver_of(config(tmp_path, box))
    claim = held(POOLS[box.kind], "gpu-gpu-0", "node-1")
    settle(driver, [claim])
    before = names(driver.discover())
    box.denied = status
    driver.settle([])  # the claim was given back meanwhile
    assert names(driver.discover()) == before
    (line,) = problems(driver)
    assert line.startswith("rack: GET /redfish/v1/")
    assert f": {status} not with these rights" in line
    assert health(driver) == {"gpu-gpu-0": None, "gpu-gpu-1": None}
    box.denied = 0
    settle(driver, [])
    assert (problems(driver), box.attached) == ([], {})


@pytest.mark.parametrize("garbage", [b"<html>", b"", b"[1]", b'"text"', b'{"Members": 5}', b"{}"])
@pytest.mark.parametrize("where", ["ResourceBlocks", "Connections", "GPU-0", "PCIe-1", "CompositionService"])
def test_an_answer_that_makes_no_sense(box: Emulator, tmp_path: Path, garbage: bytes, where: str) -> None:
    driver = driver_of(config(tmp_path, box))
    claim = held(POOLS[box.kind], "gpu-gpu-1", "node-1")
    settle(driver, [claim])
    box.raw[where] = garbage
    assert driver.settle([claim]) <= 60
    assert "gpu-gpu-1" in names(driver.discover())[POOLS[box.kind]]
    assert said(driver, claim)[0][1] is False
    box.raw.clear()
    settle(driver, [claim])
    assert (problems(driver), box.attached) == ([], {"GPU-1": "Sys-1"})
    assert box.writes == ["attach GPU-1 Sys-1"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_member_that_is_missing_or_of_another_kind_does_harm(kind: str, tmp_path: Path) -> None:
    """Every member of every resource that is read, once each: a device in use stays, and its neighbour, too."""
    box = Emulator(kind, seconds=0.0)
    box.url = "http://127.0.0.1:1"
    options = read_options(config(tmp_path, box))
    claim = held(POOLS[kind], "gpu-gpu-0", "node-1")
    driver = FabricDriver(DRIVER, options, WithinMachine(box))
    settle(driver, [claim])
    seen: dict[str, set[str]] = {}
    box.mangle = lambda path, resource: seen.setdefault(path, set()).update(resource) or resource  # type: ignore[func-returns-value]
    FabricDriver(DRIVER, options, WithinMachine(box)).settle([claim])
    tried = 0
    for path, members in seen.items():
        for member in sorted(members):
            for value in (..., None, "nonsense", [], [7], {"@odata.id": 5}):
                if value == [] and member in ("Members", "ResourceBlocks"):
                    continue  # says something: there are none

                def mangled(at: str, resource: Any, path: str = path, member: str = member, value: Any = value) -> Any:
                    kept = {name: one for name, one in resource.items() if at != path or name != member}
                    return kept if at != path or value is ... else kept | {member: value}

                box.mangle = mangled
                fresh = FabricDriver(DRIVER, options, WithinMachine(box))
                for one in (driver, fresh):
                    one.settle([claim])
                    list(one.health())
                assert box.writes == ["attach GPU-0 Sys-1"], (path, member, value)
                assert "GPU-1" in path or "gpu-gpu-1" in names(driver.discover())[POOLS[kind]], (path, member, value)
                tried += 1
    assert tried > 200, tried
    box.mangle = lambda path, resource: resource
    settle(driver, [claim])
    assert names(driver.discover()) == {POOLS[kind]: ["gpu-gpu-0", "gpu-gpu-1"]}
    assert said(driver, claim) == [(True, False, "is attached to Sys-1")]
    assert box.violations == []


def two_boxes(folder: Path, first: Emulator, second: Emulator) -> Path:
    path = config(folder, first)
    text = yaml.safe_load(path.read_text())
    other = text["managers"][0] | {"name": "other", "url": second.url, "way": second.kind}
    path.write_text(yaml.safe_dump(text | {"managers": [other, *text["managers"]]}))
    return path


def test_a_box_that_cannot_be_reached_does_not_hold_up_another(tmp_path: Path) -> None:
    with Emulator("connections") as good:
        with Emulator("resource-blocks") as gone:
            path = two_boxes(tmp_path, good, gone)
        driver = driver_of(path)
        claim, waits = held("rack-pcie-1", "gpu-gpu-0", "node-1"), held("other-zone-1", "gpu-gpu-0", "node-1", "u2")
        end = 50
        while not any(ready for ready, _, _ in said(driver, claim)):
            assert driver.settle([claim, waits]) <= 5
            assert (end := end - 1), said(driver, claim)
        assert names(driver.discover()) == {"rack-pcie-1": ["gpu-gpu-0", "gpu-gpu-1"]}
        assert any(line.startswith("other: ") for line in problems(driver))
        ((ready, failed, message),) = said(driver, waits)
        assert (ready, failed) == (False, False)
        assert message.startswith("other: ")
        # What an earlier process published of it stays, and nothing else.
        assert driver.keeps("other-zone-1", [])
        assert not driver.keeps("rack-pcie-1", driver.discover()[0].devices)
        # and a claim that cannot be served is told so
        nowhere = held("rack-pcie-1", "gpu-gpu-1", "node-9", "u3")
        driver.settle([claim, waits, nowhere])
        assert said(driver, nowhere)[0][1]


def test_a_box_that_falls_silent_is_not_waited_for_again_and_again(box: Emulator, tmp_path: Path) -> None:
    class Silent(Within):
        asked = 0

        def get(self, manager: str, path: str) -> dict[str, Any]:
            self.asked += 1
            if self.asked > 4:
                raise HardwareError("rack: no answer in time")
            return super().get(manager, path)

    class Machine(WithinMachine):
        def door(self, kind: Any, live: Any) -> Any:
            return silent

    silent = Silent(box)
    driver = FabricDriver(DRIVER, read_options(config(tmp_path, box)), Machine(box))
    for _ in range(3):
        assert driver.settle([]) < 60
    assert silent.asked == 5
    with pytest.raises(DiscoveryError, match="rack: no answer in time"):
        driver.discover()


def test_two_boxes_are_served_side_by_side(tmp_path: Path) -> None:
    with Emulator("connections") as first, Emulator("resource-blocks") as second:
        driver = driver_of(two_boxes(tmp_path, first, second))
        claims = [held("rack-pcie-1", "gpu-gpu-0", "node-1"), held("other-zone-1", "gpu-gpu-0", "node-2", "u2")]
        settle(driver, claims)
        assert (first.attached, second.attached) == ({"GPU-0": "Sys-1"}, {"GPU-0": "Sys-2"})
        settle(driver, claims[1:])
        assert (first.attached, second.attached) == ({}, {"GPU-0": "Sys-2"})


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_at_the_same_box_come_to_the_same_end(kind: str, tmp_path: Path) -> None:
    with Emulator(kind) as box:
        path = config(tmp_path, box)
        claims = [held(POOLS[kind], f"gpu-gpu-{n}", f"node-{n + 1}", f"u{n}") for n in range(2)]
        for wanted, end in ((claims, {"GPU-0": "Sys-1", "GPU-1": "Sys-2"}), ([], {})):
            both = [threading.Thread(target=settle, args=(driver_of(path), wanted)) for _ in range(2)]
            for one in both:
                one.start()
            for one in both:
                one.join()
            driver = driver_of(path)
            settle(driver, wanted)
            assert box.attached == end
            assert list(driver.health()) == []


# Single devices.


def test_a_new_block_is_published_and_one_that_was_lost_returns(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    news = threading.Event()
    stop = threading.Event()
    watching = threading.Thread(target=driver.watch, args=(news.set, stop))
    watching.start()
    settle(driver, [])
    news.wait(5)
    news.clear()
    box.devices.append(Hardware("GPU-7", "SN-007", uuid="GPU-1111-7"))
    settle(driver, [])
    assert names(driver.discover()) == {POOLS[box.kind]: ["gpu-gpu-0", "gpu-gpu-1", "gpu-gpu-7"]}
    assert news.wait(5)
    held_by = held(POOLS[box.kind], "gpu-gpu-7", "node-1")
    settle(driver, [held_by])
    box.lost.add("GPU-7")
    settle(driver, [held_by])
    assert names(driver.discover()) == {POOLS[box.kind]: ["gpu-gpu-0", "gpu-gpu-1"]}
    box.lost.clear()
    settle(driver, [held_by])
    assert names(driver.discover()) == {POOLS[box.kind]: ["gpu-gpu-0", "gpu-gpu-1", "gpu-gpu-7"]}
    assert box.attached == {"GPU-7": "Sys-1"}
    stop.set()
    watching.join()


def test_an_attachment_that_the_box_forgot_is_made_again(box: Emulator, tmp_path: Path) -> None:
    driver = driver_of(config(tmp_path, box))
    claims = [held(POOLS[box.kind], f"gpu-gpu-{n}", "node-1", f"u{n}") for n in range(2)]
    settle(driver, claims)
    del box.attached["GPU-0"]
    driver.settle(claims)
    assert said(driver, claims[0]) == [(False, False, "is being attached to Sys-1")]
    assert said(driver, claims[1]) == [(True, False, "is attached to Sys-1")]
    settle(driver, claims)
    assert box.attached == {"GPU-0": "Sys-1", "GPU-1": "Sys-1"}
    assert box.writes.count("attach GPU-0 Sys-1") == 2


def test_an_attachment_that_stops_half_way_is_undone(box: Emulator, tmp_path: Path) -> None:
    """The box says that it is attached, and that it does not work: the claim fails, and giving it back detaches."""
    driver = driver_of(config(tmp_path, box))
    claim, other = (held(POOLS[box.kind], f"gpu-gpu-{n}", "node-1", f"u{n}") for n in range(2))

    def half(name: str, system: str, attached: bool) -> None:
        if name == "GPU-0":
            box.devices[0].health = "Critical" if attached else "OK"

    box.on_change = half
    settle(driver, [claim, other])
    assert said(driver, claim) == [(False, True, "the manager says: Health is Critical")]
    assert said(driver, other) == [(True, False, "is attached to Sys-1")]
    assert health(driver) == {"gpu-gpu-0": False}
    settle(driver, [other])
    driver.settle([other])  # its health and its place are two resources
    assert box.attached == {"GPU-1": "Sys-1"}
    assert health(driver) == {}


@pytest.mark.parametrize("how", ["refused", "task"])
def test_a_detachment_that_fails_is_named_and_tried_again_later(
    box: Emulator, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = driver_of(config(tmp_path, box))
    claim, other = (held(POOLS[box.kind], f"gpu-gpu-{n}", "node-1", f"u{n}") for n in range(2))
    settle(driver, [claim])
    if how == "task":
        box.fail_tasks.add("GPU-0")
    else:
        box.keep.add("GPU-0")
    for _ in range(12):  # the other device is served meanwhile, and nothing is sent again and again
        threading.Event().wait(0.03)
        assert driver.settle([other]) <= 5
    assert said(driver, other) == [(True, False, "is attached to Sys-1")]
    (line,) = problems(driver)
    assert line.startswith("gpu-gpu-0: detach: rack: ")
    assert ("403 is in use" if how == "refused" else "ended as Exception: the link of GPU-0 did not train") in line
    assert box.writes.count("detach GPU-0 Sys-1") == 1
    (pool,) = driver.discover()
    assert [bool(one.taints) for one in pool.devices] == [True, False]
    moved = held(POOLS[box.kind], "gpu-gpu-0", "node-2", "u3")
    driver.settle([other, moved])
    assert "is being detached from Sys-1: detach: rack: " in said(driver, moved)[0][2]
    box.fail_tasks.clear()
    box.keep.clear()
    monkeypatch.setattr("fairlead.drivers.fabric.driver.time.monotonic", _later())
    settle(driver, [other, moved])
    assert (problems(driver), box.attached) == ([], {"GPU-0": "Sys-2", "GPU-1": "Sys-1"})


def _later() -> Any:
    import time

    real = time.monotonic
    return lambda: real() + 60.0


def test_a_zone_that_cannot_be_read_or_has_changed_takes_nothing_from_a_claim(tmp_path: Path) -> None:
    with Emulator(systems={"Sys-1": "zone-1", "Sys-2": "zone-2"}) as box:
        driver = driver_of(config(tmp_path, box))
        claim = held("rack-zone-1", "gpu-gpu-0", "node-1")
        settle(driver, [claim])
        box.broken.add("zone-1")
        for one in (driver, driver_of(config(tmp_path, box))):  # also one that knows nothing from before
            one.settle([claim])
        assert any("may be in a zone that could not be read" in line for line in problems(driver))
        box.broken.clear()
        box.devices[0].zone = "zone-2"
        driver.settle([claim])
        assert names(driver.discover()) == {"rack-zone-1": ["gpu-gpu-1"], "rack-zone-2": ["gpu-gpu-0"]}
        assert box.writes == ["attach GPU-0 Sys-1"]
        settle(driver, [])
        assert box.attached == {}


def test_who_only_observes_gets_nothing_attached(box: Emulator, tmp_path: Path) -> None:
    from dataclasses import replace

    driver = driver_of(config(tmp_path, box))
    holder = held(POOLS[box.kind], "gpu-gpu-0", "node-1")

    def watches(uid: str, device: str, node: str) -> Any:
        one = held(POOLS[box.kind], device, node, uid)
        seen = tuple(replace(device, admin_access=True) for device in one.claim.devices)
        return replace(one, claim=replace(one.claim, devices=seen))

    here, there, free = (
        watches("u2", "gpu-gpu-0", "node-1"),
        watches("u3", "gpu-gpu-0", "node-2"),
        watches("u4", "gpu-gpu-1", "node-1"),
    )
    settle(driver, [holder, here, there, free])
    assert box.attached == {"GPU-0": "Sys-1"}
    assert said(driver, here) == [(True, False, "is attached to Sys-1")]
    assert said(driver, there) == [(False, True, "is only observed, and is attached to Sys-1, not to node-2")]
    assert said(driver, free) == [(False, True, "is only observed, and is attached to no system, not to node-1")]
    settle(driver, [here])
    assert box.attached == {}


# Recordings.


def _published(driver: FabricDriver) -> list[Any]:
    pools: list[Pool] = driver.discover()
    return [(one.item.name, one.item.spec) for one in plan(Publication(DRIVER, "", "", True), pools, [], {})]


@pytest.mark.parametrize("attached", [False, True])
def test_a_recording_is_published_like_the_box(box: Emulator, tmp_path: Path, attached: bool) -> None:
    path = config(tmp_path, box)
    if attached:
        settle(driver_of(path), [held(POOLS[box.kind], "gpu-gpu-0", "node-1")])
    box.devices[1].health = "Critical"
    box.broken.add("Function")  # a firmware that fails is recorded, too
    options = read_options(path)
    kept = Recording(machine="pools")
    driver = FabricDriver(DRIVER, options, RecordingMachine(PlainMachine(options, tmp_path), kept))
    seen = _published(driver)
    write_recording(kept, tmp_path / "box.yaml")
    again = FabricDriver(DRIVER, options, RecordedMachine(read_recording(tmp_path / "box.yaml")))
    assert _published(again) == seen
    assert problems(again) == problems(driver)
    assert list(again.health()) == list(driver.health())
    assert "password" not in json.dumps(kept.doors, default=str).lower()
