"""Claims that were written for NVIDIA's driver: allocated by the product from our slices, prepared by our driver.

docs/drivers/nvidia.md has the table of those that do not work, and why.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from fairlead.cli import main
from fairlead.driver import Driver
from fairlead.driver.inventory import make_inventory
from fairlead.driver.slices import Publication, plan
from fairlead.drivers.nvidia import make
from fairlead.resource import Objects, ResourceClaimStatus, decode_hook, read_paths
from fairlead.simulation import render
from tests.drivers.nvidia import machines
from tests.drivers.nvidia.machines import NODE, Box, Node, claim

CLASSES = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.nvidia.com}
spec:
  extendedResourceName: nvidia.com/gpu
  selectors:
  - cel: {expression: "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'"}
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: compute-domain-default-channel.nvidia.com}
spec:
  selectors:
  - cel:
      expression: >-
        device.driver == 'compute-domain.nvidia.com' && device.attributes['compute-domain.nvidia.com'].type == 'channel'
        && device.attributes['compute-domain.nvidia.com'].id == 0
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: imex.nvidia.com}
spec:
  selectors:
  - cel: {expression: "device.driver == 'compute-domain.nvidia.com'"}
"""
"""As the charts of NVIDIA's driver install them; the last is of its first releases."""
TEMPLATE = """
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {{name: {name}, namespace: default}}
spec:
  spec:
    devices:
      requests:
      - name: channel
        exactly: {{deviceClassName: compute-domain-default-channel.nvidia.com}}
      config:
      - requests: [channel]
        opaque:
          driver: compute-domain.nvidia.com
          parameters:
            apiVersion: resource.nvidia.com/v1beta1
            kind: ComputeDomainChannelConfig
            domainID: 3f0cb0f4-5f3e-4ad7-8a0d-0d5d6d3c7f01
            allocationMode: {mode}
"""
"""What the controller of NVIDIA's driver makes of a ComputeDomain."""


def balanced(root: Path) -> Box:
    return machines.a100(root, machines.half_balanced())


def cut_gh200(root: Path) -> Box:
    return machines.gh200(root, {minor: [("1g.12gb", start) for start in range(7)] for minor in range(2)})


# Manifest, machine, options, what else is in the cluster, and how many devices are prepared.
WORK = [
    *((f"quickstart_{version}_gpu-test1", machines.h100, "", "", 2) for version in ("v1", "v1beta1")),
    *((f"quickstart_{version}_gpu-test2", machines.h100, "", "", 1) for version in ("v1", "v1beta1")),
    *((f"quickstart_{version}_gpu-test3", machines.h100, "", "", 1) for version in ("v1", "v1beta1")),
    *((f"quickstart_{version}_gpu-test4", balanced, "", "", 16) for version in ("v1", "v1beta1")),
    ("quickstart_v1_gpu-test4", machines.half_on, "mig=dynamic", "", 16),
    *((f"quickstart_{version}_gpu-test5", machines.h100, "", "", 2) for version in ("v1", "v1beta1")),
    *((f"quickstart_{version}_gpu-test6", machines.a100, "", "", 4) for version in ("v1", "v1beta1")),
    *((f"quickstart_{version}_gpu-test-mps", machines.gb200, "", "", 1) for version in ("v1", "v1beta1")),
    ("quickstart_gpu-test7", machines.l40s, "", "", 2),
    ("quickstart_gpu-test8", machines.l40s, "", "", 2),
    ("quickstart_gpu-test8", machines.h100, "mig=dynamic", "", 2),
    ("consumable-shares_integer-sharing", machines.h100, "shares=4", "", 4),
    ("consumable-shares_memory-sharing", machines.h100, "shares=memory", "", 2),
    ("consumable-shares_unlimited-sharing", machines.h100, "shares=unlimited", "", 2),
    ("extended-resources_gpu-full", machines.h100, "", "", 1),
    ("extended-resources_mig-1g-12gb", cut_gh200, "", "", 1),
    ("extended-resources_mig-1g-12gb", machines.gh200, "mig=dynamic", "", 1),
    ("imex_channel-injection", machines.gb200, "", TEMPLATE.format(name="imex-channel-0", mode="Single"), 1),
    *((f"quickstart_{version}_imex-test1", machines.h100, "channels=4", "", 12) for version in ("v1", "v1beta1")),
    ("imex_channel-injection-all", machines.gb200, "", TEMPLATE.format(name="tpl-imex-channels", mode="All"), 1),
]


@pytest.mark.parametrize(("name", "machine", "options", "more", "devices"), WORK)
def test_a_claim_is_allocated_and_prepared_unchanged(shared, tmp_path, name, machine, options, more, devices):
    box = machine(tmp_path / "tree")
    drivers = make(options, NODE, box)
    planned = plan_of(tmp_path, drivers, shared / "manifests/nvidia-gpu" / f"{name}.yaml", more)
    assert [one["pod"] for one in planned if one["node"] is None] == []
    claims = {f"{one['namespace']}/{one['name']}": one for pod in planned for one in pod["claims"] if one.get("status")}
    prepared = 0
    for driver in drivers:
        engine = Node(tmp_path / "node").engine(driver)
        for number, found in enumerate(claims.values()):
            status = msgspec.convert(found["status"], ResourceClaimStatus, dec_hook=decode_hook)
            if any(one.driver == driver.name for one in status.allocation.devices.results):
                item = msgspec.structs.replace(claim(f"uid-{number}"), status=status)
                prepared += len(engine.prepare(item, f"uid-{number}"))
                assert all(one.edits.device_nodes for one in engine.record(f"uid-{number}").devices)
        for record in engine.records():
            engine.unprepare(record.uid)
        assert engine.records() == []
    assert prepared == devices
    assert box.host.written == {}


