"""Answers that make no sense, sides that contradict each other, cards that go: named, and no other device suffers."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.driver import PrepareError
from fairlead.driver.inventory import make_inventory
from fairlead.driver.slices import Publication, problems_of
from fairlead.drivers.bluefield import agent_pb2 as pb
from fairlead.drivers.bluefield import driver as driver_module
from fairlead.drivers.bluefield.agents import PortReport, Report
from fairlead.drivers.bluefield.config import DRIVER
from fairlead.drivers.bluefield.devlink_command import DevlinkCommand
from fairlead.drivers.bluefield.driver import BlueFieldDriver
from fairlead.drivers.bluefield.functions import Function, Granted
from fairlead.drivers.bluefield.messages import granted_of, report_of
from fairlead.drivers.bluefield.network import NetworkCommands
from fairlead.drivers.bluefield.options import Options
from fairlead.hardware import HardwareError, LiveFiles, RecordedMachine, Recording, RecordingMachine
from tests.drivers.bluefield.bench import Bench, claim, result
from tests.drivers.bluefield.machines import SLOT, Doors, Host
from tests.drivers.bluefield.test_commands import program
from tests.drivers.bluefield.test_discovery import REPORT, WITH_AGENT, Told
from tests.hardware.tree import Tree

VF, SF = "vf-0000-3b-00-3", "sf-0000-3b-00-0-1001"
FUNCTIONS = {"pf", "vf"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def kinds(driver: BlueFieldDriver) -> set[str]:
    """The kinds of devices that are published; what is published passes the API server's checks."""
    pool = driver.discover()
    assert problems_of(Publication(DRIVER, "node-1", "", True), make_inventory(pool, "node-1").pools) == []
    return {one.name.partition("-")[0] for one in pool.devices}


NONSENSE = [
    "",
    "[]",
    "7",
    "{",
    '{"info": 5, "dev": 5, "health": 5, "port": 5}',
    '{"info": {"D": 5}, "dev": {"D": 5}, "health": {"D": 5}, "port": {"D": 5}}',
    '{"info": {"D": {"versions": 1}}, "dev": {"D": {"mode": 7}}, "health": {"D": [5]}, "port": {"D/1": {"pfnum": {}}}}',
    '{"info": {"D": {"versions": {"running": "fw"}}}, "dev": {"D": {}}, "health": {"D": [{}]}, "port": {"D/1": []}}',
    '{"info": {"D": {"driver": [1]}}, "dev": {}, "health": {"D": {}}, "port": {"D/1": {"function": 5}}}',
]


@pytest.mark.parametrize("text", NONSENSE)
def test_a_devlink_that_talks_nonsense_costs_no_function(tmp_path: Path, text: str) -> None:
    here = Host(Tree(tmp_path / "host"), "dpu")
    text = text.replace("D", f"pci/{SLOT}.0")
    devlink = DevlinkCommand(program(tmp_path, "devlink", f"#!/bin/sh\necho '{text}'\n"))
    driver = BlueFieldDriver(Doors(here.tree.machine, [devlink]), Options())
    assert kinds(driver) == FUNCTIONS
    problems = driver.discover().problems
    assert problems
    assert all(line.startswith(f"{SLOT}.0: ") for line in problems)
    assert driver.health() == []
    with pytest.raises(HardwareError, match="devlink"):
        devlink.add_sf(f"pci/{SLOT}.0", 0, 1000, 0)


@pytest.mark.parametrize("text", ["7", "[5]", '[{"linkinfo": 5}]', '[{"ifname": 5}]', '{"ifname": "eth0"}'])
def test_a_program_for_links_that_talks_nonsense(tmp_path: Path, text: str) -> None:
    ip = program(tmp_path, "ip", f"#!/bin/sh\necho '{text}'\n")
    network = NetworkCommands(ip=ip, ovs=str(tmp_path / "none"))
    for call in (network.bridges, lambda: network.bridge_of("eth0"), lambda: network.exists("eth0")):
        with pytest.raises(HardwareError, match="printed what makes no sense"):
            call()


