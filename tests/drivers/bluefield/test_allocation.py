"""The claims of the guide, decided by the product's allocator on what the driver publishes."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fairlead.cli import main
from fairlead.driver.inventory import make_inventory
from fairlead.driver.slices import Publication, plan
from fairlead.drivers.bluefield.config import DRIVER
from fairlead.drivers.bluefield.devices import READY
from fairlead.drivers.bluefield.options import read_options
from fairlead.resource import read_paths, to_builtins
from fairlead.topology import default_rules, wire
from tests.builders import decide, picks
from tests.drivers.bluefield.bench import NODE, Bench
from tests.drivers.bluefield.machines import Host
from tests.hardware.tree import Tree

GUIDE = (Path(__file__).parents[3] / "docs" / "drivers" / "bluefield.md").read_text()


def _objects() -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Classes and claims of the guide, with the API server's defaults."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("---\n".join(re.findall(r"```yaml\n(.*?)```", GUIDE, re.S)))
        file.flush()
        objects, problems = read_paths([file.name])
    assert problems == []
    return [to_builtins(one) for one in objects.classes], {one.name: to_builtins(one) for one in objects.claims}


CLASSES, CLAIMS = _objects()


@pytest.fixture
def slices(tmp_path: Path) -> list[dict[str, Any]]:
    inventory = make_inventory(Bench(tmp_path).driver.discover(), NODE)
    writes = plan(Publication(DRIVER, NODE, "uid", True), inventory.pools, [], {})
    return [to_builtins(write.item) for write in writes]


def allocate(slices: list[dict[str, Any]], *claims: dict[str, Any], **case: Any) -> Any:
    return decide(slices, *claims, classes=CLASSES, **case)


def renamed(claim: dict[str, Any], name: str) -> dict[str, Any]:
    return claim | {"metadata": {"name": name, "namespace": "ml"}}


def test_a_function_with_its_bridge(slices: list[dict[str, Any]]) -> None:
    outcome = allocate(slices, CLAIMS["tenant-port"])
    assert picks(outcome) == ["fn=vf-0000-3b-00-3"]
    (result,) = outcome.allocations[0]["devices"]["results"]
    assert result["bindingConditions"] == [READY]
    assert outcome.allocations[0]["devices"]["config"][0]["opaque"]["parameters"]["bridge"] == "br-tenant"


def test_a_sub_function_with_bandwidth_and_services_of_the_same_dpu(slices: list[dict[str, Any]]) -> None:
    outcome = allocate(slices, CLAIMS["fast"])
    assert picks(outcome) == ["fn=sf-0000-3b-00-0-1000", "bandwidth=port-0000-3b-00-0", "storage=dpu-0000-3b-00"]
    results = outcome.allocations[0]["devices"]["results"]
    assert results[1]["consumedCapacity"] == {"bandwidth": "40G"}
    assert results[2]["consumedCapacity"] == {"nvmeSnap": "2"}


def test_bandwidth_and_services_run_out(slices: list[dict[str, Any]]) -> None:
    """Two ports of 200G carry five shares of 40G each, but the DPU has 8 controllers: four claims of two."""
    claims = [renamed(CLAIMS["fast"], f"fast-{number}") for number in range(5)]
    assert len(picks(allocate(slices, *claims[:4])) or []) == 12
    assert picks(allocate(slices, *claims)) is None


def test_a_whole_port_and_its_functions_exclude_each_other(slices: list[dict[str, Any]]) -> None:
    whole = [renamed(CLAIMS["whole"], f"whole-{number}") for number in range(2)]
    assert picks(allocate(slices, *whole)) == ["fn=pf-0000-3b-00-0", "fn=pf-0000-3b-00-1"]
    assert picks(allocate(slices, *whole, CLAIMS["tenant-port"])) is None
    assert picks(allocate(slices, CLAIMS["tenant-port"], whole[0])) == ["fn=vf-0000-3b-00-3", "fn=pf-0000-3b-00-1"]
    assert picks(allocate(slices, CLAIMS["tenant-port"], *whole)) is None


def test_the_options_of_the_guide_are_read() -> None:
    (text,) = re.findall(r"```text\n(.*?)```", GUIDE, re.S)
    options = read_options(text)
    assert options.dpus[0].address == "0000:3b:00"
    assert (options.sfs, options.first_sf) == (16, 1000)


def test_wiring_knows_functions_as_nics_and_shares_as_nothing(tmp_path: Path) -> None:
    devices = Bench(tmp_path).driver.discover().devices
    wiring = wire([(DRIVER, one) for one in devices], default_rules())
    kinds = {one.name.partition("-")[0]: place.kind for one, place in zip(devices, wiring.locations, strict=True)}
    assert kinds == {"vf": "nic", "sf": "nic", "pf": "nic", "port": "other", "dpu": "other"}
    place = wiring.locations[0]
    assert (place.model, place.bus, place.root, place.numa) == ("BlueField-3", "0000:3b:00.3", "pci0000:3a", 1)
    assert wiring.models[0] is not None
    assert wiring.models[0].name == "bluefield-3"


def test_the_command_shows_a_machine_and_its_recording_alike(tmp_path: Path) -> None:
    """devlink of this machine stands behind the made-up tree: it has none of its devices, or is not there."""
    Host(Tree(tmp_path / "host"), "dpu")
    arguments = ["--driver", "bluefield", "--node-name", NODE]
    shown = CliRunner().invoke(main, ["node", "discover", *arguments, "--root", str(tmp_path / "host")])
    assert shown.exit_code == 1  # devlink could not be asked
    assert "vf-0000-3b-01-6" in shown.stdout
    assert "Warning: dpu.fairlead.dev: 0000:3b:00.0: devlink" in shown.stderr
    file = str(tmp_path / "host.yaml")
    kept = CliRunner().invoke(main, ["node", "record", file, *arguments, "--root", str(tmp_path / "host")])
    assert kept.exit_code == 0
    again = CliRunner().invoke(main, ["node", "discover", *arguments, "--recording", file])
    assert again.stdout == shown.stdout
    wrong = CliRunner().invoke(main, ["node", "discover", "--driver", f"bluefield={file}"])
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("Error: bluefield: ")
