"""kube-scheduler allocates the devices that `fairlead plan` plans, first-fit, for the very same objects.

The pods of a case are made one after the other, each when the one before has a node or is known to fit nowhere. Then
nodes, slices, classes, templates and pods are read back as the API server stored them, and planned as if no pod had a
node. One node a case, chosen by the pods, so that only the devices are left to choose.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from scheduled import CASES, Case, spec

from builders import CLASSES, match, request
from fairlead.cli import main
from kube import Api, ControlPlane, add_cluster, fake_node
from kube.api import wait_for

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
NAMESPACE = "ml"
VERSION = "resource.k8s.io/v1"
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def scheduler(control_plane: ControlPlane) -> Api:
    """Access to a cluster with the device classes of `builders` and a namespace for pods."""
    control_plane.namespace(NAMESPACE)
    for each in CLASSES:
        control_plane.api.create({"apiVersion": VERSION, "kind": "DeviceClass", **each})
    return control_plane.api


def create_cluster(api: Api, case: Case) -> None:
    api.create(fake_node(case.name))
    for index, each in enumerate(case.slices):
        made = copy.deepcopy(each)
        made["metadata"]["name"] = f"{case.name}-{index}"
        made["spec"]["nodeName"] = made["spec"]["pool"]["name"] = case.name
        api.create({"apiVersion": VERSION, "kind": "ResourceSlice", **made})


def create_pod(api: Api, case: Case, number: int, claims: list[Json]) -> str:
    """One pod with its claim templates; returns its name."""
    name = f"{case.name}-{number}"
    names = [f"c{index}" for index in range(len(claims))]
    for claim, each in zip(names, claims, strict=True):
        metadata = {"name": f"{name}-{claim}", "namespace": NAMESPACE}
        template = {"apiVersion": VERSION, "kind": "ResourceClaimTemplate", "metadata": metadata}
        api.create({**template, "spec": {"spec": each}})
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": case.name},
        "containers": [{"name": "main", "image": "none", "resources": {"claims": [{"name": each} for each in names]}}],
        "resourceClaims": [{"name": each, "resourceClaimTemplateName": f"{name}-{each}"} for each in names],
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
    return name


def wait_decided(api: Api, name: str) -> Json:
    """The pod when it has a node, or when kube-scheduler found none for it after its claims were made."""

    def decided() -> Json | None:
        pod = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")
        if pod["spec"].get("nodeName"):
            return pod
        conditions = pod.get("status", {}).get("conditions") or []
        told = [each for each in conditions if each["type"] == "PodScheduled"]
        # Before the claims exist kube-scheduler says that it waits for them.
        return pod if told and "cannot allocate all claims" in told[0].get("message", "") else None

    return wait_for(decided, PATIENCE_SECONDS, f"kube-scheduler to decide on pod {name}")


def allocations(api: Api, pod: Json) -> dict[str, Json]:
    """The allocation of each of a pod's claims, by the name it has in the pod."""
    found = {}
    for entry in pod.get("status", {}).get("resourceClaimStatuses") or []:
        path = f"/apis/{VERSION}/namespaces/{NAMESPACE}/resourceclaims/{entry['resourceClaimName']}"
        allocation = api.get(path).get("status", {}).get("allocation")
        if allocation:
            found[entry["name"]] = allocation
    return found


def read_back(api: Api, case: Case, names: list[str]) -> list[Json]:
    """All that the plan needs, as stored, with pods that were never scheduled."""
    slices = [s for s in api.items(f"/apis/{VERSION}/resourceslices") if s["spec"].get("nodeName") == case.name]
    templates = api.items(f"/apis/{VERSION}/namespaces/{NAMESPACE}/resourceclaimtemplates")
    pods = []
    for name in names:
        pod = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")
        del pod["status"]
        pod["spec"].pop("nodeName", None)
        pods.append(pod)
    return [
        api.get(f"/api/v1/nodes/{case.name}"),
        *api.items(f"/apis/{VERSION}/deviceclasses"),
        *slices,
        *(each for each in templates if each["metadata"]["name"].startswith(f"{case.name}-")),
        *pods,
    ]


def planned(objects: list[Json], folder: Path) -> dict[str, dict[str, Json]]:
    """The allocations that `fairlead plan` gives each pod."""
    file = folder / "read-back.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    result = CliRunner().invoke(main, ["plan", "-f", str(file), "-o", "json"])
    assert result.exit_code in (0, 1), result.output
    return {
        record["pod"]: {
            claim["podClaim"]: claim["status"]["allocation"]
            for claim in record["claims"]
            if "allocation" in claim["status"]
        }
        for record in json.loads(result.stdout)
    }


def comparable(allocation: Json) -> Json:
    """An allocation without what is made anew each time: when it was made, and the identity of shares."""
    kept = copy.deepcopy(allocation)
    kept.pop("allocationTimestamp", None)
    for result in kept["devices"]["results"]:
        if "shareID" in result:
            result["shareID"] = "some"
    return kept


def assert_planned_so(api: Api, case: Case, real: dict[str, dict[str, Json]], folder: Path) -> None:
    """The plan gives each pod what it has, and as many pods have nothing as the case says."""
    ours = planned(read_back(api, case, list(real)), folder)
    assert {name: {claim: comparable(a) for claim, a in each.items()} for name, each in ours.items()} == {
        name: {claim: comparable(a) for claim, a in each.items()} for name, each in real.items()
    }
    assert [name for name, each in real.items() if not each] == list(real)[len(real) - case.unplaced :]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_same_devices(scheduler: Api, case: Case, tmp_path: Path) -> None:
    create_cluster(scheduler, case)
    real = {}
    for number, claims in enumerate(case.pods):
        name = create_pod(scheduler, case, number, claims)
        real[name] = allocations(scheduler, wait_decided(scheduler, name))
    assert_planned_so(scheduler, case, real, tmp_path)


def test_the_same_devices_of_simulated_hardware(scheduler: Api, tmp_path: Path) -> None:
    name = "hardware-01"
    add_cluster(scheduler, "h100:nodes=1,name=hardware")
    pair = spec(
        request("gpu", 2, device_class="gpu.nvidia.com"),
        request("nic", 1, device_class="dranet.net"),
        constraints=[match("resource.kubernetes.io/numaNode")],
    )
    case = Case(name, [], [[pair]] * 5, unplaced=1)
    real = {}
    for number, claims in enumerate(case.pods):
        pod = create_pod(scheduler, case, number, claims)
        real[pod] = allocations(scheduler, wait_decided(scheduler, pod))
    assert_planned_so(scheduler, case, real, tmp_path)
