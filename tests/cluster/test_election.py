"""Two controllers on a real control plane, of which one leads: killed, told to stop, cut off.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from running import RULES, bound, held_twice, nodes, pod, template

from kube import ControlPlane, add_cluster
from kube.api import wait_for

pytestmark = pytest.mark.cluster

SYSTEM = "elections"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/fairlead-controller"
LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "patch"]}


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """The control plane, with the controller's account and namespace."""
    kubeconfig = control_plane.folder / "elected.kubeconfig"
    if not kubeconfig.exists():  # other modules use it, too
        control_plane.namespace(SYSTEM)
        control_plane.service_account("fairlead-elected", [*RULES, LEASES]).write_kubeconfig(kubeconfig)
    return control_plane


class Replica:
    """A controller that takes part in the election, with a log of its own."""

    def __init__(self, plane: ControlPlane, name: str, *options: str) -> None:
        self.log = plane.folder / "logs" / f"fairlead-{name}.log"
        command = [sys.executable, "-c", "from fairlead.cli import main; main()", "controller", "--leader-elect"]
        kubeconfig = str(plane.folder / "elected.kubeconfig")
        command += ["--kubeconfig", kubeconfig, "--lease-namespace", SYSTEM, *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What it has logged under a name."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if line["event"] == name]

    def until(self, event: str, seconds: float = 40) -> None:
        """Waits until it has logged an event."""
        wait_for(lambda: self.events(event), seconds, f"{self.log.name}: {event}")

    def kill(self) -> None:
        """As the kernel does it when there is no memory."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As kubelet does it."""
        self.process.terminate()
        return self.process.wait(20)


@contextmanager
def replicas(plane: ControlPlane, test: str) -> Iterator[Callable[..., Replica]]:
    """Starts replicas; none stays behind, nor the Lease."""
    started: list[Replica] = []

    def start(name: str, *options: str) -> Replica:
        started.append(Replica(plane, f"{test}-{name}", *options))
        return started[-1]

    try:
        yield start
    finally:
        for replica in started:
            replica.kill()
        if plane.api.items(LEASE.rpartition("/")[0]):
            plane.api.delete(LEASE)


@contextmanager
def nothing_held_twice(plane: ControlPlane) -> Iterator[None]:
    """Looks all the time."""
    wrong: list[Any] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            wrong.extend(held_twice(plane.api))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        done.set()
        looking.join()
    assert wrong == []
    assert held_twice(plane.api) == []


def test_when_the_leader_is_killed_the_other_goes_on(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("replicas")
    add_cluster(api, nodes(16, "rep"))
    for count in (1, 4):
        api.create(template(namespace, "rep", count))
    made = [pod(namespace, f"single-{number}", "rep-1") for number in range(40)]
    for gang in range(6):
        labels = {"fairlead.dev/group": f"g{gang}", "fairlead.dev/group-size": "2"}
        made += [pod(namespace, f"g{gang}-{number}", "rep-4", labels) for number in range(2)]
    with replicas(plane, "killed") as start, nothing_held_twice(plane):
        first = start("first")
        first.until("leading")
        second = start("second")
        second.until("standing by")
        second.until("synced")
        api.create_all(made[::2])
        first.until("opened")
        first.kill()
        killed = time.monotonic()
        api.create_all(made[1::2])
        second.until("leading")
        assert time.monotonic() - killed > 5, "not before the lease has run out"
        assert second.events("leading")[0]["after"] == first.events("leading")[0]["identity"]
        wait_for(lambda: len(bound(api, namespace)) == len(made), 60, "every pod to be bound")
        assert not any(second.events(event) for event in ("refused", "lead lost"))
        spec = api.get(LEASE)["spec"]
        assert spec["holderIdentity"] == second.events("leading")[0]["identity"]
        assert spec["leaseTransitions"] == 1


def test_a_leader_that_is_told_to_stop_hands_over_at_once(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("handed")
    add_cluster(api, nodes(2, "hand"))
    api.create(template(namespace, "hand", 1))
    with replicas(plane, "handed") as start, nothing_held_twice(plane):
        first = start("first")
        first.until("leading")
        second = start("second")
        second.until("synced")
        api.create(pod(namespace, "before", "hand-1"))
        wait_for(lambda: "before" in bound(api, namespace), 30, "the first pod to be bound")
        assert first.stop() == 0
        stopped = time.monotonic()
        assert first.events("released")
        api.create(pod(namespace, "after", "hand-1"))
        second.until("leading")
        assert time.monotonic() - stopped < 10, "long before the lease would have run out"
        wait_for(lambda: "after" in bound(api, namespace), 30, "the second pod to be bound")
        assert "after" not in second.events("leading")[0]


def test_without_the_right_to_the_lease_nothing_is_written_and_the_log_says_why(plane: ControlPlane) -> None:
    account = plane.service_account("fairlead-no-lease", RULES)
    kubeconfig = account.write_kubeconfig(plane.folder / "no-lease.kubeconfig")
    with replicas(plane, "forbidden") as start:
        replica = start("only", "--kubeconfig", str(kubeconfig))
        replica.until("lease not reached")
        assert "cannot get resource" in replica.events("lease not reached")[0]["problem"]
        replica.until("synced")
        assert not replica.events("leading")
        assert replica.stop() == 0


def test_what_is_in_a_lease_besides_stays_there(plane: ControlPlane) -> None:
    api = plane.api
    with replicas(plane, "fields") as start:
        replica = start("only")
        replica.until("leading")
        api.patch(LEASE, {"metadata": {"labels": {"kept": "yes"}}})
        wait_for(lambda: api.get(LEASE)["spec"]["renewTime"] > replica.events("leading")[0]["time"], 20, "a renewal")
        time.sleep(3)
        assert not replica.events("lead lost")
        assert api.get(LEASE)["metadata"]["labels"] == {"kept": "yes"}
        assert replica.stop() == 0
        assert "holderIdentity" not in api.get(LEASE)["spec"]


def test_a_leader_that_is_cut_off_stops_writing_and_comes_back(plane: ControlPlane) -> None:
    """The API server stands still for longer than a lead lasts."""
    api = plane.api
    namespace = plane.namespace("cut")
    add_cluster(api, nodes(2, "cut"))
    api.create(template(namespace, "cut", 1))
    with replicas(plane, "cut") as start, nothing_held_twice(plane):
        replica = start("only")
        replica.until("leading")
        replica.until("synced")
        server = plane.pid("kube-apiserver")
        os.kill(server, signal.SIGSTOP)
        try:
            replica.until("lead lost")
        finally:
            os.kill(server, signal.SIGCONT)
        api.create(pod(namespace, "after", "cut-1"))
        wait_for(lambda: "after" in bound(api, namespace), 60, "the pod to be bound")
        identities = [event["identity"] for event in replica.events("leading")]
        assert len(set(identities)) == 2
        assert replica.stop() == 0
