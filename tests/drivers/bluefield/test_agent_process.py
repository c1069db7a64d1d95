"""The reference agent as a process, with real bridges and interfaces, called by the driver over its real socket.

The e-switch alone is made up (`tools.py`). The agent and the driver are killed between steps; whatever is left must go.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.driver import PrepareError
from fairlead.driver.health import HealthTracker, Hysteresis
from fairlead.drivers.bluefield import agent_client
from fairlead.drivers.bluefield.agent_client import GrpcAgents
from fairlead.drivers.bluefield.functions import Function, Wanted
from fairlead.drivers.bluefield.options import AgentOptions, read_options
from fairlead.hardware import HardwareError
from tests.drivers.bluefield import tools
from tests.drivers.bluefield.bench import NODE, claim, result
from tests.drivers.bluefield.dpu import MISSING, Dpu, certificates, dpu
from tests.drivers.bluefield.machines import SLOT
from tests.drivers.bluefield.over import Over

pytestmark = pytest.mark.skipif(bool(os.getuid() or MISSING), reason="needs root and iproute2")

VF, SF = "vf-0000-3b-00-3", "sf-0000-3b-00-0-1001"
FULL = (result(SF, "a"), result(VF, "b"), result("port-0000-3b-00-0", "bw", consumed={"bandwidth": "10G"}))


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Dpu]:
    with dpu(tmp_path / "dpu", tmp_path / "host") as made:
        yield made


@pytest.fixture
def over(tmp_path: Path, there: Dpu) -> Over:
    there.start("--service", "nvmeSnap=8")
    return Over(tmp_path, there.socket)


def wanted(uid: str = "u") -> Any:
    return claim(uid, *FULL, bridge="br-tenant", mac="02:aa:bb:cc:dd:ee")


def test_representors_become_ports_of_real_bridges_and_go_again(there: Dpu, over: Over) -> None:
    over.prepare(wanted())
    assert there.members() == {"en3f0pf0sf1001": "br-tenant", "pf0vf0": "br-tenant"}
    up = {one["ifname"] for one in there.ip("link", "show") if "UP" in one["flags"]}
    assert {"en3f0pf0sf1001", "pf0vf0"} <= up
    assert set(there.state()["rates"].values()) == {"5000mbit"}
    (made,) = (one for one in there.state()["ports"].values() if one["flavour"] == "pcisf")
    assert made["function"] == {"hw_addr": "02:aa:bb:cc:dd:ee", "state": "active", "opstate": "attached"}
    assert made["controller"] == 1
    assert there.claims() == {"u": "applied"}
    over.engine.unprepare("u")
    assert there.clean()
    assert over.engine.records() == []


def test_what_the_agent_reports_is_published(there: Dpu, over: Over) -> None:
    found = {one.name: one for one in over.driver.discover().devices}
    vf = found[VF].attributes
    assert vf["representor"].string == "pf0vf0"
    assert vf["eswitchMode"].string == "switchdev"
    assert vf["ipsec"].bool_ is True
    assert vf["nvmeSnap"].bool_ is True
    assert str(found["dpu-0000-3b-00"].capacity["nvmeSnap"].value) == "8"


def test_a_bridge_of_the_kernel_without_vlans_refuses_them(there: Dpu, over: Over) -> None:
    with pytest.raises(PrepareError, match="bridge br-tenant: does not filter VLANs"):
        over.prepare(claim("u", result(VF), bridge="br-tenant", vlan=7))
    assert there.clean()


def test_another_bridges_port_is_left_alone(there: Dpu, over: Over) -> None:
    there.ip("link", "set", "pf0vf0", "master", "br-other")
    with pytest.raises(PrepareError, match="is a port of bridge br-other, not of ours"):
        over.prepare(wanted())
    assert there.members() == {"pf0vf0": "br-other"}
    assert there.sfs() == []


@pytest.mark.parametrize("during", ["prepare", "unprepare"])
def test_an_agent_killed_at_any_change(there: Dpu, over: Over, during: str) -> None:
    """SIGKILL before every second command that changes something, and behind the first; all of them: test_preparing."""
    killed = 0
    for fault in [{"kill_after": 1}, *({"kill_before": step} for step in range(1, 20, 2))]:
        if during == "unprepare":
            there.faults()
            over.prepare(wanted())
        there.faults(**fault)
        try:
            if during == "prepare":
                over.prepare(wanted())
            else:
                over.engine.unprepare("u")
            break
        except PrepareError:
            killed += 1
        assert there.ended() == -9
        there.faults()
        there.start("--service", "nvmeSnap=8")  # puts right what it left
        assert set(there.claims().values()) <= {"applied"}
        over.settle("u")
        assert there.clean(), f"{fault} during {during}"
    assert killed >= 5
    there.faults()
    over.settle("u")
    assert there.clean()


@pytest.mark.parametrize(
    "call", ["port add", "state active", "hw_addr", "rate set", "master", "link set dev pf0vf0 up"]
)
def test_a_command_that_fails_is_undone_on_both_sides(there: Dpu, over: Over, call: str) -> None:
    there.faults(fail=call, error="Error: mlx5_core: FW refused. kernel answers: Device or resource busy")
    with pytest.raises(PrepareError, match="FW refused"):
        over.prepare(wanted())
    there.faults()
    over.settle("u")
    assert there.clean()


def test_an_agent_that_is_too_slow_is_given_up_and_undone_later(
    there: Dpu, over: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_client, "CHANGE_SECONDS", 0.7)
    there.faults(slow="port add", seconds=3)
    with pytest.raises(PrepareError, match=r"no answer to Apply within 0\.7 s"):
        over.prepare(wanted())
    monkeypatch.undo()
    there.faults()
    over.settle("u")
    assert there.clean()


def test_a_driver_killed_at_any_call_of_the_agent(tmp_path: Path, there: Dpu, over: Over) -> None:
    """The driver is a process; it is killed before and after each of its calls. The next one undoes what it left."""
    for at in ("after-apply", "before-release", "after-release"):
        command = [sys.executable, "-m", "tests.drivers.bluefield.over", str(tmp_path), str(there.socket), at]
        assert subprocess.run(command, check=False).returncode == -9, at
        over.restart()
        assert over.engine.recover() == []
        over.settle("u")
        assert there.clean(), at


def test_a_lost_agent_taints_and_a_living_one_clears(there: Dpu, over: Over) -> None:
    tracker = HealthTracker(over.driver.name, "NoSchedule", NODE, Hysteresis(10.0))

    def taints() -> set[str]:
        tracker.report(over.driver.health(), over.now)
        found = tracker.conditions(over.engine.inventory)
        return {one.taint.key for one in found.values() if one.taint is not None}

    def answered() -> None:
        """Waits until the agent has answered: on a busy machine a question may take too long."""
        for _ in range(20):
            if not over.driver.health():
                return
        raise AssertionError("the agent has never answered")

    answered()
    assert taints() == set()
    there.stop()
    over.now = 6.0
    assert {one.healthy for one in over.driver.health()} == {None}
    assert taints() == set()
    over.now = 16.0
    assert taints() == {"dpu.fairlead.dev/agent-lost"}
    devices = {one.device for one in over.driver.health()}
    assert devices == {one.name for one in over.driver.discover().devices}
    there.start("--service", "nvmeSnap=8")
    answered()
    assert taints() == {"dpu.fairlead.dev/agent-lost"}  # one answer is not yet recovery
    over.now += 11.0
    answered()
    assert taints() == set()


def test_a_state_file_that_is_damaged_stops_changes_and_says_so(there: Dpu, over: Over) -> None:
    over.prepare(wanted())
    there.stop()
    (there.folder / "state.json").write_text('{"format": 1, "claims": {"u": {')
    there.start()
    over.now = 5.0
    with pytest.raises(PrepareError, match=r"state\.json: .*drain the host, then move it away"):
        over.engine.unprepare("u")
    assert len(there.members()) == 2


def agents(address: str, folder: Path, **files: str) -> GrpcAgents:
    paths = {key: str(folder / name) for key, name in files.items()}
    return GrpcAgents({SLOT: AgentOptions(SLOT, address, **paths)})


@pytest.fixture
def reached(tmp_path: Path) -> Iterator[str]:
    """The address of an agent that is reached over TLS, for the name `driver`, with a token."""
    certificates(tmp_path, ["agent", "driver", "pod"])
    (tmp_path / "token").write_text("secret\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    tls = ["--tls-cert", "agent.crt", "--tls-key", "agent.key", "--tls-ca", "ca.crt", "--token-file", "token"]
    options = [one if one.startswith("--") else str(tmp_path / one) for one in tls]
    path = tmp_path / "dpu"
    place = tools.install(path, tmp_path)
    environment = os.environ | {"PATH": f"{place}:{os.environ['PATH']}", "FAIRLEAD_TEST_DPU": str(path)}
    command = [sys.executable, "-c", "from fairlead.cli import main; main()", "dpu-agent", "--listen", address]
    command += ["--state", str(path / "state"), "--tls-client", "driver", *options]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert b"listening" in process.stderr.readline()
        yield address
    finally:
        process.kill()
        process.wait()


OURS = {"ca": "ca.crt", "certificate": "driver.crt", "key": "driver.key", "token": "token"}


def test_only_who_has_the_certificate_and_the_token_is_answered(tmp_path: Path, reached: str) -> None:
    (tmp_path / "other").mkdir()
    certificates(tmp_path / "other", ["driver"])
    (tmp_path / "wrong").write_text("guess\n")
    assert agents(reached, tmp_path, **OURS).report(SLOT).eswitch == "switchdev"
    with pytest.raises(HardwareError, match="the token is not that of this agent") as caught:
        agents(reached, tmp_path, **OURS | {"token": "wrong"}).report(SLOT)
    assert caught.value.code == "unauthenticated"
    of_pod = OURS | {"certificate": "pod.crt", "key": "pod.key"}
    with pytest.raises(HardwareError, match=r"the certificate is of 127\.0\.0\.1, pod, who may not call") as caught:
        agents(reached, tmp_path, **of_pod).release(SLOT, "u")
    assert caught.value.code == "unauthenticated"
    with pytest.raises(HardwareError) as caught:
        agents(reached, tmp_path, ca="ca.crt", token="token").report(SLOT)  # no certificate
    assert caught.value.code == "unavailable"
    stolen = OURS | {"certificate": "other/driver.crt", "key": "other/driver.key"}
    with pytest.raises(HardwareError):
        agents(reached, tmp_path, **stolen).release(SLOT, "u")
    with pytest.raises(HardwareError):
        agents(reached, tmp_path, token="token").report(SLOT)  # no TLS


def test_an_agent_must_be_who_the_driver_calls(tmp_path: Path, reached: str) -> None:
    paths = {key: str(tmp_path / name) for key, name in OURS.items()}
    for name, answers in (("127.0.0.1", True), ("dpu-7.example.com", False)):
        client = GrpcAgents({SLOT: AgentOptions(SLOT, reached, server_name=name, **paths)})
        if answers:
            assert client.report(SLOT).eswitch == "switchdev"
        else:
            with pytest.raises(HardwareError):
                client.report(SLOT)


def test_certificates_and_token_are_renewed_without_an_end(tmp_path: Path, reached: str) -> None:
    client = agents(reached, tmp_path, **OURS)
    assert client.report(SLOT).eswitch == "switchdev"
    (tmp_path / "new").mkdir()
    certificates(tmp_path / "new", ["agent", "driver"])
    (tmp_path / "new" / "token").write_text("another\n")
    for name in ("agent.crt", "agent.key", "driver.crt", "driver.key", "ca.crt", "token"):
        (tmp_path / "new" / name).replace(tmp_path / name)
    # A connection that is there goes on, with the new token; a new one needs the new certificates.
    for one in (client, agents(reached, tmp_path, **OURS)):
        assert one.report(SLOT).eswitch == "switchdev"


def test_the_socket_is_roots_from_the_beginning(there: Dpu, over: Over) -> None:
    assert there.socket.stat().st_mode & 0o777 == 0o600


def test_a_host_may_use_the_bridges_that_the_dpu_allows(tmp_path: Path, there: Dpu) -> None:
    there.start("--bridge", "br-other")
    over = Over(tmp_path, there.socket)
    with pytest.raises(PrepareError, match="bridge br-tenant: is not there; there are: br-other"):
        over.prepare(wanted())
    over.prepare(claim("v", result(VF), bridge="br-other"))
    assert there.members() == {"pf0vf0": "br-other"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--listen", "0.0.0.0:8443"], "leaves this machine: give --tls-cert, --tls-key and --tls-ca"),
        (["--listen", "127.0.0.1:8443"], "give --token-file, or use unix:PATH"),
        (["--tls-cert", __file__], "--tls-cert, --tls-key and --tls-ca belong together"),
        (["--tls-client", "a"], "--tls-cert, --tls-key and --tls-ca belong together"),
        (["--tls-cert", __file__, "--tls-key", __file__, "--tls-ca", __file__], "--tls-client: must say whose"),
        (["--service", "nvmeSnap"], "is not NAME=COUNT"),
    ],
)
def test_an_agent_that_anybody_could_reach_does_not_start(tmp_path: Path, options: list[str], reason: str) -> None:
    command = [sys.executable, "-c", "from fairlead.cli import main; main()", "dpu-agent"]
    done = subprocess.run(
        [*command, "--state", str(tmp_path / "s"), *options], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("dpus: [{address: '0000:3b:00', agent: '192.168.100.2:8443'}]", "needs TLS"),
        ("dpus: [{address: '0000:3b:00', agent: '127.0.0.1:8443'}]", "is local with a token"),
        ("dpus: [{address: '0000:3b:00.0', agent: 'unix:/a'}]", "address"),
        ("dpus: [{address: '0000:3b:00', agent: 'unix:/a', certificate: c}]", "belong together"),
        ("dpus: [{address: '0000:3b:00', agent: 'unix:/a'}, {address: '0000:3b:00', agent: 'unix:/b'}]", "twice"),
        ("sf: 3", "sf"),
        ("sfs: -1", "sfs"),
        ("dpus: {", "dpus|flow|expected"),
    ],
)
def test_options_that_make_no_sense_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_options(text)


def test_repeated_calls_say_the_same(there: Dpu, over: Over) -> None:
    client = agents(f"unix:{there.socket}", there.folder)
    one = [Wanted(Function("sf", 0, 1001), "br-tenant")]
    first = client.apply(SLOT, "u", "ml/c", one, {}, False)
    before = there.changes()
    assert client.apply(SLOT, "u", "ml/c", one, {}, False) == first
    assert sum("port add" in line for line in there.changes()) == sum("port add" in line for line in before) == 1
    client.release(SLOT, "u")
    client.release(SLOT, "u")
    client.release(SLOT, "never")
    assert there.clean()
