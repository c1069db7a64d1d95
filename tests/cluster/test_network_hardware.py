"""Claims for network hardware on a real control plane: the API server takes the slices, kube-scheduler allocates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from drivers.ibm import NODE, pods, slices
from fairlead.resource import ResourceClaim, decode_hook, to_builtins
from kube import Api, ControlPlane, fake_node
from kube import device_class as class_of
from kube.api import wait_for
from tests.drivers.network.machines import Rebinding, connectx7, e810
from tests.drivers.network.node import SRIOV, Node

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CREATED = ("DeviceClass", "Namespace", "Pod", "ResourceClaim", "ResourceClaimTemplate")


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> Api:
    """With a node, and the classes of both drivers."""
    api = control_plane.api
    api.create(fake_node(NODE))
    for name in ("dra.net", SRIOV):
        api.create(class_of(name, f"device.driver == '{name}'"))
    return api


@pytest.fixture(autouse=True)
def nothing_left(server: Api) -> Any:
    yield
    for one in server.items("/api/v1/pods"):
        server.clear(f"/api/v1/namespaces/{one['metadata']['namespace']}/pods")
    for one in server.items(CLAIMS):
        server.clear(f"/apis/resource.k8s.io/v1/namespaces/{one['metadata']['namespace']}/resourceclaims")
    server.clear(SLICES)

    def gone() -> bool:
        return not server.items("/api/v1/pods") and not server.items(CLAIMS)

    wait_for(gone, 60, "pods and claims to go", pause=0.2)


def publish(server: Api, driver: Any) -> None:
    """Puts a driver's slices there; the server must keep all of them."""
    made = slices(driver)
    for one in made:
        server.create(to_builtins(one))
    stored = {one["metadata"]["name"]: one["spec"] for one in server.items(SLICES)}
    assert stored == {one.name: to_builtins(one)["spec"] for one in made}


def scheduled(server: Api, *things: Json, bound: int, waiting: int = 0) -> list[ResourceClaim]:
    """The allocated claims, once so many pods are bound and so many wait."""
    server.create_all(things, workers=1)

    def done() -> bool:
        found = server.items("/api/v1/pods")
        have = [one for one in found if one["spec"].get("nodeName")]
        refused = [
            one
            for one in found
            for condition in one.get("status", {}).get("conditions", ())
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ]
        return (len(have), len(refused)) == (bound, waiting)

    wait_for(done, 60, f"{bound} pods to be bound and {waiting} to wait")
    return [
        msgspec.convert(one, ResourceClaim, dec_hook=decode_hook)
        for one in server.items(CLAIMS)
        if "allocation" in one.get("status", {})
    ]


def prepared(made: Any, driver: Any, folder: Path, claims: list[ResourceClaim]) -> dict[str, Any]:
    """Prepares and unprepares the claims; what the runtime would have done."""
    engine = (node := Node(folder, NODE)).engine(driver)
    edits: dict[str, Any] = {}
    with Rebinding(made):
        for one in claims:
            engine.prepare(one, one.metadata.uid)
            edits |= {f"{one.name}/{name}": edit for name, edit in node.edits(driver, one.metadata.uid).items()}
        for one in claims:
            engine.unprepare(one.metadata.uid)
    return edits


def test_a_pool_of_functions_is_shared_out_by_bandwidth(server: Api, tmp_path: Path) -> None:
    made = connectx7(tmp_path)
    driver = made.driver("vfpool=ens1f0np0,only=ens1f0np0")
    publish(server, driver)
    share = {"deviceClassName": "dra.net", "capacity": {"requests": {"bandwidth": "150G"}}}
    claims = scheduled(server, *pods("a", "b", "c", **share), bound=2, waiting=1)
    assert len(prepared(made, driver, tmp_path, claims)) == 2
    assert sorted(one[2].max_rate for one in made.netlink.done) == [0, 0, 150000, 150000]


def test_a_port_and_its_functions_exclude_each_other(server: Api, tmp_path: Path) -> None:
    driver = connectx7(tmp_path).driver("only=ens1f0np0+ens1f0np0/vf")
    publish(server, driver)

    def of(function: str) -> Json:
        expression = f"device.attributes['dra.net'].isSriovVf == {function}"
        return {"deviceClassName": "dra.net", "selectors": [{"cel": {"expression": expression}}]}

    scheduled(server, *pods("function", **of("true")), bound=1)
    scheduled(server, *pods("port", **of("false")), bound=1, waiting=1)


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("single-vf-claim_single-vf", 1),
        ("resourceclaim_resourceclaim-vf", 1),
        ("multiple-vf-claim_multiple-vf-one-claim", 2),
        ("vfio-driver_vfio-driver-config", 1),
    ],
)
def test_claims_of_the_sriov_driver(server: Api, shared: Path, tmp_path: Path, name: str, devices: int) -> None:
    file = shared / f"manifests/sriov/{name}.yaml"
    made = e810(tmp_path)
    driver = made.driver(f"profile=sriov,objects={file}")
    publish(server, driver)
    given = [one for one in yaml.safe_load_all(file.read_text()) if one and one["kind"] in CREATED]
    claims = scheduled(server, *given, bound=1)
    assert len(prepared(made, driver, tmp_path, claims)) == devices
