"""`fairlead driver new`: what it writes passes its own tests, the tools that check it, and the API server's rules."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import fairlead
from fairlead.cli import main
from fairlead.cli.node import node

ROOT = Path(fairlead.__file__).parent.parent
NAMES = ["fpga.example.com", "x", "a-name-of-33-letters-and-digits-0.example.com"]


def new(*args: str) -> Any:
    return CliRunner().invoke(main, ["driver", "new", *args])


@pytest.fixture(scope="module", params=NAMES)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A driver as it was written."""
    folder = tmp_path_factory.mktemp("new") / "project"
    result = new(str(request.param), "--dir", str(folder))
    assert result.exit_code == 0, result.output
    return folder


def run(project: Path, *command: str) -> None:
    """Runs a tool in the project, with this Fairlead."""
    paths = os.pathsep.join([str(ROOT), str(project / "src")])
    environment = os.environ | {"PYTHONPATH": paths, "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("pytest", "-q", "-p", "no:cacheprovider"),
        ("ruff", "check"),
        ("ruff", "format", "--check"),
        ("mypy", "--strict"),
    ],
    ids=["tests", "lint", "format", "types"],
)
def test_its_own_checks_pass(project: Path, command: Sequence[str]) -> None:
    run(project, *command)


def test_its_manifests_are_valid(project: Path) -> None:
    done = CliRunner().invoke(main, ["validate", "-f", str(project / "deploy"), "-f", str(project / "example.yaml")])
    assert done.exit_code == 0, done.output
    assert "4 objects are valid" in done.output  # DaemonSet, DeviceClass, ResourceClaimTemplate, Pod


def test_nothing_is_left_to_fill_in(project: Path) -> None:
    for path in project.rglob("*"):
        if path.is_file() and not any("cache" in part for part in path.parts):
            assert "@" not in path.read_text().replace("@pytest", ""), path


def test_its_rights_are_those_of_our_own_manifests(project: Path) -> None:
    def rules(path: Path) -> Any:
        (role,) = [one for one in yaml.safe_load_all(path.read_text()) if one["kind"] == "ClusterRole"]
        return [{key: value for key, value in rule.items() if key != "resourceNames"} for rule in role["rules"]]

    ours = ROOT.parent / "deploy" / "manifests" / "node" / "10-rights.yaml"
    assert rules(project / "deploy" / "10-rights.yaml") == rules(ours)


def test_the_daemonset_runs_the_driver_with_options_that_the_command_has(project: Path) -> None:
    (daemonset,) = yaml.safe_load_all((project / "deploy" / "20-daemonset.yaml").read_text())
    (container,) = daemonset["spec"]["template"]["spec"]["containers"]
    command, *options = container["args"]
    assert command == node.name
    known = {option: parameter for parameter in node.params for option in parameter.opts}
    assert {option.partition("=")[0] for option in options} <= known.keys()
    assert {one["name"] for one in container["env"]} == {known["--node-name"].envvar, known["--pod-uid"].envvar}
    given = dict(option.split("=", 1) for option in options)["--driver"]
    assert f'"--driver={given}"' in (project / "Dockerfile").read_text()
    code = f"from fairlead.drivers import make; (one,) = make({given!r}, 'n'); print(one.name)"
    run(project, "timeit", "-n1", "-r1", code)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["Fpga.example.com"], "'Fpga.example.com': is no name of a driver"),
        (["fpga_example"], "'fpga_example': is no name of a driver"),
        (["a" * 64], "is no name of a driver"),
        (["5g.example.com"], "'5g_driver': is no name of a package"),
        (["fpga.example.com", "--package", "class"], "'class': is no name of a package"),
        (["fpga.example.com", "--package", "a/b"], "'a/b': is no name of a package"),
        (["fpga.example.com", "--package", "fairlead"], "'fairlead': is no name of a package"),
        (["a" * 60], "is longer than 40 characters"),
    ],
)
def test_names_that_cannot_be_used(tmp_path: Path, args: list[str], reason: str) -> None:
    result = new(*args, "--dir", str(tmp_path / "d"))
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert reason in result.stderr
    assert not (tmp_path / "d").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    result = new("fpga.example.com", "--dir", str(tmp_path))
    assert (result.exit_code, result.stderr) == (2, f"Error: {tmp_path}: is not empty, and nothing is overwritten\n")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_the_folder_is_named_after_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert new("fpga.example.com").output == "fpga-driver: 12 files; README.md says what to do next\n"
    assert (tmp_path / "fpga-driver" / "src" / "fpga_driver" / "driver.py").exists()
