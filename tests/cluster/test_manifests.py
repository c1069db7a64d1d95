"""Manifests that vendors ship for their drivers, applied with kubectl as they are, on nodes that have such devices.

Their namespaces opt in, so Fairlead allocates what is asked for by claims, and kube-scheduler what is asked for as an
extended resource. Every pod has to be bound. Nothing here without the shared material (FAIRLEAD_SHARED).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from installed import GROUP, OPT_IN, Cluster

from kube import ControlPlane, add_cluster, device_class, fake_node, fake_slice
from kube.api import wait_for

pytestmark = pytest.mark.cluster

Json = dict[str, Any]

EXAMPLE = (
    "admin-access_admin-access",
    "basic-multiple-requests_basic-multiple-requests",
    "basic-resourceclaim-opaque-config_basic-resourceclaim-opaque-config",
    "basic-resourceclaimtemplate_basic-resourceclaimtemplate",
    "basic-shared-claim-across-containers_basic-shared-claim-across-containers",
    "basic-shared-claim-across-pods_basic-shared-claim-across-pods",
    "binding-conditions_binding-conditions",
    "cel-selector_cel-selector",
    "extended-resource-request_extended-resource-request",
    "gpu-allow-multiple-allocations-partitionable_gpu-allow-multiple-allocations-partitionable",
    "gpu-allow-multiple-allocations_gpu-allow-multiple-allocations",
    "initcontainer-shared-gpu_initcontainer-shared-gpu",
    "native-resource-request_native-resource-request",
    "net-consumable-capacity_net-consumable-capacity",
    "partitionable-devices_partitionable-devices",
    "podgroup-resourceclaimtemplate_podgroup-resourceclaimtemplate",
    "prioritized-alternatives_prioritized-alternatives",
)
NVIDIA = (
    "consumable-shares_integer-sharing",
    "consumable-shares_memory-sharing",
    "consumable-shares_unlimited-sharing",
    "extended-resources_gpu-full",
    "quickstart_gpu-test7",
    "quickstart_gpu-test8",
    "quickstart_v1_gpu-test-mps",
    "quickstart_v1_gpu-test1",
    "quickstart_v1_gpu-test2",
    "quickstart_v1_gpu-test3",
    "quickstart_v1_gpu-test4",
    "quickstart_v1_gpu-test5",
    "quickstart_v1_gpu-test6",
    "quickstart_v1_gpu-test-vfiopci",
    "quickstart_v1_imex-test1",
    "quickstart_v1beta1_gpu-test3",
    "quickstart_v1beta1_gpu-test4",
)
GROUPS = "scheduling.k8s.io/v1alpha2"
"""The version of PodGroup that a manifest was written for."""


def texts(**values: str) -> Json:
    """Attributes that are strings."""
    return {name: {"string": value} for name, value in values.items()}


def capacity(**values: str) -> Json:
    """Amounts of a device."""
    return {name: {"value": value} for name, value in values.items()}


def example_hardware() -> Iterator[Json]:
    """Two nodes with whole GPUs, one whose GPUs are shared, and NICs and CPUs that are shared."""
    model = texts(model="LATEST-GPU-MODEL")
    for node in ("example-0", "example-1", "example-2"):
        yield fake_node(node)
        shared = {"allowMultipleAllocations": True} if node == "example-2" else {}
        amounts = capacity(memory="80Gi", compute="100")
        devices = [{"name": f"gpu-{number}", "attributes": model, "capacity": amounts, **shared} for number in range(8)]
        yield fake_slice(node, "gpu.example.com", devices, "gpu", pool=f"{node}-gpu")
    bandwidth = capacity(ingressBandwidth="10G", egressBandwidth="10G")
    nics = [{"name": f"nic-{number}", "capacity": bandwidth, "allowMultipleAllocations": True} for number in range(2)]
    yield fake_slice("example-0", "net.example.com", nics, "net")
    cpus = [
        {"name": f"socket-{number}", "capacity": capacity(cpu="16"), "allowMultipleAllocations": True}
        for number in range(2)
    ]
    yield fake_slice("example-1", "cpu.example.com", cpus, "cpu")
    for kind in ("gpu", "net", "cpu"):
        named = {"extendedResourceName": "example.com/gpu"} if kind == "gpu" else {}
        yield device_class(f"{kind}.example.com", f"device.driver == '{kind}.example.com'", **named)


def nvidia_hardware() -> Iterator[Json]:
    """Four nodes with A100s, one of them cut up, one for virtual machines, and channels between them."""
    for number in range(4):
        node = f"a100-{number}"
        yield fake_node(node)
        shared = {"allowMultipleAllocations": True} if number == 3 else {}
        devices = [
            {
                "name": f"gpu-{index}",
                "attributes": {
                    **texts(type="gpu", productName="NVIDIA A100-SXM4-40GB", uuid=f"GPU-{number}-{index}"),
                    "index": {"int": index},
                },
                "capacity": capacity(memory="40Gi"),
                **shared,
            }
            for index in range(8)
        ]
        yield fake_slice(node, "gpu.nvidia.com", devices, "gpu", pool=f"{node}-gpu")
        slices = {"0": "1g.5gb", "1": "1g.5gb", "2": "2g.10gb", "3": "3g.20gb"}
        parts = [
            {
                "name": f"gpu-{gpu}-mig-{part}",
                "attributes": texts(type="mig", profile=profile, parentUUID=f"GPU-{number}-{gpu + 8}"),
            }
            for gpu in range(2)
            for part, profile in slices.items()
        ]
        yield fake_slice(node, "gpu.nvidia.com", parts, "mig", pool=f"{node}-mig")
        passed = [{"name": f"vfio-{index}", "attributes": texts(type="vfio")} for index in range(4)]
        yield fake_slice(node, "gpu.nvidia.com", passed, "vfio", pool=f"{node}-vfio")
    channels = [{"name": f"channel-{number}", "attributes": texts(type="channel")} for number in range(8)]
    everywhere = fake_slice("all", "compute-domain.nvidia.com", channels, "channels")
    del everywhere["spec"]["nodeName"]
    everywhere["spec"]["allNodes"] = True
    yield everywhere
    for kind, name in (("gpu", "gpu"), ("mig", "mig"), ("vfio", "vfio.gpu")):
        expression = f"device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == '{kind}'"
        named = {"extendedResourceName": "nvidia.com/gpu"} if kind == "gpu" else {}
        yield device_class(f"{name}.nvidia.com", expression, **named)
    yield device_class("imex.nvidia.com", "device.driver == 'compute-domain.nvidia.com'")


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[Cluster]:
    """Both vendors' devices, and Fairlead, which lets others allocate, too."""
    cluster = Cluster(control_plane)
    cluster.install(one_writer=False)
    add_cluster(control_plane.api, [*example_hardware(), *nvidia_hardware()])
    with cluster.controller():
        yield cluster