def test_a_sub_function_that_devlink_did_not_make_is_not_taken(tmp_path: Path) -> None:
    other = '{"port": {"pci/x/32768": {"flavour": "pcisf", "pfnum": 0, "sfnum": 7}}}'
    devlink = DevlinkCommand(program(tmp_path, "devlink", f"#!/bin/sh\necho '{other}'\n"))
    assert devlink.add_sf("pci/x", 0, 7, 0).sf == 7
    with pytest.raises(HardwareError, match="did not say which port it made for pf0sf8"):
        devlink.add_sf("pci/x", 0, 8, 0)


@pytest.mark.parametrize(
    ("mode", "report", "line"),
    [
        ("nic", REPORT, "is managed by this host (NIC mode), so its agent can make nothing ready"),
        ("dpu", replace(REPORT, eswitch="legacy", ports=()), "mode legacy: functions have no representors"),
        ("dpu", replace(REPORT, ports=REPORT.ports[:2]), "no representor of pf0vf0, pf0vf1, pf0vf2 and 5 more"),
        ("dpu", replace(REPORT, services={"nvme snap": 8}), "offers 'nvme snap': 8, which cannot be published"),
        ("dpu", replace(REPORT, services={"x" * 33: 1}), "which cannot be published"),
        ("dpu", replace(REPORT, services={"nvmeSnap": 2**64 - 1}), "which cannot be published"),
        ("dpu", replace(REPORT, services={"": 1}), "which cannot be published"),
    ],
)
def test_an_agent_that_contradicts_the_host(tmp_path: Path, mode: str, report: Report, line: str) -> None:
    here = Host(Tree(tmp_path / "host"), mode)
    driver = BlueFieldDriver(here.machine(Told(report)), WITH_AGENT)
    assert kinds(driver) >= FUNCTIONS
    (problem,) = driver.discover().problems
    assert problem.startswith(f"DPU {SLOT}: ")
    assert line in problem


def test_what_an_agent_says_in_length_is_cut_and_what_is_no_version_is_left_out(tmp_path: Path) -> None:
    here = Host(Tree(tmp_path / "host"), "dpu")
    here.devlink.fails["info"] = HardwareError("kernel answers: Input/output error", "EIO")
    ports = (*REPORT.ports, PortReport(Function("vf", 7, 99), "no-such-function"))
    long = replace(REPORT, bfb="é" * 500, version="v" * 70, firmware=f"{'9' * 30}.1.1", ports=ports)
    driver = BlueFieldDriver(here.machine(Told(long)), WITH_AGENT)
    assert kinds(driver) == {"pf", "vf", "sf", "port", "dpu"}
    assert "firmwareVersion" not in driver.discover().devices[0].attributes


def test_functions_of_a_newer_agent_are_left_out_and_grants_of_them_refused() -> None:
    new = pb.Function(kind="vdpa", pf=0, number=1)
    known = pb.Port(function=pb.Function(kind="vf", pf=0, number=1), representor="pf0vf1")
    reply = pb.ReportReply(protocol=1, ports=[pb.Port(function=new, representor="x"), known])
    assert report_of(reply).ports == (PortReport(Function("vf", 0, 1), "pf0vf1"),)
    with pytest.raises(ValueError, match="vdpa"):
        granted_of([pb.Granted(function=new)])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([], "says that it is done, but nothing of pf0sf1001"),
        ([Granted(Function("vf", 0, 1), "pf0vf1", "br-tenant")], "nothing of pf0sf1001"),
        ([Granted(Function("sf", 0, 1001), "en3", "")], "was asked for bridge br-tenant for pf0sf1001, and says none"),
        ([Granted(Function("sf", 0, 1001), "en3", "ovs")], "and says ovs"),
    ],
)
def test_an_agent_that_did_something_else_is_told_to_undo_it(bench: Bench, answer: list[Granted], reason: str) -> None:
    real = bench.agent.apply
    bench.agent.apply = lambda *one: [] if one[-1] else (real(*one), answer)[1]  # type: ignore[method-assign]
    with pytest.raises(PrepareError, match=reason):
        bench.prepare(claim("u", result(SF), bridge="br-tenant"))
    assert bench.clean()


