"""The admission policies of deploy/, on a real API server, with its own words.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import (
    EXTENDED,
    FINALIZER,
    GATE,
    GROUP,
    MANAGED,
    MANIFESTS,
    OPT_IN,
    Cluster,
    Json,
    allocated,
    bound,
    claim,
    hardware,
    pod,
    refused,
    said,
    template,
    told,
)

from kube import Api, ControlPlane, add_cluster
from kube.api import JSON_PATCH, wait_for

pytestmark = pytest.mark.cluster

ELSEWHERE = (
    "device class gpu is given out by Fairlead, which does not serve this namespace: "
    "kubectl label namespace other fairlead.dev/allocation=enabled"
)
GIVEN = {
    "devices": {
        "results": [{"request": "r0", "driver": "gpu.example.com", "pool": "node-1", "device": "gpu-7"}],
    },
    "allocationTimestamp": "2026-11-24T12:00:00Z",
}
OPEN = [{"op": "remove", "path": "/spec/schedulingGates/0"}]


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane, kubectl: Path) -> Cluster:
    """Fairlead's policies on a control plane."""
    made = Cluster(control_plane)
    add_cluster(control_plane.api, hardware())
    made.install()
    made.namespace("ml", OPT_IN)
    made.namespace("other")
    return made


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Api:
    return cluster.api


@pytest.fixture(scope="module")
def somebody(cluster: Cluster) -> Api:
    """An account that may write anything about pods and claims, and is nobody special."""
    anything = [
        {
            "apiGroups": ["", "resource.k8s.io"],
            "resources": ["pods", "resourceclaims", "resourceclaims/status", "resourceclaims/binding"],
            "verbs": ["*"],
        }
    ]
    return cluster.plane.service_account("somebody", anything)


@pytest.fixture
def only_gpus(cluster: Cluster) -> Iterator[None]:
    """Only the class gpu is managed, while the test runs."""

    def manage(text: str, says: str) -> None:
        cluster.api.patch(MANAGED, {"data": {"deviceClasses": text}})
        wait_for(
            lambda: says in said(cluster.api, nics) and bool(says) == bool(said(cluster.api, nics)), 20, "the list"
        )

    nics = claim("other", "probe", "nic")
    manage("  gpu\n\n", "")
    yield
    manage("", "device class nic")


def gates(api: Api, thing: Json) -> list[str]:
    """The gates that a pod would have."""
    return [gate["name"] for gate in api.create(thing, dry_run=True)["spec"].get("schedulingGates", [])]


def test_pods_with_claims_get_the_gate_where_the_namespace_opted_in(api: Api) -> None:
    ours = "fairlead.dev/allocation"
    assert gates(api, pod("ml", "a", claim="c")) == [ours]
    assert gates(api, pod("ml", "a", template="t")) == [ours]
    assert gates(api, pod("ml", "a", claim="c", schedulingGates=[{"name": "example.com/quota"}])) == [
        "example.com/quota",
        ours,
    ]
    assert gates(api, pod("ml", "a", claim="c", schedulingGates=[])) == [ours]
    assert gates(api, pod("ml", "a", claim="c", schedulingGates=[GATE])) == [ours], "it is there already"
    assert gates(api, pod("ml", "a", claim="c", schedulerName="example")) == [ours], "whoever binds it"
    assert gates(api, pod("ml", "a")) == [], "it has no claims"
    assert gates(api, pod("ml", "a", claim="c", nodeName="node-1")) == [], "a pod with a node cannot have a gate"
    assert gates(api, pod("other", "a", claim="c")) == [], "the namespace did not opt in"


def test_mirror_pods_stay_as_they_are(api: Api) -> None:
    mirror = pod("ml", "a", claim="c", nodeName="node-1")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert "static pods do not support resource claims" in said(api, mirror)
    del mirror["spec"]["resourceClaims"], mirror["spec"]["containers"][0]["resources"]
    assert gates(api, mirror) == []


