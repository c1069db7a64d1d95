"""A real node with simulated devices, and what its tests do there and look at.

The driver runs on the node's machine with its default folders, as an account that has the documented rights and a token
of a pod of that node. What it did is looked at from outside, through the machine's root; symbolic links there lead to
our own root, so the paths are those behind them (`run/cdi`, not `var/run/cdi`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from node_objects import DRIVERS, GPU, NET, NULL, SHARED, claim_of, container, requests_of, variable

from kube import Api, ApiError, ControlPlane, MissingProgramError, RealNode, find_programs, why_not
from kube.api import wait_for
from kube.binaries import CONTROL_PLANE, NODE

SECONDS = 60.0
NOTHING = {"CDI files": [], "prepared": [{}, {}, {}], "metadata": []}
"""What is left of claims that have gone."""


def need_a_node() -> None:
    """Skips the test where the programs are not, or where this machine can have no node."""
    try:
        find_programs((*CONTROL_PLANE, *NODE))
    except MissingProgramError as error:
        pytest.skip(str(error))
    if reason := why_not():
        pytest.skip(reason)


def end(request: pytest.FixtureRequest, failed_before: int, plane: ControlPlane, node: RealNode | None) -> None:
    """Stops node and control plane; when a test failed since then, or their start, the folders with the logs stay."""
    failed = request.session.testsfailed > failed_before or sys.exc_info()[0] is not None
    if node is not None:
        node.stop(keep=failed)
    plane.stop(keep=failed)
    if failed:
        folders = [plane.folder, *([node.folder] if node is not None else [])]
        lines = "".join(f"\nlogs are in {folder / 'logs'}" for folder in folders)
        request.config.get_terminal_writer().line(lines)


class Stage:
    """One node, its control plane, and a namespace for a test."""

    def __init__(self, plane: ControlPlane, node: RealNode) -> None:
        self.plane = plane
        self.api: Api = plane.api
        self.node = node
        self.namespace = ""
        self.gates: list[dict[str, str]] = []
        """Scheduling gates of the pods that are made: with the gate Fairlead allocates, without kube-scheduler."""
        self.faults = node.folder / "faults.yaml"
        self.faults.write_text("[]")
        self.hardware = node.folder / "hardware.yaml"

    def enter(self, request: pytest.FixtureRequest) -> None:
        """Makes a namespace for a test, which is named after it."""
        name = request.node.name.lower().translate(str.maketrans("_[.", "---", "]"))
        self.namespace = self.plane.namespace(name[:60].strip("-"))

    def leave(self) -> None:
        """Deletes the pods of the test."""
        self.delete(*(one["metadata"]["name"] for one in self.api.items(self.path("pods"))))

    # Drivers

    def start_driver(self, uid: str = "") -> str:
        """Starts `fairlead node` with simulated hardware, and returns once kubelet has taken all of its drivers."""
        name = f"driver-{uid}" if uid else "driver"
        before = len(self.told(name, "registered"))
        kubeconfig = str(self.plane.folder / "driver.kubeconfig")
        argv = [sys.executable, "-c", "from fairlead.cli import main; main()", "node", "--kubeconfig", kubeconfig]
        argv += ["--driver", f"simulated={self.hardware},faults={self.faults},recover=4"]
        argv += ["--node-name", self.node.name, *(["--pod-uid", uid] if uid else [])]
        self.node.run(name, argv)
        self.registered(name, before)
        return name

    def registered(self, name: str, before: int) -> None:
        """Waits until kubelet has taken all drivers of a process once more than it had before."""
        self.wait(lambda: len(self.told(name, "registered")) >= before + len(DRIVERS), f"kubelet to take {name}")

    def repair(self) -> None:
        """Starts what a test that failed has left stopped."""
        if not self.node.runs("containerd"):
            self.node.run_containerd()
        if not self.node.runs("kubelet"):
            self.node.run_kubelet()
        if not self.node.runs("driver"):
            for name in ("driver-old", "driver-new", "driver"):
                self.node.halt(name)
            self.start_driver()

    def told(self, name: str, event: str) -> list[dict[str, Any]]:
        """What a driver's log has of an event."""
        log = self.node.log(name)
        lines = log.read_text().rpartition("\n")[0].splitlines() if log.exists() else []
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def script(self, text: str) -> None:
        """What fails from now on."""
        self.faults.write_text(text)

    # Objects

    def path(self, kind: str, name: str = "") -> str:
        base = "/apis/resource.k8s.io/v1" if kind.startswith("resource") else "/api/v1"
        return f"{base}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def claim(self, name: str, **requests: str) -> None:
        """Makes a claim: device classes by request."""
        self.claim_of(name, {"requests": requests_of(requests)})

    def claim_of(self, name: str, devices: Mapping[str, Any]) -> None:
        """Makes a claim of the `devices` of its spec."""
        self.api.create(self._claim("ResourceClaim", name, {"devices": devices}))

    def template(self, name: str, **requests: str) -> None:
        """Makes a template of such claims."""
        spec = {"spec": {"devices": {"requests": requests_of(requests)}}}
        self.api.create(self._claim("ResourceClaimTemplate", name, spec))

    def pod(
        self,
        name: str,
        containers: Mapping[str, Sequence[str]],
        claims: Mapping[str, str],
        limits: Mapping[str, Mapping[str, str]] | None = None,
        **more: Any,
    ) -> None:
        """Makes a pod.

        Args:
            name: its name.
            containers: the claims of each container by the pod's name for them, as CLAIM or CLAIM/REQUEST.
            claims: the pod's claims: names of claims, or of templates with a `*` before them.
            limits: limits of containers.
            more: further fields of its spec.
        """
        spec = {
            "hostNetwork": True,
            "terminationGracePeriodSeconds": 5,
            "schedulingGates": self.gates,
            "containers": [
                container(key, {"claims": [claim_of(one) for one in names], "limits": (limits or {}).get(key, {})})
                for key, names in containers.items()
            ],
            "resourceClaims": [
                {"name": key, "resourceClaimTemplateName": value[1:]}
                if value.startswith("*")
                else {"name": key, "resourceClaimName": value}
                for key, value in claims.items()
            ],
            **more,
        }
        metadata = {"name": name, "namespace": self.namespace}
        self.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def delete(self, *pods: str) -> None:
        """Deletes pods and waits until they are gone."""
        for name in pods:
            self.api.delete(self.path("pods", name))
        for name in pods:
            self.wait(lambda name=name: not self.exists("pods", name), f"pod {name} to be gone")  # type: ignore[misc]

    def exists(self, kind: str, name: str) -> bool:
        try:
            self.api.get(self.path(kind, name))
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    def events(self, pod: str) -> list[str]:
        found = self.api.items(self.path("events"))
        return [one["message"] for one in found if one["involvedObject"]["name"] == pod]

    def uid(self, claim: str) -> str:
        uid: str = self.api.get(self.path("resourceclaims", claim))["metadata"]["uid"]
        return uid

    def claim_names(self, pod: str) -> dict[str, str]:
        """The claims of a pod, by its own names for them."""
        found = self.api.get(self.path("pods", pod))
        made = found["status"].get("resourceClaimStatuses", ())
        named = [one for one in found["spec"]["resourceClaims"] if "resourceClaimName" in one]
        return {one["name"]: one["resourceClaimName"] for one in (*made, *named)}

    def results(self, pod: str) -> dict[str, str]:
        """The devices of a pod: by CLAIM/REQUEST of the pod, DRIVER/DEVICE."""
        made = {}
        for key, name in self.claim_names(pod).items():
            claim = self.api.get(self.path("resourceclaims", name))
            for result in claim["status"]["allocation"]["devices"]["results"]:
                made[f"{key}/{result['request']}"] = f"{result['driver']}/{result['device']}"
        return made

    # What runs

    def status(self, pod: str) -> dict[str, dict[str, Any]]:
        """The status of each container of a pod."""
        found = self.api.get(self.path("pods", pod))
        return {one["name"]: one for one in found["status"].get("containerStatuses", ())}

    def running(self, *pods: str) -> None:
        """Waits until all containers of pods run.

        Raises:
            TimeoutError: they do not; the message says what kubelet said of it.
        """
        for pod in pods:
            try:
                self.wait(lambda pod=pod: self._runs(pod), f"pod {pod} to run")  # type: ignore[misc]
            except TimeoutError as error:
                raise TimeoutError(f"{error}: {self.events(pod)}") from None

    def containers(self, pod: str) -> dict[str, str]:
        """The ID of each container of a pod."""
        return {name: one["containerID"] for name, one in self.status(pod).items()}

    def report(self, pod: str, container: str) -> dict[str, Any]:
        """What a container says it was given."""
        report: dict[str, Any] = json.loads(self.node.execute(self.containers(pod)[container], "/guest", "report"))
        assert report["problem"] == ""
        return report

    def printed(self, pod: str, container: str) -> dict[str, Any]:
        """What a container that may have ended has printed."""
        uid = self.api.get(self.path("pods", pod))["metadata"]["uid"]
        log = self.node.root / "var/log/pods" / f"{self.namespace}_{pod}_{uid}" / container / "0.log"
        report: dict[str, Any] = json.loads(log.read_text().split(" ", 3)[3])
        return report

    def given(self, pod: str) -> dict[str, dict[str, str]]:
        """The devices in each container of a pod: the device of each node, and the request of its variable.

        Both must be there, and the node must be one that the container may open.
        """
        made = {}
        for name in self.containers(pod):
            report = self.report(pod, name)
            assert all(device == NULL for device in report["devices"].values())
            variables = {key: value for key, value in report["env"].items() if key.startswith("SIMULATED_")}
            devices = {variable(one): one for one in report["devices"]}
            named = {next(key for key in variables if key.endswith(end)): one for end, one in devices.items()}
            assert named.keys() == variables.keys()
            made[name] = {device: variables[key] for key, device in named.items()}
        return made

    def prepared(self) -> dict[str, dict[str, str]]:
        """Of each driver the claims that it has prepared, and their states."""
        made = {}
        for driver in DRIVERS:
            path = self.node.root / "var/lib/kubelet/plugins" / driver / "prepared.json"
            claims = json.loads(path.read_bytes().split(b"\n", 1)[1])["claims"] if path.exists() else {}
            made[driver] = {uid: record["state"] for uid, record in claims.items()}
        return made

    def being_prepared(self) -> bool:
        """Whether a claim to a GPU is being prepared."""
        return "started" in self.prepared()[GPU].values()

    def specs(self) -> list[str]:
        """The CDI files."""
        folder = self.node.root / "run/cdi"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def leftovers(self) -> dict[str, Any]:
        """What is there of claims on the node."""
        made: dict[str, Any] = {"CDI files": self.specs(), "prepared": [*self.prepared().values()]}
        made["metadata"] = [
            str(path)
            for driver in DRIVERS
            for path in (self.node.root / "var/lib/kubelet/plugins" / driver / "dra-device-metadata").glob("*")
        ]
        return made

    def published(self) -> dict[str, list[dict[str, Any]]]:
        """The devices of each driver's slices."""
        made: dict[str, list[dict[str, Any]]] = {}
        for item in self.api.items("/apis/resource.k8s.io/v1/resourceslices"):
            made.setdefault(item["spec"]["driver"], []).extend(item["spec"].get("devices", ()))
        return made

    def all_published(self) -> bool:
        return {driver: len(devices) for driver, devices in self.published().items()} == {GPU: 8, NET: 8, SHARED: 1}

    def wait(self, true: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        wait_for(true, seconds, what, pause=0.1)

    def _runs(self, pod: str) -> bool:
        found = self.api.get(self.path("pods", pod))
        states = self.status(pod)
        return len(states) == len(found["spec"]["containers"]) and all(
            "running" in one["state"] for one in states.values()
        )

    def _claim(self, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