POD = """
---
apiVersion: v1
kind: Pod
metadata: {{name: worker}}
spec:
  containers: [{{name: c, image: i, resources: {{claims: [{claims}]}}}}]
  resourceClaims: [{sources}]
"""

BESIDE = [
    # Folder, machine, templates, and devices of ours.
    ("oci-gb200", machines.gb200, ["1nic-aligned"], ["gpu-0"]),
    ("oci-gb200", machines.gb200, ["4nic-aligned"], ["gpu-0"]),
    ("oci-gb200", machines.gb200, ["4gpu-8nic", "channel"], ["gpu-0", "gpu-1", "gpu-2", "gpu-3", "channel-0"]),
    ("eks-gpu-efa", machines.a100, ["gpu-efa-aligned"], ["gpu-0"]),
]


@pytest.mark.parametrize(("folder", "machine", "templates", "devices"), BESIDE)
def test_claims_of_gpus_and_nics_with_the_recorded_nics(shared, tmp_path, folder, machine, templates, devices):
    where = shared / "manifests" / folder
    [nics] = read_paths([where / "resourceslice-dranet.yaml"])[0].slices
    drivers = make("", NODE, machine(tmp_path / "tree"))
    names = [f"c{at}" for at in range(len(templates))]
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(
        POD.format(
            claims=", ".join(f"{{name: {name}}}" for name in names),
            sources=", ".join(
                f"{{name: {name}, resourceClaimTemplateName: {template}}}"
                for name, template in zip(names, templates, strict=True)
            ),
        )
        + TEMPLATE.format(name="channel", mode="Single")
    )
    files = [path for path in where.glob("*.yaml") if "claim-template" in path.name or "class" in path.name]
    arguments = [text for path in (where / "resourceslice-dranet.yaml", *files) for text in ("-f", str(path))]
    result = run(tmp_path, drivers, manifest, "", *arguments, "-o", "json", node=nics.spec.node_name)
    assert result.exit_code == 0, result.output
    [pod] = json.loads(result.stdout)
    results = [one for found in pod["claims"] for one in found["status"]["allocation"]["devices"]["results"]]
    assert [one["device"] for one in results if one["driver"].endswith("nvidia.com")] == devices
    assert {one["driver"] for one in results} >= {"gpu.nvidia.com", "dra.net"}


DO_NOT = [
    ("quickstart_v1_gpu-test-vfiopci", "no device of class vfio.gpu.nvidia.com"),
    ("quickstart_v1_gpu-test-vfio-config", 'resourceClaimTemplateName: Not found: "single-gpu-full-vfioconfig"'),
    ("quickstart_v1beta1_gpu-test-vfiopci", "apiVersion: no matches for kind"),
    ("quickstart_v1_imex-test1", "2 of 8 pods placed"),
    ("fabric-manager-partitioning_resourceClaimTemplates", "nothing to place"),
    ("mig+mps_sharing-demo-claims", 'no matches for kind "ResourceClaim" in version "resource.k8s.io/v1alpha2"'),
    ("selectors_claims", 'no matches for kind "ResourceClaimTemplate" in version "resource.k8s.io/v1alpha2"'),
]


def test_no_claim_of_nvidias_manifests_is_forgotten(shared):
    """Of 40 claims and templates 29 work unchanged; each of the others is in the table of what does not."""
    counted = {}
    for path in sorted((shared / "manifests/nvidia-gpu").glob("*.yaml")):
        documents = [one for one in yaml.safe_load_all(path.read_text()) if one]
        if number := sum(str(one.get("kind")) in ("ResourceClaim", "ResourceClaimTemplate") for one in documents):
            counted[path.stem] = number
    works = {name for name, *_ in WORK}
    reasons = {name for name, _ in DO_NOT} | {"mig+mps_sharing-demo-claims-1"}
    assert sorted(counted) == sorted(one for one in works | reasons if one in counted)
    assert sum(counted.values()) == 40
    assert sum(number for name, number in counted.items() if name in works) == 29


def test_partitions_of_the_fabric_manager_are_not_there(shared, tmp_path):
    folder = shared / "manifests/nvidia-gpu"
    drivers = make("", NODE, machines.h100(tmp_path / "tree"))
    templates = folder / "fabric-manager-partitioning_resourceClaimTemplates.yaml"
    output = run(tmp_path, drivers, folder / "fabric-manager-partitioning_pod.yaml", "", "-f", str(templates)).output
    assert "no device of class vfio.gpu.nvidia.com, 2 wanted" in " ".join(output.split())


@pytest.mark.parametrize(("name", "reason"), DO_NOT)
def test_what_does_not_work_is_said(shared, tmp_path, name, reason):
    drivers = make("", NODE, machines.h100(tmp_path / "tree"))
    output = run(tmp_path, drivers, shared / "manifests/nvidia-gpu" / f"{name}.yaml", "").output
    assert reason in " ".join(output.split())


def plan_of(tmp_path: Path, drivers: list[Driver], manifest: Path, more: str):
    result = run(tmp_path, drivers, manifest, more, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def run(tmp_path: Path, drivers, manifest: Path, more: str, *arguments: str, node: str = NODE):
    slices = []
    for driver in drivers:
        pools = make_inventory(driver.discover(), node).pools
        slices += [write.item for write in plan(Publication(driver.name, node, "uid", True), pools, [], {})]
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(render(Objects(slices=slices), "yaml", "test") + "\n---" + CLASSES + more)
    return CliRunner().invoke(main, ["plan", "-f", str(cluster), "-f", str(manifest), *arguments])
