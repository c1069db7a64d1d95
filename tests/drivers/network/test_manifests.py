"""Claims that were written for DRANET and for the SR-IOV driver, unchanged: allocated by our allocator, prepared by us.

The manifests are not ours: nothing here runs where they are not (FAIRLEAD_SHARED, or `shared` beside the repository).
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
import yaml

from fairlead.cli.cases import Case, run_case
from fairlead.driver.inventory import make_inventory
from fairlead.driver.slices import Publication, plan
from fairlead.resource import (
    DeviceClass,
    ResourceClaim,
    ResourceSlice,
    decode_hook,
    default_claim,
    encode_hook,
)
from fairlead.resource import (
    Node as NodeObject,
)
from tests.builders import device, slice_
from tests.drivers.network.machines import Rebinding, connectx7, e810, efa, of_slice
from tests.drivers.network.node import SRIOV, Node

MANIFESTS = Path(os.environ.get("FAIRLEAD_SHARED") or Path(__file__).resolve().parents[4] / "shared") / "manifests"
pytestmark = pytest.mark.skipif(not MANIFESTS.is_dir(), reason="no shared material here (FAIRLEAD_SHARED)")
ROOT = "resource.kubernetes.io/pcieRoot"


def documents(name):
    return [one for one in yaml.safe_load_all((MANIFESTS / name).read_text()) if one]


def convert(raw, kind):
    return msgspec.convert(raw, kind, dec_hook=decode_hook)


def slices(driver, node):
    pools = make_inventory(driver.discover(), node).pools
    return [one.item for one in plan(Publication(driver.name, node, "", False), pools, [], {})]


def classes_of(given, *names):
    found = [convert(one, DeviceClass) for one in given if one["kind"] == "DeviceClass"]
    for name in names:
        selector = {"cel": {"expression": f"device.driver == '{name}'"}}
        found.append(convert({"metadata": {"name": name}, "spec": {"selectors": [selector]}}, DeviceClass))
    return found


def gpus(driver, node, roots):
    members = [device(f"gpu-{number}", {ROOT: root}) for number, root in enumerate(roots)]
    return convert(slice_(members, driver=driver, pool=node, nodeName=node), ResourceSlice)


def claims_of(given):
    """A claim for each claim and each template."""
    found = []
    for one in given:
        if one["kind"] in ("ResourceClaim", "ResourceClaimTemplate"):
            spec = one["spec"] if one["kind"] == "ResourceClaim" else one["spec"]["spec"]
            metadata = {"name": one["metadata"]["name"], "namespace": one["metadata"].get("namespace", "default")}
            found.append({"metadata": metadata | {"uid": f"uid-{len(found)}"}, "spec": spec})
    return found


def allocated(published, classes, claims, node):
    """The claims with their allocations."""
    case = Case(
        slices=published,
        classes=classes,
        claims=[default_claim(convert(one, ResourceClaim)) for one in claims],
        node=convert({"metadata": {"name": node}}, NodeObject),
    )
    outcome = run_case(case)
    assert outcome.allocations is not None, (outcome.error, outcome.reasons)
    both = zip(claims, outcome.allocations, strict=True)
    return [convert(claim | {"status": {"allocation": one}}, ResourceClaim) for claim, one in both]


def prepare_and_undo(made, driver, tmp_path, claims):
    """Prepares all claims, gives what the runtime would do, and leaves the machine as it was."""
    before = dict(made.netlink.known)
    pools = {one.pool for claim in claims for one in claim.status.allocation.devices.results}
    node = Node(tmp_path, pools.pop())
    engine = node.engine(driver)
    edits = {}
    with Rebinding(made):
        for claim in claims:
            engine.prepare(claim, claim.metadata.uid)
            edits |= node.edits(driver, claim.metadata.uid)
        for claim in claims:
            engine.unprepare(claim.metadata.uid)
    assert made.netlink.known == before
    return edits


SINGLE = [
    "claim-for-deployment_deployment-vf.yaml",
    "single-vf-claim_single-vf.yaml",
    "resourceclaim_resourceclaim-vf.yaml",
    "multiple-vf-claim_multiple-vf-one-claim.yaml",
    "resource-alignment_resource-alignment.yaml",
    "resource-policies_resource-policy.yaml",
    "multus-integration-single-vf_multus-integration-single-vf.yaml",
    "multus-integration-multiple-vf_multus-integration-multiple-vf.yaml",
    "multus-integration-multiple-resourceclaim_multus-integration-multiple-resourceclaim.yaml",
    "vfio-driver_vfio-driver-config.yaml",
]


@pytest.mark.parametrize("name", SINGLE)
def test_claims_of_the_sriov_driver(tmp_path, name):
    made = e810(tmp_path)
    given = documents(f"sriov/{name}")
    node = "dra-ctlplane-0.dra.lab" if "policy" in name else "node-1"
    driver = made.driver(f"profile=sriov,objects={MANIFESTS}/sriov/{name}", node=node)
    published = [*slices(driver, node), gpus("gpu.example.com", node, ["pci0000:00"])]
    classes = classes_of(given, SRIOV, "gpu.example.com")
    claims = allocated(published, classes, claims_of(given), node)
    edits = prepare_and_undo(made, driver, tmp_path, claims)
    ours = [one for claim in claims for one in claim.status.allocation.devices.results if one.driver == SRIOV]
    assert len(edits) == len(ours) > 0
    assert all(any(text.startswith("SRIOVNETWORK_VF_DEVICE_") for text in one["env"]) for one in edits.values())
    if "multus" not in name and "vfio" not in name:
        assert all("hooks" in one for one in edits.values())
        function = made.netlink.done[0][2]
        assert (function.trust, function.spoof_check) == (True, True), "as the network says"
    if "vfio" in name:
        assert {node["path"] for one in edits.values() for node in one["deviceNodes"]} >= {"/dev/vfio/vfio"}


def test_extended_resources_of_the_sriov_driver(tmp_path):
    made = e810(tmp_path)
    name = "sriov/extended-resource_deviceclass.yaml"
    given = documents(name)
    driver = made.driver(f"profile=sriov,objects={MANIFESTS / name}")
    # The claim that the scheduler makes for the pod: a request for each resource.
    requests = [
        {"name": f"r{number}", "exactly": {"deviceClassName": f"sriov-port{number}", "count": 2}} for number in (1, 2)
    ]
    metadata = {"name": "extended", "namespace": "default", "uid": "u"}
    claim = {"metadata": metadata, "spec": {"devices": {"requests": requests}}}
    claims = allocated(slices(driver, "node-1"), classes_of(given), [claim], "node-1")
    devices = [one.device for one in claims[0].status.allocation.devices.results]
    assert [one.rpartition("-")[0] for one in devices] == ["0000-08-00"] * 2 + ["0000-08-02"] * 2
    edits = prepare_and_undo(made, driver, tmp_path, claims)
    assert len(edits) == 4


@pytest.mark.parametrize(("template", "same"), [("gpu-efa-unaligned", False), ("gpu-efa-aligned", True)])
def test_claims_for_efa(tmp_path, template, same):
    made = efa(tmp_path)
    driver = made.driver()
    given = [
        one for one in documents("eks-gpu-efa/resource-claim-template.yaml") if one["metadata"]["name"] == template
    ]
    published = [*slices(driver, "node-1"), gpus("gpu.nvidia.com", "node-1", ["pci0000:62"])]
    classes = classes_of(documents("eks-gpu-efa/device-class.yaml"), "gpu.nvidia.com")
    claims = allocated(published, classes, claims_of(given), "node-1")
    [chosen] = [one.device for one in claims[0].status.allocation.devices.results if one.driver == "dra.net"]
    assert chosen == ("pci-0000-71-00-0" if same else "pci-0000-4f-00-0")
    edits = prepare_and_undo(made, driver, tmp_path, claims)
    assert edits[chosen]["deviceNodes"][0]["path"].startswith("/dev/infiniband/uverbs")


def recorded(name):
    return [
        one
        for document in documents(name)
        for item in document.get("items", [document])
        for one in item["spec"]["devices"]
    ]


def test_what_was_recorded_on_eks_is_published_again_value_by_value(tmp_path):
    devices = recorded("eks-gpu-efa/resourceslice-dranet.yaml")
    made = of_slice(tmp_path, devices)
    [item] = slices(made.driver(), "node-1")
    ours = {one.name: msgspec.to_builtins(one.attributes, enc_hook=encode_hook) for one in item.spec.devices}
    assert ours.keys() == {one["name"] for one in devices}
    for one in devices:
        for name, value in one["attributes"].items():
            assert ours[one["name"]].get(name) == value, (one["name"], name)


def test_what_was_recorded_on_oracle_is_published_again_without_what_its_cloud_tells(tmp_path):
    devices = recorded("oci-gb200/resourceslice-dranet.yaml")
    made = of_slice(tmp_path, devices)
    [item] = slices(made.driver(), "node-1")
    ours = {one.name: msgspec.to_builtins(one.attributes, enc_hook=encode_hook) for one in item.spec.devices}
    assert ours.keys() == {one["name"] for one in devices}
    for one in devices:
        for name, value in one["attributes"].items():
            if not name.startswith("oke.dra.net/"):
                assert ours[one["name"]].get(name) == value, (one["name"], name)


@pytest.mark.parametrize("template", ["1nic-aligned", "1nic-unaligned", "2nic-aligned", "4nic-aligned", "4gpu-8nic"])
def test_claims_for_the_nics_of_a_gb200(tmp_path, template):
    made = of_slice(tmp_path, recorded("oci-gb200/resourceslice-dranet.yaml"))
    driver = made.driver()
    given = [one for one in documents("oci-gb200/resource-claim-template.yaml") if one["metadata"]["name"] == template]
    gpu = next(
        convert(one, ResourceSlice)
        for document in documents("oci-gb200/resourceslice-gpu.yaml")
        for one in document.get("items", [document])
    )
    node = gpu.spec.node_name
    classes = classes_of(documents("oci-gb200/deviceclass.yaml"), "gpu.nvidia.com")
    claims = allocated([*slices(driver, node), gpu], classes, claims_of(given), node)
    edits = prepare_and_undo(made, driver, tmp_path, claims)
    count = {"1": 1, "2": 2, "4": 4}[template[0]] if template != "4gpu-8nic" else 8
    assert len(edits) == count
    assert all("hooks" in one for one in edits.values())


def test_shares_of_bandwidth_are_allocated_until_a_port_is_full(tmp_path):
    made = connectx7(tmp_path)
    driver = made.driver("vfpool=ens1f0np0")
    amounts = ["200G", "150G", "50G"]
    claims = [
        {
            "metadata": {"name": f"share-{number}", "namespace": "ml", "uid": f"u{number}"},
            "spec": {
                "devices": {
                    "requests": [
                        {
                            "name": "nic",
                            "exactly": {
                                "deviceClassName": "dra.net",
                                "selectors": [{"cel": {"expression": "device.allowMultipleAllocations == true"}}],
                                "capacity": {"requests": {"bandwidth": amount}},
                            },
                        }
                    ]
                }
            },
        }
        for number, amount in enumerate(amounts)
    ]
    done = allocated(slices(driver, "node-1"), classes_of([], "dra.net"), claims, "node-1")
    prepare_and_undo(made, driver, tmp_path, done)
    limits = [one[2].max_rate for one in made.netlink.done][:3]
    assert limits == [200000, 150000, 50000]
    claims.append(msgspec.json.decode(msgspec.json.encode(claims[-1])))
    with pytest.raises(AssertionError):
        allocated(slices(driver, "node-1"), classes_of([], "dra.net"), claims, "node-1")
