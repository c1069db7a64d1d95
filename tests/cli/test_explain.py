"""`fairlead explain`: one pod, where it goes and why, or what stands in the way and what would help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Run, write

DEMO = Path(__file__).parents[2] / "src/fairlead/cli/demo"


def rows(text: str) -> list[str]:
    """Lines with runs of spaces made one."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def full(workload: Path) -> Path:
    """A Deployment with one replica more than there are GPUs."""
    return write(workload, workload.read_text().replace("replicas: 2", "replicas: 3"))


class TestPlacedPods:
    """A pod that has a node."""

    def test_the_node_the_devices_and_the_other_nodes_that_fit(self, run: Run) -> None:
        result = run("explain", "train-0", "-f", DEMO)
        assert result.exit_code == 0
        lines = rows(result.stdout)
        assert lines[0] == "Pod ml/train-0 (Job ml/train) goes to falcon-1."
        assert "nic nic-0 pcieRoot=pci0000:10 rdma=true" in lines
        assert "Of 4 nodes it fits on this one only." in lines
        assert any(line.startswith("Its gang: 4 pods, on 2 nodes, no placement is better") for line in lines)
        assert "WHAT STANDS IN THE WAY ELSEWHERE" in lines
        assert "WHAT WOULD HELP" not in lines

    def test_earlier_pods_hold_what_the_plan_gives_them(self, run: Run) -> None:
        planned = json.loads(run("plan", "-f", DEMO, "-o", "json").stdout)
        for record in planned:
            explained = run("explain", f"{record['namespace']}/{record['pod']}", "-f", DEMO, "-o", "json")
            assert json.loads(explained.stdout)["node"] == record["node"]
            assert explained.exit_code == (0 if record["node"] else 1)

    def test_what_would_help_on_a_node_that_is_asked_about(self, run: Run) -> None:
        result = run("explain", "train-2", "-f", DEMO, "--node", "falcon-1")
        lines = rows(result.stdout)
        assert lines[0] == "Pod ml/train-2 (Job ml/train) goes to falcon-2."
        assert "it would fit if claim ml/train-0-devices released its 5 devices" in lines


class TestPodsWithoutANode:
    """A pod that fits nowhere."""

    def test_reasons_counts_and_changes(self, run: Run, cluster: Path, full: Path) -> None:
        result = run("explain", "ml/infer-2", "-f", cluster, "-f", full)
        assert result.exit_code == 1
        lines = rows(result.stdout)
        assert lines[:3] == [
            "Pod ml/infer-2 (Deployment ml/infer) fits on no node.",
            "WHAT STANDS IN THE WAY",
            "node-1",
        ]
        assert lines[-7:] == [
            "2 devices reach the node",
            "2 held",
            "0 left, 1 wanted",
            "WHAT WOULD HELP",
            "It would fit",
            "if claim ml/infer-0-gpu released its device gpu-0",
            "if claim ml/infer-1-gpu released its device gpu-1",
        ]

    def test_nodes_in_the_same_situation_are_told_together(self, run: Run) -> None:
        lines = rows(run("explain", "evaluate-0", "-f", DEMO).stdout)
        assert "2 nodes (falcon-1, falcon-2)" in lines
        assert "10-12 devices reach the node" in lines
        assert "0-2 not of class gpu.example.com" in lines

    def test_every_node_in_detail(self, run: Run) -> None:
        lines = rows(run("explain", "evaluate-0", "-f", DEMO, "--all-nodes").stdout)
        assert {"falcon-1", "falcon-2", "swift-1", "swift-2"} <= set(lines)
        assert "12 devices reach the node" in lines

    def test_one_node_only(self, run: Run) -> None:
        result = run("explain", "evaluate-0", "-f", DEMO, "--node", "falcon-2")
        assert "falcon-1" not in result.stdout
        assert result.exit_code == 1

    def test_nodes_that_refuse_the_pod_themselves(self, run: Run, cluster: Path, workload: Path) -> None:
        text = workload.read_text().replace(
            "    spec:\n      containers", "    spec:\n      nodeSelector: {a: b}\n      containers"
        )
        lines = rows(run("explain", "infer-0", "-f", cluster, "-f", write(workload, text)).stdout)
        assert "the pod's nodeSelector wants the node label a=b" in lines
        assert lines[-1] == "The nodes themselves refuse the pod; its claims are not what stands in the way."

    def test_nothing_would_help(self, run: Run, cluster: Path, workload: Path) -> None:
        text = workload.read_text().replace("index >= 0", "index >= 7")
        lines = rows(run("explain", "infer-0", "-f", cluster, "-f", write(workload, text)).stdout)
        assert any(line.startswith("No single change does:") for line in lines)

    def test_it_fits_100_columns_without_trailing_space_or_colours(self, run: Run, shared: Path) -> None:
        for pod in ("nccl-test-dra-worker-0", "nccl-test-dra-worker-1"):
            text = run("explain", pod, "-f", shared / "manifests/oci-gb200").stdout
            assert text
            assert all(len(line) <= 100 and line == line.rstrip() for line in text.splitlines())
            assert "\x1b" not in text


