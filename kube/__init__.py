"""Real Kubernetes for tests, benches and by hand: build its programs, run a control plane, put fake nodes on it.

    python -m kube build        build what is missing (make kube)
    python -m kube up           run a control plane until Ctrl-C and print the path of its kubeconfig

`binaries` knows where the programs are and `build` makes them with Go. `plane` runs them, with `commands` and `gates`
for their flags, `certificates`, and `guard`, which lets nothing stay behind. `api` speaks to the API server, `nodes`
makes nodes that no kubelet stands behind. `node` runs a real one, kubelet and containerd, on a `machine` of its own,
with `images` that come from no registry. Only Python's standard library and the `openssl` program are needed, and for
nodes from a cluster spec `fairlead`. Not part of the `fairlead` package: nothing there may import it.
docs/real-kubernetes.md is the guide.
"""

from kube.api import Api, ApiError
from kube.binaries import MissingProgramError, find_programs
from kube.node import NodeError, RealNode, why_not
from kube.node_config import IMAGE
from kube.nodes import add_cluster, device_class, fake_node, fake_slice
from kube.plane import ControlPlane, Options, PlaneError, process_usage

__all__ = [
    "IMAGE",
    "Api",
    "ApiError",
    "ControlPlane",
    "MissingProgramError",
    "NodeError",
    "Options",
    "PlaneError",
    "RealNode",
    "add_cluster",
    "device_class",
    "fake_node",
    "fake_slice",
    "find_programs",
    "process_usage",
    "why_not",
]
