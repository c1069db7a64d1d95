"""Which feature gates and API versions a control plane turns on, asked from the programs where they know it.

Naming a gate or a version that a release does not have stops its API server, so nothing is named blindly: the gates
come from the API server's own `--help`, which lists those that are alpha or beta (a gate that is locked is not listed
and needs no turning on), the versions from a table by minor release.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

BESIDES_DRA = ("GenericWorkload",)
"""Gates that DRA gates depend on: PodGroups, for claims that belong to one (DRAWorkloadResourceClaims)."""

_SERVED = {
    36: ("resource.k8s.io/v1beta2", "resource.k8s.io/v1alpha3", "scheduling.k8s.io/v1alpha2"),
    37: (
        "resource.k8s.io/v1beta1",
        "resource.k8s.io/v1beta2",
        "resource.k8s.io/v1alpha3",
        "scheduling.k8s.io/v1beta1",
        "scheduling.k8s.io/v1alpha3",
    ),
}
_GATE = re.compile(r"^\s+(?:kube:)?(\w+)=true\|false \((ALPHA|BETA) - default=(true|false)\)", re.MULTILINE)


@cache
def minor_version(apiserver: Path) -> int:
    """The minor release of a kube-apiserver: 37 for v1.37.2."""
    said = subprocess.run([apiserver, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v1\.(\d+)", said)
    return int(found[1]) if found else 0


@cache
def known_gates(apiserver: Path) -> Mapping[str, bool]:
    """The gates that are alpha or beta in a kube-apiserver, and whether each is on by default."""
    said = subprocess.run([apiserver, "--help"], capture_output=True, text=True, check=True).stdout
    return {name: default == "true" for name, _, default in _GATE.findall(said)}


def dra_gates(apiserver: Path) -> dict[str, bool]:
    """Every gate of dynamic resource allocation, turned on, with what they depend on."""
    return {name: True for name in known_gates(apiserver) if name.startswith("DRA") or name in BESIDES_DRA}


def served_versions(apiserver: Path) -> tuple[str, ...]:
    """The alpha and beta versions of resource.k8s.io and scheduling.k8s.io, to be served besides v1.

    All alpha and beta versions of every group for a release that is not in the table.
    """
    return _SERVED.get(minor_version(apiserver), ("api/alpha", "api/beta"))
