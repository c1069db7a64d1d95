"""What is published of machines, well and ill."""

from __future__ import annotations

import re
from threading import Event, Thread

import pytest
from msgspec.structs import replace

from fairlead.driver.inventory import make_inventory
from fairlead.driver.slices import Publication, problems_of
from fairlead.drivers import DriverArgumentError
from fairlead.drivers import make as make_driver
from fairlead.drivers.nvidia import GpuDriver, make, read_options
from fairlead.drivers.nvidia.options import Options
from fairlead.hardware import (
    HardwareError,
    RecordedMachine,
    Recording,
    RecordingMachine,
    read_recording,
    write_recording,
)
from fairlead.resource import Device
from fairlead.topology import default_rules, wire
from tests.drivers.nvidia import machines
from tests.drivers.nvidia.machines import CLUSTER, MIB, NODE, Box

MACHINES = [machines.h100, machines.gb200, machines.l40s, machines.a100, machines.gh200]
OPTIONS = ["", "mig=dynamic", "shares=4", "shares=memory", "mig=dynamic,shares=unlimited"]


def values(device: Device) -> dict[str, object]:
    """Attributes by name, whatever their type."""
    return {
        name: next(x for x in (one.string, one.int_, one.bool_, one.version) if x is not None)
        for name, one in device.attributes.items()
    }


def test_a_gpu_of_a_dgx_h100(tmp_path):
    box = machines.h100(tmp_path)
    pool = box.driver().discover()
    assert [one.name for one in pool.devices] == [f"gpu-{minor}" for minor in range(8)]
    assert values(pool.devices[4]) == {
        "type": "gpu",
        "uuid": box.nvml.gpus["0000:9d:00.0"].gpu.uuid,
        "index": 4,
        "productName": "NVIDIA H100 80GB HBM3",
        "brand": "Nvidia",
        "architecture": "Hopper",
        "cudaComputeCapability": "9.0.0",
        "driverVersion": "580.126.20",
        "cudaDriverVersion": "13.0.0",
        "addressingMode": "HMM",
        "gpuModuleId": 5,
        "nvlinks": 18,
        "resource.kubernetes.io/pciBusID": "0000:9d:00.0",
        "resource.kubernetes.io/pcieRoot": "pci0000:97",
        "resource.kubernetes.io/numaNode": 1,
    }
    assert str(pool.devices[4].capacity["memory"].value) == "81559Mi"
    assert pool.problems == []


def test_versions_have_no_leading_zeros_and_absent_things_no_attributes(tmp_path):
    first = values(machines.l40s(tmp_path).driver().discover().devices[0])
    assert first["driverVersion"] == "535.129.3"
    assert not {"nvlinks", "gpuModuleId", "nvlinkDomain", "cliqueID"} & first.keys()


def test_topology_reads_the_nvlink_domain_of_a_gb200_tray(tmp_path):
    devices = machines.gb200(tmp_path).driver().discover().devices
    assert values(devices[0]) | {"clusterUUID": CLUSTER, "cliqueID": 32766} == values(devices[0])
    wiring = wire([("gpu.nvidia.com", one) for one in devices], default_rules())
    assert {one.nvlink for one in wiring.locations} == {f"{CLUSTER}.32766"}
    assert {one.spans for one in wiring.locations} == {True}
    assert [one.numa for one in wiring.locations] == [0, 0, 1, 1]
    assert wiring.link(0, 3).kind == "nvlink"


def test_a_fabric_that_is_not_joined_is_no_domain(tmp_path):
    box = machines.gb200(tmp_path)
    card = box.nvml.gpus["0008:06:00.0"]
    card.gpu = replace(card.gpu, fabric=replace(card.gpu.fabric, state="in-progress"))
    first, second, *_ = box.driver().discover().devices
    assert "nvlinkDomain" not in first.attributes
    assert "nvlinkDomain" in second.attributes


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_every_machine_can_be_published(tmp_path, machine, options):
    for driver in make(options, NODE, machine(tmp_path)):
        inventory = make_inventory(driver.discover(), NODE)
        assert inventory.devices
        assert problems_of(Publication(driver.name, NODE, "uid", True), inventory.pools) == []


