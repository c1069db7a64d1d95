"""Fairlead installed from deploy/ on a real control plane: it runs with exactly these rights, and goes without a trace.

Skipped where Kubernetes' programs are not built (`make kube`); the parts with Helm where helm is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from installed import (
    FINALIZER,
    GATE,
    GROUP,
    MANAGED,
    MANIFESTS,
    OPT_IN,
    POLICIES,
    ROOT,
    SYSTEM,
    Cluster,
    Json,
    allocated,
    bound,
    claim,
    hardware,
    pod,
    template,
    told,
)

from kube import Api, ControlPlane, add_cluster
from kube.api import wait_for

pytestmark = pytest.mark.cluster

SCOPES = ("clusterroles", "clusterrolebindings")
KINDS = (
    f"{POLICIES}/mutatingadmissionpolicies",
    f"{POLICIES}/mutatingadmissionpolicybindings",
    f"{POLICIES}/validatingadmissionpolicies",
    f"{POLICIES}/validatingadmissionpolicybindings",
    *(f"/apis/rbac.authorization.k8s.io/v1/{kind}" for kind in SCOPES),
)


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane, kubectl: Path) -> Cluster:
    """A control plane without Fairlead."""
    add_cluster(control_plane.api, hardware())
    return Cluster(control_plane)


@pytest.fixture
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The same with Fairlead, from the manifests."""
    cluster.install()
    yield cluster
    remove(cluster)


def remove(cluster: Cluster) -> None:
    """Deletes all of the manifests; nothing of them stays."""
    cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", str(MANIFESTS))
    # No kubelet ends the controller's pods.
    cluster.api.clear(f"/api/v1/namespaces/{SYSTEM}/pods")
    wait_for(lambda: ours(cluster.api) == [], 30, "everything of Fairlead to be gone")


def ours(api: Api) -> list[str]:
    """What of an installation there is outside of namespaces, and its namespace."""
    found = [one for kind in KINDS for one in api.items(kind, labelSelector="app.kubernetes.io/name=fairlead")]
    found += [one for one in api.items("/api/v1/namespaces") if one["metadata"]["name"] == SYSTEM]
    return [f"{one['kind']} {one['metadata']['name']}" for one in found]


def writes(api: Api) -> dict[str, int]:
    """How many writes the API server has done to pods and claims, by verb and resource; without creations."""
    found: dict[str, int] = {}
    line = re.compile(r"^apiserver_request_total\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)
    text = api.request("GET", "/metrics", content_type="text/plain")["message"]
    for labels, number in line.findall(text):
        known = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if known["resource"] in ("pods", "resourceclaims") and known["verb"] in ("PATCH", "PUT", "POST"):
            key = f"{known['verb']} {known['resource']}/{known['subresource']}".rstrip("/")
            found[key] = found.get(key, 0) + int(float(number))
    return found


def workload(namespace: str) -> list[Json]:
    """A Job of four pods with two devices each that are placed together, and a pod that shares a claim with another."""
    both = {"name": "devices", "resourceClaimTemplateName": "both"}
    container = {"name": "main", "image": "none", "resources": {"claims": [{"name": "devices"}]}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "train", "namespace": namespace},
        "spec": {
            "completions": 4,
            "parallelism": 4,
            "template": {
                "metadata": {"annotations": {"fairlead.dev/group-size": "4"}},
                "spec": {"restartPolicy": "Never", "containers": [container], "resourceClaims": [both]},
            },
        },
    }
    return [
        template(namespace, "both", "gpu", "nic"),
        claim(namespace, "shared", "gpu"),
        job,
        pod(namespace, "one", claim="shared"),
        pod(namespace, "two", claim="shared"),
    ]


def arguments() -> list[str]:
    """How the Deployment starts the controller, but for the port, which may be taken on this machine."""
    (deployment,) = [
        one
        for one in yaml.safe_load_all((MANIFESTS / "40-controller.yaml").read_text())
        if one and one["kind"] == "Deployment"
    ]
    command, *options = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert command == "controller"
    return [one for one in options if not one.startswith("--listen=")]


