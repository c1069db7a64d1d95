"""What is found on hosts with a BlueField-3 in both modes, and what becomes of it where something cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fairlead.driver.inventory import make_inventory
from fairlead.driver.slices import Publication, problems_of
from fairlead.drivers.bluefield.agents import Agents, PortReport, Report
from fairlead.drivers.bluefield.config import DRIVER
from fairlead.drivers.bluefield.discovery import RDMA_CM, find_dpus
from fairlead.drivers.bluefield.driver import BlueFieldDriver
from fairlead.drivers.bluefield.functions import Function
from fairlead.drivers.bluefield.options import Options, read_options
from fairlead.drivers.bluefield.vpd import read_vpd
from fairlead.hardware import HardwareError, Problems, RecordedMachine, Recording, RecordingMachine
from fairlead.resource import Device
from tests.drivers.bluefield.machines import NAME, PART, SERIAL, SLOT, VFS, Host, vpd
from tests.hardware.tree import Tree

WITH_AGENT = read_options(f"dpus: [{{address: '{SLOT}', agent: 'unix:/nowhere'}}]\nsfs: 2")
REPORT = Report(
    version="0.1",
    boot_id="b1",
    serial=SERIAL,
    bfb="DOCA_2.9.1_BSP_4.9.1_Ubuntu_22.04",
    eswitch="switchdev",
    ports=(
        *(PortReport(Function("pf", pf), f"pf{pf}hpf") for pf in range(2)),
        *(PortReport(Function("vf", pf, vf), f"pf{pf}vf{vf}") for pf in range(2) for vf in range(VFS)),
        PortReport(Function("sf", 0, 1000), "en3f0pf0sf1000"),
    ),
    offloads=("ovs", "ipsec"),
    services={"nvmeSnap": 8},
)


class Told(Agents):
    """An agent that says what a test gave."""

    def __init__(self, report: Report | None = REPORT) -> None:
        self.answer = report

    def report(self, dpu):
        if self.answer is None:
            raise HardwareError(f"DPU {dpu}: agent unix:/nowhere: connection refused", "unavailable")
        return self.answer

    def apply(self, dpu, uid, name, wanted, services, dry_run):
        return []

    def release(self, dpu, uid):
        pass


def host(folder: Path, mode: str) -> Host:
    return Host(Tree(folder / "host"), mode)


def driver(host: Host, options: Options = WITH_AGENT, report: Report | None = REPORT) -> BlueFieldDriver:
    return BlueFieldDriver(host.machine(Told(report)), options)


def devices(driver: BlueFieldDriver) -> dict[str, Device]:
    return {one.name: one for one in driver.discover().devices}


def plain(device: Device) -> dict[str, object]:
    values = {}
    for name, one in device.attributes.items():
        values[name] = next(v for v in (one.string, one.int_, one.bool_, one.version) if v is not None)
    return values


def test_a_card_says_its_name_and_numbers() -> None:
    card = read_vpd(vpd())
    assert (card.name, card.part, card.serial) == (NAME, PART, SERIAL)
    for damaged in (vpd()[:40], b"\x11" + vpd(), b"\xff" * 10):
        with pytest.raises(ValueError, match="VPD"):
            read_vpd(damaged)


def test_a_dpu_that_manages_its_own_eswitch(tmp_path: Path) -> None:
    here = host(tmp_path, "dpu")
    problems = Problems()
    (dpu,) = find_dpus(here.tree.machine.files, here.devlink, problems)
    assert problems == []
    assert (dpu.slot, dpu.model, dpu.mode, dpu.eswitch) == (SLOT, "BlueField-3", "dpu", "")
    assert [len(port.virtual) for port in dpu.ports] == [4, 4]
    assert dpu.ports[1].virtual[2].pci.address == "0000:3b:01.5"
    assert dpu.ports[0].megabits == 200_000
    found = devices(driver(here))
    assert [name for name in found if name.startswith("vf-0000-3b-00")] == [f"vf-0000-3b-00-{i}" for i in (3, 4, 5, 6)]
    assert [name for name in found if name.startswith("sf-0000-3b-00-1")] == [
        "sf-0000-3b-00-1-1000",
        "sf-0000-3b-00-1-1001",
    ]
    assert plain(found["vf-0000-3b-00-4"]) == {
        "type": "vf",
        "vf": 1,
        "port": 0,
        "pfAddress": "0000:3b:00.0",
        "representor": "pf0vf1",
        "rdma": True,
        "dpu": SLOT,
        "model": "BlueField-3",
        "deviceID": "a2dc",
        "serial": SERIAL,
        "partNumber": PART,
        "psid": "MT_0000000884",
        "firmwareVersion": "32.39.2048",
        "mode": "dpu",
        "eswitchMode": "switchdev",
        "bfbVersion": "DOCA_2.9.1_BSP_4.9.1_Ubuntu_22.04",
        "agentVersion": "0.1",
        "ovs": True,
        "ipsec": True,
        "nvmeSnap": True,
        "virtioNet": False,
        "resource.kubernetes.io/pciBusID": "0000:3b:00.4",
        "resource.kubernetes.io/pcieRoot": "pci0000:3a",
        "resource.kubernetes.io/numaNode": 1,
    }
    assert plain(found["pf-0000-3b-00-1"])["interface"] == "enp59s0f1np1"
    assert str(found["dpu-0000-3b-00"].capacity["nvmeSnap"].value) == "8"
    assert found["port-0000-3b-00-0"].capacity["bandwidth"].value.nano == 200 * 10**18


def test_a_dpu_in_nic_mode_makes_sub_functions_on_the_host_and_waits_for_nobody(tmp_path: Path) -> None:
    found = devices(driver(host(tmp_path, "nic"), Options(sfs=2)))
    assert sum(name.startswith("sf-") for name in found) == 4
    vf = plain(found["vf-0000-3b-00-3"])
    assert (vf["mode"], vf["eswitchMode"]) == ("nic", "switchdev")
    assert "bfbVersion" not in vf
    assert all(not one.binding_conditions for one in found.values())
    assert "dpu-0000-3b-00" not in found


def test_without_an_agent_a_dpu_in_dpu_mode_has_its_plain_functions(tmp_path: Path) -> None:
    found = devices(driver(host(tmp_path, "dpu"), Options()))
    assert {name.partition("-")[0] for name in found} == {"pf", "vf"}


@pytest.mark.parametrize("mode", ["dpu", "nic"])
def test_what_is_published_passes_the_api_servers_checks(tmp_path: Path, mode: str) -> None:
    made = driver(host(tmp_path, mode), WITH_AGENT if mode == "dpu" else Options())
    inventory = make_inventory(made.discover(), "node-1")
    assert problems_of(Publication(DRIVER, "node-1", "", True), inventory.pools) == []
    assert inventory.pools[0].problems == ()


@pytest.mark.parametrize("mode", ["dpu", "nic"])
def test_a_recording_is_discovered_as_the_machine(tmp_path: Path, mode: str) -> None:
    here, kept = host(tmp_path, mode), Recording()
    first = BlueFieldDriver(RecordingMachine(here.machine(Told()), kept), WITH_AGENT).discover()
    assert BlueFieldDriver(RecordedMachine(kept), WITH_AGENT).discover() == first
    assert {"devlink", "dpu-agents"} <= kept.doors.keys()


def test_a_recording_has_what_preparing_asks_for(tmp_path: Path) -> None:
    here, kept = host(tmp_path, "dpu"), Recording()
    here.tree.file(RDMA_CM)
    BlueFieldDriver(RecordingMachine(here.machine(Told()), kept), WITH_AGENT).discover()
    files = RecordedMachine(kept).files
    function = here.path(f"{SLOT}.3")
    assert files.text(f"{function}/net/enp59s0f0v0/address") == "02:00:00:00:00:00"
    assert files.listed(f"{function}/infiniband_verbs") == ["uverbs2"]
    assert files.exists(RDMA_CM)


def test_an_agent_that_does_not_answer_is_told_and_its_devices_stay(tmp_path: Path) -> None:
    here = host(tmp_path, "dpu")
    made = driver(here, report=None)
    pool = made.discover()
    assert pool.problems == (f"DPU {SLOT}: agent unix:/nowhere: connection refused",)
    assert {one.name.partition("-")[0] for one in pool.devices} == {"pf", "vf", "sf", "port"}


def test_what_an_agent_said_stays_while_it_is_silent(tmp_path: Path) -> None:
    agent, now = Told(), [0.0]
    made = BlueFieldDriver(host(tmp_path, "dpu").machine(agent), WITH_AGENT, clock=lambda: now[0])
    before = {name: plain(one) for name, one in devices(made).items()}
    agent.answer, now[0] = None, 60.0
    assert {name: plain(one) for name, one in devices(made).items()} == before


def test_an_agent_of_another_dpu_or_protocol_is_not_taken(tmp_path: Path) -> None:
    from msgspec.structs import replace

    for wrong, reason in (
        (replace(REPORT, serial="MT0000XZ0000"), f"has serial number {SERIAL}, its agent is that of DPU MT0000XZ0000"),
        (replace(REPORT, protocol=2), "speaks protocol 2, the driver 1"),
    ):
        made = BlueFieldDriver(host(tmp_path / reason[-4:], "dpu").machine(Told(wrong)), WITH_AGENT)
        made.discover()  # serial numbers are known from now on
        pool = made.discover()
        assert reason in " ".join(pool.problems)


def test_trouble_with_one_function_leaves_the_others(tmp_path: Path) -> None:
    here = host(tmp_path, "dpu")
    here.tree.remove(f"{here.path('0000:3b:00.5')}/class")
    here.tree.remove(f"{here.path('0000:3b:01.4')}/vendor")
    pool = driver(here).discover()
    names = {one.name for one in pool.devices}
    assert {"vf-0000-3b-00-5", "vf-0000-3b-01-4"} & names == set()
    assert {"vf-0000-3b-00-4", "vf-0000-3b-01-5", "pf-0000-3b-00-0", "pf-0000-3b-00-1"} <= names
    assert any(line.startswith("0000:3b:00.5: ") for line in pool.problems)
    numbers = {one.name: plain(one)["vf"] for one in pool.devices if one.name.startswith("vf-0000-3b-00")}
    assert numbers == {"vf-0000-3b-00-3": 0, "vf-0000-3b-00-4": 1, "vf-0000-3b-00-6": 3}


def test_firmware_that_answers_badly_and_damaged_product_data(tmp_path: Path) -> None:
    here = host(tmp_path, "dpu")
    here.devlink.fails = {
        "info": HardwareError("devlink -j dev info: kernel answers: Connection timed out", "ETIMEDOUT"),
        "eswitch": HardwareError("kernel answers: Input/output error", "EIO"),
    }
    here.tree.file(f"{here.path(f'{SLOT}.0')}/vpd", b"\xff\xff\xff\xff")
    pool = driver(here, Options()).discover()
    assert len(pool.devices) == 10
    assert len(pool.problems) == 3
    assert all("0000:3b:00.0" in line for line in pool.problems)
    assert "mode" not in plain(pool.devices[0])


def test_without_devlink_functions_are_found(tmp_path: Path) -> None:
    here = host(tmp_path, "dpu")
    missing = HardwareError("devlink: is not installed", "no-command")
    here.devlink.fails = {"info": missing, "eswitch": missing}
    pool = driver(here, Options()).discover()
    assert len(pool.devices) == 10
    assert set(pool.problems) == {
        "0000:3b:00.0: devlink: is not installed",
        "0000:3b:00.0: mode: devlink: is not installed",
    }


def test_functions_that_come_and_go(tmp_path: Path) -> None:
    here = host(tmp_path, "dpu")
    made = driver(here)
    assert "vf-0000-3b-01-6" in devices(made)
    here.tree.remove("/sys/bus/pci/devices/0000:3b:01.6")
    here.tree.remove(f"{here.path(f'{SLOT}.1')}/virtfn3")
    assert "vf-0000-3b-01-6" not in devices(made)


def test_a_link_that_is_down_keeps_the_speed_that_was_seen(tmp_path: Path) -> None:
    here = host(tmp_path, "dpu")
    made = driver(here)
    devices(made)
    here.tree.file(f"{here.path(f'{SLOT}.0')}/net/enp59s0f0np0/speed", -1)
    assert devices(made)["port-0000-3b-00-0"].capacity["bandwidth"].value.nano == 200 * 10**18
    assert "port-0000-3b-00-0" not in devices(driver(here))


def test_a_machine_without_dpus_has_an_empty_pool(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "empty")
    tree.pci("0000:01:00.0", vendor=0x15B3, device=0x1021, class_code=0x020000)  # a ConnectX-7
    pool = BlueFieldDriver(tree.machine, Options()).discover()
    assert (list(pool.devices), list(pool.problems)) == ([], [])
    wrong = BlueFieldDriver(tree.machine, WITH_AGENT).discover()
    assert wrong.problems == (f"DPU {SLOT}: is not on this host",)


def test_without_grpc_dpus_are_found_and_their_agents_are_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = host(tmp_path, "dpu")
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "fairlead.drivers.bluefield.agent_client", raising=False)
    assert BlueFieldDriver(here.machine(), Options()).discover().problems == ()
    pool = BlueFieldDriver(here.machine(), WITH_AGENT).discover()
    assert pool.problems == (f"DPU {SLOT}: its agent cannot be called: pip install 'fairlead[driver]'",)
    assert "vf-0000-3b-00-3" in {one.name for one in pool.devices}
