"""What containers get of a GPU, and what is done for claims that configure how it is shared."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from fairlead.driver import Hook, Mount, PrepareError
from fairlead.drivers.nvidia import make
from fairlead.drivers.nvidia.nvml import System
from fairlead.hardware import HardwareError, RecordedMachine, Recording, RecordingMachine
from fairlead.resource import DeviceRequestAllocationResult
from tests.drivers.nvidia import machines
from tests.drivers.nvidia.fake_host import LIBRARY
from tests.drivers.nvidia.machines import DRIVER, NODE, Node, claim

FIRST, SECOND = "0000:1b:00.0", "0000:43:00.0"


@pytest.fixture
def box(tmp_path):
    return machines.h100(tmp_path / "tree")


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path / "node")


def uuid(box, address):
    return box.nvml.gpus[address].gpu.uuid


# Files.


def test_a_whole_gpu(box, node):
    engine = node.engine(box.driver())
    [answer] = engine.prepare(claim("u", "gpu-3"), "u")
    [device] = engine.record("u").devices
    edits = device.edits
    assert [one.path for one in edits.device_nodes] == [
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia-uvm-tools",
        "/dev/nvidia3",
        "/dev/nvidia-modeset",
    ]
    assert edits.env == {
        "NVIDIA_VISIBLE_DEVICES": "void",
        "NVIDIA_CTK_LIBCUDA_DIR": "/usr/lib/x86_64-linux-gnu",
    }
    assert edits.mounts == [
        Mount(host_path=LIBRARY, container_path=LIBRARY, options=["ro", "nosuid", "nodev", "rbind", "rprivate"])
    ]
    assert edits.hooks == [
        Hook(
            hook_name="createContainer",
            path="/usr/bin/nvidia-cdi-hook",
            args=["nvidia-cdi-hook", "update-ldcache", "--folder", "/usr/lib/x86_64-linux-gnu"],
            env=["NVIDIA_CTK_DEBUG=false"],
        )
    ]
    [file] = (node.root / "cdi").iterdir()
    assert answer.cdi_ids[0].partition("=")[2] in {one["name"] for one in json.loads(file.read_text())["devices"]}
    engine.unprepare("u")
    assert list((node.root / "cdi").iterdir()) == []
    assert (box.nvml.calls, box.host.calls, box.host.written) == ([], [], {})


def test_libraries_come_once_a_request(box, node):
    engine = node.engine(box.driver())
    results = [
        DeviceRequestAllocationResult(request=request, driver=DRIVER, pool=NODE, device=device)
        for request, device in (("a", "gpu-0"), ("a", "gpu-1"), ("b", "gpu-2"))
    ]
    engine.prepare(claim("u", *results), "u")
    assert [bool(one.edits.mounts) for one in engine.record("u").devices] == [True, False, True]


def test_without_nvidia_ctk_there_are_devices_only(box, node):
    box.host.edits = None
    engine = node.engine(box.driver())
    engine.prepare(claim("u", "gpu-0"), "u")
    [device] = engine.record("u").devices
    assert (device.edits.mounts, device.edits.hooks) == ([], [])


def test_libraries_are_asked_for_once_a_kernel_driver(box):
    asked = []
    libraries = box.host.libraries
    box.host.libraries = lambda: (asked.append(1), libraries())[1]
    driver = box.driver()
    driver.discover()
    driver.discover()
    assert len(asked) == 1
    box.nvml.installed = System("590.48.01", "13.1")
    driver.discover()
    assert len(asked) == 2


def test_libraries_of_a_new_kernel_driver_are_asked_for_anew(box, node):
    engine = node.engine(box.driver())
    box.tree.remove(LIBRARY)
    new = LIBRARY.replace("580.126.20", "590.48.1")
    box.tree.file(new)
    box.host.edits = {"mounts": [{"hostPath": new, "containerPath": new, "options": ["ro"]}]}
    engine.prepare(claim("u", "gpu-0"), "u")
    [device] = engine.record("u").devices
    assert [one.host_path for one in device.edits.mounts] == [new]
    box.tree.remove(new)
    with pytest.raises(PrepareError, match="nvidia-ctk names it, and it is not there"):
        engine.prepare(claim("v", "gpu-1"), "v")


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ({"mounts": [{"hostPath": 4}]}, "Expected `str`, got `int`"),
        ({"env": "X"}, "containerEdits: "),
        ({"hooks": [{"hookName": "x"}]}, "missing required field `path`"),
    ],
)
def test_a_specification_that_cannot_be_read_is_told(box, node, edits, reason):
    box.host.edits = edits
    driver = box.driver()
    assert any(reason in one for one in driver.discover().problems)
    with pytest.raises(PrepareError):
        node.engine(driver).prepare(claim("u", "gpu-0"), "u")


def test_a_device_file_that_is_missing(box, node):
    engine = node.engine(box.driver())
    box.tree.remove("/dev/nvidia0")
    with pytest.raises(PrepareError, match="gpu-0: /dev/nvidia0: not there; `nvidia-modprobe"):
        engine.prepare(claim("u", "gpu-0"), "u")
    engine.prepare(claim("v", "gpu-1"), "v")


def test_a_gpu_that_is_lost_is_not_prepared_and_the_others_are(box, node):
    driver = box.driver()
    engine = node.engine(driver)
    box.nvml.lose(FIRST)
    driver.discover()
    with pytest.raises(PrepareError, match=r"gpu-0: 0000:1b:00\.0 does not answer"):
        engine.prepare(claim("u", "gpu-0"), "u")
    engine.prepare(claim("v", "gpu-1"), "v")


def test_a_recording_prepares_what_the_machine_would(box, node, tmp_path):
    recording = Recording()
    make("", NODE, RecordingMachine(box, recording))[0].discover()
    engine = node.engine(make("", NODE, RecordedMachine(recording))[0])
    engine.prepare(claim("u", "gpu-3"), "u")
    live = Node(tmp_path / "live").engine(box.driver())
    live.prepare(claim("u", "gpu-3"), "u")
    assert engine.record("u").devices[0].edits == live.record("u").devices[0].edits
    engine.unprepare("u")
    with pytest.raises(PrepareError, match="is known from a recording and cannot be changed"):
        engine.prepare(claim("v", "gpu-0", config=[sharing("TimeSlicing", interval="Long")]), "v")


# Time slices.


def sharing(strategy, kind="GpuConfig", interval=None, **mps):
    found = {"strategy": strategy}
    if interval:
        found["timeSlicingConfig"] = {"interval": interval}
    if mps:
        found["mpsConfig"] = mps
    return {"kind": kind, "sharing": found}


def test_a_time_slice_is_set_and_set_back(box, node):
    engine = node.engine(box.driver())
    engine.prepare(claim("u", "gpu-0", "gpu-1", config=[sharing("TimeSlicing", interval="Long")]), "u")
    engine.unprepare("u")
    first, second = uuid(box, FIRST), uuid(box, SECOND)
    assert box.host.calls == [
        ("set_time_slice", first, 3),
        ("set_time_slice", second, 3),
        ("set_time_slice", first, 0),
        ("set_time_slice", second, 0),
    ]
    assert box.host.written == {}


def test_the_default_time_slice_changes_nothing(box, node):
    engine = node.engine(box.driver())
    engine.prepare(claim("u", "gpu-0", config=[sharing("TimeSlicing")]), "u")
    assert (box.host.calls, box.host.written) == ([], {})


def test_a_time_slice_that_cannot_be_set_leaves_nothing(box, node):
    box.host.refuse["set_time_slice"] = HardwareError("nvidia-smi: exit status 3: Not Supported")
    engine = node.engine(box.driver())
    with pytest.raises(PrepareError, match="nvidia-smi: exit status 3: Not Supported; undoing it failed, too"):
        engine.prepare(claim("u", "gpu-0", config=[sharing("TimeSlicing", interval="Short")]), "u")
    box.host.refuse.clear()
    assert engine.recover() == []
    assert (engine.records(), box.host.written) == ([], {})


# MPS.


def test_an_mps_daemon_serves_all_devices_of_one_configuration(box, node):
    engine = node.engine(box.driver())
    limits = {"defaultPinnedDeviceMemoryLimit": "10Gi", "defaultPerDevicePinnedMemoryLimit": {"1": "4Gi"}}
    config = sharing("MPS", defaultActiveThreadPercentage=50, **limits)
    engine.prepare(claim("u", "gpu-0", "gpu-1", config=[config]), "u")
    first, second = uuid(box, FIRST), uuid(box, SECOND)
    assert box.host.calls == [
        ("serve", "u", "g0", (first, second), 50, {first: "10240M", second: "4096M"}, False),
    ]
    assert box.nvml.gpus[FIRST].exclusive
    assert box.nvml.gpus[SECOND].exclusive
    for device in engine.record("u").devices:
        assert device.edits.env["CUDA_MPS_PIPE_DIRECTORY"] == "/tmp/nvidia-mps"
        mounts = {one.container_path: one.host_path for one in device.edits.mounts}
        assert mounts["/tmp/nvidia-mps"] == "/run/fairlead/mps/u/g0/pipe"
        assert mounts["/dev/shm"] == "/run/fairlead/mps/u/g0/shm"
    engine.unprepare("u")
    assert box.host.calls[-1] == ("stop_serving", "u")
    assert not box.nvml.gpus[FIRST].exclusive
    assert box.host.written == {}


def test_an_mps_daemon_that_does_not_start_is_taken_back(box, node):
    box.host.refuse["serve"] = HardwareError("the MPS daemon does not answer")
    engine = node.engine(box.driver())
    with pytest.raises(PrepareError, match="the MPS daemon does not answer"):
        engine.prepare(claim("u", "gpu-0", config=[sharing("MPS")]), "u")
    assert box.host.calls == [("stop_serving", "u")]
    assert not box.nvml.gpus[FIRST].exclusive
    assert box.host.written == {}


def test_gpus_and_instances_have_daemons_of_their_own(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    devices = ("gpu-0-mig-1g10gb-19-4", "gpu-0-mig-1g10gb-19-6", "gpu-1", "gpu-2")
    engine.prepare(claim("u", *devices, config=[sharing("MPS"), sharing("MPS", "MigDeviceConfig")]), "u")
    served = [(call[2], len(call[3])) for call in box.host.calls]
    assert served == [("g0", 1), ("g1", 1), ("g2", 2)]
    pipes = [one.edits.mounts[-2].host_path for one in engine.record("u").devices]
    assert [pipe.split("/")[-2] for pipe in pipes] == ["g0", "g1", "g2", "g2"]


def test_mps_on_an_instance_leaves_the_gpu_to_others(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    engine.prepare(claim("u", "gpu-0-mig-3g40gb-9-4", config=[sharing("MPS", "MigDeviceConfig")]), "u")
    [instance] = box.nvml.instances(FIRST)
    assert box.host.calls == [("serve", "u", "g0", (instance.uuid,), None, {}, False)]
    assert not box.nvml.gpus[FIRST].exclusive


def test_a_lost_gpu_does_not_keep_its_claim(box, node):
    engine = node.engine(box.driver())
    engine.prepare(claim("u", "gpu-0", config=[sharing("MPS")]), "u")
    engine.prepare(claim("v", "gpu-1", config=[sharing("TimeSlicing", interval="Long")]), "v")
    box.nvml.lose(FIRST)
    box.nvml.lose(SECOND)
    engine.unprepare("u")
    engine.unprepare("v")
    assert engine.records() == []


# What is refused.


@pytest.mark.parametrize(
    ("device", "config", "reason"),
    [
        ("gpu-0", {"kind": "GpuConfig", "sharing": {"strategy": "Turns"}}, "Invalid enum value 'Turns'"),
        ("gpu-0", {"kind": "GpuConfig", "sharing": {}}, "missing required field `strategy`"),
        ("gpu-0", {"kind": "GpuConfig", "sharring": {}}, "unknown field `sharring`"),
        ("gpu-0", sharing("TimeSlicing", interval="Longer"), "Invalid enum value 'Longer'"),
        ("gpu-0", sharing("MPS", interval="Long"), "sharing.timeSlicingConfig: must not be set with strategy MPS"),
        ("gpu-0", sharing("TimeSlicing", multiUser=True), "mpsConfig: must not be set with strategy TimeSlicing"),
        ("gpu-0", sharing("MPS", defaultActiveThreadPercentage=101), "101 is not from 0 to 100"),
        ("gpu-0", sharing("MPS", defaultPinnedDeviceMemoryLimit="1"), "1 is less than 1Mi"),
        ("gpu-0", sharing("MPS", defaultPinnedDeviceMemoryLimit="much"), "quantities must match"),
        ("gpu-0", sharing("MPS", defaultPerDevicePinnedMemoryLimit={"7": "1Gi"}), "'7' is neither the UUID nor"),
        ("gpu-0", sharing("MPS", "MigDeviceConfig"), "is configured by a MigDeviceConfig, takes only a GpuConfig"),
        ("gpu-0", {"kind": "VfioDeviceConfig"}, "is not known to the driver"),
        ("gpu-0-mig-1g10gb-19-0", sharing("MPS"), "is configured by a GpuConfig, takes only a MigDeviceConfig"),
        (
            "gpu-0-mig-1g10gb-19-0",
            sharing("TimeSlicing", "MigDeviceConfig", interval="Long"),
            "unknown field `timeSlicingConfig`",
        ),
    ],
)
def test_configuration_that_is_wrong(box, node, device, config, reason):
    engine = node.engine(box.driver("mig=dynamic"))
    with pytest.raises(PrepareError) as caught:
        engine.prepare(claim("u", device, config=[config]), "u")
    assert reason in str(caught.value)
    assert (engine.records(), box.host.written, box.nvml.instances(FIRST)) == ([], {}, [])


def test_a_share_cannot_set_what_holds_for_the_whole(box, node):
    engine = node.engine(box.driver("shares=4"))
    one = DeviceRequestAllocationResult(
        request="r0", driver=DRIVER, pool=NODE, device="gpu-0", share_id="a671734a-e8e5-11e4-8fde-42010af09327"
    )
    with pytest.raises(PrepareError, match="the claim has a share of it"):
        engine.prepare(claim("u", one, config=[sharing("MPS")]), "u")
    engine.prepare(claim("u", one), "u")


def test_each_kind_of_device_takes_its_own_configuration(box, node):
    engine = node.engine(box.driver("mig=dynamic"))
    both = [sharing("TimeSlicing", interval="Long"), sharing("MPS", "MigDeviceConfig")]
    engine.prepare(claim("u", "gpu-1", "gpu-0-mig-1g10gb-19-0", config=both), "u")
    assert [one[0] for one in box.host.calls] == ["set_time_slice", "serve"]


def test_old_gpus_have_no_time_slices(tmp_path, node):
    box = machines.l40s(tmp_path)
    card = box.nvml.gpus["0000:4f:00.0"]
    card.gpu = replace(card.gpu, capability="6.1", architecture="Pascal")
    with pytest.raises(PrepareError, match="need a GPU of Volta or later"):
        node.engine(box.driver()).prepare(claim("u", "gpu-0", config=[sharing("TimeSlicing", interval="Long")]), "u")
