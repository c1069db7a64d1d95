"""`fairlead plan`: what it prints and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from commands import Program, Run

ROOT = "resource.kubernetes.io/pcieRoot"


def rows(text: str) -> list[str]:
    """Lines with runs of spaces made one."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


class TestTable:
    """The table for people."""

    def test_pods_nodes_requests_devices_and_what_the_request_speaks_of(
        self, run: Run, cluster: Path, workload: Path
    ) -> None:
        result = run("plan", "-f", cluster, "-f", workload)
        assert result.exit_code == 0
        assert rows(result.stdout) == [
            "Namespace ml",
            "POD / request NODE / device ATTRIBUTES",
            "infer-0 node-1",
            "gpu gpu-0 Falcon index=0 pcieRoot=pci0000:10",
            "infer-1 node-1",
            "gpu gpu-1 Swift index=1 pcieRoot=pci0000:20",
            "2 of 2 pods placed on 1 node with 2 devices.",
        ]

    def test_pods_without_a_node_have_reasons_and_the_exit_status_says_so(
        self, run: Run, cluster: Path, workload: Path
    ) -> None:
        workload.write_text(workload.read_text().replace("replicas: 2", "replicas: 4"))
        result = run("plan", "-f", cluster, "-f", workload)
        assert result.exit_code == 1
        assert rows(result.stdout)[6:] == [
            "NO NODE FOR",
            "infer-2 to infer-3 (2 pods of Deployment ml/infer)",
            "1 node (node-1): request gpu: both matching devices of class gpu.example.com are held, 1 wanted;",
            "held by claims ml/infer-0-gpu, ml/infer-1-gpu",
            "the first of them would fit if claim ml/infer-0-gpu released its device gpu-0",
            "2 of 4 pods placed on 1 node with 2 devices; 2 without a node.",
        ]

    def test_it_fits_100_columns_without_trailing_space(self, run: Run, shared: Path) -> None:
        for recorded in ("oci-gb200", "eks-gpu-efa"):
            lines = run("plan", "-f", shared / "manifests" / recorded).stdout.splitlines()
            assert lines
            assert all(len(line) <= 100 and line == line.rstrip() for line in lines)

    def test_no_colours_where_there_is_no_terminal(self, program: Program, cluster: Path, workload: Path) -> None:
        assert b"\x1b" not in program("plan", "-f", cluster, "-f", workload).stdout

    def test_the_same_claim_is_shown_once(self, run: Run, cluster: Path, workload: Path) -> None:
        text = workload.read_text().replace("ResourceClaimTemplate\n", "ResourceClaim\n")
        text = text.replace("  spec:\n    devices:", "  devices:", 1)
        workload.write_text(text.replace("resourceClaimTemplateName", "resourceClaimName"))
        result = run("plan", "-f", cluster, "-f", workload)
        assert result.exit_code == 0, result.output
        assert rows(result.stdout)[-2] == "gpu with infer-0"


class TestRecords:
    """The plan for programs."""

    def test_json_holds_the_status_that_a_cluster_would(self, run: Run, cluster: Path, workload: Path) -> None:
        result = run("plan", "-f", cluster, "-f", workload, "-o", "json")
        first = json.loads(result.stdout)[0]
        assert first == {
            "pod": "infer-0",
            "namespace": "ml",
            "owner": "Deployment ml/infer",
            "group": None,
            "node": "node-1",
            "claims": [
                {
                    "podClaim": "gpu",
                    "name": "infer-0-gpu",
                    "namespace": "ml",
                    "status": {
                        "allocation": {
                            "devices": {
                                "results": [
                                    {
                                        "request": "gpu",
                                        "driver": "gpu.example.com",
                                        "pool": "node-1",
                                        "device": "gpu-0",
                                    }
                                ]
                            },
                            "nodeSelector": {
                                "nodeSelectorTerms": [
                                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}
                                ]
                            },
                        },
                        "reservedFor": [{"resource": "pods", "name": "infer-0"}],
                    },
                }
            ],
            "reasons": [],
            "gang": None,
            "nodeChoice": None,
        }

    def test_yaml_holds_the_same(self, run: Run, cluster: Path, workload: Path) -> None:
        files = ("plan", "-f", cluster, "-f", workload)
        assert yaml.safe_load(run(*files, "-o", "yaml").stdout) == json.loads(run(*files, "-o", "json").stdout)

    def test_reasons_are_records(self, run: Run, cluster: Path, workload: Path) -> None:
        workload.write_text(workload.read_text().replace("replicas: 2", "replicas: 3"))
        result = run("plan", "-f", cluster, "-f", workload, "-o", "json")
        assert result.exit_code == 1
        last = json.loads(result.stdout)[-1]
        assert last["node"] is None
        assert last["reasons"] == [
            {
                "text": "request gpu: both matching devices of class gpu.example.com are held, 1 wanted",
                "kind": "held",
                "nodes": ["node-1"],
                "holders": ["ml/infer-0-gpu", "ml/infer-1-gpu"],
            }
        ]