def apply(cluster: Cluster, file: Path) -> tuple[list[str], int]:
    """Applies a manifest; returns its namespaces, which have opted in before, and how many pods it makes."""
    documents = [one for one in yaml.safe_load_all(file.read_text()) if one]
    namespaces = [one["metadata"]["name"] for one in documents if one["kind"] == "Namespace"]
    for name in namespaces:
        cluster.namespace(name, OPT_IN)
    # This version of PodGroup is not served any more.
    cluster.kubectl("apply", "-f", "-", stdin=file.read_text().replace(GROUPS, "scheduling.k8s.io/v1beta1"))
    pods = sum(one["spec"].get("replicas", 1) for one in documents if one["kind"] == "Deployment")
    return namespaces, pods + sum(one["kind"] == "Pod" for one in documents)


def check(cluster: Cluster, file: Path) -> None:
    """All pods of a manifest are bound, and all of its claims are allocated and reserved."""
    api = cluster.api
    namespaces, expected = apply(cluster, file)

    def pods() -> list[Json]:
        return [one for name in namespaces for one in api.items(f"/api/v1/namespaces/{name}/pods")]

    def all_bound() -> bool:
        return sum(bool(one["spec"].get("nodeName")) for one in pods()) == expected

    try:
        wait_for(all_bound, 60, f"{expected} pods of {file.name}")
    except TimeoutError as error:
        described = [cluster.kubectl("describe", "pods", "-n", name) for name in namespaces]
        raise AssertionError(f"{error}\n{''.join(described)[-4000:]}") from None
    claims = [one for name in namespaces for one in api.items(f"{GROUP}/namespaces/{name}/resourceclaims")]
    assert claims
    for claim in claims:
        assert claim["status"]["allocation"]["devices"]["results"], claim
        assert claim["status"]["reservedFor"], claim
    for name in namespaces:
        cluster.kubectl("delete", "namespace", name, "--wait=false")

    def gone() -> bool:
        there = {one["metadata"]["name"] for one in api.items("/api/v1/namespaces")}.intersection(namespaces)
        for name in there:
            api.clear(f"/api/v1/namespaces/{name}/pods")  # no kubelet ends them
        return not there

    wait_for(gone, 60, "the namespaces to go", pause=0.5)


@pytest.mark.parametrize("name", EXAMPLE)
def test_the_example_driver(cluster: Cluster, shared: Path, name: str) -> None:
    check(cluster, shared / "manifests" / "example-driver" / f"{name}.yaml")


@pytest.mark.parametrize("name", NVIDIA)
def test_nvidias_driver(cluster: Cluster, shared: Path, name: str) -> None:
    check(cluster, shared / "manifests" / "nvidia-gpu" / f"{name}.yaml")