def test_claims_get_the_finalizer_where_the_namespace_opted_in(api: Api) -> None:
    def finalizers(thing: Json) -> list[str]:
        found: list[str] = api.create(thing, dry_run=True)["metadata"].get("finalizers", [])
        return found

    one = claim("ml", "c", "gpu")
    assert finalizers(one) == [FINALIZER]
    one["metadata"]["finalizers"] = ["example.com/mine"]
    assert finalizers(one) == ["example.com/mine", FINALIZER]
    one["metadata"]["finalizers"] = [FINALIZER]
    assert finalizers(one) == [FINALIZER]


def test_claims_from_templates_get_the_finalizer_and_go_with_their_pods(api: Api) -> None:
    api.create(template("ml", "kept", "gpu"))
    api.create(pod("ml", "kept", template="kept"))

    def made() -> list[Json]:
        claims = api.items(f"{GROUP}/namespaces/ml/resourceclaims")
        return [one for one in claims if one["metadata"]["name"].startswith("kept-")]

    (one,) = wait_for(made, 20, "the claim of the pod")
    assert one["metadata"]["finalizers"] == [FINALIZER]
    api.delete("/api/v1/namespaces/ml/pods/kept", 0)
    wait_for(lambda: not made(), 20, "the claim, which never had devices, to go")


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        pytest.param(["gpu"], ELSEWHERE, id="exactly"),
        pytest.param(["nic", "gpu"], ELSEWHERE, id="second-request"),
        pytest.param(["nic|gpu"], ELSEWHERE, id="first-available"),
        pytest.param(["nic"], "", id="class-not-managed"),
        pytest.param([], "", id="no-requests"),
    ],
)
def test_claims_of_managed_classes_are_made_where_fairlead_serves(
    api: Api, only_gpus: None, classes: list[str], words: str
) -> None:
    for thing in (claim("other", "c", *classes), template("other", "t", *classes)):
        assert (words in said(api, thing)) if words else said(api, thing) == ""
    for thing in (claim("ml", "c", *classes), template("ml", "t", *classes)):
        assert said(api, thing) == ""


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
def test_older_versions_of_claims_are_no_way_around(api: Api, only_gpus: None, version: str) -> None:
    def older(of: str) -> Json:
        request = {"name": "r0", "deviceClassName": of} if version == "v1beta1" else {"name": "r0"}
        if version == "v1beta2":
            request["exactly"] = {"deviceClassName": of}  # type: ignore[assignment]
        spec = {"devices": {"requests": [request]}}
        return {**claim("other", "c"), "apiVersion": f"resource.k8s.io/{version}", "spec": spec}

    assert ELSEWHERE in said(api, older("gpu"))
    assert said(api, older("nic")) == ""


def test_the_largest_claim_and_a_long_list_are_within_the_cost_of_policies(api: Api, only_gpus: None) -> None:
    api.patch(MANAGED, {"data": {"deviceClasses": "\n".join(f"class-{number}.example.com" for number in range(500))}})
    largest = ["|".join(["nic"] * 8)] * 32
    wait_for(lambda: said(api, claim("other", "c", "gpu")) == "", 20, "the list to be read")
    assert said(api, claim("other", "c", *largest)) == ""
    largest[-1] = "|".join(["nic"] * 7 + ["class-499.example.com"])
    assert "device class class-499.example.com is given out by Fairlead" in said(api, claim("other", "c", *largest))


def test_without_a_list_all_classes_are_managed(api: Api) -> None:
    assert "device class nic is given out by Fairlead" in said(api, claim("other", "c", "nic"))
    assert said(api, claim("other", "c")) == ""