@pytest.mark.parametrize("options", ["", "mig=dynamic"])
@pytest.mark.parametrize(
    "machine", [*MACHINES, lambda root: machines.a100(root, machines.half_balanced())], ids=lambda one: one.__name__
)
def test_a_recording_gives_the_same_pool(tmp_path, machine, options):
    box = machine(tmp_path / "tree")
    recording = Recording(machine="m")
    live = make(options, NODE, box)[0].discover()
    assert make(options, NODE, RecordingMachine(box, recording))[0].discover() == live
    file = tmp_path / "machine.yaml"
    write_recording(recording, file)
    assert make(options, NODE, RecordedMachine(read_recording(file)))[0].discover() == live


def test_a_recording_of_a_machine_that_is_ill_is_as_ill(tmp_path):
    box = machines.h100(tmp_path / "tree")
    box.nvml.lose("0000:52:00.0")
    box.tree.remove("/dev/nvidia3")
    box.host.refuse["libraries"] = HardwareError("nvidia-ctk: exit status 1: no NVML")
    recording = Recording()
    live = make("", NODE, RecordingMachine(box, recording))[0].discover()
    file = tmp_path / "machine.json"
    write_recording(recording, file)
    again = make("", NODE, RecordedMachine(read_recording(file)))[0].discover()
    assert (again.devices, again.problems) == (live.devices, live.problems)
    assert len(again.problems) == 3


@pytest.mark.parametrize(("taken", "given"), [("", "mig=dynamic"), ("mig=dynamic", ""), ("", "shares=4,channels=0")])
def test_a_recording_serves_other_options(tmp_path, taken, given):
    box = machines.h100(tmp_path)
    recording = Recording()
    make(taken, NODE, RecordingMachine(box, recording))[0].discover()
    replayed = make(given, NODE, RecordedMachine(recording))[0].discover()
    assert replayed == make(given, NODE, box)[0].discover()
    assert replayed.problems == []


def test_a_gpu_without_profiles_is_published_whole_and_named(tmp_path):
    box = machines.h100(tmp_path)
    box.nvml.gpus["0000:52:00.0"].profiles = ()
    box.nvml.gpus["0000:61:00.0"].refuse["profiles"] = HardwareError("0000:61:00.0: Unknown Error", "999")
    assert box.driver().discover().problems == []
    pool = box.driver("mig=dynamic").discover()
    assert pool.problems == [
        "0000:52:00.0: has MIG, and NVML names no profiles: it is published as with mig=static",
        "0000:61:00.0: Unknown Error",
    ]
    assert {one.name for one in pool.devices if one.name.startswith(("gpu-2", "gpu-3"))} == {"gpu-2"}


def test_shares_of_memory(tmp_path):
    capacity = machines.h100(tmp_path).driver("shares=memory").discover().devices[0].capacity
    policy = capacity["memory"].request_policy
    assert [str(one) for one in (policy.default, policy.valid_range.min, policy.valid_range.step)] == [
        "81559Mi",
        "1Mi",
        "1Mi",
    ]
    assert policy.valid_range.max == capacity["memory"].value


def test_shares_by_number_and_without_limit(tmp_path):
    device = machines.h100(tmp_path).driver("shares=4").discover().devices[0]
    assert device.allow_multiple_allocations
    assert str(device.capacity["shares"].value) == "4"
    assert str(device.capacity["shares"].request_policy.default) == "1"
    assert str(device.capacity["memory"].request_policy.default) == "0"
    device = machines.h100(tmp_path / "2").driver("shares=unlimited").discover().devices[0]
    assert "shares" not in device.capacity
    assert str(device.capacity["memory"].request_policy.default) == "0"


def test_memory_that_is_no_whole_mib_is_rounded_down_for_shares(tmp_path):
    box = machines.l40s(tmp_path)
    card = box.nvml.gpus["0000:4f:00.0"]
    card.gpu = replace(card.gpu, memory=46068 * MIB + 5)
    assert str(box.driver("shares=memory").discover().devices[0].capacity["memory"].value) == "46068Mi"


