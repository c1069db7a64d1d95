"""The control plane is what tests may rely on: real rules of access, nodes that take pods, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kube import Api, ApiError, ControlPlane, Options, PlaneError, add_cluster, fake_node
from kube.api import JSON_PATCH, wait_for

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
ADMISSION = "admissionregistration.k8s.io/v1"
NAMESPACE = "plane"
GATE = "example.com/wait"


@pytest.fixture(scope="module", autouse=True)
def namespace(control_plane: ControlPlane) -> str:
    return control_plane.namespace(NAMESPACE)


def pod(name: str, namespace: str = NAMESPACE, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    containers = [{"name": "main", "image": "none"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


def node_of(api: Api, name: str, namespace: str = NAMESPACE) -> str | None:
    found: str | None = api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")["spec"].get("nodeName")
    return found


def test_a_fake_node_has_no_taint_and_takes_pods(api: Api) -> None:
    made = api.create(fake_node("fake", {"zone": "a"}, {"cpu": "2"}))
    assert "taints" not in made["spec"]
    api.create(pod("plain", nodeSelector={"zone": "a"}))
    assert wait_for(lambda: node_of(api, "plain"), 30, "the pod to be bound") == "fake"


def test_a_pod_on_a_fake_node_is_gone_at_once_when_deleted_without_grace(api: Api) -> None:
    api.create(fake_node("brief", {"zone": "b"}))
    api.create(pod("brief", nodeSelector={"zone": "b"}))
    wait_for(lambda: node_of(api, "brief"), 30, "the pod to be bound")
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/brief"
    api.delete(path, grace_seconds=0)
    with pytest.raises(ApiError, match="404"):
        api.get(path)


def test_a_cluster_from_a_spec_is_there_whole(api: Api) -> None:
    made = add_cluster(api, "h100:nodes=3,name=spec")
    names = {each["metadata"]["name"] for each in api.items("/api/v1/nodes")}
    assert {each["metadata"]["name"] for each in made if each["kind"] == "Node"} <= names
    slices = api.items("/apis/resource.k8s.io/v1/resourceslices")
    assert {"spec-01-gpu.nvidia.com", "spec-03-dra.net"} <= {each["metadata"]["name"] for each in slices}


def test_a_bad_spec_is_refused_in_the_words_of_fairlead(api: Api) -> None:
    with pytest.raises(ValueError, match="nothing"):
        add_cluster(api, "nothing:nodes=3")


def test_a_service_account_may_do_what_its_rules_say_and_no_more(control_plane: ControlPlane) -> None:
    reader = control_plane.service_account("reader", [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}])
    assert reader.items("/api/v1/nodes") is not None
    with pytest.raises(ApiError, match="403 Forbidden") as refused:
        reader.items("/api/v1/pods")
    assert refused.value.code == 403


def test_a_kubeconfig_is_for_its_owner_only(control_plane: ControlPlane) -> None:
    assert control_plane.kubeconfig.stat().st_mode & 0o077 == 0
    assert control_plane.folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        ("resource.k8s.io", "ResourceSlice"),
        ("resource.k8s.io", "DeviceTaintRule"),
        ("resource.k8s.io", "ResourcePoolStatusRequest"),
        ("scheduling.k8s.io", "PodGroup"),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ],
)
def test_what_the_controller_needs_is_served(api: Api, group: str, kind: str) -> None:
    (versions,) = [each["versions"] for each in api.get("/apis")["groups"] if each["name"] == group]
    served = {r["kind"] for each in versions for r in api.get(f"/apis/{each['groupVersion']}")["resources"]}
    assert kind in served


def test_a_policy_adds_a_gate_that_a_patch_takes_away(control_plane: ControlPlane) -> None:
    api = control_plane.api
    labelled = {"kubernetes.io/metadata.name": "gated"}
    expression = f'[JSONPatch{{op: "add", path: "/spec/schedulingGates", value: [{{"name": "{GATE}"}}]}}]'
    policy = {
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": labelled},
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ],
        },
        "reinvocationPolicy": "Never",
        "failurePolicy": "Fail",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
    }
    metadata = {"name": "gate"}
    api.create({"apiVersion": ADMISSION, "kind": "MutatingAdmissionPolicy", "metadata": metadata, "spec": policy})
    binding = {"policyName": "gate"}
    api.create(
        {"apiVersion": ADMISSION, "kind": "MutatingAdmissionPolicyBinding", "metadata": metadata, "spec": binding}
    )
    control_plane.namespace("gated")
    api.create(fake_node("gated", {"zone": "c"}))

    def created() -> dict[str, Any] | None:
        """A new pod once the API server's own watch has seen the policy."""
        made = api.create(pod("gated", "gated", nodeSelector={"zone": "c"}))
        if "schedulingGates" in made["spec"]:
            return made
        api.delete("/api/v1/namespaces/gated/pods/gated", grace_seconds=0)
        return None

    made = wait_for(created, 30, "the policy to be heeded")
    assert made["spec"]["schedulingGates"] == [{"name": GATE}]
    test = {"op": "test", "path": "/spec/schedulingGates/0/name", "value": GATE}
    removal = [test, {"op": "remove", "path": "/spec/schedulingGates/0"}]
    api.patch("/api/v1/namespaces/gated/pods/gated", removal, JSON_PATCH)
    assert wait_for(lambda: node_of(api, "gated", "gated"), 30, "the pod to be bound") == "gated"


def test_a_program_can_be_halted_and_run_again(control_plane: ControlPlane) -> None:
    api = control_plane.api
    api.create(fake_node("later", {"zone": "d"}))
    control_plane.halt("kube-scheduler")
    api.create(pod("later", nodeSelector={"zone": "d"}))
    assert set(control_plane.usage()) == {"etcd", "kube-apiserver", "kube-controller-manager"}
    control_plane.run("kube-scheduler")
    assert wait_for(lambda: node_of(api, "later"), 30, "the pod to be bound") == "later"


def processes_of(folder: str) -> list[int]:
    """All processes with the folder in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if folder.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_after_kill_9_of_the_starter_nothing_is_left(control_plane: ControlPlane) -> None:
    del control_plane  # only so that this is skipped where there are no programs
    up = subprocess.Popen([sys.executable, "-m", "kube", "up"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert up.stdout is not None
    kubeconfig = Path(up.stdout.readline().strip())
    folder = kubeconfig.parent
    assert kubeconfig.exists()
    assert len(processes_of(str(folder))) == 4
    os.kill(up.pid, signal.SIGKILL)
    up.wait()
    wait_for(lambda: not processes_of(str(folder)) and not folder.exists(), 30, "everything to be gone")


def test_a_start_that_fails_says_why_and_keeps_the_logs(control_plane: ControlPlane) -> None:
    del control_plane
    plane = ControlPlane(Options(flags={"kube-apiserver": ["--no-such-flag"]}))
    with pytest.raises(PlaneError, match=r"kube-apiserver ended with status 1(.|\n)*unknown flag: --no-such-flag"):
        plane.start()
    assert plane.log("kube-apiserver").exists()
    assert not processes_of(str(plane.folder))
    subprocess.run(["rm", "-r", str(plane.folder)], check=True)
