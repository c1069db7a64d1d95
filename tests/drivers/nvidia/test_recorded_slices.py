"""Our slices beside those that NVIDIA's driver published on real machines: attribute by attribute."""

from __future__ import annotations

import re

import pytest

from fairlead.resource import read_paths
from tests.drivers.nvidia import machines

UUID = re.compile("GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OURS = {"index", "nvlinks", "gpuModuleId", "clusterUUID", "cliqueID", "nvlinkDomain", "resource.kubernetes.io/numaNode"}
"""What the recorded releases of NVIDIA's driver did not publish; the last is in its newer ones."""


@pytest.mark.parametrize(
    ("recorded", "machine"),
    [("oci-gb200", machines.gb200), ("eks-gpu-efa", machines.a100)],
)
def test_every_recorded_attribute_is_published_with_its_value(shared, tmp_path, recorded, machine):
    objects, problems = read_paths([shared / "manifests" / recorded / "resourceslice-gpu.yaml"])
    assert not problems
    [item] = objects.slices
    ours = {one.name: one for one in machine(tmp_path).driver().discover().devices}
    assert item.spec.driver == "gpu.nvidia.com"
    assert [one.name for one in item.spec.devices] == list(ours)
    for theirs in item.spec.devices:
        device = ours[theirs.name]
        for name, value in theirs.attributes.items():
            if name == "uuid":  # of the machine, not of its kind
                assert UUID.fullmatch(value.string)
                assert UUID.fullmatch(device.attributes[name].string)
            else:
                assert device.attributes[name] == value, (theirs.name, name)
        assert device.attributes.keys() - theirs.attributes.keys() <= OURS
        assert {name: one.value for name, one in device.capacity.items()} == {
            name: one.value for name, one in theirs.capacity.items()
        }