def half_done(cluster: Cluster, namespace: str, name: str) -> None:
    """A pod whose claim has its device, and which is not opened: a controller that died between the two."""
    api = cluster.api
    api.create(claim(namespace, name, "gpu"))
    uid = api.create(pod(namespace, name, claim=name))["metadata"]["uid"]
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-2"]}]}
    allocation = {
        "devices": {"results": [{"request": "r0", "driver": "gpu.example.com", "pool": "node-2", "device": "gpu-7"}]},
        "nodeSelector": {"nodeSelectorTerms": [term]},
        "allocationTimestamp": "2026-11-24T12:00:00Z",
    }
    reserved = [{"resource": "pods", "name": name, "uid": uid}]
    path = f"{GROUP}/namespaces/{namespace}/resourceclaims/{name}/status"
    cluster.account().patch(path, {"status": {"allocation": allocation, "reservedFor": reserved}})


def test_a_workload_is_bound_with_the_rights_of_the_manifests(installed: Cluster) -> None:
    api = installed.api
    installed.namespace("ml", OPT_IN)
    before = writes(api)
    with installed.controller(*arguments()) as log:
        installed.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(workload("ml")))
        wait_for(lambda: len(bound(api, "ml")) == 6, 60, "all pods to be bound")
        api.create(template("ml", "nine", *["gpu"] * 9))  # a node has eight
        api.create(pod("ml", "large", template="nine"))
        words = "9 devices wanted together, 8 can serve them"
        wait_for(lambda: words in told(api, "ml", "large"), 30, "the pod that fits nowhere to be told why")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    wrong = ("not ", "perhaps ", "refused", "watch ended", "lead lost", "lease not reached", "election failed")
    assert [one for one in events if one["event"].startswith(wrong)] == []
    assert [one["lease"] for one in events if one["event"] == "leading"] == [f"{SYSTEM}/fairlead-controller"]
    pods = api.items("/api/v1/namespaces/ml/pods")
    marked = [one["metadata"]["name"] for one in pods if "fairlead.dev/Allocated" in str(one["status"])]
    assert marked == ["large"], "the others did not wait"
    claims = api.items(f"{GROUP}/namespaces/ml/resourceclaims")
    assert all(one["metadata"]["finalizers"] == [FINALIZER] for one in claims)
    after = writes(api)
    made = {key: number - before.get(key, 0) for key, number in after.items()}
    # Two writes of ours a pod, and two of kube-scheduler: the binding, and pods/status.
    assert made["PATCH pods"] == 6
    assert made["POST pods/binding"] == 6
    assert made["PATCH resourceclaims/status"] <= 6
    assert made.get("PATCH resourceclaims", 0) == 0, "the policy set the finalizers"
    assert made.get("PUT resourceclaims/status", 0) == 0, "kube-scheduler had nothing to give"
    installed.drop("ml")


def test_without_any_one_of_its_rights_it_says_what_is_refused(installed: Cluster) -> None:
    api = installed.api
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/fairlead-controller"
    rules = api.get(path)["rules"]
    # Gates and claims made by hand, in a namespace that did not opt in: so there is a finalizer to be added.
    api.patch(MANAGED, {"data": {"deviceClasses": "nic"}})
    installed.namespace("plain")
    for count in (1, 9):
        api.create(template("plain", f"gpus-{count}", *["gpu"] * count))
    of_claims = "resourceclaims.resource.k8s.io"
    cases = [("nodes", "watch", "refused")]  # it asks for some seconds; one kind stands for all
    cases += [(of_claims, "patch", "not protected"), (f"{of_claims}/status", "patch", "not allocated")]
    cases += [(f"{of_claims}/binding", "patch", "not allocated"), ("pods", "patch", "not opened")]
    cases += [("events", "create", "not told"), ("pods/status", "patch", "not marked")]
    for number, (what, verb, outcome) in enumerate(cases):
        resource = what.replace(".resource.k8s.io", "")
        api.patch(path, {"rules": without(rules, resource, verb)})
        of = "gpus-9" if outcome in ("not told", "not marked") else "gpus-1"
        api.create(pod("plain", f"case-{number}", template=of, schedulingGates=[GATE]))
        with installed.started() as (_, log):
            words = f'"event":"{outcome}"'
            wait_for(lambda words=words, log=log: words in log.read_text(), 30, f"{words} without {verb} of {what}")
            (first, *_) = [line for line in log.read_text().splitlines() if words in line]
        assert f'cannot {verb} resource \\"{resource}\\"' in first, first
    api.patch(MANAGED, {"data": None})
    installed.drop("plain")


