"""Both sides made ready and taken back together: through the kit's engine, with failures at every step of either."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.driver import PrepareError
from fairlead.drivers.bluefield.agents import Agents, Report
from fairlead.drivers.bluefield.functions import Granted
from fairlead.drivers.bluefield.options import Options, read_options
from fairlead.hardware import HardwareError
from tests.drivers.bluefield.bench import Bench, claim, result

VF, VF2, SF, PORT, DPU = (
    "vf-0000-3b-00-3",
    "vf-0000-3b-00-4",
    "sf-0000-3b-00-0-1001",
    "port-0000-3b-00-0",
    "dpu-0000-3b-00",
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_virtual_function_and_the_port_of_its_representor(bench: Bench) -> None:
    bench.prepare(claim("u", result(VF), bridge="br-tenant", vlan=42, interface="net1"))
    assert bench.network.members == {"pf0vf0": ("br-tenant", 42)}
    assert bench.network.up == {"pf0vf0"}
    edits = bench.spec("u")["u_0_vf-0000-3b-00-3"]
    assert edits["netDevices"] == [{"hostInterfaceName": "enp59s0f0v0", "name": "net1"}]
    assert edits["deviceNodes"] == [{"path": "/dev/infiniband/uverbs2"}]
    (record,) = bench.engine.records()
    (device,) = record.devices
    assert device.status is not None
    assert device.status.data == {
        "dpu": "0000:3b:00",
        "function": "pf0vf0",
        "representor": "pf0vf0",
        "bridge": "br-tenant",
    }
    assert device.status.network_data is not None
    assert device.status.network_data.interface_name == "net1"
    assert device.status.network_data.hardware_address == "02:00:00:00:00:00"
    bench.engine.unprepare("u")
    assert bench.clean()


def test_a_sub_function_is_made_and_removed(bench: Bench) -> None:
    bench.prepare(claim("u", result(SF), bridge="ovs", mac="02:aa:bb:cc:dd:ee", rdma=False))
    assert bench.devlink.sfs() == ["pf0sf1001"]
    assert bench.network.members == {"en3f0pf0sf1001": ("ovs", 0)}
    edits = bench.spec("u")["u_0_sf-0000-3b-00-0-1001"]
    assert edits == {"netDevices": [{"hostInterfaceName": "enp59s0f0s1001", "name": "enp59s0f0s1001"}]}
    assert bench.devlink.changes[:3] == ["add_sf", "set_mac", "set_state"]
    bench.engine.unprepare("u")
    assert bench.clean()


def test_shares_of_a_port_limit_its_functions_and_of_a_dpu_take_services(bench: Bench) -> None:
    bandwidth = result(PORT, "bw", consumed={"bandwidth": "50G"})
    services = result(DPU, "storage", consumed={"nvmeSnap": "3"})
    bench.prepare(claim("u", result(VF, "a"), result(VF2, "b"), bandwidth, services))
    assert set(bench.devlink.rates.values()) == {25_000}
    assert bench.served == [("apply", "u", "nvmeSnap", 3)]
    bench.engine.unprepare("u")
    assert bench.served[-1] == ("release", "u", "nvmeSnap", 3)
    assert bench.clean()
    bench.prepare(claim("v", result(DPU, "storage", consumed={"nvmeSnap": "7"})))
    with pytest.raises(PrepareError, match="nvmeSnap: 2 asked for, 1 of 8 are free"):
        bench.prepare(claim("w", result(DPU, "storage", consumed={"nvmeSnap": "2"})))


@pytest.mark.parametrize("mode", ["dpu", "nic"])
def test_bandwidth_without_a_function_of_the_port_is_refused(tmp_path: Path, mode: str) -> None:
    bench = Bench(tmp_path, mode)
    bandwidth = result(PORT, "bw", consumed={"bandwidth": "50G"})
    with pytest.raises(PrepareError, match=r"bandwidth of port 0 of DPU 0000:3b:00, but no function of that port"):
        bench.prepare(claim("u", result("vf-0000-3b-01-3"), bandwidth))
    assert bench.clean()


@pytest.mark.parametrize("mode", ["dpu", "nic"])
def test_bandwidth_alone_is_kept_from_others_and_limits_nothing(tmp_path: Path, mode: str) -> None:
    bench = Bench(tmp_path, mode)
    wanted = claim("u", result(PORT, "bw", consumed={"bandwidth": "50G"}))
    bench.prepare(wanted)
    assert bench.devlink.changes == []
    bench.engine.unprepare("u")
    assert bench.clean()


def test_nic_mode_makes_both_sides_on_the_host(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "nic")
    bench.prepare(claim("u", result(SF), bridge="br-tenant"))
    assert bench.devlink.sfs() == ["pf0sf1001"]
    assert bench.network.members == {"en3f0pf0sf1001": ("br-tenant", 0)}
    bench.prepare(claim("v", result(VF)))  # nothing is to be done for it
    bench.restart()
    bench.engine.unprepare("u")
    bench.engine.unprepare("v")
    assert bench.clean()


def test_dpu_mode_without_an_agent_gives_plain_functions_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path, options=Options())
    bench.prepare(claim("u", result(VF)))
    bench.engine.unprepare("u")
    with pytest.raises(PrepareError, match="manages its e-switch itself, and has no agent here"):
        bench.prepare(claim("v", result(VF), bridge="br-tenant"))
    assert bench.clean()


def test_administrators_look_without_touching(bench: Bench) -> None:
    bench.prepare(claim("u", result(VF), bridge="br-tenant"))
    before = list(bench.devlink.changes)
    bench.prepare(claim("admin", result(VF, admin_access=True)))
    bench.engine.unprepare("admin")
    assert bench.devlink.changes == before
    assert bench.network.members == {"pf0vf0": ("br-tenant", 0)}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"bridge": "br-nowhere"}, "bridge br-nowhere: is not there; there are: br-tenant, br-old, ovs"),
        ({"bridge": "br-old", "vlan": 7}, "bridge br-old: does not filter VLANs"),
        ({"vlan": 7}, "vlan: needs a bridge"),
        ({"vlan": 4095, "bridge": "br-tenant"}, "vlan"),
        ({"mac": "01:00:5e:00:00:01"}, "mac"),
        ({"bridge": "br tenant"}, "bridge"),
        ({"brigde": "br-tenant"}, "brigde"),
    ],
)
@pytest.mark.parametrize("mode", ["dpu", "nic"])
def test_what_makes_no_sense_is_refused_before_anything_is_done(
    tmp_path: Path, mode: str, config: dict, reason: str
) -> None:
    bench = Bench(tmp_path, mode)
    with pytest.raises(PrepareError, match=reason):
        bench.prepare(claim("u", result(SF), **config))
    assert bench.clean()
    assert bench.devlink.changes == []


def test_a_representor_in_somebody_elses_bridge_is_not_taken(bench: Bench) -> None:
    bench.network.members["pf0vf0"] = ("br-admin", 0)
    with pytest.raises(PrepareError, match="its representor pf0vf0 is a port of bridge br-admin, not of ours"):
        bench.prepare(claim("u", result(VF), bridge="br-tenant"))
    assert bench.network.members == {"pf0vf0": ("br-admin", 0)}


FAILING = ["ports", "add_sf", "set_mac", "set_state", "set_rate", "attach", "set_up", "bridges", "bridge_of"]
FULL = [result(SF, "a"), result(VF, "b"), result(PORT, "bw", consumed={"bandwidth": "10G"})]


@pytest.mark.parametrize("step", FAILING)
@pytest.mark.parametrize("mode", ["dpu", "nic"])
def test_a_step_that_fails_leaves_nothing(tmp_path: Path, mode: str, step: str) -> None:
    bench = Bench(tmp_path, mode)
    wanted = claim("u", *FULL, bridge="br-tenant", mac="02:aa:bb:cc:dd:ee")
    error = HardwareError(f"{step}: kernel answers: Device or resource busy", "EBUSY")
    (bench.devlink if hasattr(bench.devlink, step) else bench.network).fails[step] = error
    with pytest.raises(PrepareError, match="Device or resource busy"):
        bench.prepare(wanted)
    bench.devlink.fails.clear()
    bench.network.fails.clear()
    if bench.engine.records():  # where undoing was refused, too, it is done at the next start
        bench.restart()
        assert bench.engine.recover() == []
    assert bench.clean()
    bench.prepare(wanted)
    bench.engine.unprepare("u")
    assert bench.clean()


def test_the_host_side_fails_and_the_dpu_side_is_taken_back(bench: Bench) -> None:
    bench.devlink._appears = lambda port, there: None  # the host never sees it
    with pytest.raises(PrepareError, match="pf0sf1001 of DPU 0000:3b:00: has not appeared on the host within"):
        bench.prepare(claim("u", result(SF), bridge="br-tenant"))
    assert bench.clean()


def test_a_function_without_an_interface_says_why(bench: Bench) -> None:
    import shutil

    shutil.rmtree(bench.tree.root / bench.host.path("0000:3b:00.3").lstrip("/") / "net")
    with pytest.raises(PrepareError, match=r"\(0000:3b:00\.3\): has no interface on the host: its driver is mlx5_core"):
        bench.prepare(claim("u", result(VF), bridge="br-tenant"))
    assert bench.clean()
    bench.tree.bind("0000:3b:00.3", "vfio-pci")
    bench.tree.link(f"{bench.host.path('0000:3b:00.3')}/iommu_group", "/sys/kernel/iommu_groups/77")
    bench.discover()
    bench.prepare(claim("u", result(VF), bridge="br-tenant"))
    assert bench.spec("u")["u_0_vf-0000-3b-00-3"]["deviceNodes"] == [
        {"path": "/dev/vfio/vfio"},
        {"path": "/dev/vfio/77"},
    ]


def test_an_agent_that_is_down_refuses_at_once_and_keeps_devices_until_it_is_back(bench: Bench) -> None:
    bench.prepare(claim("u", result(SF), bridge="br-tenant"))
    bench.agent.down, bench.now = "connection refused", 10.0
    with pytest.raises(PrepareError, match="connection refused"):
        bench.prepare(claim("v", result(VF), bridge="br-tenant"))
    with pytest.raises(PrepareError, match="connection refused"):
        bench.engine.unprepare("u")
    assert {one.uid: one.state for one in bench.engine.records()} == {"u": "started", "v": "started"}
    assert bench.devlink.sfs() == ["pf0sf1001"]
    bench.agent.down = ""
    bench.engine.unprepare("u")
    bench.engine.unprepare("v")
    assert bench.clean()


def test_a_dpu_that_does_not_come_back_is_given_up_by_taking_it_out_of_the_options(bench: Bench) -> None:
    bench.prepare(claim("u", result(SF), result(VF), bridge="br-tenant"))
    bench.agent.down, bench.now = "connection refused", 10.0
    bench.options = Options()
    bench.restart()
    bench.engine.unprepare("u")
    assert bench.engine.records() == []


class TwoAgents(Agents):
    """The agents of two DPUs, of which the second refuses."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.refuses = True

    def report(self, dpu):
        return Report()

    def apply(self, dpu, uid, name, wanted, services, dry_run):
        self.calls.append(("apply", dpu))
        if self.refuses and dpu == "0000:5e:00":
            raise HardwareError("pf0: no e-switch of this side has it", "refused")
        return [Granted(one.function, "", one.bridge) for one in wanted]

    def release(self, dpu, uid):
        self.calls.append(("release", dpu))


