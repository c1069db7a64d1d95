"""The driver in pods of a DaemonSet, as it is installed: with the token of its pod, and updated under running pods.

There is no image of it here: the pod's container has this machine's Python and its libraries as volumes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from node_objects import GPUS, NICS
from stage import NOTHING, Stage

import fairlead
from kube import IMAGE

pytestmark = pytest.mark.node

NAME = "drivers"
PATH = f"/apis/apps/v1/namespaces/default/daemonsets/{NAME}"
PODS = "/api/v1/namespaces/default/pods"
OF_THE_NODE = ("/var/lib/kubelet/plugins", "/var/lib/kubelet/plugins_registry", "/var/run/cdi")
READY = """import os, pathlib, sys
registry = pathlib.Path("/var/lib/kubelet/plugins_registry")
sys.exit(len(list(registry.glob("*-" + os.environ["POD_UID"] + "-reg.sock"))) < 3)"""


def daemon_set(stage: Stage) -> dict[str, Any]:
    """A DaemonSet with updates that start the new pod first."""
    server = urlsplit(stage.api.server)
    source = str(Path(fairlead.__file__).parent.parent)
    libraries = {"/usr", "/lib", "/lib64", sys.prefix, sys.base_prefix, source}
    folders = [*OF_THE_NODE, *(one for one in sorted(libraries) if Path(one).exists()), str(stage.node.folder)]
    start = "from fairlead.cli import main; main()"
    run = {
        "name": "drivers",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": [sys.executable, "-c", start, "node"],
        "args": ["--driver", f"simulated={stage.hardware},faults={stage.faults},recover=4"],
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "PYTHONPATH", "value": source},
            {"name": "KUBERNETES_SERVICE_HOST", "value": str(server.hostname)},  # no proxy serves the cluster's own
            {"name": "KUBERNETES_SERVICE_PORT", "value": str(server.port)},
        ],
        "readinessProbe": {
            "exec": {"command": [sys.executable, "-I", "-c", READY]},
            "periodSeconds": 1,
            "timeoutSeconds": 10,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": f"v{number}", "mountPath": path} for number, path in enumerate(folders)],
    }
    spec = {
        "hostNetwork": True,
        "serviceAccountName": "driver",
        "terminationGracePeriodSeconds": 60,
        "containers": [run],
        "volumes": [{"name": f"v{number}", "hostPath": {"path": path}} for number, path in enumerate(folders)],
    }
    labels = {"app": NAME}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels, "annotations": {"version": "1"}}, "spec": spec},
        },
    }


@pytest.fixture
def installed(stage: Stage) -> Iterator[Stage]:
    """The node with the drivers of the DaemonSet, and no others."""
    stage.node.halt("driver")
    stage.api.create(daemon_set(stage))
    stage.wait(lambda: ready(stage, "1"), "the DaemonSet to be ready")
    yield stage
    stage.api.delete(PATH)
    stage.wait(lambda: not pods(stage), "the DaemonSet's pods to be gone")


def pods(stage: Stage) -> dict[str, str]:
    """The version of each of the DaemonSet's pods."""
    return {
        one["metadata"]["name"]: one["metadata"]["annotations"]["version"]
        for one in stage.api.items(PODS)
        if one["metadata"].get("labels", {}).get("app") == NAME
    }


def ready(stage: Stage, version: str) -> bool:
    """Whether one pod of a version is there and ready, and no other."""
    status = stage.api.get(PATH)["status"]
    whole = status.get("numberReady") == 1 and status.get("updatedNumberScheduled") == 1
    return whole and list(pods(stage).values()) == [version]


def test_a_daemon_set_is_updated_while_a_claim_is_prepared(installed: Stage) -> None:
    stage = installed
    stage.template("pair", gpu=GPUS, nic=NICS)
    stage.pod("p", {"c": ["pair"], "other": []}, {"pair": "*pair"})
    stage.running("p")
    before = stage.containers("p"), stage.given("p")
    stage.script("".join(f"- {{device: gpu-{number}, fault: slow, seconds: 8}}\n" for number in range(8)))
    stage.pod("new", {"c": ["pair"]}, {"pair": "*pair"})
    stage.wait(stage.being_prepared, "the claim to be prepared")
    stage.api.patch(PATH, {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}})
    stage.wait(lambda: ready(stage, "2"), "the update")
    stage.running("new")
    stage.script("[]")
    assert sorted(stage.given("new")["c"].values()) == ["gpu", "nic"]
    assert (stage.containers("p"), stage.given("p")) == before
    stage.delete("p", "new")
    assert stage.leftovers() == NOTHING
