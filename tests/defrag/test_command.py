"""`fairlead defrag` from manifests to what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from manifests import CLUSTER, JOB, budget, dump, nodes, running

from fairlead.cli import main

Parts = Sequence[Mapping[str, Any]] | Mapping[str, Any]
Defrag = Callable[..., Result]


@pytest.fixture
def defrag(tmp_path: Path) -> Defrag:
    """Runs the command on documents; a traceback is a failure of the test."""

    def invoke(*parts: Parts, workload: str = "train", more: Sequence[str] = ()) -> Result:
        path = tmp_path / "dump.json"
        path.write_text(dump(*parts))
        result = CliRunner().invoke(main, ["defrag", "--for", workload, "-f", str(path), *more])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def rows(text: str) -> list[str]:
    """Lines with runs of spaces made one."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def without_budget(*parts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The cluster with other documents in place of its budget."""
    return [*(one for one in CLUSTER if one["kind"] != "PodDisruptionBudget"), *parts]


def test_the_moves_the_place_and_a_summary(defrag: Defrag) -> None:
    result = defrag(CLUSTER, JOB)
    assert result.exit_code == 0, result.stderr
    lines = rows(result.stdout)
    assert lines[0] == "MOVE FROM TO IT MAY, SINCE"
    assert "budget ml/web allows 2" in " ".join(lines)
    assert "train-0 gpu-b" in lines
    assert lines[-1] == "Job ml/train fits after 2 pods moved (fewest: proven; 1 workload disrupted)."


@pytest.mark.parametrize("name", ["train", "ml/train", "Job ml/train", "train-1", "ml/train-0"])
def test_a_workload_goes_by_its_names_and_those_of_its_pods(defrag: Defrag, name: str) -> None:
    result = defrag(CLUSTER, JOB, workload=name)
    assert result.exit_code == 0
    assert "Job ml/train fits after 2 pods moved" in result.stdout


def test_the_record_holds_what_the_table_shows(defrag: Defrag) -> None:
    result = defrag(CLUSTER, JOB, more=["-o", "json"])
    made = json.loads(result.stdout)
    assert made["fewest"] == {"proven": True, "atLeast": 2}
    assert made["disrupted"] == [{"workload": "Deployment ml/web", "runningPods": 3, "gang": False}]
    for move in made["moves"]:
        assert move["budget"] == {"name": "ml/web", "disruptionsAllowed": 2}
        assert move["from"]["node"] != move["to"]["node"] == "gpu-a"
        given = move["claims"][0]["status"]["allocation"]["devices"]["results"]
        assert [one["device"] for one in given] == [one["device"] for one in move["to"]["devices"]]
        assert len(move["from"]["devices"]) == len(move["to"]["devices"])
    assert {one["node"] for one in made["placements"]} == {"gpu-b", "gpu-c"}
    assert yaml.safe_load(defrag(CLUSTER, JOB, more=["-o", "yaml"]).stdout) == made


def test_what_fits_as_it_is_needs_no_move(defrag: Defrag) -> None:
    result = defrag(CLUSTER, nodes("gpu-x", "gpu-y")[1:], JOB)
    assert result.exit_code == 0
    assert rows(result.stdout)[-1] == "Job ml/train fits as it is, nothing has to move."
    assert "MOVE" not in result.stdout


def test_why_there_is_no_plan(defrag: Defrag) -> None:
    result = defrag(without_budget(budget("web", "web", minAvailable="100%")), JOB)
    assert result.exit_code == 1
    lines = rows(result.stdout)
    assert lines[0] == "No moves of running pods let Job ml/train start."
    assert "Even with every pod gone that may move it would not fit:" in lines
    shown = " ".join(lines)
    assert "3 for budget: ml/web-5f9c-1, ml/web-5f9c-2, ml/web-5f9c-3 (budget ml/web allows no disruption)" in shown


def test_a_budget_that_forbids_all_sets_is_named(defrag: Defrag) -> None:
    result = defrag(without_budget(budget("web", "web", maxUnavailable=1)), JOB)
    assert result.exit_code == 1
    text = "Budget ml/web forbids sets that make room: 1 of its 3 pods may be away."
    assert text in rows(result.stdout)


def test_too_few_moves_allowed(defrag: Defrag) -> None:
    result = defrag(CLUSTER, JOB, more=["--max-moves", "1"])
    assert result.exit_code == 1
    assert "At least 2 moves are needed, more than --max-moves 1." in rows(result.stdout)


def test_a_gang_that_stops_is_said_to(defrag: Defrag) -> None:
    rest = [one for one in without_budget() if not one["metadata"]["name"].startswith("web-")]
    others = [
        *running("old-0", "gpu-a", "gpu-0", owner="Job/old"),
        *running("old-1", "gpu-b", "gpu-0", owner="Job/old"),
        *running("keep", "gpu-c", "gpu-0", owner=""),
    ]
    single = {**JOB, "spec": {**JOB["spec"], "parallelism": 1, "completions": 1}}  # type: ignore[dict-item]
    result = defrag(rest, others, single)
    assert result.exit_code == 0
    assert "Job ml/old stops as a whole: 1 of its 2 running pods move." in rows(result.stdout)


def test_other_waiting_pods_are_not_placed_and_that_is_said(defrag: Defrag) -> None:
    other = {**JOB, "metadata": {"name": "later", "namespace": "ml"}}
    result = defrag(CLUSTER, other, JOB)
    assert result.exit_code == 0
    assert "note: 2 other pods without a node are not placed" in result.stderr
    assert "later" not in result.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trian", "no workload or pod trian waits for a node; like it: "),
        ("web-5f9c-1", "pod ml/web-5f9c-1 is on node gpu-a already, it needs no room"),
        ("Deployment ml/train", "no workload or pod Deployment ml/train waits for a node; like it: "),
    ],
)
def test_a_name_that_leads_nowhere(defrag: Defrag, name: str, text: str) -> None:
    result = defrag(CLUSTER, JOB, workload=name)
    assert result.exit_code == 2
    assert text in result.stderr
    assert "train" in result.stderr or "already" in result.stderr
    assert not result.stdout


def test_a_name_that_two_workloads_have(defrag: Defrag) -> None:
    cron = {**JOB, "apiVersion": "kubeflow.org/v2", "kind": "MPIJob", "spec": {"template": JOB["spec"]["template"]}}  # type: ignore[index]
    result = defrag(CLUSTER, JOB, cron)
    assert result.exit_code == 2
    assert "several workloads are called train: Job ml/train, MPIJob ml/train" in result.stderr


def test_a_budget_with_both_limits_is_refused(defrag: Defrag) -> None:
    both = budget("web", "web", minAvailable=1, maxUnavailable="10%")
    result = defrag(without_budget(both), JOB)
    assert result.exit_code == 2
    assert "minAvailable and maxUnavailable cannot be both set" in result.stderr
    assert 'PodDisruptionBudget "ml/web": spec' in result.stderr
