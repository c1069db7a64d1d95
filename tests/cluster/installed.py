"""Fairlead installed on a control plane from deploy/manifests: kubectl, the controller, and small objects to try it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube import Api, ApiError, ControlPlane, find_programs
from kube.api import wait_for
from kube.nodes import device_class, fake_node, fake_slice

ROOT = Path(__file__).parent.parent.parent
MANIFESTS = ROOT / "deploy" / "manifests"
ONE_WRITER = MANIFESTS / "30-one-writer.yaml"
SYSTEM = "fairlead-system"
GATE = {"name": "fairlead.dev/allocation"}
FINALIZER = "resource.kubernetes.io/delete-protection"
OPT_IN = {"fairlead.dev/allocation": "enabled"}
GROUP = "/apis/resource.k8s.io/v1"
POLICIES = "/apis/admissionregistration.k8s.io/v1"
MANAGED = f"/api/v1/namespaces/{SYSTEM}/configmaps/fairlead-managed-classes"
EXTENDED = "resource.kubernetes.io/extended-resource-claim"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A control plane with two nodes of 8 devices each of the classes `gpu` and `nic`, and what runs on it."""

    plane: ControlPlane

    @property
    def api(self) -> Api:
        """Access as administrator, of the group system:masters."""
        return self.plane.api

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """What kubectl prints; it must end well."""
        return self._program(find_programs(["kubectl"])["kubectl"], words, stdin)

    def helm(self, program: Path, *words: str) -> str:
        """What helm prints; it must end well."""
        return self._program(program, words)

    def _program(self, program: Path, words: Sequence[str], stdin: str = "") -> str:
        command = [program, "--kubeconfig", self.plane.kubeconfig, *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fairlead(self, *words: str, who: Api | None = None) -> subprocess.CompletedProcess[str]:
        """The command line `fairlead`, as administrator or as somebody else."""
        kubeconfig = who.write_kubeconfig(self.plane.folder / "somebody") if who is not None else self.plane.kubeconfig
        command = [*FAIRLEAD, *words, "--kubeconfig", str(kubeconfig)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def install(self, one_writer: bool = True) -> None:
        """Applies the manifests, and waits until the API server enforces all of the policies.

        Args:
            one_writer: whether Fairlead alone may give devices out; else the policies for that are left out.
        """
        files = [file for file in sorted(MANIFESTS.glob("*.yaml")) if one_writer or file != ONE_WRITER]
        self.kubectl("apply", "--server-side", *(word for file in files for word in ("-f", str(file))))
        if "probe" not in {one["metadata"]["name"] for one in self.api.items("/api/v1/namespaces")}:
            self.namespace("probe", OPT_IN)

        def enforced() -> bool:
            try:
                gated = self.api.create(pod("probe", "probe", claim="probe"), dry_run=True)
                safe = self.api.create(claim("probe", "probe", "gpu"), dry_run=True)
            except ApiError:
                return False  # some policies are there before what they need
            if not one_writer:
                return "schedulingGates" in gated["spec"] and "finalizers" in safe["metadata"]
            refused = [said(self.api, make("default", "probe", "gpu")) for make in (claim, template)]
            return "schedulingGates" in gated["spec"] and "finalizers" in safe["metadata"] and all(refused)

        wait_for(enforced, 30, "the policies to be enforced")

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """A namespace with labels in which pods can be made."""
        return self.plane.namespace(name, labels)

    def drop(self, name: str) -> None:
        """Deletes a namespace with all that is in it, and waits for the end; no kubelet ends its pods."""
        self.api.delete(f"/api/v1/namespaces/{name}")

        def gone() -> bool:
            self.api.clear(f"/api/v1/namespaces/{name}/pods")
            return name not in {one["metadata"]["name"] for one in self.api.items("/api/v1/namespaces")}

        wait_for(gone, 60, f"namespace {name} to be gone")

    def account(self) -> Api:
        """Access as the controller's service account, with the rights that the manifests give it."""
        path = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/fairlead-controller/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
        token = self.api.request("POST", path, asked)["status"]["token"]
        return Api(self.api.server, token, self.plane.authority.certificate)

    @contextmanager
    def started(self, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """The controller while the block runs, as its own service account, and its log."""
        kubeconfig = self.account().write_kubeconfig(self.plane.folder / "controller.kubeconfig")
        log = self.plane.folder / "logs" / "controller.log"
        with log.open("w") as stderr:
            command = [*FAIRLEAD, "controller", "--kubeconfig", str(kubeconfig), *options]
            process = subprocess.Popen(command, stderr=stderr)
        try:
            yield process, log
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def controller(self, *options: str) -> Iterator[Path]:
        """The same, once it knows the cluster; it must end well. Yields the log."""
        with self.started(*options) as (process, log):
            wait_for(lambda: '"synced"' in log.read_text(), 60, "the controller to know the cluster")
            yield log
            process.terminate()
            assert process.wait(30) == 0


FAIRLEAD = [sys.executable, "-c", "from fairlead.cli import main; main()"]


def hardware() -> list[Json]:
    """The nodes, slices and classes of the cluster."""
    made: list[Json] = []
    for node in ("node-1", "node-2"):
        made.append(fake_node(node))
        for kind in ("gpu", "nic"):
            devices = [{"name": f"{kind}-{number}"} for number in range(8)]
            made.append(fake_slice(node, f"{kind}.example.com", devices, kind))
    for kind in ("gpu", "nic"):
        selector = f'device.driver == "{kind}.example.com"'
        made.append(device_class(kind, selector, extendedResourceName=f"example.com/{kind}"))
    return made


def requests(*classes: str) -> Json:
    """The spec of a claim with a request for one device of each class, or `a|b` for one of either."""
    made = []
    for number, one in enumerate(classes):
        name = f"r{number}"
        if "|" in one:
            each = [{"name": f"s{n}", "deviceClassName": part} for n, part in enumerate(one.split("|"))]
            made.append({"name": name, "firstAvailable": each})
        else:
            made.append({"name": name, "exactly": {"deviceClassName": one}})
    return {"devices": {"requests": made}}


def claim(namespace: str, name: str, *classes: str) -> Json:
    """A claim that stands alone."""
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": metadata,
        "spec": requests(*classes),
    }


def template(namespace: str, name: str, *classes: str) -> Json:
    """A template of claims."""
    return {**claim(namespace, name), "kind": "ResourceClaimTemplate", "spec": {"spec": requests(*classes)}}


def pod(namespace: str, name: str, *, claim: str = "", template: str = "", **spec: Any) -> Json:
    """A pod, with one claim where one is named."""
    use = {"resourceClaimName": claim} if claim else {"resourceClaimTemplateName": template}
    container: Json = {"name": "main", "image": "none"}
    if claim or template:
        container["resources"] = {"claims": [{"name": "devices"}]}
        spec["resourceClaims"] = [{"name": "devices", **use}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [container], **spec},
    }


def said(api: Api, thing: Mapping[str, Any]) -> str:
    """What the server says against an object; empty where it would make it."""
    try:
        api.create(thing, dry_run=True)
    except ApiError as error:
        return error.message
    return ""


def refused(api: Api, path: str, change: object, content_type: str = "application/merge-patch+json") -> str:
    """What the server says against a patch; empty where it makes it."""
    try:
        api.patch(path, change, content_type)
    except ApiError as error:
        return error.message
    return ""


def bound(api: Api, namespace: str) -> list[str]:
    """The pods that have a node."""
    pods = api.items(f"/api/v1/namespaces/{namespace}/pods")
    return [one["metadata"]["name"] for one in pods if one["spec"].get("nodeName")]


def allocated(api: Api, namespace: str) -> list[str]:
    """The claims that have devices."""
    claims = api.items(f"{GROUP}/namespaces/{namespace}/resourceclaims")
    return [one["metadata"]["name"] for one in claims if one.get("status", {}).get("allocation")]


def told(api: Api, namespace: str, name: str) -> str:
    """What Events say of a pod, a line each."""
    events = api.items(f"/api/v1/namespaces/{namespace}/events")
    return "\n".join(one["message"] for one in events if one["involvedObject"]["name"] == name)