class TestRecords:
    """The same for programs."""

    def test_nodes_with_reasons_counts_and_changes(self, run: Run, cluster: Path, full: Path) -> None:
        record = json.loads(run("explain", "infer-2", "-f", cluster, "-f", full, "-o", "json").stdout)
        assert (record["pod"], record["namespace"], record["node"]) == ("infer-2", "ml", None)
        node = record["nodes"]["node-1"]
        assert not node["fits"]
        (reason,) = node["reasons"]
        assert (reason["kind"], reason["wanted"], reason["available"]) == ("held", 1, 0)
        assert reason["holders"] == ["ml/infer-0-gpu", "ml/infer-1-gpu"]
        (request,) = node["requests"]
        assert (request["claim"], request["request"], request["wanted"]) == ("ml/infer-2-gpu", "gpu", 1)
        assert (request["devices"], request["left"]) == (2, 0)
        assert [(one["rule"], one["count"]) for one in request["excluded"]] == [("held", 2)]
        assert [one["holders"] for one in node["relaxations"]] == [["ml/infer-0-gpu"], ["ml/infer-1-gpu"]]
        assert record["relaxations"][0] == {**node["relaxations"][0], "nodes": ["node-1"]}
        assert record["complete"]

    def test_a_node_that_refuses_the_pod_has_one_reason(self, run: Run) -> None:
        record = json.loads(run("explain", "chat-1", "-f", DEMO, "-o", "json").stdout)
        assert record["nodes"]["falcon-1"]["reasons"][0]["kind"] == "apart"
        assert record["nodes"]["swift-1"]["fits"]


class TestNames:
    """How a pod is called."""

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("infer-9", "Error: no pod infer-9 is in the input; like it: ml/infer-1, ml/infer-0"),
            ("mk/infer-0", "like it: ml/infer-0, ml/infer-1"),
            ("infer", "Error: infer is no pod, it makes pods: ml/infer-0, ml/infer-1"),
            ("Deployment ml/infer", "it makes pods: ml/infer-0, ml/infer-1"),
            ("zzz", "Error: no pod zzz is in the input; there are ml/infer-0, ml/infer-1"),
        ],
    )
    def test_no_pod_of_that_name(self, run: Run, cluster: Path, workload: Path, name: str, message: str) -> None:
        result = run("explain", name, "-f", cluster, "-f", workload)
        assert result.exit_code == 2
        assert message in result.stderr
        assert not result.stdout

    def test_a_name_in_several_namespaces(self, run: Run, cluster: Path, workload: Path) -> None:
        other = workload.with_name("other.yaml")
        write(other, workload.read_text().replace("namespace: ml", "namespace: web"))
        result = run("explain", "infer-0", "-f", cluster, "-f", workload, "-f", other)
        assert result.exit_code == 2
        assert "several pods are called infer-0: ml/infer-0, web/infer-0" in result.stderr
        result = run("explain", "web/infer-0", "-f", cluster, "-f", workload, "-f", other)
        assert "Pod web/infer-0 (Deployment web/infer) fits on no node." in result.stdout

    def test_a_node_that_is_not_there(self, run: Run, cluster: Path, workload: Path) -> None:
        result = run("explain", "infer-0", "-f", cluster, "-f", workload, "--node", "node-2")
        assert result.exit_code == 2
        assert "no node node-2 is known; like it: node-1" in result.stderr

    def test_a_pod_that_has_a_node_already(self, run: Run, cluster: Path, workload: Path) -> None:
        bound = "apiVersion: v1\nkind: Pod\nmetadata: {name: old, namespace: ml}\nspec: {nodeName: node-1}\n"
        file = write(workload.with_name("bound.yaml"), bound)
        result = run("explain", "old", "-f", cluster, "-f", workload, "-f", file)
        assert result.exit_code == 2
        assert "pod ml/old is on node node-1 already" in result.stderr


def test_a_plan_says_what_would_help_most(run: Run, cluster: Path, full: Path) -> None:
    lines = rows(run("plan", "-f", cluster, "-f", full).stdout)
    assert lines[-2] == "would fit if claim ml/infer-0-gpu released its device gpu-0"


def test_one_line_for_pods_that_wait_for_the_same(run: Run, cluster: Path, workload: Path) -> None:
    workload.write_text(workload.read_text().replace("replicas: 2", "replicas: 5"))
    lines = rows(run("plan", "-f", cluster, "-f", workload).stdout)
    assert lines[-2] == "the first of them would fit if claim ml/infer-0-gpu released its device gpu-0"


def test_help_has_examples(run: Run) -> None:
    text = run("explain", "--help").stdout
    assert "fairlead explain train-3 -f cluster/ -f job.yaml" in text
    assert "explain" in run("--help").stdout