# What is wrong is named, and the others are found.


def broken(box: Box, error: HardwareError) -> None:
    box.nvml.gpus["0000:52:00.0"].error = error


@pytest.mark.parametrize(
    "error",
    [
        HardwareError("0000:52:00.0: GPU is lost", "15"),
        HardwareError("0000:52:00.0: Unknown Error", "999"),
        HardwareError("0000:52:00.0: Insufficient Permissions", "4"),
    ],
    ids=["lost", "unknown", "denied"],
)
def test_a_gpu_that_does_not_answer_is_named_and_the_others_are_found(tmp_path, error):
    box = machines.h100(tmp_path)
    broken(box, error)
    pool = box.driver().discover()
    assert [one.name for one in pool.devices] == [f"gpu-{minor}" for minor in (0, 1, 3, 4, 5, 6, 7)]
    assert pool.problems == [str(error)]


def test_a_gpu_that_was_found_before_stays_while_it_does_not_answer(tmp_path):
    box = machines.h100(tmp_path)
    driver = box.driver()
    before = driver.discover()
    box.nvml.lose("0000:52:00.0")
    lost = driver.discover()
    assert lost.devices == before.devices
    assert lost.problems == ["0000:52:00.0: GPU is lost"]
    box.nvml.find("0000:52:00.0")
    assert driver.discover().problems == []


def test_a_lost_gpu_gives_way_to_one_that_got_its_device_file(tmp_path):
    box = machines.h100(tmp_path)
    box.tree.bind("0000:61:00.0", "vfio-pci")
    driver = box.driver()
    assert len(driver.discover().devices) == 7
    box.nvml.lose("0000:52:00.0")
    card = box.nvml.gpus["0000:61:00.0"]
    card.gpu = replace(card.gpu, minor=2)
    box.tree.bind("0000:61:00.0", "nvidia")
    pool = driver.discover()
    assert [one.name for one in pool.devices] == [f"gpu-{minor}" for minor in (0, 1, 2, 4, 5, 6, 7)]
    assert pool.devices[2].attributes["uuid"].string == card.gpu.uuid
    assert pool.problems == ["0000:52:00.0: GPU is lost", "0000:52:00.0: /dev/nvidia2 is 0000:61:00.0's now"]


def test_two_gpus_of_one_device_file_are_one_and_the_other_is_named(tmp_path):
    box = machines.h100(tmp_path)
    card = box.nvml.gpus["0000:61:00.0"]
    card.gpu = replace(card.gpu, minor=2)
    pool = box.driver().discover()
    assert [one.name for one in pool.devices] == [f"gpu-{minor}" for minor in (0, 1, 2, 4, 5, 6, 7)]
    assert pool.problems == ["0000:61:00.0: /dev/nvidia2 is 0000:52:00.0's now"]


def test_figures_that_cannot_be_are_named_and_the_other_gpus_are_found(tmp_path):
    box = machines.h100(tmp_path)
    card = box.nvml.gpus["0000:52:00.0"]
    card.profiles = (replace(card.profiles[0], size=1 << 31), *card.profiles[1:])
    pool = box.driver("mig=dynamic").discover()
    assert {one.name.split("-")[1] for one in pool.devices} == set("0134567")
    assert [one.split(":")[3] for one in pool.problems] == [" NVML names an impossible MIG profile"]


def test_gpus_that_come_and_go(tmp_path):
    box = machines.h100(tmp_path)
    driver = box.driver()
    driver.discover()
    box.tree.remove("/sys/bus/pci/devices/0000:52:00.0")
    assert "gpu-2" not in {one.name for one in driver.discover().devices}
    box.tree.link("/sys/bus/pci/devices/0000:52:00.0", "/sys/devices/pci0000:4c/0000:4c:01.0/0000:52:00.0")
    assert "gpu-2" in {one.name for one in driver.discover().devices}


def test_a_gpu_of_a_virtual_machine_is_not_published(tmp_path):
    box = machines.h100(tmp_path)
    box.tree.bind("0000:52:00.0", "vfio-pci")
    pool = box.driver().discover()
    assert "gpu-2" not in {one.name for one in pool.devices}
    assert pool.problems == []


