"""The simulated driver: hardware of every profile of the simulator, and faults by script."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from fairlead.cli import main
from fairlead.driver.author import Claim, ClaimDevice, PrepareError
from fairlead.driver.inventory import make_inventory
from fairlead.driver.slices import Publication, problems_of
from fairlead.drivers import DriverArgumentError, make


def hardware(folder: Path, spec: str) -> Path:
    path = folder / "hardware.yaml"
    result = CliRunner().invoke(main, ["cluster", spec, "--output", str(path)])
    assert result.exit_code == 0, result.output
    return path


@pytest.mark.parametrize(
    ("spec", "drivers"),
    [
        ("h100:nodes=2", ["dra.net", "gpu.nvidia.com"]),
        ("gb200:racks=1", ["dra.net", "gpu.nvidia.com"]),
        ("mi300x:nodes=2", ["dra.net", "gpu.amd.com"]),
        ("mig:nodes=1", ["gpu.nvidia.com"]),
        ("power:nodes=1", ["nx.device.power.ibm.com"]),
        ("h100:nodes=1;bluefield", ["dpu.fairlead.dev", "dra.net", "gpu.nvidia.com"]),
        ("mi300x:nodes=1;shared-nics", ["dra.net", "gpu.amd.com", "nic.fairlead.dev"]),
        ("gb200:racks=1;fabric", ["dra.net", "fabric.fairlead.dev", "gpu.nvidia.com"]),
    ],
)
def test_every_profile_can_be_published(tmp_path: Path, spec: str, drivers: list[str]) -> None:
    path = hardware(tmp_path, spec)
    names = {line.split()[-1] for line in path.read_text().splitlines() if line.startswith("  nodeName:")}
    made = make(f"simulated={path},node={min(names)}", "worker-1")
    assert [driver.name for driver in made] == drivers
    for driver in made:
        inventory = make_inventory(driver.discover(), "worker-1")
        assert {pool.name for pool in inventory.pools if pool.reach is None} <= {"worker-1"}
        assert inventory.devices
        assert problems_of(Publication(driver.name, "worker-1", "uid", True), inventory.pools) == []


def test_partitions_know_their_whole(tmp_path: Path) -> None:
    (driver,) = make(f"simulated={hardware(tmp_path, 'mig:nodes=1')}", "worker-1")
    (pool,) = make_inventory(driver.discover(), "worker-1").pools
    assert len(pool.parts) == 8 * 18
    assert {whole for part, whole in pool.parts.items() if part.startswith("gpu-3-mig-")} == {"gpu-3"}


def test_faults_by_script(tmp_path: Path) -> None:
    script = tmp_path / "faults.yaml"
    script.write_text("[]")
    path = hardware(tmp_path, "h100:nodes=1")
    _, driver = make(f"simulated={path},faults={script}", "worker-1")

    def there() -> list[str]:
        return [name for _, name in make_inventory(driver.discover(), "n").devices]

    assert len(there()) == 8
    script.write_text(
        """
        - {device: gpu-1, fault: lost}
        - {device: gpu-2, fault: lost, after: 3600}
        - {device: gpu-3, fault: unhealthy, message: XID 79}
        - {device: gpu-4, fault: failing, message: no answer}
        """
    )
    assert there() == [f"gpu-{number}" for number in (0, 2, 3, 4, 5, 6, 7)]
    assert [(one.device, one.message) for one in driver.health()] == [("gpu-3", "XID 79")]
    device = ClaimDevice("r", "", "n", "gpu-4", None)
    with pytest.raises(PrepareError, match="gpu-4: no answer"):
        list(driver.prepare(Claim("u", "ns", "c", (device,))))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("unknown", "unknown: is none of "),
        ("no.such.module:Thing", "No module named 'no'"),
        ("pathlib:Path", "is no fairlead.driver.Driver"),
        ("simulated", "must be FILE"),
        ("simulated=missing.yaml", "missing.yaml"),
        ("simulated={hardware},node=elsewhere", "has no ResourceSlice of node elsewhere; nodes: h100-01, h100-02"),
        ("simulated={hardware},falts=x", "must be FILE"),
        ("simulated={hardware},node=h100-01,faults={script}", "Invalid enum value 'gone' - at `$[0].fault`"),
    ],
)
def test_arguments_that_make_no_driver(tmp_path: Path, text: str, reason: str) -> None:
    script = tmp_path / "faults.yaml"
    script.write_text("[{device: gpu-0, fault: gone}]")
    with pytest.raises(DriverArgumentError) as caught:
        make(text.format(hardware=hardware(tmp_path, "h100:nodes=2"), script=script), "worker-1")
    assert reason in str(caught.value)


def test_the_command_says_in_a_line_what_is_wrong(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["node", "--driver", "unknown"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: unknown: is none of ")
