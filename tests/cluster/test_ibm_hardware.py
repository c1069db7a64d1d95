"""IBM's own claims on a real control plane: kube-scheduler allocates them from our slices, and the kit prepares them.

The API server must take the slices as they are, and kube-scheduler must read counters and shares as they are meant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from drivers.ibm import NODE, Node, claim, device_class, pod, pods, slices
from drivers.power.machines import partition
from drivers.spyre.machines import cards, with_virtual
from fairlead.driver import Driver
from fairlead.drivers.power import PowerDriver
from fairlead.drivers.spyre import SpyreDriver
from fairlead.drivers.spyre.folders import ClaimFolders
from fairlead.resource import ResourceClaim, decode_hook, to_builtins
from kube import Api, ControlPlane, fake_node
from kube import device_class as class_of
from kube.api import wait_for

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
NX, SPYRE = "nx.device.power.ibm.com", "spyre.ibm.com"


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> Api:
    """With a node, and the classes of IBM's charts."""
    api = control_plane.api
    api.create(fake_node(NODE))
    for name in (NX, SPYRE):
        api.create(class_of(name, f"device.driver == '{name}'"))
    return api


@pytest.fixture
def publish(server: Api, tmp_path: Path) -> Any:
    """A driver's slices are published for the time of a test; gives its node."""

    def published(driver: Driver) -> Node:
        made = slices(driver)
        for one in made:
            server.create(to_builtins(one))
        stored = {one["metadata"]["name"]: one["spec"] for one in server.items(SLICES)}
        assert stored == {one.name: to_builtins(one)["spec"] for one in made}
        return Node(driver, tmp_path)

    yield published
    server.clear(SLICES)


def scheduled(server: Api, *things: Json, bound: int, waiting: int = 0) -> dict[str, list[str]]:
    """What the pods of these objects get, by claim, once so many are bound and so many wait."""
    server.create_all(things, workers=1)

    def done() -> list[Json] | None:
        found = server.items("/api/v1/pods")
        have = [one for one in found if one["spec"].get("nodeName")]
        refused = [
            one
            for one in found
            for condition in one.get("status", {}).get("conditions", ())
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ]
        return found if (len(have), len(refused)) == (bound, waiting) else None

    wait_for(done, 60, f"{bound} pods to be bound and {waiting} to wait")
    return {
        f"{one['metadata']['namespace']}/{one['metadata']['name']}": [
            result["device"] for result in one["status"]["allocation"]["devices"]["results"]
        ]
        for one in server.items(CLAIMS)
        if "allocation" in one.get("status", {})
    }


def prepared(server: Api, node: Node) -> int:
    """Prepares all claims as the API server has them; how many."""
    found = [
        msgspec.convert(one, ResourceClaim, dec_hook=decode_hook)
        for one in server.items(CLAIMS)
        if "allocation" in one.get("status", {})
    ]
    for one in found:
        node.prepare(one)
    return len(found)


@pytest.fixture(autouse=True)
def nothing_left(server: Api) -> Any:
    yield
    for one in server.items("/api/v1/pods"):
        server.clear(f"/api/v1/namespaces/{one['metadata']['namespace']}/pods")
    server.clear("/apis/resource.k8s.io/v1/namespaces/default/resourceclaims")

    def gone() -> bool:
        return not server.items("/api/v1/pods") and not server.items(CLAIMS)

    wait_for(gone, 60, "pods and claims to go", pause=0.2)


def test_shares_of_nx_credits(server: Api, publish: Any, tmp_path: Path) -> None:
    node = publish(PowerDriver(partition(tmp_path / "root", default=4, qos=2).machine))
    server.create(device_class("nx-qos", NX, f"device.attributes['{NX}'].creditClass == 'qos'"))
    two = {"deviceClassName": NX, "capacity": {"requests": {"credits": "2"}}}
    sure = {"deviceClassName": "nx-qos", "capacity": {"requests": {"credits": "2"}}}
    found = scheduled(server, *pods("a", "b", **two), *pods("sure", **sure), *pods("more", **sure), bound=3, waiting=1)
    assert found["default/a"] == found["default/b"] == ["cryptonxgzip"]
    assert len(found) == 3
    assert prepared(server, node) == 3


def test_ibms_claims_for_all_of_nx(server: Api, publish: Any, tmp_path: Path) -> None:
    node = publish(PowerDriver(partition(tmp_path / "root").machine))
    every = {"deviceClassName": NX, "allocationMode": "All"}
    found = scheduled(server, *pods("a", "b", **every), *pods("c", deviceClassName=NX), bound=3)
    assert found == {
        "default/a": ["cryptonxgzip", "cryptonxgzip-qos"],
        "default/b": ["cryptonxgzip", "cryptonxgzip-qos"],
        "default/c": ["cryptonxgzip"],
    }
    assert prepared(server, node) == 3


def spyre(tree: Any, tmp_path: Path) -> SpyreDriver:
    return SpyreDriver(tree.machine, NODE, templates=tmp_path / "t", folders=ClaimFolders(tmp_path / "state"))


def test_cards_and_their_virtual_functions(server: Api, publish: Any, tmp_path: Path) -> None:
    node = publish(spyre(with_virtual(tmp_path / "root"), tmp_path))

    def of(count: int, product: str) -> Json:
        expression = (
            f"device.attributes['{SPYRE}'].productId == '{product}' && "
            f"device.attributes['{SPYRE}'].peerGroup0 == '0000:1a:00.0'"
        )
        return {"deviceClassName": SPYRE, "count": count, "selectors": [{"cel": {"expression": expression}}]}

    found = scheduled(
        server,
        *pods("cards", **of(3, "06a7")),
        *pods("virtual", **of(8, "06a8")),
        *pods("no", **of(1, "06a8")),
        bound=2,
        waiting=1,
    )
    assert found["default/cards"] == ["0000-1a-00-0", "0000-1c-00-0", "0000-1d-00-0"]
    assert {name[:7] for name in found["default/virtual"]} == {"0000-1e"}
    assert prepared(server, node) == 2


def test_the_next_tier_is_taken_where_the_first_is_gone(server: Api, publish: Any, tmp_path: Path) -> None:
    node = publish(spyre(cards(tmp_path / "root"), tmp_path))
    constraints = [{"requests": [f"c/tier{n}"], "matchAttribute": f"{SPYRE}/peerGroup{n}"} for n in (0, 1)]

    def tiers(name: str, count: int) -> list[Json]:
        alternatives = [{"name": f"tier{n}", "deviceClassName": SPYRE, "count": count} for n in (0, 1)]
        wanted = claim(name, {"name": "c", "firstAvailable": alternatives}, constraints=constraints)
        return [wanted, pod(name, name)]

    scheduled(server, *tiers("a", 3), bound=1)
    scheduled(server, *tiers("b", 3), bound=2)
    found = scheduled(server, *tiers("d", 2), bound=3)
    assert found["default/d"] == ["0000-1e-00-0", "0000-41-00-0"]
    assert prepared(server, node) == 3


@pytest.mark.parametrize(("number", "bound", "waiting"), [(1, 2, 0), (2, 1, 1), (3, 2, 1)])
def test_ibms_claims_for_spyre(
    server: Api, publish: Any, tmp_path: Path, shared: Path, number: int, bound: int, waiting: int
) -> None:
    node = publish(spyre(cards(tmp_path / "root"), tmp_path))
    objects = list(yaml.safe_load_all((shared / f"manifests/spyre/kind_spyre-test{number}.yaml").read_text()))
    found = scheduled(server, *filter(None, objects), bound=bound, waiting=waiting)
    assert len(found) == bound
    assert prepared(server, node) == bound
