"""kubelet.proto: what is checked in is made of it, and its numbers and types are Kubernetes'.

The second needs Kubernetes' own .proto files, which the Go module cache has where `make kube-node` was run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from fairlead.driver import kubelet_pb2

SOURCE = Path(kubelet_pb2.__file__).parent.parent.parent
MODULES = Path.home() / "go" / "pkg" / "mod" / "k8s.io"
SAME = {
    "pluginregistration/v1": {
        "InfoRequest": "InfoRequest",
        "PluginInfo": "PluginInfo",
        "RegistrationStatus": "RegistrationStatus",
        "RegistrationStatusResponse": "RegistrationStatusResponse",
    },
    "dra/v1": {
        "Claim": "Claim",
        "Device": "Device",
        "NodePrepareResourcesRequest": "PrepareRequest",
        "NodePrepareResourcesResponse": "PrepareResponse",
        "NodePrepareResourceResponse": "PreparedClaim",
        "NodeUnprepareResourcesRequest": "UnprepareRequest",
        "NodeUnprepareResourcesResponse": "UnprepareResponse",
        "NodeUnprepareResourceResponse": "UnpreparedClaim",
    },
    "dra-health/v1": {
        "NodeWatchResourcesRequest": "WatchRequest",
        "NodeWatchResourcesResponse": "WatchResponse",
        "DeviceHealth": "DeviceHealth",
        "DeviceIdentifier": "DeviceIdentifier",
    },
}
"""Kubernetes' messages and ours, by the package that they are in; older versions are equal but for one field."""
SHARE_ID = (5, 9, 1, True)
"""v1beta1 does not have it; a kubelet that knows no more passes over it."""
OLDER = {"dra/v1beta1": "dra/v1", "dra-health/v1alpha1": "dra-health/v1"}


def compiled(folder: Path, name: str, out: Path) -> descriptor_pb2.FileDescriptorProto:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--descriptor_set_out={out}", name]
    subprocess.run(command, check=True)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    return file


def fields(message: descriptor_pb2.DescriptorProto) -> set[tuple[int, int, int, bool]]:
    """Number, type, label, and whether absence is told from the default."""
    return {(field.number, field.type, field.label, field.proto3_optional) for field in message.field}


def test_what_is_checked_in_is_made_of_the_source(tmp_path: Path) -> None:
    file = compiled(SOURCE, "fairlead/driver/kubelet.proto", tmp_path / "out")
    ours = descriptor_pb2.FileDescriptorProto.FromString(kubelet_pb2.DESCRIPTOR.serialized_pb)
    for one in (file, ours):
        for message in one.message_type:
            for part in (message, *message.nested_type):
                for field in part.field:
                    field.ClearField("json_name")  # only the compiler's own output has them
    assert file == ours, "make proto"


@pytest.mark.parametrize("package", [*SAME, *OLDER])
def test_numbers_and_types_are_those_of_kubernetes(tmp_path: Path, package: str) -> None:
    found = sorted(MODULES.glob(f"kubelet@v*/pkg/apis/{package}/api.proto"))
    if not found:
        pytest.skip(f"{MODULES} has no k8s.io/kubelet")
    theirs = {
        message.name: message for message in compiled(found[-1].parent, "api.proto", tmp_path / "out").message_type
    }
    ours = descriptor_pb2.FileDescriptorProto.FromString(kubelet_pb2.DESCRIPTOR.serialized_pb)
    of_ours = {message.name: message for message in ours.message_type}
    for name, our_name in SAME[OLDER.get(package, package)].items():
        newer = fields(of_ours[our_name]) - fields(theirs[name])
        assert fields(theirs[name]) <= fields(of_ours[our_name]), name
        assert newer == ({SHARE_ID} if (package, name) == ("dra/v1beta1", "Device") else set())
        nested = [fields(message) for message in theirs[name].nested_type]
        assert nested == [fields(message) for message in of_ours[our_name].nested_type]
