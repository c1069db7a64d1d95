"""`fairlead migrate`."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from fairlead.cli import main

WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: train}
spec:
  replicas: 2
  selector: {matchLabels: {app: train}}
  template:
    metadata: {labels: {app: train}}
    spec:
      containers:
      - name: main
        image: none
        args: ["yes", "1e3"]
        resources: {limits: {nvidia.com/gpu: 4}}
"""


@pytest.fixture
def workload(tmp_path):
    file = tmp_path / "workload.yaml"
    file.write_text(WORKLOAD)
    return file


def run(*arguments, stdin=None):
    return CliRunner().invoke(main, ["migrate", *map(str, arguments)], input=stdin)


def test_the_difference_is_shown_and_explained(workload):
    result = run("-f", workload)
    assert result.exit_code == 0, result.output
    assert "-          limits:" in result.stdout.splitlines()
    assert "+            request: gpu" in result.stdout.splitlines()
    assert "nvidia.com/gpu: 4 becomes request gpu: 4 devices of class gpu.nvidia.com" in result.stderr


def test_what_comes_out_can_be_planned(workload, tmp_path):
    migrated = tmp_path / "migrated.yaml"
    migrated.write_text(run("-f", workload, "-o", "yaml").stdout)
    cluster = tmp_path / "cluster.yaml"
    made = CliRunner().invoke(main, ["cluster", "h100:nodes=1", "--output", str(cluster)])
    assert made.exit_code == 0, made.output
    plan = CliRunner().invoke(main, ["plan", "-f", str(cluster), "-f", str(migrated), "-o", "json"])
    assert plan.exit_code == 0, plan.output
    claims = [claim["status"]["allocation"]["devices"] for pod in json.loads(plan.stdout) for claim in pod["claims"]]
    assert [len(one["results"]) for one in claims] == [4, 4]


def test_values_that_look_like_others_are_kept(workload):
    documents = list(yaml.safe_load_all(run("-f", workload, "-o", "yaml").stdout))
    assert documents[1]["spec"]["template"]["spec"]["containers"][0]["args"] == ["yes", "1e3"]


@pytest.mark.parametrize("form", ["diff", "yaml", "json"])
def test_numbers_with_a_fraction_keep_their_text(workload, form):
    workload.write_text(WORKLOAD.replace("{nvidia.com/gpu: 4}", "{nvidia.com/gpu: 4, cpu: 0.50}"))
    result = run("-f", workload, "-o", form)
    assert result.exit_code == 0, result.output
    assert "cpu: 0.50" in result.stdout or form == "json"
    assert '"cpu": 0.5' in result.stdout or form != "json"


def test_a_list_of_kubectl_is_taken_apart(workload):
    text = json.dumps({"kind": "List", "items": [yaml.safe_load(WORKLOAD)]})
    result = run("-f", "-", "-o", "json", stdin=text)
    assert [one["kind"] for one in json.loads(result.stdout)["items"]] == ["ResourceClaimTemplate", "Deployment"]


def test_what_is_left_makes_the_exit_status_one(workload):
    workload.write_text(WORKLOAD.replace("nvidia.com/gpu", "acme.com/card"))
    result = run("-f", workload)
    assert result.exit_code == 1
    assert "left: Deployment" in result.stderr
    assert run("-f", workload, "--map", "acme.com/card=cards.acme.com").exit_code == 0


def test_classes_that_answer_by_name(workload):
    result = run("-f", workload, "--to", "extended-resources", "-o", "json")
    assert result.exit_code == 0
    made, same = json.loads(result.stdout)["items"]
    assert made["spec"]["extendedResourceName"] == "nvidia.com/gpu"
    assert same == yaml.safe_load(WORKLOAD)


def test_nothing_to_do_is_said(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    result = run("-f", file)
    assert result.exit_code == 0
    assert "nothing in the input counts the devices of a device plugin" in result.stderr


@pytest.mark.parametrize("text", ["a: [", "{", "- 1"])
def test_an_input_that_cannot_be_read_is_refused_with_its_place(tmp_path, text):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    result = run("-f", file)
    assert result.exit_code == 2
    assert str(file) in result.output


def test_a_rule_that_is_none_is_refused(workload):
    result = run("-f", workload, "--map", "card")
    assert result.exit_code == 2
    assert "must be RESOURCE=CLASS" in result.output
