"""The certificate that the chart makes for the lock, on a real API server: kept, and changed while the lock answers.

The API server finds the lock as in a cluster, by its Service and with the host name of the certificate; but the Service
names this machine, since nothing routes addresses of Services here. Skipped where helm is not built.
"""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from installed import ROOT, Cluster, claim
from locked import FAIRLEAD, GROUP, REGISTRATION, SYSTEM, free_port, give

from kube import Api, ApiError, ControlPlane, MissingProgramError, Options
from kube.api import wait_for

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
CHART = (str(ROOT / "deploy" / "chart"), f"--namespace={SYSTEM}", "--set=webhook.enabled=true,gate.enabled=false")
END = "-----END CERTIFICATE-----\n"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    plane = ControlPlane(Options(components=("etcd", "kube-apiserver")))
    try:
        plane.start()
    except MissingProgramError as error:
        pytest.skip(str(error))
    with plane:
        yield Cluster(plane)


def secret(api: Api) -> dict[str, str]:
    """What the Secret has, in plain text."""
    data = api.get(f"/api/v1/namespaces/{SYSTEM}/secrets/fairlead-webhook-tls")["data"]
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


def bundle(api: Api) -> str:
    """The authorities that the API server trusts."""
    (webhook,) = api.get(f"{REGISTRATION}/fairlead-lock")["webhooks"]
    return base64.b64decode(webhook["clientConfig"]["caBundle"]).decode()


def authorities(api: Api) -> list[str]:
    return [part for part in bundle(api).split(END) if part.strip()]


class Served:
    """One replica of the lock, with the files that kubelet would put into its pod."""

    def __init__(self, cluster: Cluster) -> None:
        self.api = cluster.api
        self.folder = cluster.plane.folder
        self.port = free_port()
        path = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/fairlead-webhook/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = self.api.request("POST", path, asked)["status"]["token"]
        api = Api(self.api.server, token, cluster.plane.authority.certificate)
        self.kubeconfig = api.write_kubeconfig(self.folder / "webhook.kubeconfig")
        self.log = self.folder / "logs" / "webhook.log"
        self.mount()

    def mount(self) -> None:
        """Brings the files up to date, as kubelet does after a while."""
        for name, text in secret(self.api).items():
            (self.folder / name).write_text(text)

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [*FAIRLEAD, "webhook", f"--listen=127.0.0.1:{self.port}", f"--kubeconfig={self.kubeconfig}"]
        command += [f"--cert={self.folder / 'tls.crt'}", f"--key={self.folder / 'tls.key'}"]
        with self.log.open("w") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            wait_for(lambda: '"answers"' in self.log.read_text(), 60, "the lock to answer")
            yield
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()

    def reach(self) -> None:
        """Leads the Service to this machine; Helm, when it upgrades, sets the port back."""
        spec = {"type": "ExternalName", "externalName": "localhost", "clusterIP": None, "clusterIPs": None}
        self.api.patch(f"/api/v1/namespaces/{SYSTEM}/services/fairlead-webhook", {"spec": spec})
        change = [{"op": "replace", "path": "/webhooks/0/clientConfig/service/port", "value": self.port}]
        self.api.patch(f"{REGISTRATION}/fairlead-lock", change, "application/json-patch+json")

    def said(self) -> str:
        """What the API server says to a write that the lock has to refuse: no pool has the device."""
        try:
            give(self.api, f"{GROUP}/namespaces/default/resourceclaims/c", [("d", "p", "x")], "r0", dry_run=True)
        except ApiError as error:
            return error.message
        return ""

    def asked(self) -> None:
        """Waits until the API server asks the lock, and gets its answer."""
        self.reach()
        refused = "device d/p/x is in no complete pool now"
        try:
            wait_for(lambda: refused in self.said(), 20, "the lock to be asked")
        except TimeoutError:
            raise AssertionError(self.said()) from None


def test_the_charts_certificate_is_kept_and_changed_without_a_moment_in_which_the_lock_is_not_trusted(
    cluster: Cluster, helm: Path
) -> None:
    api = cluster.api

    def upgrade(*options: str) -> None:
        cluster.helm(helm, "upgrade", "fairlead", *CHART, *options)

    cluster.helm(helm, "install", "fairlead", *CHART, "--create-namespace", "--set=oneWriter.enabled=false")
    api.create(claim("default", "c", "none"))
    first = secret(api)
    assert bundle(api) == first["ca.crt"]
    lock = Served(cluster)
    with lock.running():
        lock.asked()
        upgrade("--reuse-values", "--set=replicas=3")
        assert secret(api) == first
        assert bundle(api) == first["ca.crt"]
        lock.asked()

        upgrade("--reuse-values", "--set-string=webhook.certificate.rotation=2")
        second = secret(api)
        assert second["tls.crt"] != first["tls.crt"]
        assert bundle(api) == second["ca.crt"]
        new, old = authorities(api)
        assert old + END == first["ca.crt"]
        lock.asked()  # the pod still shows the certificate from before
        lock.mount()
        wait_for(lambda: '"certificate renewed"' in lock.log.read_text(), 20, "the new certificate")
    with lock.running():
        lock.asked()
        upgrade("--reuse-values")
        assert secret(api) == second

        upgrade("--reuse-values", "--set-string=webhook.certificate.rotation=3")
        assert [new] == authorities(api)[1:], "the authority before, and not the one before that"
        lock.asked()

        cluster.helm(helm, "rollback", "fairlead", "1", f"--namespace={SYSTEM}")
        assert secret(api) == first
        assert bundle(api) == first["ca.crt"]
        lock.reach()
        wait_for(lambda: "failed to verify certificate" in lock.said(), 20, "a later certificate to be refused")
        lock.mount()
        lock.asked()
    cluster.helm(helm, "uninstall", "fairlead", f"--namespace={SYSTEM}")
    wait_for(lambda: lock.said() == "", 20, "nobody to be asked any more")