def without(rules: list[Json], resource: str, verb: str) -> list[Json]:
    """The same rules, but for one verb of one resource."""
    made = []
    for rule in rules:
        for one in rule["resources"]:
            verbs = [each for each in rule["verbs"] if (one, each) != (resource, verb)]
            made += [{**rule, "resources": [one], "verbs": verbs}] if verbs else []
    return made


def test_the_controllers_pods_are_admitted_where_pod_security_is_restricted(installed: Cluster) -> None:
    api = installed.api
    pods = wait_for(
        lambda: (
            [one for one in api.items(f"/api/v1/namespaces/{SYSTEM}/pods") if one["spec"].get("nodeName")][1:]
            and api.items(f"/api/v1/namespaces/{SYSTEM}/pods")
        ),
        30,
        "both pods of the controller",
    )
    assert len({one["spec"]["nodeName"] for one in pods}) == 2, "one a node"
    assert {one["spec"]["serviceAccountName"] for one in pods} == {"fairlead-controller"}
    namespace = api.get(f"/api/v1/namespaces/{SYSTEM}")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_it_is_removed_while_pods_wait_and_nothing_is_stuck(cluster: Cluster) -> None:
    api = cluster.api
    cluster.install()
    cluster.namespace("busy", OPT_IN)
    for count in (1, 9):
        api.create(template("busy", f"gpus-{count}", *["gpu"] * count))
    api.create(claim("busy", "alone", "gpu"))
    with cluster.controller():
        api.create(pod("busy", "runs", template="gpus-1"))
        wait_for(lambda: bound(api, "busy") == ["runs"], 60, "a pod to be bound")
        group = pod("busy", "of-a-group", template="gpus-1")
        group["metadata"]["labels"] = {"fairlead.dev/group": "g", "fairlead.dev/group-size": "2"}
        for one in (group, pod("busy", "too-large", template="gpus-9")):
            api.create(one)
        wait_for(lambda: told(api, "busy", "too-large"), 30, "the pod to be told that it has no room")
    api.create(pod("busy", "late", template="gpus-1"))  # nobody is there to see it
    half_done(cluster, "busy", "half")

    remove(cluster)
    waiting = ["busy/half", "busy/late", "busy/of-a-group", "busy/too-large"]
    tried = cluster.fairlead("ungate", "--dry-run")
    assert tried.returncode == 0
    assert sorted(tried.stdout.splitlines()) == [f"{name}: would be opened" for name in waiting]
    assert cluster.fairlead("ungate", "--namespace", "other").stderr == "No pod waits for Fairlead.\n"
    done = cluster.fairlead("ungate")
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [f"{name}: opened" for name in waiting]
    fits = ["half", "late", "of-a-group", "runs"]
    wait_for(lambda: sorted(bound(api, "busy")) == fits, 30, "kube-scheduler to bind what fits")
    assert len(allocated(api, "busy")) == 4
    assert api.get("/api/v1/namespaces/busy/pods/half")["spec"]["nodeName"] == "node-2", "where its device is"

    api.create(template("default", "gpus-1", "gpu"))
    api.create(pod("default", "fresh", template="gpus-1"))
    wait_for(lambda: bound(api, "default") == ["fresh"], 30, "a new pod to be bound as if nothing had been")
    api.clear("/api/v1/namespaces/default/pods")

    api.clear("/api/v1/namespaces/busy/pods")
    for name in ("alone", "half"):
        api.delete(f"{GROUP}/namespaces/busy/resourceclaims/{name}")
    wait_for(lambda: not api.items(f"{GROUP}/namespaces/busy/resourceclaims"), 30, "every claim to go, with finalizer")
    cluster.drop("busy")


