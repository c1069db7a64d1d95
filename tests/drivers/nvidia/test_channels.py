"""IMEX channels: which there are, and what containers get."""

from __future__ import annotations

import pytest

from fairlead.driver import PrepareError
from fairlead.drivers.nvidia import make
from fairlead.hardware import RecordedMachine, Recording, RecordingMachine
from tests.drivers.nvidia import machines
from tests.drivers.nvidia.machines import NODE, Node, claim

NAME = "compute-domain.nvidia.com"


def channels(machine, options=""):
    return make(options, NODE, machine)[1]


@pytest.fixture
def box(tmp_path):
    return machines.gb200(tmp_path / "tree")


def test_channel_0_is_published(box):
    driver = channels(box)
    assert driver.name == NAME
    [device] = driver.discover().devices
    assert device.name == "channel-0"
    assert (device.attributes["type"].string, device.attributes["id"].int_) == ("channel", 0)


def test_as_many_as_are_wanted_and_there(box):
    assert len(channels(box, "channels=4").discover().devices) == 4
    box.tree.file("/proc/driver/nvidia/params", "ImexChannelCount: 2")
    assert len(channels(box, "channels=4").discover().devices) == 2


def test_a_kernel_driver_without_channels(box):
    box.tree.file("/proc/devices", "Character devices:\n195 nvidia\n\nBlock devices:\n  8 sd")
    pool = channels(box).discover()
    assert (pool.devices, pool.problems) == ([], [])
    box.tree.remove("/proc/devices")
    assert channels(box).discover().devices == []


@pytest.mark.parametrize(("mode", "numbers"), [(None, [3]), ("Single", [3]), ("All", [0, 1, 2, 3, 4])])
def test_a_container_gets_its_channel_or_all(box, tmp_path, mode, numbers):
    box.tree.file("/proc/driver/nvidia/params", "ImexChannelCount: 5")
    engine = Node(tmp_path / "node").engine(channels(box, "channels=4"))
    config = [] if mode is None else [{"kind": "ComputeDomainChannelConfig", "domainID": "d", "allocationMode": mode}]
    engine.prepare(claim("u", "channel-3", config=config, driver=NAME), "u")
    nodes = [(one.path, one.type, one.major, one.minor) for one in engine.record("u").devices[0].edits.device_nodes]
    assert nodes == [(f"/dev/nvidia-caps-imex-channels/channel{at}", "c", 234, at) for at in numbers]
    engine.unprepare("u")
    assert engine.records() == []


def test_configuration_that_is_wrong(box, tmp_path):
    engine = Node(tmp_path / "node").engine(channels(box))
    config = {"kind": "ComputeDomainChannelConfig", "allocationMode": "Some"}
    with pytest.raises(PrepareError, match="Invalid enum value 'Some'"):
        engine.prepare(claim("u", "channel-0", config=[config], driver=NAME), "u")


def test_a_recording_gives_the_same_channels(box):
    recording = Recording()
    live = channels(RecordingMachine(box, recording)).discover()
    assert channels(RecordedMachine(recording)).discover() == live
    assert len(live.devices) == 1