def test_a_claim_of_two_dpus_is_given_back_by_both_where_one_refuses(bench: Bench) -> None:
    bench.tree.pci("0000:5e:00.0", vendor=0x15B3, device=0xA2DC, class_code=0x020000, driver="mlx5_core")
    bench.tree.file("/sys/devices/pci0000:00/0000:5e:00.0/net/enp94s0f0np0/address", "a0:88:c2:00:00:10")
    bench.options = read_options(
        "dpus: [{address: '0000:3b:00', agent: 'unix:/a'}, {address: '0000:5e:00', agent: 'unix:/b'}]"
    )
    bench.agent = agents = TwoAgents()
    bench.restart()
    wanted = claim("u", result(VF, "a"), result("pf-0000-5e-00-0", "b"))
    with pytest.raises(PrepareError, match="no e-switch of this side has it"):
        bench.prepare(wanted)
    two = ["0000:3b:00", "0000:5e:00"]
    assert agents.calls == [(verb, dpu) for verb in ("apply", "release") for dpu in two]
    assert bench.engine.records() == []
    (a, b) = bench.driver.allocated(bench.as_author(wanted))
    assert [(one.ready, one.failed) for one in (a, b)] == [(True, False), (False, True)]
    agents.refuses = False
    bench.prepare(wanted)
    assert [device.result.device for device in bench.engine.records()[0].devices] == [VF, "pf-0000-5e-00-0"]


