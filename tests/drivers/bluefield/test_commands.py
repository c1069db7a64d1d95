"""The live doors: the programs that they run, what those print, and how they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.drivers.bluefield.commands import run, run_json
from fairlead.drivers.bluefield.devlink import DevlinkInfo, DevlinkPort
from fairlead.drivers.bluefield.devlink_command import DevlinkCommand
from fairlead.drivers.bluefield.network import Bridge, NetworkCommands
from fairlead.hardware import HardwareError
from tests.drivers.bluefield import tools

OVS = """#!/bin/sh
# Open vSwitch in a folder: a folder for each bridge, a file for each port.
cd "$(dirname "$0")/ovs" || exit 1
case "$*" in
  list-br) ls ;;
  "iface-to-br "*)
    found=$(ls -d */"$2" 2>/dev/null) || { echo "no interface named $2" >&2; exit 1; }
    dirname $found ;;
  "--may-exist add-port "*) echo "$5" > "$3/$4" ;;
  "--if-exists del-port "*) rm -f "$3/$4" ;;
  *) echo "unknown: $*" >&2; exit 1 ;;
esac
"""


def program(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def devlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DevlinkCommand:
    place = tools.install(tmp_path, tmp_path / "host")
    monkeypatch.setenv("FAIRLEAD_TEST_DPU", str(tmp_path))
    return DevlinkCommand(str(place / "devlink"))


def test_devlink_is_read(devlink: DevlinkCommand) -> None:
    assert devlink.devices() == ["pci/0000:03:00.0", "pci/0000:03:00.1"]
    assert devlink.info("pci/0000:03:00.0") == DevlinkInfo("mlx5_core", "", "32.39.2048", "MT_0000000884")
    assert devlink.eswitch("pci/0000:03:00.1") == "switchdev"
    assert devlink.health("pci/0000:03:00.0") == {"fw": "healthy"}
    ports = {one.handle: one for one in devlink.ports()}
    assert len(ports) == 12
    mac = "00:00:00:00:00:00"
    assert ports["pci/0000:03:00.1/12"] == DevlinkPort(
        "pci/0000:03:00.1/12", "pcivf", "pf1vf2", 1, -1, 1, 2, -1, mac, "", "", True
    )
    assert ports["pci/0000:03:00.0/65535"].physical == 0


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("kernel answers: Operation not permitted", "EPERM"),
        ("kernel answers: Operation not supported", "EOPNOTSUPP"),
        ("Error: mlx5_core: Command failed. kernel answers: Input/output error", "EIO"),
        ("something new", ""),
    ],
)
def test_the_kernels_errors_have_codes(tmp_path: Path, said: str, code: str) -> None:
    path = program(tmp_path, "devlink", f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    with pytest.raises(HardwareError, match="dev eswitch show pci/x: ") as caught:
        DevlinkCommand(path).eswitch("pci/x")
    assert caught.value.code == code


@pytest.mark.skipif(bool(os.getuid()) or not Path("/usr/sbin/capsh").exists(), reason="needs root and capsh")
def test_a_process_without_the_capability_is_not_taken_for_a_host_in_dpu_mode(tmp_path: Path) -> None:
    devlink = program(tmp_path, "devlink", "#!/bin/sh\necho 'kernel answers: Operation not permitted' >&2\nexit 1\n")
    code = (
        "from fairlead.drivers.bluefield.devlink_command import DevlinkCommand\n"
        f"try: DevlinkCommand({devlink!r}).eswitch('pci/x')\n"
        "except Exception as error: print(error.code, error)\n"
    )
    (tmp_path / "code.py").write_text(code)
    command = ["capsh", "--drop=cap_net_admin", "--", "-c", f"exec {sys.executable} {tmp_path / 'code.py'}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.startswith("no-capability "), done.stderr
    assert "this process has no capability NET_ADMIN" in done.stdout


def test_a_program_that_is_missing_or_talks_nonsense(tmp_path: Path) -> None:
    with pytest.raises(HardwareError, match="is not installed") as caught:
        run([str(tmp_path / "devlink")])
    assert caught.value.code == "no-command"
    for text in ("not json", "[1, 2]", '{"port": {"pci/x/1": 5}}', '{"port": {"pci/x/1": {"pfnum": "many"}}}'):
        path = program(tmp_path, "devlink", f"#!/bin/sh\necho '{text}'\n")
        with pytest.raises(HardwareError):
            DevlinkCommand(path).ports()
    assert run_json(["true"], dict) == {}


def test_a_program_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.drivers.bluefield.commands._SECONDS", 0.2)
    with pytest.raises(HardwareError, match=r"has not answered for 0\.2 s") as caught:
        run(["sleep", "30"])
    assert caught.value.code == "timeout"


@pytest.mark.skipif(bool(os.getuid()) or not Path("/usr/sbin/ip").exists(), reason="needs root and iproute2")
def test_ports_of_open_vswitch_are_its_own(tmp_path: Path) -> None:
    """A program stands for ovs-vsctl; that there is an interface is asked of the real ip."""
    (tmp_path / "ovs" / "ovsbr1").mkdir(parents=True)
    network = NetworkCommands(ovs=program(tmp_path, "ovs-vsctl", OVS))
    (bridge,) = (one for one in network.bridges() if one.ovs)
    assert bridge == Bridge("ovsbr1", True)
    assert network.bridge_of("lo") == ""
    network.attach("lo", bridge, 42)
    network.attach("lo", bridge, 42)
    assert (tmp_path / "ovs" / "ovsbr1" / "lo").read_text() == "tag=42\n"
    assert network.bridge_of("lo") == "ovsbr1"
    network.detach("lo", "ovsbr1")
    network.detach("lo", "ovsbr1")
    assert network.bridge_of("lo") == ""
    assert network.bridge_of("no-such-link") == ""
    assert network.exists("lo")
    assert not network.exists("no-such-link")
    with pytest.raises(HardwareError) as caught:
        network.set_up("no-such-link", True)
    assert caught.value.code == "ENODEV"
