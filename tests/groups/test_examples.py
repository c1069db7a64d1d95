"""The example of a gang in racks does what its README says."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from fairlead.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "03-gang-in-racks"


def run(command: str, *files: str, **options: str) -> tuple[int, str]:
    """Exit status and output of a command on files of the example."""
    arguments = [command]
    for name in files:
        arguments += ["-f", str(EXAMPLE / name)]
    for name, value in options.items():
        arguments += [f"--{name}", value]
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, " ".join(result.stdout.split())


def test_the_gang_gets_the_rack_that_has_room() -> None:
    status, text = run("plan", "cluster.yaml", "train.yaml")
    assert status == 0
    assert all(f"train-{number} b{number}" in text for number in range(3))
    assert "Job ml/train: 3 pods, on 3 nodes in 1 block, 1 rack, no placement is better" in text


def test_the_level_that_fails_is_named_with_what_would_help() -> None:
    status, text = run("plan", "cluster.yaml", "large.yaml")
    assert status == 1
    assert "no rack has room for all 5 pods: rack-b has room for 3" in text
    assert "it would fit if level rack is preferred and not required" in text


def test_nothing_has_to_move() -> None:
    status, text = run("defrag", "cluster.yaml", "train.yaml", **{"for": "train"})
    assert status == 0
    assert "Job ml/train fits as it is, nothing has to move." in text