def test_admin_access_takes_no_device_and_is_left_to_kube_scheduler(cluster: Cluster) -> None:
    cluster.namespace("monitoring", {"resource.kubernetes.io/admin-access": "true"})
    one = claim("monitoring", "c", "gpu")
    one["spec"]["devices"]["requests"][0]["exactly"]["adminAccess"] = True
    cluster.api.create(one)
    cluster.api.create(pod("monitoring", "m", claim="c"))
    wait_for(lambda: bound(cluster.api, "monitoring") == ["m"], 20, "the monitoring pod to be bound")


def test_devices_are_given_by_the_controller_alone(cluster: Cluster, somebody: Api) -> None:
    cluster.api.create(claim("ml", "given", "gpu"))
    path = f"{GROUP}/namespaces/ml/resourceclaims/given/status"
    users = []
    for name in ("user-1", "user-2"):
        uid = cluster.api.create(pod("ml", name, claim="given"))["metadata"]["uid"]
        users.append({"resource": "pods", "name": name, "uid": uid})
    give = {"status": {"allocation": GIVEN, "reservedFor": users[:1]}}
    for who, name in ((somebody, "system:serviceaccount:default:somebody"), (cluster.api, "admin")):
        words = refused(who, path, give)
        assert "'fairlead-one-writer'" in words
        assert f"only Fairlead gives out devices of class gpu, and this is a write of {name}" in words
        older = path.replace("/v1/", "/v1beta1/")
        assert "only Fairlead gives out" in refused(who, older, give), "an older version is no way around"
        whole = f"{GROUP}/namespaces/ml/resourceclaims/given"
        assert refused(who, whole, give) == "", "a status that does not go to /status is ignored"
    assert allocated(cluster.api, "ml") == []
    assert refused(cluster.account(), path, give) == ""
    assert allocated(cluster.api, "ml") == ["given"]

    assert refused(somebody, path, {"status": {"reservedFor": users}}) == "", "kube-scheduler reserves"
    assert refused(somebody, path, {"status": {"reservedFor": None, "allocation": None}}) == "", "anybody takes back"
    assert "only Fairlead gives out" in refused(somebody, path, give), "not given again by others"


def test_a_gate_is_opened_by_the_controller_alone(cluster: Cluster, somebody: Api) -> None:
    words = "the gate fairlead.dev/allocation is opened by Fairlead when the pod has its devices"
    for name, who in (("a", cluster.account()), ("b", cluster.api)):
        path = f"/api/v1/namespaces/ml/pods/{name}"
        cluster.api.create(pod("ml", name, claim="nothing"))
        assert words in refused(somebody, path, OPEN, JSON_PATCH)
        assert refused(somebody, path, {"metadata": {"labels": {"x": "y"}}}) == "", "other changes are free"
        assert refused(who, path, OPEN, JSON_PATCH) == "", "the controller, and an emergency group"
        assert not cluster.api.get(path)["spec"].get("schedulingGates")
        cluster.api.delete(path, 0)


def test_kube_scheduler_cannot_give_devices_to_a_pod_without_gate(cluster: Cluster) -> None:
    api = cluster.api
    api.create(claim("ml", "escaped", "gpu"))
    api.create(pod("ml", "escaped", claim="escaped"))
    api.patch("/api/v1/namespaces/ml/pods/escaped", OPEN, JSON_PATCH)
    words = "only Fairlead gives out devices of class gpu, and this is a write of system:kube-scheduler"
    wait_for(lambda: words in told(api, "ml", "escaped"), 20, "kube-scheduler to be refused")
    assert allocated(api, "ml") == []
    assert "escaped" not in bound(api, "ml")
    api.delete("/api/v1/namespaces/ml/pods/escaped", 0)


