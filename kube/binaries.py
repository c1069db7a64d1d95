"""Where Kubernetes' programs are: in the folder that KUBEBUILDER_ASSETS names, or where `make kube` puts them.

KUBEBUILDER_ASSETS is envtest's convention. Where it is set nothing else is looked at, so that a run never mixes the
programs of two places.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
GUEST_SOURCE = Path(__file__).parent / "guest" / "main.go"
GUEST = f"guest-{hashlib.sha256(GUEST_SOURCE.read_bytes()).hexdigest()[:8]}"
"""What runs in the containers of tests, named after its source: another source is another program."""
NODE = ("kubelet", "containerd", "containerd-shim-runc-v2", "ctr", GUEST)
PINS: Mapping[str, str] = tomllib.loads((Path(__file__).parent / "versions.toml").read_text())


class MissingProgramError(Exception):
    """Programs are missing; the message says which, where they were looked for and how to get them."""


def kubernetes_version() -> str:
    """The version to build and run, such as 1.37.2: FAIRLEAD_KUBE_VERSION, or else the pinned one."""
    return os.environ.get("FAIRLEAD_KUBE_VERSION", "").removeprefix("v") or PINS["kubernetes"]


def cache_folder() -> Path:
    """Where built programs of this version are kept: below FAIRLEAD_KUBE_CACHE, or else ~/.cache/fairlead/kube."""
    base = os.environ.get("FAIRLEAD_KUBE_CACHE")
    return (Path(base) if base else Path.home() / ".cache" / "fairlead" / "kube") / kubernetes_version()


def programs_folder() -> Path:
    """Where programs are looked for."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(assets) if assets else cache_folder()


def find_programs(names: Iterable[str] = CONTROL_PLANE) -> dict[str, Path]:
    """The path of each program.

    Raises:
        MissingProgramError: one is not there or cannot be executed.
    """
    folder = programs_folder()
    found = {name: folder / name for name in names}
    missing = [name for name, path in found.items() if not os.access(path, os.X_OK)]
    if missing:
        if os.environ.get("KUBEBUILDER_ASSETS"):
            way = "KUBEBUILDER_ASSETS names that folder; unset it to use what `make kube` builds"
        else:
            target = "make kube-node" if set(missing) & set(NODE) else "make kube"
            way = f"build them with `{target}`, or name a folder that has them in KUBEBUILDER_ASSETS"
        raise MissingProgramError(f"no {', '.join(missing)} in {folder}: {way}")
    return found