def test_an_answer_that_is_lost_is_undone_on_both_sides(bench: Bench) -> None:
    bench.agent.lost_answers = 1
    with pytest.raises(PrepareError, match="no answer to Apply"):
        bench.prepare(claim("u", result(SF), bridge="br-tenant"))
    assert bench.clean()


def test_what_cannot_be_undone_is_undone_at_the_next_try(bench: Bench) -> None:
    bench.prepare(claim("u", result(SF), result(VF), bridge="br-tenant"))
    bench.devlink.fails["delete_port"] = HardwareError("kernel answers: Device or resource busy", "EBUSY")
    with pytest.raises(PrepareError, match="busy"):
        bench.engine.unprepare("u")
    assert bench.network.members == {}  # all the rest was undone
    bench.devlink.fails.clear()
    bench.restart_agent()
    assert bench.core.recover() == []
    bench.engine.unprepare("u")
    assert bench.clean()


class Killed(BaseException):
    """The process has ended here."""


@pytest.mark.parametrize("mode", ["dpu", "nic"])
@pytest.mark.parametrize("during", ["prepare", "unprepare"])
def test_what_is_killed_before_any_change_leaves_nothing_half_way(tmp_path: Path, during: str, mode: str) -> None:
    """Driver and agent, which are one process here, end before the n-th change on the e-switch, for every n."""
    reached = 0
    for at in range(40):
        bench = Bench(tmp_path / str(at), mode)
        wanted = claim("u", *FULL, bridge="br-tenant", mac="02:aa:bb:cc:dd:ee")
        if during == "unprepare":
            bench.prepare(wanted)
        count = [0]

        def die(count: list[int] = count, at: int = at) -> None:
            count[0] += 1
            if count[0] == at + 1:
                raise Killed

        bench.devlink.before_change = bench.network.before_change = die
        try:
            bench.prepare(wanted) if during == "prepare" else bench.engine.unprepare("u")
            break
        except Killed:
            reached += 1
        bench.devlink.before_change = bench.network.before_change = lambda: None
        bench.restart_agent()
        assert bench.core.recover() == []
        bench.restart()
        assert bench.engine.recover() == []
        assert bench.clean(), f"killed before change {at}"
    assert reached > 6