class TestNodes:
    """Where the nodes come from."""

    def test_nodes_can_be_added_with_labels(self, run: Run, cluster: Path, workload: Path) -> None:
        containers = "    spec:\n      containers"
        selecting = containers.replace("containers", "nodeSelector: {rack: b}\n      containers")
        workload.write_text(workload.read_text().replace(containers, selecting))
        assert run("plan", "-f", cluster, "-f", workload).exit_code == 1
        labelled = run("plan", "-f", cluster, "-f", workload, "--node", "node-1=rack=b,zone=z")
        assert labelled.exit_code == 0, labelled.output

    def test_a_node_that_makes_no_sense_is_a_usage_error(self, run: Run, cluster: Path) -> None:
        result = run("plan", "-f", cluster, "--node", "node-1=rack")
        assert result.exit_code == 2
        assert "'rack' is no label" in result.stderr

    def test_nodes_of_the_input_count_alone(self, run: Run, cluster: Path, workload: Path) -> None:
        node = "apiVersion: v1\nkind: Node\nmetadata: {name: other}\n"
        result = run("plan", "-f", cluster, "-f", workload, "-f", "-", stdin=node)
        assert result.exit_code == 1
        assert "1 node (other)" in result.stdout
        assert "note: node node-1 is named by ResourceSlices but not in the input as Nodes" in result.stderr

    def test_without_any_node_nothing_is_planned(self, run: Run, workload: Path) -> None:
        result = run("plan", "-f", workload)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--node NAME adds one" in result.stderr

    def test_without_any_pod_nothing_is_planned(self, run: Run, cluster: Path) -> None:
        result = run("plan", "-f", cluster)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "nothing to place" in result.stderr


class TestAssumedClasses:
    """DeviceClasses that drivers install."""

    def test_they_are_assumed_with_a_note(self, run: Run, cluster: Path, workload: Path) -> None:
        result = run("plan", "-f", cluster, "-f", workload)
        assert result.stderr == (
            "note: DeviceClass gpu.example.com is not in the input; assumed as its driver installs it\n"
        )

    def test_or_not(self, run: Run, cluster: Path, workload: Path) -> None:
        result = run("plan", "-f", cluster, "-f", workload, "--no-assume-classes")
        assert (result.exit_code, result.stdout) == (2, "")
        assert 'Not found: "gpu.example.com"' in result.stderr

    def test_the_class_of_the_input_wins(self, run: Run, cluster: Path, workload: Path) -> None:
        own = (
            "apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {name: gpu.example.com}\n"
            "spec: {selectors: [{cel: {expression: 'false'}}]}\n"
        )
        result = run("plan", "-f", cluster, "-f", workload, "-f", "-", stdin=own)
        assert (result.exit_code, result.stderr) == (1, "")
        assert "no device of class gpu.example.com" in result.stdout


class TestSuspended:
    """Workloads that were told to make no pods."""

    JOB = (
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: later, namespace: ml}\n"
        "spec: {suspend: true, template: {spec: {containers: [{name: c}]}}}\n"
    )
    NOTE = 'Job "ml/later": spec.suspend: suspended, none of its pods are planned'

    def test_they_are_noted_and_no_failure(self, run: Run, cluster: Path, workload: Path) -> None:
        result = run("plan", "-f", cluster, "-f", workload, "-f", "-", stdin=self.JOB)
        assert result.exit_code == 0
        assert self.NOTE in result.stderr
        assert "later" not in result.stdout

    def test_alone_there_is_nothing_to_plan(self, run: Run, cluster: Path) -> None:
        result = run("plan", "-f", cluster, "-f", "-", stdin=self.JOB)
        assert (result.exit_code, result.stdout) == (2, "")
        assert self.NOTE in result.stderr