def test_a_dpu_that_was_installed_anew_is_told_by_the_devices_of_its_claims(bench: Bench) -> None:
    bench.prepare(claim("u", result(SF), result(VF), bridge="br-tenant"))
    bench.prepare(claim("plain", result("vf-0000-3b-01-4")))
    bench.now = 10.0
    assert bench.driver.health() == []
    (bench.root / "dpu" / "state.json").unlink()
    bench.restart_agent()
    bench.now = 20.0
    reports = {one.device: one for one in bench.driver.health()}
    assert reports.keys() == {SF, VF}
    assert {one.healthy for one in reports.values()} == {False}
    assert "does not hold what it made for ResourceClaim ml/claim-u any more: start its pod" in reports[SF].message
    bench.engine.unprepare("u")
    assert bench.driver.health() == []
    bench.prepare(claim("v", result(VF), bridge="br-tenant"))
    bench.now = 30.0
    assert bench.driver.health() == []


def test_nic_mode_undoes_what_it_made_also_with_fewer_sub_functions_and_an_unknown_mode(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "nic")
    last = "sf-0000-3b-00-0-1003"
    bench.prepare(claim("u", result(last), bridge="br-tenant"))
    bench.options = Options(sfs=1)
    bench.devlink.fails["eswitch"] = HardwareError("kernel answers: Connection timed out", "ETIMEDOUT")
    bench.restart()
    assert last not in bench.driver._places
    bench.engine.unprepare("u")
    assert bench.clean()


def test_nic_mode_does_not_forget_what_devlink_could_not_undo(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "nic")
    bench.prepare(claim("u", result(VF), bridge="br-tenant"))
    bench.devlink.fails = {
        call: HardwareError("kernel answers: Connection timed out", "ETIMEDOUT") for call in ("ports", "eswitch")
    }
    bench.restart()
    with pytest.raises(PrepareError, match="Connection timed out"):
        bench.engine.unprepare("u")
    with pytest.raises(PrepareError, match="who manages its e-switch could not be asked"):
        bench.prepare(claim("v", result("vf-0000-3b-00-4"), bridge="br-tenant"))
    bench.devlink.fails.clear()
    bench.discover()
    bench.engine.unprepare("u")
    bench.engine.unprepare("v")
    assert bench.clean()


def test_without_devlink_claims_are_refused_and_given_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "nic")
    missing = HardwareError("devlink: is not installed", "no-command")
    bench.devlink.fails = dict.fromkeys(("info", "eswitch", "ports", "health"), missing)
    bench.restart()
    with pytest.raises(PrepareError, match="who manages its e-switch could not be asked"):
        bench.prepare(claim("u", result(VF), bridge="br-tenant"))
    assert bench.clean()
    bench.prepare(claim("v", result(VF)))


def test_a_claim_that_makes_no_sense_need_not_be_waited_for(bench: Bench) -> None:
    (one,) = bench.driver.allocated(bench.as_author(claim("u", result(VF), vlan=7)))
    assert (one.ready, one.failed, one.message) == (False, True, f"{VF}: FunctionConfig: vlan: needs a bridge")


def test_firmware_that_stops_answering_changes_no_device(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "nic")
    before = bench.driver.discover()
    bench.devlink.fails = {
        call: HardwareError("kernel answers: Connection timed out", "ETIMEDOUT") for call in ("info", "eswitch")
    }
    after = bench.driver.discover()
    assert after.devices == before.devices
    assert len(after.problems) == 2


def denied(monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    """Files whose path ends so cannot be read."""
    for name in ("read", "text", "number"):
        real: Callable[..., Any] = getattr(LiveFiles, name)

        def refused(self: LiveFiles, path: str, *more: Any, real: Callable[..., Any] = real) -> Any:
            if str(path).endswith(ends):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return real(self, path, *more)

        monkeypatch.setattr(LiveFiles, name, refused)


@pytest.mark.parametrize(
    ("ends", "gone"),
    [
        ("0000:3b:00.4/vendor", {"vf-0000-3b-00-4"}),
        ("0000:3b:00.4/numa_node", {"vf-0000-3b-00-4"}),
        ("0000:3b:00.0/vpd", set()),
        ("enp59s0f1np1/speed", {"vf-0000-3b-01-3", "pf-0000-3b-00-1"}),
    ],
)
def test_files_without_permission_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, gone: set[str]
) -> None:
    here = Host(Tree(tmp_path / "host"), "dpu")
    driver = BlueFieldDriver(here.machine(), Options())
    whole = {one.name for one in driver.discover().devices}
    denied(monkeypatch, ends)
    pool = driver.discover()
    left = {one.name for one in pool.devices}
    assert gone <= whole - left
    assert {"vf-0000-3b-00-3", "vf-0000-3b-00-6", "pf-0000-3b-00-0"} <= left
    assert any("Permission denied" in line and ends.partition("/")[0][-4:] in line for line in pool.problems)


