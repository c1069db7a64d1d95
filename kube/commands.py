"""The command lines of the control plane's programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kube.gates import dra_gates, served_versions

if TYPE_CHECKING:
    from kube.plane import Options

WITHOUT_KUBELETS = "*,-node-lifecycle-controller"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one control plane is: its folder, its programs, the ports they listen on."""

    folder: Path
    programs: Mapping[str, Path]
    ports: Mapping[str, int]

    @property
    def server(self) -> str:
        """The API server's address."""
        return self.address("kube-apiserver")

    def address(self, name: str) -> str:
        """A program's address."""
        return f"https://127.0.0.1:{self.ports[name]}"

    def kubeconfig(self, user: str) -> Path:
        """A user's kubeconfig."""
        return self.folder / f"{user}.kubeconfig"

    def certificate(self, name: str) -> str:
        """A file in the folder of certificates and keys."""
        return str(self.folder / "certificates" / name)


def command_line(name: str, place: Place, options: Options) -> list[str]:
    """How a program is started; the flags of the options come last, and win."""
    gates = dra_gates(place.programs["kube-apiserver"]) if options.gates is None else options.gates
    gated = ",".join(f"{gate}={str(on).lower()}" for gate, on in sorted(gates.items()))
    flags = {
        "etcd": _etcd,
        "kube-apiserver": _apiserver,
        "kube-controller-manager": _controller_manager,
        "kube-scheduler": _scheduler,
    }[name](place, options)
    if gated and name != "etcd":
        flags.append(f"--feature-gates={gated}")
    return [str(place.programs[name]), *flags, *options.flags.get(name, ())]


def _etcd(place: Place, options: Options) -> list[str]:
    """etcd on sockets in our folder: nobody else reaches it, and no port can be taken."""
    client, peer = (f"unix://{place.folder}/{name}.sock" for name in ("etcd", "peer"))
    return [
        f"--data-dir={place.folder}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver(place: Place, options: Options) -> list[str]:
    versions = ",".join(f"{version}=true" for version in served_versions(place.programs["kube-apiserver"]))
    return [
        f"--etcd-servers=unix://{place.folder}/etcd.sock",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={place.ports['kube-apiserver']}",
        f"--tls-cert-file={place.certificate('apiserver.crt')}",
        f"--tls-private-key-file={place.certificate('apiserver.key')}",
        f"--client-ca-file={place.certificate('ca.crt')}",
        f"--requestheader-client-ca-file={place.certificate('ca.crt')}",
        "--requestheader-allowed-names=front-proxy",
        f"--token-auth-file={place.folder}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        f"--service-account-key-file={place.certificate('service-accounts.key')}",
        f"--service-account-signing-key-file={place.certificate('service-accounts.key')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--disable-admission-plugins=TaintNodesByCondition",
        "--allow-privileged=true",
        f"--runtime-config={versions}",
    ]


def _controller_manager(place: Place, options: Options) -> list[str]:
    return [
        *_client("kube-controller-manager", place),
        f"--kubeconfig={place.kubeconfig('kube-controller-manager')}",
        f"--kube-api-qps={options.qps}",
        f"--kube-api-burst={options.qps}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--controllers={WITHOUT_KUBELETS}",
        f"--root-ca-file={place.certificate('ca.crt')}",
        f"--service-account-private-key-file={place.certificate('service-accounts.key')}",
    ]


def _scheduler(place: Place, options: Options) -> list[str]:
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {
            "kubeconfig": str(place.kubeconfig("kube-scheduler")),
            "qps": options.qps,
            "burst": options.qps,
        },
        "leaderElection": {"leaderElect": False},
        **options.scheduler,
    }
    path = place.folder / "scheduler.yaml"
    path.write_text(json.dumps(config, indent=1) + "\n")
    return [*_client("kube-scheduler", place), f"--config={path}"]


def _client(name: str, place: Place) -> list[str]:
    """What controller manager and scheduler have in common."""
    kubeconfig = place.kubeconfig(name)
    return [
        "--bind-address=127.0.0.1",
        f"--secure-port={place.ports[name]}",
        f"--tls-cert-file={place.certificate('apiserver.crt')}",
        f"--tls-private-key-file={place.certificate('apiserver.key')}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
    ]
