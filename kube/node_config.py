"""The configuration of a real node's containerd and kubelet: on loopback, in cgroups of its own, without a registry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IMAGE = "localhost/guest:1"
SOCKET = "/run/containerd/containerd.sock"


def find_runc() -> str:
    """The runtime: not built, for it is C in part, and needs libseccomp's headers. Empty where there is none."""
    return shutil.which("runc", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin") or ""


def containerd_config(folder: Path, runc: str) -> str:
    """containerd's configuration, version 3."""
    state, root, cni, opt = "/run/containerd", folder / "containerd", folder / "etc" / "cni", folder / "opt"
    return f"""\
version = 3
root = "{root}"
state = "{state}"

[grpc]
  address = "{SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
  enable_cdi = true
  cdi_spec_dirs = ["/var/run/cdi"]
  restrict_oom_score_adj = true
  disable_apparmor = true

  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{cni}"]
    conf_dir = "{cni}"

  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
      SystemdCgroup = false
"""


def kubelet_config(folder: Path, authority: Path, port: int, probe: int, gates: Mapping[str, bool]) -> dict[str, Any]:
    """KubeletConfiguration: on loopback, in cgroups of its own, and never short of disk."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": port,
        "healthzPort": probe,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{folder.name}",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "featureGates": dict(gates),
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "nodeStatusUpdateFrequency": "2s",
        "oomScoreAdj": 0,
        "protectKernelDefaults": True,
        "resolvConf": "",
        "syncFrequency": "5s",
        "volumePluginDir": str(folder / "volume-plugins"),
    }


def kubeconfig(server: str, authority: Path, certificate: Path, key: Path) -> dict[str, Any]:
    """A client's access to an API server, by its certificate."""
    cluster = {"server": server, "certificate-authority": str(authority)}
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fairlead", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "fairlead", "context": {"cluster": "fairlead", "user": "user"}}],
        "current-context": "fairlead",
    }
