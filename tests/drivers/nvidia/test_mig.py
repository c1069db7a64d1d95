"""Instances: those that are there, and those that are made for claims and destroyed after them."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from fairlead.driver import PrepareError
from fairlead.driver.engine import Done
from fairlead.drivers.nvidia.host import Note
from fairlead.hardware import HardwareError
from fairlead.resource import DeviceRequestAllocationResult
from tests.drivers.nvidia import machines
from tests.drivers.nvidia.machines import DRIVER, NODE, Box, Node, claim

FIRST = "0000:1b:00.0"


def attributes(device):
    return {name: one.string or one.int_ for name, one in device.attributes.items() if one.version is None}


def devices_of(box: Box, options: str = "mig=dynamic"):
    return {one.name: one for one in box.driver(options).discover().devices}


@pytest.fixture
def box(tmp_path):
    return machines.h100(tmp_path / "tree")


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path / "node")


# Static.


def test_instances_that_are_there_are_published_instead_of_their_gpu(tmp_path):
    box = machines.a100(tmp_path, machines.half_balanced())
    devices = devices_of(box, "")
    assert list(devices)[:5] == [
        "gpu-0-mig-3g20gb-9-4",
        "gpu-0-mig-2g10gb-14-0",
        "gpu-0-mig-1g5gb-19-2",
        "gpu-0-mig-1g5gb-19-3",
        "gpu-1-mig-3g20gb-9-4",
    ]
    assert [name for name in devices if "mig" not in name] == ["gpu-4", "gpu-5", "gpu-6", "gpu-7"]
    device = devices["gpu-0-mig-3g20gb-9-4"]
    gpu = box.nvml.gpus["0000:10:1c.0"]
    assert attributes(device) == {
        "type": "mig",
        "uuid": gpu.instances[0].uuid,
        "parentUUID": gpu.gpu.uuid,
        "profile": "3g.20gb",
        "productName": "NVIDIA A100-SXM4-40GB",
        "brand": "Nvidia",
        "architecture": "Ampere",
        "addressingMode": "HMM",
        "resource.kubernetes.io/pciBusID": "0000:10:1c.0",
        "resource.kubernetes.io/pcieRoot": "pci0000:10",
        "resource.kubernetes.io/numaNode": 0,
    }
    assert {name: str(one.value) for name, one in device.capacity.items()} == {
        "multiprocessors": "42",
        "copyEngines": "3",
        "decoders": "2",
        "encoders": "0",
        "jpegEngines": "0",
        "ofaEngines": "0",
        "memory": "20096Mi",
        **{f"memorySlice{one}": "1" for one in range(4, 8)},
    }
    assert not device.consumes_counters


def test_instances_that_cannot_be_given_away_are_named(tmp_path):
    box = machines.a100(tmp_path, {0: [("3g.20gb", 4), ("3g.20gb", 0)], 1: [("1g.5gb", 0)]})
    cards = box.nvml.gpus
    cards["0000:10:1c.0"].instances[0] = replace(cards["0000:10:1c.0"].instances[0], compute=None, computes=2)
    cards["0000:10:1c.0"].instances[1] = replace(cards["0000:10:1c.0"].instances[1], compute=None, computes=0)
    cards["0000:10:1d.0"].instances.clear()
    pool = box.driver().discover()
    assert [one.name for one in pool.devices] == [f"gpu-{minor}" for minor in range(2, 8)]
    assert pool.problems == [
        "0000:10:1c.0: GPU instance 1 is not published: it has several compute instances, or one that does not take "
        "all of it",
        "0000:10:1c.0: GPU instance 2 is not published: it has no compute instance",
        "0000:10:1d.0: MIG mode is on and there are no GPU instances: nothing of it is published",
    ]


def test_a_static_instance_is_prepared_with_its_capabilities(tmp_path, node):
    box = machines.a100(tmp_path / "tree", machines.half_balanced())
    engine = node.engine(box.driver())
    engine.prepare(claim("u", "gpu-1-mig-2g10gb-14-0"), "u")
    [device] = engine.record("u").devices
    nodes = {one.path: (one.type, one.major, one.minor) for one in device.edits.device_nodes}
    instance = next(one for one in box.nvml.gpus["0000:10:1d.0"].instances if one.profile == 14)
    minor = 3 + 135 + 9 * instance.number
    assert nodes == {
        "/dev/nvidiactl": ("", 0, 0),
        "/dev/nvidia-uvm": ("", 0, 0),
        "/dev/nvidia-uvm-tools": ("", 0, 0),
        "/dev/nvidia1": ("", 0, 0),
        "/dev/nvidia-modeset": ("", 0, 0),
        f"/dev/nvidia-caps/nvidia-cap{minor}": ("c", 237, minor),
        f"/dev/nvidia-caps/nvidia-cap{minor + 1}": ("c", 237, minor + 1),
    }
    engine.unprepare("u")
    assert box.nvml.calls == []
    assert len(box.nvml.gpus["0000:10:1d.0"].instances) == 4


# Dynamic: what is published.


def test_every_place_of_every_profile_is_a_device_that_shares_counters_with_the_whole(box):
    pool = box.driver("mig=dynamic").discover()
    devices = {one.name: one for one in pool.devices}
    assert len(devices) == 8 * 26
    assert len(pool.counters) == 8
    counters = {name: str(one.value) for name, one in pool.counters[0].counters.items()}
    assert pool.counters[0].name == "gpu-0-counter-set"
    assert counters == {
        "multiprocessors": "132",
        "copy-engines": "8",
        "decoders": "7",
        "encoders": "0",
        "jpeg-engines": "7",
        "ofa-engines": "1",
        "memory": "81153Mi",
        **{f"memory-slice-{one}": "1" for one in range(8)},
    }
    [whole] = devices["gpu-0"].consumes_counters
    assert (whole.counter_set, whole.counters) == ("gpu-0-counter-set", pool.counters[0].counters)
    [part] = devices["gpu-0-mig-2g20gb-14-2"].consumes_counters
    assert {name: str(one.value) for name, one in part.counters.items()} == {
        "multiprocessors": "32",
        "copy-engines": "2",
        "decoders": "2",
        "encoders": "0",
        "jpeg-engines": "2",
        "ofa-engines": "0",
        "memory": "20096Mi",
        "memory-slice-2": "1",
        "memory-slice-3": "1",
    }
    assert str(devices["gpu-0"].capacity["memory"].value) == "81559Mi"
    assert pool.parts["gpu-0-mig-2g20gb-14-2"] == "gpu-0"
    assert len(pool.parts) == 8 * 25


def test_places_that_leave_most_room_come_first(box):
    names = list(devices_of(box))
    assert names[:3] == ["gpu-0", "gpu-0-mig-1g10gb-19-6", "gpu-0-mig-1g10gb-19-4"]
    starts = [name for name in names if name.startswith("gpu-0-mig-3g40gb-9")]
    assert starts == ["gpu-0-mig-3g40gb-9-4", "gpu-0-mig-3g40gb-9-0"]


def test_a_gpu_whose_mode_needs_a_reset_is_whole_or_in_places_but_never_both(tmp_path):
    box = machines.a100(tmp_path, {0: [("1g.5gb", 0)]})
    box.nvml.destroy("0000:10:1c.0", 1)
    devices = devices_of(box)
    assert next(name for name in devices if name.startswith("gpu-0")) == "gpu-0-mig-1g5gb-19-6"
    assert "gpu-0" not in devices
    assert [name for name in devices if name.startswith("gpu-1")] == ["gpu-1"]


def test_a_mode_that_waits_for_a_reset_is_told(tmp_path):
    box = machines.a100(tmp_path)
    card = box.nvml.gpus["0000:10:1c.0"]
    card.gpu = replace(card.gpu, mig_pending=True)
    pool = box.driver().discover()
    assert pool.problems == ["0000:10:1c.0: MIG mode is turned on by its next reset only"]
    assert pool.devices[0].name == "gpu-0"


def test_instances_of_others_are_named_and_what_they_cover_is_taken_off(box):
    box.nvml.make(FIRST, "2g.20gb", 2)
    pool = box.driver("mig=dynamic").discover()
    assert pool.problems == [
        f"{FIRST}: GPU instance 1 (2g.20gb at slice 2) was not made by this driver: it is left alone, and what it "
        "covers is not offered"
    ]
    left = pool.counters[0].counters
    assert [str(left[f"memory-slice-{one}"].value) for one in range(8)] == ["1", "1", "0", "0", "1", "1", "1", "1"]
    assert str(left["multiprocessors"].value) == "100"
    assert str(left["memory"].value) == "61057Mi"


# Dynamic: preparing.


def test_an_instance_is_made_and_exactly_that_is_destroyed(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    engine.prepare(claim("a", "gpu-0-mig-1g10gb-19-6"), "a")
    engine.prepare(claim("b", "gpu-0-mig-3g40gb-9-0"), "b")
    assert box.nvml.calls == [("set_mig", FIRST, True), ("create", FIRST, 19, 6), ("create", FIRST, 9, 0)]
    [device] = engine.record("a").devices
    [made] = [one for one in box.nvml.instances(FIRST) if one.profile == 19]
    assert device.status.data == {"uuid": made.uuid}
    assert device.attributes["uuid"].string == made.uuid
    assert sum("nvidia-caps" in one.path for one in device.edits.device_nodes) == 2
    engine.unprepare("a")
    assert [one.profile for one in box.nvml.instances(FIRST)] == [9]
    engine.unprepare("a")
    engine.unprepare("b")
    assert box.nvml.instances(FIRST) == []
    assert box.host.written == {}


def test_the_whole_gpu_after_its_instances_needs_the_mode_off(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    engine.prepare(claim("a", "gpu-0-mig-1g10gb-19-6"), "a")
    with pytest.raises(PrepareError, match="partitions in use take more of counter"):
        engine.prepare(claim("b", "gpu-0"), "b")
    engine.unprepare("a")
    engine.prepare(claim("b", "gpu-0"), "b")
    assert box.nvml.calls[-1] == ("set_mig", FIRST, False)
    assert not box.nvml.gpus[FIRST].gpu.mig


def test_a_gpu_that_is_in_use_cannot_change_its_mode_and_the_user_is_told(box, node):
    box.nvml.gpus[FIRST].refuse["set_mig"] = HardwareError(f"{FIRST}: In use by another client", "19")
    engine = node.engine(box.driver("mig=dynamic"))
    with pytest.raises(PrepareError, match=f"^ResourceClaim ml/claim-a: {FIRST}: In use by another client$"):
        engine.prepare(claim("a", "gpu-0-mig-1g10gb-19-6"), "a")
    assert engine.records() == []
    assert box.host.written == {}


def test_an_instance_of_somebody_else_is_never_touched(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    box.nvml.make(FIRST, "1g.10gb", 6)
    for uid in ("a", "a"):
        with pytest.raises(PrepareError, match=r"GPU instance 1 at slice 6 .* was not made by this driver"):
            engine.prepare(claim(uid, "gpu-0-mig-1g10gb-19-6"), uid)
    with pytest.raises(PrepareError, match="is cut into 1 GPU instances"):
        engine.prepare(claim("b", "gpu-0"), "b")
    assert [one.start for one in box.nvml.instances(FIRST)] == [6]
    assert box.nvml.calls == []


def test_a_claim_with_an_instance_that_cannot_be_made_leaves_nothing(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    box.nvml.gpus["0000:43:00.0"].refuse["create"] = HardwareError("0000:43:00.0: Insufficient Resources", "23")
    with pytest.raises(PrepareError, match=r"0000:43:00\.0: Insufficient Resources"):
        engine.prepare(claim("a", "gpu-0-mig-1g10gb-19-6", "gpu-1-mig-1g10gb-19-6"), "a")
    assert box.nvml.instances(FIRST) == []
    assert box.host.written == {}


class _PowerError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_crash_while_an_instance_is_made_leaves_what_the_next_start_undoes(box, node, at):
    engine = node.engine(box.driver("mig=dynamic"))
    create = box.nvml.create

    def dies(*arguments):
        if at == "after":
            create(*arguments)
        raise _PowerError

    box.nvml.create = dies
    with pytest.raises(_PowerError):
        engine.prepare(claim("a", "gpu-0-mig-2g20gb-14-4"), "a")
    box.nvml.create = create
    assert len(box.nvml.instances(FIRST)) == (at == "after")
    driver = box.driver("mig=dynamic")
    again = node.engine(driver)
    assert driver.discover().problems == []
    assert again.recover() == []
    assert box.nvml.instances(FIRST) == []
    assert box.host.written == {}
    again.prepare(claim("a", "gpu-0-mig-2g20gb-14-4"), "a")


def test_an_instance_that_lost_its_claim_makes_way(box, node, tmp_path):
    node.engine(box.driver("mig=dynamic")).prepare(claim("a", "gpu-0-mig-2g20gb-14-4"), "a")
    other = Node(tmp_path / "without-state").engine(box.driver("mig=dynamic"))
    other.prepare(claim("b", "gpu-0-mig-1g10gb-19-5"), "b")
    assert [(one.profile, one.start) for one in box.nvml.instances(FIRST)] == [(19, 5)]


def test_after_a_reboot_notes_say_nothing(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    engine.prepare(claim("a", "gpu-0-mig-2g20gb-14-4"), "a")
    box.nvml.find(FIRST)
    box.tree.file("/proc/sys/kernel/random/boot_id", "another")
    box.nvml.make(FIRST, "2g.20gb", 4)
    again = dataclasses.replace(node, boot="another").engine(box.driver("mig=dynamic"))
    assert again.recover() == []
    assert [one.start for one in box.nvml.instances(FIRST)] == [4]
    assert box.host.written == {}


def test_while_the_boot_cannot_be_told_notes_are_kept(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    engine.prepare(claim("a", "gpu-0-mig-2g20gb-14-4"), "a")
    box.tree.remove("/proc/sys/kernel/random/boot_id")
    box.tree.folder("/proc/sys/kernel/random/boot_id")
    with pytest.raises(PrepareError, match="boot_id: Is a directory"):
        engine.unprepare("a")
    assert len(box.nvml.instances(FIRST)) == len(box.host.written) == 1
    (box.tree.root / "proc/sys/kernel/random/boot_id").rmdir()
    box.tree.file("/proc/sys/kernel/random/boot_id", machines.BOOT)
    engine.unprepare("a")
    assert box.nvml.instances(FIRST) == []


def test_unpreparing_when_the_gpu_is_lost_or_the_instance_is_gone(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    engine.prepare(claim("a", "gpu-0-mig-2g20gb-14-4"), "a")
    engine.prepare(claim("b", "gpu-1-mig-2g20gb-14-4"), "b")
    box.nvml.lose(FIRST)
    box.nvml.destroy("0000:43:00.0", 1)
    engine.unprepare("a")
    engine.unprepare("b")
    assert engine.records() == []


def test_an_instance_that_cannot_be_destroyed_stays_with_its_claim(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    engine.prepare(claim("a", "gpu-0-mig-2g20gb-14-4"), "a")
    box.nvml.gpus[FIRST].refuse["destroy"] = HardwareError(f"{FIRST}: In use by another client", "19")
    with pytest.raises(PrepareError, match="In use by another client"):
        engine.unprepare("a")
    assert [one.uid for one in engine.records()] == ["a"]
    box.nvml.gpus[FIRST].refuse.clear()
    engine.unprepare("a")
    assert box.nvml.instances(FIRST) == []


def share(device: str, number: int) -> DeviceRequestAllocationResult:
    return DeviceRequestAllocationResult(
        request="r0", driver=DRIVER, pool=NODE, device=device, share_id=f"a671734a-e8e5-11e4-8fde-42010af0932{number}"
    )


def test_shares_of_an_instance_have_it_together_until_the_last_goes(box, node):
    engine = node.engine(box.driver("mig=dynamic,shares=memory"))
    for number, uid in enumerate("ab"):
        engine.prepare(claim(uid, share("gpu-0-mig-2g20gb-14-4", number)), uid)
    assert [one[0] for one in box.nvml.calls] == ["set_mig", "create"]
    engine.unprepare("a")
    assert len(box.nvml.instances(FIRST)) == 1
    engine.unprepare("b")
    assert box.nvml.instances(FIRST) == []


def test_who_only_observes_makes_nothing(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    look = DeviceRequestAllocationResult(
        request="r0", driver=DRIVER, pool=NODE, device="gpu-0-mig-2g20gb-14-4", admin_access=True
    )
    with pytest.raises(PrepareError, match="no claim has it, so there is nothing to observe"):
        engine.prepare(claim("x", look), "x")
    engine.prepare(claim("a", "gpu-0-mig-2g20gb-14-4"), "a")
    engine.prepare(claim("x", look), "x")
    engine.unprepare("x")
    assert len(box.nvml.instances(FIRST)) == 1


def test_unreadable_notes_stop_preparing_and_destroy_nothing(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    box.host.refuse["notes"] = HardwareError("/var/lib/notes: cannot be read")
    outcomes = {}
    engine.prepare_all([("a", claim("a", "gpu-0-mig-2g20gb-14-4"))], outcomes.__setitem__)
    assert not isinstance(outcomes["a"], Done)
    assert box.nvml.calls == []


def test_a_note_is_written_before_anything_is_changed(box, node):
    seen: list[dict[str, Note]] = []
    create = box.nvml.create
    box.nvml.create = lambda *arguments: (seen.append(box.host.notes()), create(*arguments))[1]
    node.engine(box.driver("mig=dynamic")).prepare(claim("a", "gpu-0-mig-2g20gb-14-4"), "a")
    [made] = seen[0]["a"].made
    assert (made.address, made.profile, made.start) == (FIRST, 14, 4)