def test_ungate_says_what_is_refused(installed: Cluster) -> None:
    api = installed.api
    installed.namespace("held", OPT_IN)
    api.create(pod("held", "waits", claim="none"))
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "patch"]}]
    helper = installed.plane.service_account("helper", rules)
    done = installed.fairlead("ungate", "--namespace", "held", who=helper)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("held/waits: not opened: ")
    assert "the gate fairlead.dev/allocation is opened by Fairlead" in done.stderr
    nobody = installed.plane.service_account("nobody", [])
    done = installed.fairlead("ungate", who=nobody)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {api.server}: pods: 403 pods is forbidden: User")
    installed.drop("held")


def test_helm_installs_changes_and_removes_it(cluster: Cluster, helm: Path) -> None:
    api = cluster.api
    chart = [str(ROOT / "deploy" / "chart"), f"--namespace={SYSTEM}"]
    cluster.helm(helm, "install", "fairlead", *chart, "--create-namespace", "--set=oneWriter.deviceClasses={gpu,nic}")
    listed = f"/api/v1/namespaces/{SYSTEM}/configmaps/fairlead-managed-classes"
    assert api.get(listed)["data"] == {"deviceClasses": "gpu\nnic"}
    cluster.helm(helm, "upgrade", "fairlead", *chart, "--set=replicas=3")
    assert "data" not in api.get(listed), "all classes"
    assert api.get(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-controller")["spec"]["replicas"] == 3
    cluster.helm(helm, "rollback", "fairlead", "1", f"--namespace={SYSTEM}")
    assert api.get(listed)["data"] == {"deviceClasses": "gpu\nnic"}
    cluster.helm(helm, "uninstall", "fairlead", f"--namespace={SYSTEM}")
    api.clear(f"/api/v1/namespaces/{SYSTEM}/pods")
    wait_for(lambda: ours(api) == [f"Namespace {SYSTEM}"], 30, "all but the namespace to be gone")
    api.delete(f"/api/v1/namespaces/{SYSTEM}")
    wait_for(lambda: ours(api) == [], 30, "the namespace to be gone")


def test_the_first_workload_of_the_guide(installed: Cluster) -> None:
    guide = (ROOT / "docs" / "install.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    named = {"metadata": {"name": "gpu.nvidia.com"}, "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass"}
    selector = {"cel": {"expression": 'device.driver == "gpu.example.com"'}}
    installed.api.create({**named, "spec": {"selectors": [selector]}})
    with installed.controller():
        installed.kubectl("apply", "-f", "-", stdin=text.replace("ml", "guide"))
        wait_for(lambda: len(bound(installed.api, "guide")) == 2, 60, "both pods to be bound")
    installed.drop("guide")


@pytest.mark.parametrize("given", [["bluefield"], ["network"], ["bluefield", "network"]])
def test_the_api_server_takes_drivers_in_the_nodes_network(cluster: Cluster, helm: Path, given: list[str]) -> None:
    values = ["--set=node.enabled=true", "--namespace=fairlead-system", "--show-only=templates/node.yaml"]
    for index, name in enumerate(given):
        values += [f"--set=node.drivers[{index}].driver={name},node.drivers[{index}].names={{{name}.example.com}}"]
    text = cluster.helm(helm, "template", "fairlead", str(ROOT / "deploy" / "chart"), *values)
    (daemonset,) = (one for one in yaml.safe_load_all(text) if one)
    daemonset["metadata"]["namespace"] = "default"
    taken = cluster.api.create(daemonset, dry_run=True)
    assert taken["spec"]["template"]["spec"]["hostNetwork"] is True