def test_without_a_kernel_driver_nothing_is_published_and_it_is_said_once(tmp_path):
    box = machines.h100(tmp_path)
    box.nvml.installed = None
    pool = box.driver().discover()
    assert (pool.devices, pool.problems) == ([], ["NVML: Driver Not Loaded"])


def test_while_the_kernel_driver_is_exchanged_devices_stay(tmp_path):
    box = machines.h100(tmp_path)
    driver = box.driver()
    before = driver.discover()
    box.nvml.installed = None
    assert driver.discover().devices == before.devices


def test_bad_files_of_one_function_leave_the_others(tmp_path):
    box = machines.h100(tmp_path)
    box.tree.file("/sys/devices/pci0000:4c/0000:4c:01.0/0000:52:00.0/class", "rubbish")
    pool = box.driver().discover()
    assert len(pool.devices) == 7
    assert len(pool.problems) == 1
    assert pool.problems[0].startswith("0000:52:00.0: ")
    assert "holds no number: 'rubbish'" in pool.problems[0]


def test_a_missing_device_file_is_named_before_a_pod_needs_it(tmp_path):
    box = machines.h100(tmp_path)
    box.tree.remove("/dev/nvidia2")
    [problem] = box.driver().discover().problems
    assert problem.startswith("gpu-2: /dev/nvidia2: not there; `nvidia-modprobe -u -c 2`")


def test_missing_libraries_are_said_unless_that_is_wanted(tmp_path):
    box = machines.l40s(tmp_path)
    box.host.edits = None
    assert ["nvidia-ctk is not installed" in one for one in box.driver().discover().problems] == [True]
    assert box.driver("libraries=no").discover().problems == []


def test_bad_answers_of_programs_are_told(tmp_path):
    box = machines.l40s(tmp_path)
    box.host.refuse = {
        "libraries": HardwareError("nvidia-ctk: exit status 1: no NVML"),
        "notes": HardwareError("/var/lib/x: Permission denied"),
    }
    pool = box.driver().discover()
    assert pool.problems == ["notes: /var/lib/x: Permission denied", "libraries: nvidia-ctk: exit status 1: no NVML"]
    assert len(pool.devices) == 2


def test_a_machine_without_nvidia_hardware_is_silent(tmp_path):
    box = machines.l40s(tmp_path)
    for address in list(box.nvml.gpus):
        box.tree.remove(f"/sys/bus/pci/devices/{address}")
    box.nvml.installed = None
    pool = box.driver().discover()
    assert (pool.devices, pool.problems) == ([], [])


@pytest.mark.parametrize("options", ["", "mig=dynamic"])
def test_watching_sees_gpus_and_instances_come(tmp_path, options):
    box = machines.a100(tmp_path, machines.half_balanced())
    driver = box.driver(options)
    driver.discover()
    seen, stop = Event(), Event()
    thread = Thread(target=driver.watch, args=(seen.set, stop))
    thread.start()
    try:
        assert seen.wait(30), "what came before the first look is not asked for"
        seen.clear()
        box.nvml.destroy("0000:10:1c.0", 1)
        assert seen.wait(30)
    finally:
        stop.set()
        thread.join()


def test_options():
    options = read_options("mig=dynamic,shares=8,libraries=no,ignore-xids=94+95,xid-hold=60,channels=3")
    assert options == Options("dynamic", 8, False, frozenset({94, 95}), 60.0, 3)


@pytest.mark.parametrize(
    "text", ["mig=yes", "shares=0", "shares=-1", "libraries=maybe", "xid-hold=inf", "gpus=3", "mig"]
)
def test_options_that_are_wrong(tmp_path, text):
    with pytest.raises(DriverArgumentError, match=re.escape(f"nvidia: {text}: must be of mig=static|dynamic")):
        make_driver(f"nvidia={text}", NODE, machines.l40s(tmp_path))


def test_channels_are_left_out_on_request(tmp_path):
    made = make("channels=0", NODE, machines.l40s(tmp_path))
    assert [type(one) for one in made] == [GpuDriver]
