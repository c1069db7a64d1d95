"""Claims for NX: allocated by the product's allocator, prepared and unprepared by the kit."""

from __future__ import annotations

import pytest

from fairlead.driver import PrepareError
from fairlead.drivers.power import PowerDriver
from tests.drivers.ibm import Node, applied, claim, device_class, pod, pods
from tests.drivers.power.machines import NODE, credit
from tests.drivers.power.machines import partition as make_partition
from tests.drivers.power.machines import powernv as make_powernv

CLASS = "nx.device.power.ibm.com"
QOS = device_class("nx-qos", CLASS, f"device.attributes['{CLASS}'].creditClass == 'qos'")


@pytest.fixture
def tree(tmp_path):
    return make_partition(tmp_path / "root", default=4, qos=2)


@pytest.fixture
def node(tree, tmp_path):
    return Node(PowerDriver(tree.machine), tmp_path)


def allotted(claims):
    return [
        (result.device, {name: str(amount) for name, amount in result.consumed_capacity.items()})
        for one in claims
        for result in one.status.allocation.devices.results
    ]


def ask(credits_: int, name: str = CLASS):
    return {"deviceClassName": name, "capacity": {"requests": {"credits": str(credits_)}}}


def test_claims_share_the_default_credits_before_the_others(node):
    placed = node.allocated(*pods("a", "b", **ask(2)), *pods("c", **ask(1)))
    assert [allotted(claims) for _, claims in placed] == [
        [("cryptonxgzip", {"credits": "2"})],
        [("cryptonxgzip", {"credits": "2"})],
        [("cryptonxgzip-qos", {"credits": "1"})],
    ]


def test_a_claim_for_more_credits_than_there_are_does_not_fit(node):
    ((_, claims),) = node.allocated(*pods("a", **ask(5)))
    assert claims == []


def test_a_class_of_its_own_gives_qos_credits_only(node):
    placed = node.allocated(QOS, *pods("a", "b", "c", **ask(1, "nx-qos")))
    assert [allotted(claims) for _, claims in placed] == [
        [("cryptonxgzip-qos", {"credits": "1"})],
        [("cryptonxgzip-qos", {"credits": "1"})],
        [],
    ]


def test_a_claim_gets_the_node_and_is_told_its_credits(node):
    both = claim(
        "both",
        {"name": "plain", "exactly": ask(3)},
        {"name": "sure", "exactly": ask(2, "nx-qos")},
    )
    ((_, (made,)),) = node.allocated(QOS, both, pod("p", "both"))
    answers = node.prepare(made)
    assert [(one.request, one.device, bool(one.share_id)) for one in answers] == [
        ("plain", "cryptonxgzip", True),
        ("sure", "cryptonxgzip-qos", True),
    ]
    for edits in node.edits(made):
        assert edits["deviceNodes"] == [{"path": NODE, "hostPath": NODE, "permissions": "rw", "fileMode": 0o666}]
        assert edits["env"] == ["NX_DEVICE_CLAIM=added", "NX_CREDITS_DEFAULT=3", "NX_CREDITS_QOS=2"]
    node.engine.unprepare(made.metadata.uid)
    node.engine.unprepare(made.metadata.uid)
    assert node.files() == []


def test_many_claims_hold_the_device_at_the_same_time(node):
    placed = node.allocated(*pods("a", "b", "c", deviceClassName=CLASS))
    for _, (made,) in placed:
        node.prepare(made)
    assert len(node.files()) == 3
    node.engine.unprepare(placed[1][1][0].metadata.uid)
    assert len(node.files()) == 2


def test_a_claim_for_one_chip_is_told_which(tmp_path):
    node = Node(PowerDriver(make_powernv(tmp_path / "root").machine), tmp_path)
    eight = {"name": "one", "exactly": {"deviceClassName": CLASS, "selectors": [{"cel": {"expression": ""}}]}}
    eight["exactly"]["selectors"][0]["cel"]["expression"] = f"device.attributes['{CLASS}'].chip == 8"
    all_ = {"name": "all", "exactly": {"deviceClassName": CLASS, "allocationMode": "All"}}
    placed = node.allocated(claim("eight", eight), pod("a", "eight"), claim("all", all_), pod("b", "all"))
    (_, (eight_made,)), (_, (all_made,)) = placed
    node.prepare(eight_made)
    node.prepare(all_made)
    assert "NX_GZIP_DEV_NUM=1" in node.edits(eight_made)[0]["env"]
    assert len(node.edits(all_made)) == 2
    assert not any("NX_GZIP_DEV_NUM" in one for edits in node.edits(all_made) for one in edits["env"])