def test_a_dpu_that_was_started_anew_gets_its_claims_again(bench: Bench) -> None:
    bench.prepare(claim("u", result(SF), result(VF), bridge="br-tenant"))
    for handle in [one.handle for one in bench.devlink.ports() if one.flavour == "pcisf"]:
        bench.devlink.delete_port(handle)
    bench.network.members.clear()
    bench.network.up.clear()
    bench.restart_agent()
    assert bench.core.recover() == []
    assert bench.devlink.sfs() == ["pf0sf1001"]
    assert set(bench.network.members) == {"en3f0pf0sf1001", "pf0vf0"}
    bench.engine.unprepare("u")
    assert bench.clean()


def test_a_host_that_lost_its_memory_gets_the_function_back(bench: Bench) -> None:
    bench.prepare(claim("old", result(VF), bridge="ovs"))
    (bench.root / "plugin" / "prepared.json").unlink()
    bench.restart()
    new = bench.as_author(claim("new", result(VF), bridge="br-tenant"))
    assert [one.ready for one in bench.driver.allocated(new)] == [True]
    bench.prepare(claim("new", result(VF), bridge="br-tenant"))
    assert bench.network.members == {"pf0vf0": ("br-tenant", 0)}
    assert bench.core.claims() == ["new"]


def test_readiness_asks_and_changes_nothing(bench: Bench) -> None:
    def said(wanted: object) -> list[tuple[bool, bool]]:
        return [(one.ready, one.failed) for one in bench.driver.allocated(bench.as_author(wanted))]

    good = claim("u", result(SF), bridge="br-tenant")
    assert said(good) == [(True, False)]
    assert bench.devlink.changes == []
    assert said(claim("u", result(SF), bridge="br-nowhere")) == [(False, True)]
    bench.devlink.fails["ports"] = HardwareError("kernel answers: Connection timed out", "ETIMEDOUT")
    assert said(good) == [(False, False)]
    bench.devlink.fails.clear()
    bench.agent.down, bench.now = "connection refused", 10.0
    (one,) = bench.driver.allocated(bench.as_author(good))
    assert (one.ready, one.failed) == (False, False)
    assert "connection refused" in one.message
