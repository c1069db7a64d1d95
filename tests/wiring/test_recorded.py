"""On recorded nodes: a claim that says how many, and nothing else, gets what hand-written templates spell out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import places
import pytest

from fairlead.cli.inputs import load
from fairlead.placement import plan
from fairlead.placement.wiring import COMPACT, FIRST_FIT, DevicePolicy

CLAIM = """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {{name: devices}}
spec:
  spec:
    devices:
      requests:
      - {{name: gpu, exactly: {{deviceClassName: gpu.nvidia.com, count: {gpus}}}}}
      - name: nic
        exactly:
          deviceClassName: {nic_class}
          count: {nics}
          selectors: [{{cel: {{expression: 'device.attributes["dra.net"].rdma'}}}}]
---
apiVersion: batch/v1
kind: Job
metadata: {{name: train}}
spec:
  completions: {pods}
  parallelism: {pods}
  template:
    spec:
      containers: [{{name: main, image: example}}]
      resourceClaims: [{{name: devices, resourceClaimTemplateName: devices}}]
"""


def devices(folder: Path, work: Path, policy: DevicePolicy, **asked: object) -> list[list[str]]:
    """The devices of each pod on the recorded node."""
    file = work / "job.yaml"
    file.write_text(CLAIM.format(**asked))
    slices = [str(one) for one in sorted(folder.glob("resourceslice-*.yaml")) + sorted(folder.glob("*class.yaml"))]
    given = load([*slices, str(file)])
    result = plan(given.cluster, given.pods, devices=policy)
    assert result.complete
    return [sorted(names) for names in places.devices_of(result)]


def test_gb200_gpus_and_nics_of_one_numa_node(shared: Path, tmp_path: Path) -> None:
    folder = shared / "manifests" / "oci-gb200"
    asked = {"gpus": 2, "nics": 2, "nic_class": "dranet.net", "pods": 2}
    # The templates that Oracle writes by hand name gpu-0 by its address, and NICs by NUMA node 0 (0000 and 0002).
    assert devices(folder, tmp_path, COMPACT, **asked) == [
        ["gpu-0", "gpu-1", "pci-0000-03-00-0", "pci-0000-03-00-1"],
        ["gpu-2", "gpu-3", "pci-0010-03-00-0", "pci-0010-03-00-1"],
    ]
    assert devices(folder, tmp_path, FIRST_FIT, **asked) == [
        ["gpu-0", "gpu-1", "pci-0000-03-00-0", "pci-0000-03-00-1"],
        ["gpu-2", "gpu-3", "pci-0002-03-00-0", "pci-0002-03-00-1"],
    ]


def test_gb200_one_gpu_with_all_nics_of_its_numa_node(shared: Path, tmp_path: Path) -> None:
    folder = shared / "manifests" / "oci-gb200"
    (found,) = devices(folder, tmp_path, COMPACT, gpus=1, nics=4, nic_class="dranet.net", pods=1)
    assert found == ["gpu-0", "pci-0000-03-00-0", "pci-0000-03-00-1", "pci-0002-03-00-0", "pci-0002-03-00-1"]


@pytest.mark.parametrize(("policy", "aligned"), [(COMPACT, 2), (FIRST_FIT, 1)], ids=["compact", "first-fit"])
def test_efa_every_gpu_with_the_adapter_of_its_root(
    shared: Path, tmp_path: Path, policy: DevicePolicy, aligned: int
) -> None:
    folder = shared / "manifests" / "eks-gpu-efa"
    (found,) = devices(folder, tmp_path, policy, gpus=2, nics=2, nic_class="efa.networking.k8s.aws", pods=1)
    # A GPU has its adapter when the root that both publish is the same: roots with both, counted.
    roots = {"gpu-0": "10", "gpu-1": "10", "gpu-2": "20", "gpu-3": "20"}
    gpus = Counter(roots[name] for name in found if name.startswith("gpu"))
    nics = Counter(name.split("-")[2] for name in found if name.startswith("pci"))
    assert sum((gpus & nics).values()) == aligned