class TestFeatures:
    """Which features the cluster has."""

    def test_a_feature_that_is_off_is_said(self, run: Run, cluster: Path, workload: Path) -> None:
        text = workload.read_text().replace("exactly:\n", "firstAvailable:\n")
        workload.write_text(text.replace("          deviceClassName", "        - name: a\n          deviceClassName"))
        assert run("plan", "-f", cluster, "-f", workload).exit_code == 0
        result = run("plan", "-f", cluster, "-f", workload, "--features", "AdminAccess")
        assert result.exit_code == 1
        assert "the DRAPrioritizedList feature is disabled" in " ".join(result.stdout.split())

    def test_an_unknown_feature_is_a_usage_error(self, run: Run, cluster: Path) -> None:
        result = run("plan", "-f", cluster, "--features", "Teleport")
        assert result.exit_code == 2
        assert "unknown feature 'Teleport'" in result.stderr


class TestRecordedClusters:
    """The slices of two real clusters with their own claims and jobs."""

    def test_gb200_gpu_and_nic(self, run: Run, shared: Path) -> None:
        files = shared / "manifests" / "oci-gb200"
        result = run("plan", "-f", files, "-o", "json", "--no-gangs")
        pods = {pod["pod"]: pod for pod in json.loads(result.stdout)}
        [claim] = pods["nccl-test-dra-worker-0"]["claims"]
        chosen = [(given["request"], given["device"]) for given in claim["status"]["allocation"]["devices"]["results"]]
        assert chosen == [("gpu", "gpu-0"), ("nic", "pci-0000-03-00-0")]
        assert pods["nccl-test-dra-worker-1"]["node"] is None
        # As a gang it is not placed at all: its workers keep apart, and one node is recorded.
        whole = json.loads(run("plan", "-f", files, "-o", "json").stdout)
        assert [pod["node"] for pod in whole] == [None] * len(whole)
        assert not whole[0]["gang"]["placed"]

    def test_p4d_workers_keep_apart(self, run: Run, shared: Path) -> None:
        """The labels that mpi-operator gives to pods make the workers' anti-affinity effective."""
        files = shared / "manifests" / "eks-gpu-efa"
        result = run("plan", "-f", files, "--node", "spare-0", "-o", "json", "--no-gangs")
        assert result.exit_code == 1
        pods = {pod["pod"]: pod for pod in json.loads(result.stdout)}
        recorded = "ip-192-168-153-160.ec2.internal"
        assert [pod["node"] for pod in pods.values()] == [recorded, recorded, None]
        [apart, *missing] = pods["nccl-test-dra-worker-1"]["reasons"]
        assert apart == {
            "text": "the pod's anti-affinity keeps it away from a pod with the same kubernetes.io/hostname",
            "kind": "apart",
            "nodes": [recorded],
            "holders": [],
        }
        assert {node for reason in missing for node in reason["nodes"]} == {"spare-0"}

    def test_p4d_gpu_and_efa_share_a_root(self, run: Run, shared: Path) -> None:
        files = shared / "manifests" / "eks-gpu-efa"
        extra = [arguments for n in range(2) for arguments in ("--node", f"spare-{n}")]
        result = run("plan", "-f", files, *extra, "-o", "json", "--no-gangs")
        roots = {
            (slice_["spec"]["driver"], device["name"]): device["attributes"]["resource.kubernetes.io/pcieRoot"][
                "string"
            ]
            for name in ("resourceslice-gpu.yaml", "resourceslice-dranet.yaml")
            for slice_ in yaml.safe_load((files / name).read_text())["items"]
            for device in slice_["spec"]["devices"]
        }
        placed = [pod for pod in json.loads(result.stdout) if pod["claims"]]
        assert placed
        for pod in placed:
            [claim] = pod["claims"]
            results = claim["status"]["allocation"]["devices"]["results"]
            assert len({roots[given["driver"], given["device"]] for given in results}) == 1
