"""The numbered example does what its page says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from fairlead.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "02-aligned-devices"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["plan", "-f", str(EXAMPLE / "cluster.yaml"), *map(str, arguments)])


def devices(records: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [given["device"] for used in one["claims"] for given in used["status"]["allocation"]["devices"]["results"]]
        for one in records
        if one["node"]
    ]


def test_pods_get_pairs_of_one_numa_node() -> None:
    result = run("-f", EXAMPLE / "train.yaml", "-o", "json")
    assert result.exit_code == 0
    records = json.loads(result.stdout)
    assert devices(records) == [["gpu-0", "gpu-2", "nic-0", "nic-1"], ["gpu-1", "gpu-3", "nic-2", "nic-3"]]
    why = records[0]["devices"]
    assert (why["policy"], why["proven"], why["bound"]) == ("compact", True, None)
    assert why["score"][1]["text"] == "2 of 2 GPUs with their NIC on one PCIe root"
    assert why["runnerUp"]["devices"] == ["nic-0", "nic-2", "gpu-0", "gpu-1"]
    assert records[1]["devices"]["runnerUp"] is None
    assert "devices" not in records[0]["claims"][0]["status"]


def test_the_table_says_why() -> None:
    result = run("-f", EXAMPLE / "train.yaml")
    assert "train-0: compact\n" in result.stdout
    assert "runner-up nic-0, nic-2, gpu-0, gpu-1: 2 NUMA nodes (the choice: 1 NUMA node)" in result.stdout


def test_first_fit_is_what_kubernetes_gives(tmp_path: Path) -> None:
    plain = tmp_path / "train.yaml"
    plain.write_text((EXAMPLE / "train.yaml").read_text().replace("fairlead.dev/devices", "example.com/nothing"))
    without = run("-f", plain)
    assert "WHY THESE DEVICES" not in without.stdout
    measured = run("-f", plain, "--devices", "first-fit", "-o", "json")
    records = json.loads(measured.stdout)
    assert devices(records) == [["gpu-0", "gpu-1", "nic-0", "nic-1"], ["gpu-2", "gpu-3", "nic-2", "nic-3"]]
    assert records[0]["devices"]["score"][1]["text"] == "1 of 2 GPUs with its NIC on one PCIe root"
    everywhere = run("-f", plain, "--devices", "compact", "-o", "json")
    assert devices(json.loads(everywhere.stdout))[0] == ["gpu-0", "gpu-2", "nic-0", "nic-1"]


def test_two_claims_on_one_root() -> None:
    result = run("-f", EXAMPLE / "pair.yaml", "-o", "json")
    assert result.exit_code == 1
    records = json.loads(result.stdout)
    assert devices(records) == [["gpu-0", "nic-0"], ["gpu-1", "nic-2"], ["gpu-2", "nic-1"], ["gpu-3", "nic-3"]]
    assert len(records[4]["reasons"]) == 2


def test_rules_of_a_user(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("attributes: {switch: [dra.net/pciAddress]}\n")
    assert run("-f", EXAMPLE / "train.yaml", "--topology", rules).exit_code == 0
    rules.write_text("attributes: {colour: [dra.net/pciAddress]}\n")
    result = run("-f", EXAMPLE / "train.yaml", "--topology", rules)
    assert result.exit_code == 2
    assert str(rules) in result.stderr
    assert "colour" in result.stderr


def test_a_bad_annotation_is_bad_input(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text((EXAMPLE / "train.yaml").read_text().replace("compact", "compcat"))
    result = run("-f", bad)
    assert result.exit_code == 2
    assert (
        'Pod "ml/train-0": metadata.annotations[fairlead.dev/devices]: Unsupported value: "compcat": '
        'supported values: "first-fit", "compact", "spread"'
    ) in result.stderr
    assert result.stderr.count("compcat") == 1