def test_a_sub_function_that_cannot_be_read_is_refused_and_undone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied(monkeypatch, "/sfnum")
    with pytest.raises(PrepareError, match=r"sfnum: Permission denied"):
        bench.prepare(claim("u", result(SF), bridge="br-tenant"))
    monkeypatch.undo()
    assert bench.clean()


def test_a_card_that_is_lost_comes_back_with_its_claims(bench: Bench) -> None:
    bench.prepare(claim("u", result(SF), result(VF), bridge="br-tenant"))
    before = bench.driver.discover()
    pci = bench.tree.root / "sys/bus/pci"
    (pci / "devices").rename(pci / "away")
    lost = bench.driver.discover()
    assert (list(lost.devices), list(lost.problems)) == ([], [f"DPU {SLOT}: is not on this host"])
    assert bench.driver.health() == []
    with pytest.raises(PrepareError, match="has gone"):
        bench.prepare(claim("v", result("vf-0000-3b-00-4")))
    (pci / "away").rename(pci / "devices")
    assert bench.driver.discover() == before
    bench.engine.unprepare("v")
    bench.engine.unprepare("u")
    assert bench.clean()


@pytest.mark.parametrize("mode", ["dpu", "nic"])
def test_a_claim_is_given_back_while_its_card_is_lost(tmp_path: Path, mode: str) -> None:
    bench = Bench(tmp_path, mode)
    bench.prepare(claim("u", result(SF), result(VF), bridge="br-tenant"))
    pci = bench.tree.root / "sys/bus/pci"
    (pci / "devices").rename(pci / "away")
    bench.restart()
    bench.engine.unprepare("u")
    assert bench.engine.records() == []
    (pci / "away").rename(pci / "devices")
    assert bench.devlink.sfs() == []


def test_the_watch_tells_of_functions_that_go_and_come(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "_LOOK", 0.02)
    told, stop = Event(), Event()
    watch = Thread(target=bench.driver.watch, args=(told.set, stop))
    watch.start()
    try:
        link = bench.tree.root / "sys/bus/pci/devices/0000:3b:01.6"
        target = link.readlink()
        for change in (link.unlink, lambda: link.symlink_to(target)):
            Event().wait(0.1)  # what was there before has been seen
            told.clear()
            change()
            assert told.wait(20)
    finally:
        stop.set()
        watch.join()


def _silent(here: Host) -> Told:
    return Told(None)


def _damaged(here: Host) -> Told:
    here.tree.file(f"{here.path(f'{SLOT}.0')}/vpd", b"\xff\xff")
    here.tree.remove(f"{here.path('0000:3b:00.5')}/class")
    here.devlink.fails["info"] = HardwareError("kernel answers: Connection timed out", "ETIMEDOUT")
    return Told()


def _contradicting(here: Host) -> Told:
    return Told(replace(REPORT, eswitch="legacy", services={"": 1}))


@pytest.mark.parametrize("mode", ["dpu", "nic"])
@pytest.mark.parametrize("fault", [_silent, _damaged, _contradicting])
def test_a_recording_of_a_machine_with_faults_is_discovered_as_the_machine(
    tmp_path: Path, mode: str, fault: Callable[[Host], Told]
) -> None:
    here, kept = Host(Tree(tmp_path / "host"), mode), Recording()
    first = BlueFieldDriver(RecordingMachine(here.machine(fault(here)), kept), WITH_AGENT).discover()
    assert first.problems
    assert BlueFieldDriver(RecordedMachine(kept), WITH_AGENT).discover() == first