def test_without_the_device_node_nothing_is_prepared(node, tree):
    ((_, (made,)),) = node.allocated(*pods("a", deviceClassName=CLASS))
    tree.remove(NODE)
    with pytest.raises(PrepareError, match="/dev/crypto/nx-gzip is not there any more"):
        node.prepare(made)
    assert node.files() == []
    tree.file(NODE)
    node.prepare(made)


def configured(**sharing):
    parameters = {"apiVersion": "device.power.ibm.com/v1alpha1", "kind": "NxConfig"} | sharing
    request = {"name": "one", "exactly": {"deviceClassName": CLASS}}
    return claim("a", request, config=[{"opaque": {"driver": CLASS, "parameters": parameters}}]), pod("a", "a")


@pytest.mark.parametrize(
    "sharing",
    [
        {},
        {"sharing": {"strategy": "TimeSlicing"}},
        {"sharing": {"strategy": "TimeSlicing", "timeSlicingConfig": {"interval": "Default"}}},
    ],
)
def test_a_configuration_that_says_what_nx_does_is_taken(node, sharing):
    ((_, (made,)),) = node.allocated(*configured(**sharing))
    assert node.prepare(made)


@pytest.mark.parametrize(
    ("sharing", "reason"),
    [
        ({"strategy": "SpacePartitioning"}, "NX cannot be partitioned"),
        ({"strategy": "TimeSlicing", "timeSlicingConfig": {"interval": "Long"}}, "NX has no time slices to set"),
        ({"strategy": "MPS"}, "Invalid enum value 'MPS'"),
        ({"strategy": "TimeSlicing", "quantum": 3}, "unknown field `quantum`"),
    ],
)
def test_a_configuration_that_cannot_be_had_is_refused_with_the_reason(node, sharing, reason):
    ((_, (made,)),) = node.allocated(*configured(sharing=sharing))
    with pytest.raises(PrepareError, match=reason):
        node.prepare(made)
    assert node.files() == []


def test_lost_credits_are_a_matter_of_health(node, tree):
    assert list(node.driver.health()) == []
    credit(tree, "default", 4, 4)
    assert list(node.driver.health()) == []
    credit(tree, "default", 2, 4)
    (report,) = node.driver.health()
    assert (report.device, report.healthy) == ("cryptonxgzip", False)
    assert report.message == "2 open windows lost their credits: 2 are left"


def test_health_of_a_machine_without_credits_is_not_told(tmp_path):
    assert list(PowerDriver(make_powernv(tmp_path).machine).health()) == []
    assert list(PowerDriver(make_partition(tmp_path / "none", default=-1).machine).health()) == []


@pytest.mark.parametrize(
    ("files", "pods_"),
    [
        (["structured-parameters-one-pod_*"], 1),
        (["two-pods-two-distinct-nx-gzip_*"], 2),
    ],
)
def test_ibms_own_claims_work_as_they_are(node, shared, files, pods_):
    paths = [path for name in files for path in sorted((shared / "manifests/power-nx").glob(name))]
    # Where a file names no namespace, IBM's kustomization does.
    placed = node.allocated(*(one for path in paths for one in applied(path, "ex-dra-driver")))
    assert len(placed) == pods_
    for _, (made,) in placed:
        assert node.prepare(made)
    assert len(node.files()) == pods_
    for _, (made,) in placed:
        node.engine.unprepare(made.metadata.uid)
    assert node.files() == []


def test_ibms_demonstration_is_refused_where_the_api_server_refuses_it(node, shared):
    with pytest.raises(AssertionError, match=r"nx-test.yaml: .*requests\[0\]"):
        node.allocated(shared / "manifests/power-nx/demo_nx-test.yaml")
