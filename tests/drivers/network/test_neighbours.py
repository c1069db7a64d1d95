"""A DPU's functions are the DPU driver's, and virtual functions the SR-IOV profile's: none is shown twice."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml
from click.testing import CliRunner

from fairlead.cli import main
from fairlead.drivers import make
from fairlead.drivers.network import read_settings
from fairlead.hardware import Recording, RecordingMachine, write_recording
from tests.drivers.bluefield.machines import SLOT, Host
from tests.drivers.network.machines import Made, connectx7

BUS = "resource.kubernetes.io/pciBusID"
DPU, DRANET, SRIOV = "dpu.fairlead.dev", "dra.net", "sriovnetwork.k8snetworkplumbingwg.io"


@pytest.fixture
def recording(tmp_path):
    """A machine with a ConnectX-7 at 3b and a BlueField at another slot."""
    return tmp_path / "machine.yaml"


def record(machine, file, *drivers):
    kept = Recording(machine="node-1")
    for text in drivers:
        for driver in make(text, "node-1", RecordingMachine(machine, kept)):
            driver.discover()
    write_recording(kept, file)


def shown(file, *drivers):
    """Driver to the PCI addresses of its devices, and what is told."""
    arguments = [part for text in drivers for part in ("--driver", text)]
    done = CliRunner().invoke(main, ["node", "discover", "--recording", str(file), "--node-name", "node-1", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    found: dict[str, list[str]] = {}
    for item in filter(None, yaml.safe_load_all(done.stdout)):
        devices = item["spec"].get("devices", ())
        found.setdefault(item["spec"]["driver"], []).extend(one["attributes"][BUS]["string"] for one in devices)
    return found, done.stderr


@pytest.mark.parametrize("mode", ["dpu", "nic"])
def test_functions_of_a_dpu_are_those_of_its_driver(tmp_path, recording, mode):
    made = Made(tmp_path)
    host = Host(made.tree, mode)
    made.tree.pci("0000:5e:00.0", vendor=0x15B3, device=0x1021, class_code=0x020000, driver="mlx5_core")
    drivers = (f"network=state={tmp_path / 'state'}", "bluefield")
    record(host.machine(made.netlink), recording, *drivers)
    alone, _ = shown(recording, drivers[0])
    assert {one for one in alone[DRANET] if one.startswith(SLOT[:7])} > {f"{SLOT}.0", f"{SLOT}.1"}
    both, told = shown(recording, *drivers)
    assert both[DRANET] == ["0000:5e:00.0"]
    assert both[DPU] == shown(recording, "bluefield")[0][DPU]
    assert f"is not published: {DPU} has it on this node" in told
    none, _ = shown(recording, f"{drivers[0]},others=none", "bluefield")
    assert none[DRANET] == alone[DRANET]


def test_two_profiles_on_one_node_share_the_functions_out(tmp_path, recording):
    made = connectx7(tmp_path)
    drivers = (f"network=state={tmp_path / 'a'}", f"network=profile=sriov,state={tmp_path / 'b'}")

    class Machine(type(made.tree.machine)):
        def door(self, kind, live):
            return made.netlink

    record(Machine(made.tree.root), recording, *drivers)
    found, _ = shown(recording, *drivers)
    assert len(found[SRIOV]) == 16
    # The port of the functions is nobody's: who has it could change all of them.
    assert found[DRANET] == ["0000:00:04.0", "0000:3b:00.1"]
    assert max(Counter(found[SRIOV] + found[DRANET]).values()) == 1


def test_to_whom_a_driver_gives_way_can_be_said():
    assert read_settings("").others == (DPU, SRIOV)
    assert read_settings("profile=sriov").others == (DPU,)
    assert read_settings("name=sriovnetwork.k8snetworkplumbingwg.io").others == (DPU,)
    assert read_settings("others=nic.example.com+dpu.example.com").others == ("nic.example.com", "dpu.example.com")