def test_a_namespace_that_lost_its_label_gives_nothing_to_kube_scheduler(cluster: Cluster) -> None:
    api = cluster.api
    cluster.namespace("left", OPT_IN)
    for thing in (claim("left", "c", "gpu"), template("left", "t", "gpu"), pod("left", "before", claim="c")):
        api.create(thing)
    api.patch("/api/v1/namespaces/left", {"metadata": {"labels": {"fairlead.dev/allocation": None}}})
    wait_for(lambda: gates(api, pod("left", "x", claim="c")) == [], 20, "the namespace to have left")
    api.create(pod("left", "after", claim="c"))
    api.create(pod("left", "templated", template="t"))
    wait_for(lambda: "only Fairlead gives out" in told(api, "left", "after"), 20, "kube-scheduler to be refused")
    wait_for(lambda: "does not serve this namespace" in told(api, "left", "templated"), 20, "the claim to be refused")
    assert allocated(api, "left") == []
    still = api.get("/api/v1/namespaces/left/pods/before")["spec"]["schedulingGates"]
    assert still == [GATE], "the controller serves pods with the gate wherever they are"


@pytest.mark.parametrize("namespace", ["ml", "other"])
@pytest.mark.parametrize("name", ["example.com/gpu", "deviceclass.resource.kubernetes.io/gpu"])
def test_extended_resources_of_managed_classes_are_refused(cluster: Cluster, namespace: str, name: str) -> None:
    api = cluster.api
    one = pod(namespace, f"extended-{'class' if name.startswith('device') else 'named'}")
    one["spec"]["containers"][0]["resources"] = {"requests": {name: "1"}, "limits": {name: "1"}}
    api.create(one)
    key = one["metadata"]["name"]
    words = "device class gpu is given out by Fairlead, which does not serve extended resources"
    wait_for(lambda: words in told(api, namespace, key), 20, "kube-scheduler to be refused")
    claims = api.items(f"{GROUP}/namespaces/{namespace}/resourceclaims")
    assert not any(EXTENDED in one["metadata"].get("annotations", {}) for one in claims)
    api.delete(f"/api/v1/namespaces/{namespace}/pods/{key}", 0)


@pytest.mark.usefixtures("only_gpus")
def test_classes_that_are_not_managed_stay_kube_schedulers(cluster: Cluster) -> None:
    api = cluster.api
    api.create(template("other", "nic", "nic"))
    api.create(pod("other", "templated", template="nic"))
    extended = pod("other", "extended")
    extended["spec"]["containers"][0]["resources"] = {"limits": {"example.com/nic": "1"}}
    api.create(extended)
    wait_for(lambda: sorted(bound(api, "other")) == ["extended", "templated"], 30, "both to be bound")
    assert len(allocated(api, "other")) == 2


def test_the_list_of_classes_stays_when_the_manifests_are_applied_again(api: Api, cluster: Cluster) -> None:
    api.patch(MANAGED, {"data": {"deviceClasses": "gpu"}})
    cluster.kubectl("apply", "--server-side", "-f", str(MANIFESTS))
    assert api.get(MANAGED)["data"] == {"deviceClasses": "gpu"}
    api.patch(MANAGED, {"data": None})


def test_without_the_gates_policy_pods_are_refused_rather_than_let_through(cluster: Cluster) -> None:
    kubectl = cluster.kubectl
    kubectl("delete", "mutatingadmissionpolicybinding", "fairlead-gate")
    words = "a pod with claims needs the scheduling gate fairlead.dev/allocation in this namespace"
    one = pod("ml", "a", claim="c")
    wait_for(lambda: words in said(cluster.api, one), 20, "pods without gate to be refused")
    assert said(cluster.api, {**one, "spec": {**one["spec"], "schedulingGates": [GATE]}}) == ""
    assert said(cluster.api, pod("ml", "a")) == ""
    cluster.install()


def test_without_the_list_of_classes_claims_are_refused_and_pods_are_not(cluster: Cluster) -> None:
    words = "no params found for policy binding with `Deny` parameterNotFoundAction"
    cluster.api.delete(MANAGED)
    wait_for(lambda: words in said(cluster.api, claim("ml", "c", "gpu")), 20, "the list to be gone")
    assert words in said(cluster.api, template("ml", "c", "gpu"))
    assert said(cluster.api, pod("ml", "a", claim="c")) == ""
    cluster.install()
