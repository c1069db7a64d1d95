"""Interfaces go into pods and come back, by the network driver's hook in a real runtime.

Real are kube-scheduler, kubelet, containerd, runc and what is moved: interfaces of this machine's kernel (veth and
macvlan, for it makes no others and cards are not at hand) into network namespaces that containerd makes. The CNI plugin
is a script of this test: it brings `lo` up and tells an address that no interface has, so a pod has what the hook gave
it and nothing else. Interfaces that the kernel makes end with their namespace, where hardware comes back by itself;
that path is tried in `tests/drivers/network/test_hook.py`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from node_objects import driver_access
from stage import Stage, end, need_a_node

from kube import ControlPlane, RealNode, device_class, find_programs
from kube.binaries import NODE
from kube.node_config import SOCKET
from tests.drivers.network.kernel import links, needs_kernel, shell

pytestmark = [pytest.mark.node, needs_kernel()]

DRIVER = "dra.net"
MAIN = "from fairlead.cli import main; main()"
CNI = """\
#!/bin/sh
# Loopback, and the answer that a runtime wants of a network: versions 1.0.0 of CNI's specification.
case "$CNI_COMMAND" in
ADD)
    nsenter --net="$CNI_NETNS" ip link set lo up || exit 1
    echo '{"cniVersion": "1.0.0", "interfaces": [{"name": "'"$CNI_IFNAME"'", "sandbox": "'"$CNI_NETNS"'"}],
           "ips": [{"address": "192.0.2.9/32", "interface": 0}]}'
    ;;
VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0"]}' ;;
esac
"""
NOTHING: dict[str, Any] = {"CDI files": [], "prepared": {}, "kept": [], "namespaces": []}


class Cards(Stage):
    """The node with a driver of three interfaces."""

    def __init__(self, plane: ControlPlane, node: RealNode) -> None:
        super().__init__(plane, node)
        name = f"fl{uuid.uuid4().hex[:6]}"
        self.up, self.down, self.shared = f"{name}u", f"{name}d", f"{name}s"
        """An interface that is up, with addresses and a route; one that is switched off; one that claims share."""
        self.before: dict[str, Any] = {}

    def plug(self) -> None:
        """Makes the interfaces."""
        for one in (self.up, self.shared):
            shell(f"ip link add {one} type veth peer name {one}p && ip link set {one} up && ip link set {one}p up")
        shell(f"ip link set {self.up} mtu 1400")
        shell(f"ip addr add 198.51.100.5/24 dev {self.up}")
        # Of two routes to one place with the same metric the kernel takes one: other tests may run beside these.
        metric = int(self.up[2:8], 16)
        shell(f"ip route add 203.0.113.0/24 via 198.51.100.1 dev {self.up} metric {metric}")
        shell(f"ip link add link {self.up}p name {self.down} type macvlan mode bridge")
        self.before = {one: state(one) for one in (self.up, self.down)}

    def unplug(self) -> None:
        """Removes them."""
        for one in (f"{self.up}p", f"{self.shared}p", self.down):
            subprocess.run(["ip", "link", "del", one], capture_output=True, check=False)

    def start_driver(self, uid: str = "") -> str:
        before = len(self.told("driver", "registered"))
        names = f"{self.up}+{self.down}+{self.shared}"
        settings = f"network=only={names},virtual={names},share={self.shared}"
        argv = [sys.executable, "-c", MAIN, "node", "--driver", settings, "--node-name", self.node.name]
        argv += ["--kubeconfig", str(self.plane.folder / "driver.kubeconfig")]
        self.node.run("driver", argv)
        self.wait(lambda: len(self.told("driver", "registered")) > before, "kubelet to take the driver")
        return "driver"

    def stop_driver(self) -> None:
        """Kills it."""
        self.node.signal("driver", signal.SIGKILL)
        assert self.node.halt("driver") == -signal.SIGKILL

    def nic(self, claim: str, card: str, **parameters: Any) -> None:
        """Makes a claim for an interface."""
        chosen = {"cel": {"expression": f'device.attributes["{DRIVER}"].ifName == "{card}"'}}
        request = {"name": "nic", "exactly": {"deviceClassName": DRIVER, "selectors": [chosen]}}
        config = [{"opaque": {"driver": DRIVER, "parameters": parameters}}] if parameters else []
        self.claim_of(claim, {"requests": [request], "config": config})

    def connected(self, name: str, claim: str, *containers: str) -> None:
        """A pod in a network namespace of its own, whose containers have a claim."""
        self.pod(name, {one: [claim] for one in containers or ("c",)}, {claim: claim}, hostNetwork=False)

    def process(self, container: str) -> str:
        """The process of a container, or of a sandbox, on the machine."""
        ctr = [str(find_programs(NODE)["ctr"]), "--address", SOCKET, "--namespace", "k8s.io"]
        tasks = [line.split() for line in self.node.do(*ctr, "task", "ls").stdout.splitlines()]
        return next(row[1] for row in tasks if row[0] == container.removeprefix("containerd://"))

    def inside(self, pod: str, command: str, container: str = "c") -> str:
        """What a command prints in the network namespace of a pod."""
        where = f"--net=/proc/{self.process(self.containers(pod)[container])}/ns/net"
        done = self.node.do("nsenter", where, *command.split())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def interfaces(self, pod: str, container: str = "c") -> dict[str, Any]:
        """The interfaces of a pod, as a container of it has them."""
        return {one["ifname"]: one for one in json.loads(self.inside(pod, "ip -json -d addr", container))}

    def sandbox(self, pod: str) -> str:
        """The ID of a pod's sandbox that runs."""
        ctr = [str(find_programs(NODE)["ctr"]), "--address", SOCKET, "--namespace", "k8s.io"]
        uid = self.api.get(self.path("pods", pod))["metadata"]["uid"]
        chosen = f'labels."io.kubernetes.pod.uid"=={uid},labels."io.cri-containerd.kind"==sandbox'
        running = {line.split()[0] for line in self.node.do(*ctr, "task", "ls").stdout.splitlines()}
        found = self.node.do(*ctr, "containers", "ls", "-q", chosen).stdout.split()
        return next((one for one in found if one in running), "")

    def leftovers(self) -> dict[str, Any]:
        plugin = self.node.root / "var/lib/kubelet/plugins" / DRIVER
        state_file = plugin / "prepared.json"
        prepared = json.loads(state_file.read_bytes().split(b"\n", 1)[1])["claims"] if state_file.exists() else {}
        kept = sorted(str(one.relative_to(plugin)) for one in (plugin / "network").glob("*/*"))
        names = self.node.do("sh", "-c", "ls /run/netns 2>/dev/null").stdout.split()
        return {"CDI files": self.specs(), "prepared": prepared, "kept": kept, "namespaces": names}

    def clean(self) -> None:
        """Waits until nothing is left of the claims, and all interfaces are on the node as they were."""
        self.wait(lambda: self.leftovers() == NOTHING, f"nothing to be left, there is {self.leftovers()}", 30)
        assert {one: state(one) for one in self.before} == self.before
        children = [name for name, one in links().items() if one.get("link") == self.shared]
        assert children in ([f"{self.shared}p"], [])


def state(interface: str) -> Any:
    """How an interface is on the node; None where it is not there."""
    link = links().get(interface)
    if link is None:
        return None
    addresses = sorted(f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global")
    routes = sorted(one.strip() for one in shell(f"ip route show dev {interface}").splitlines())
    return "UP" in link["flags"], link["mtu"], link["address"], link.get("ifalias"), addresses, routes


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Cards]:
    """The node with the driver, as long as the tests of this module run."""
    pytest.importorskip("pyroute2", reason="needs pyroute2 (pip install 'fairlead[network]')")
    need_a_node()
    plane, node, cards = ControlPlane(), None, None
    before = request.session.testsfailed
    plane.start()
    try:
        plane.api.create(device_class(DRIVER, f'device.driver == "{DRIVER}"'))
        node = RealNode(plane)
        node.create()
        plugin = node.folder / "etc/cni/loopback"
        plugin.write_text(CNI)
        plugin.chmod(0o755)
        node.start()
        driver_access(plane, node, DRIVER)
        cards = Cards(plane, node)
        cards.plug()
        cards.start_driver()
        cards.wait(lambda: len(cards.published().get(DRIVER, ())) == 3, "the slice")
        yield cards
    finally:
        end(request, before, plane, node)
        if cards is not None:
            cards.unplug()


@pytest.fixture
def cards(running: Cards, request: pytest.FixtureRequest) -> Iterator[Cards]:
    """The node with an empty namespace; nothing may be left of the test's pods."""
    running.enter(request)
    yield running
    if not running.node.runs("driver"):
        running.start_driver()
    running.leave()
    running.clean()


def test_an_interface_goes_into_a_pod_and_comes_back(cards: Cards) -> None:
    interface = {"name": "net1", "mtu": 1300, "addresses": ["192.168.7.2/24", "fd00:7::2/64"]}
    cards.nic("nic", cards.up, interface=interface, routes=[{"destination": "10.0.0.0/8", "gateway": "192.168.7.1"}])
    cards.connected("p", "nic")
    cards.running("p")
    found = cards.interfaces("p")
    assert found.keys() == {"lo", "net1"}
    assert (found["net1"]["mtu"], "UP" in found["net1"]["flags"]) == (1300, True)
    addresses = {f"{one['local']}/{one['prefixlen']}" for one in found["net1"]["addr_info"] if one["scope"] == "global"}
    assert addresses == {"192.168.7.2/24", "fd00:7::2/64"}
    assert "10.0.0.0/8 via 192.168.7.1 dev net1" in cards.inside("p", "ip route")
    assert cards.up not in links()
    assert len(cards.published()[DRIVER]) == 3, "a device that a pod has is published as before"
    told = cards.api.get(cards.path("resourceclaims", "nic"))["status"]["devices"][0]["networkData"]
    assert (told["interfaceName"], told["ips"]) == ("net1", ["192.168.7.2/24", "fd00:7::2/64"])
    cards.delete("p")
    cards.clean()


@pytest.mark.parametrize("card", ["up", "down"])
def test_it_keeps_its_name_and_the_next_pod_has_it_again(cards: Cards, card: str) -> None:
    name = getattr(cards, card)
    for pod in ("first", "second"):
        cards.nic(f"of-{pod}", name)
        cards.connected(pod, f"of-{pod}")
        cards.running(pod)
        link = cards.interfaces(pod)[name]
        addresses = [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global"]
        assert (link["mtu"], addresses) == (cards.before[name][1], cards.before[name][4])
        assert "UP" in link["flags"]
        assert name not in links()
        cards.delete(pod)
        cards.clean()
        cards.api.delete(cards.path("resourceclaims", f"of-{pod}"))


def test_a_pod_waits_for_the_one_before_it(cards: Cards) -> None:
    cards.nic("nic", cards.up, interface={"name": "net1"})
    cards.connected("first", "nic")
    cards.running("first")
    cards.nic("again", cards.up, interface={"name": "net1"})
    cards.connected("second", "again")
    cards.delete("first")
    cards.api.delete(cards.path("resourceclaims", "nic"))
    cards.running("second")
    assert "net1" in cards.interfaces("second")


def test_shares_of_an_interface_are_in_two_pods_at_once(cards: Cards) -> None:
    for number, pod in enumerate(("first", "second")):
        cards.nic(pod, cards.shared, interface={"name": "net1", "addresses": [f"192.168.9.{number + 1}/24"]})
        cards.connected(pod, pod)
    cards.running("first", "second")
    found = {pod: cards.interfaces(pod)["net1"] for pod in ("first", "second")}
    assert {one["linkinfo"]["info_kind"] for one in found.values()} == {"macvlan"}
    assert len({one["address"] for one in found.values()}) == 2
    assert cards.shared in links()
    cards.delete("first")
    assert "net1" in cards.interfaces("second"), "the end of one pod leaves the other's share"


def test_containers_that_are_killed_start_again_with_it(cards: Cards) -> None:
    cards.nic("nic", cards.up, interface={"name": "net1", "addresses": ["192.168.7.2/24"]})
    cards.connected("p", "nic", "one", "two")
    cards.running("p")
    before = cards.containers("p")
    for name in ("one", "two"):
        cards.node.kill(before[name])
    cards.wait(lambda: not set(before.values()) & set(cards.containers("p").values()), "other containers")
    cards.running("p")
    for name in ("one", "two"):
        found = cards.interfaces("p", name)["net1"]["addr_info"]
        assert [one["local"] for one in found if one["family"] == "inet"] == ["192.168.7.2"]


def test_a_sandbox_that_is_killed_is_followed_by_one_with_it(cards: Cards) -> None:
    cards.nic("nic", cards.up, interface={"name": "net1", "mtu": 1300, "addresses": ["192.168.7.2/24"]})
    cards.connected("p", "nic")
    cards.running("p")
    before, container = cards.sandbox("p"), cards.containers("p")
    cards.node.kill(before)
    cards.wait(lambda: cards.sandbox("p") not in ("", before), "another sandbox")
    cards.wait(lambda: cards.containers("p") != container, "another container")
    cards.running("p")
    link = cards.interfaces("p")["net1"]
    addresses = [one["local"] for one in link["addr_info"] if one["family"] == "inet"]
    assert (link["mtu"], addresses) == (1300, ["192.168.7.2"])


def test_everything_of_a_pod_is_killed(cards: Cards) -> None:
    cards.nic("nic", cards.up, interface={"name": "net1"})
    cards.connected("p", "nic")
    cards.running("p")
    sandbox = cards.sandbox("p")
    for one in (cards.containers("p")["c"], sandbox):
        cards.node.kill(one)
    cards.delete("p")
    cards.clean()


@pytest.mark.parametrize("deleted", [False, True])
def test_the_driver_is_killed_while_a_pod_has_it(cards: Cards, deleted: bool) -> None:
    cards.nic("nic", cards.up, interface={"name": "net1"})
    cards.connected("p", "nic")
    cards.running("p")
    cards.stop_driver()
    if deleted:
        cards.api.delete(cards.path("pods", "p"))
        cards.wait(lambda: cards.sandbox("p") == "", "the sandbox to end")
    cards.start_driver()
    if not deleted:
        assert "net1" in cards.interfaces("p"), "a new instance leaves it where it is"
        assert len(cards.published()[DRIVER]) == 3
    cards.delete("p")
    cards.clean()


def test_what_the_hook_cannot_do_is_told_and_ends_with_the_pod(cards: Cards) -> None:
    # The name is that of the pod's own loopback.
    cards.nic("nic", cards.up, interface={"name": "lo"})
    cards.connected("p", "nic")
    reason = "the pod has an interface lo already"
    cards.wait(lambda: any(reason in one for one in cards.events("p")), "an event with the reason")
    cards.delete("p")
    cards.clean()


def test_a_device_that_is_lost_while_a_pod_has_it_and_comes_again(cards: Cards) -> None:
    # A veth ends with its other end.
    cards.nic("nic", cards.shared, interface={"name": "net1"})
    cards.connected("p", "nic")
    cards.running("p")
    shell(f"ip link del {cards.shared}p")
    cards.wait(lambda: len(cards.published()[DRIVER]) == 2, "the device to be taken from the slice")
    assert "net1" not in cards.interfaces("p")
    cards.delete("p")
    cards.clean()
    shell(f"ip link add {cards.shared} type veth peer name {cards.shared}p")
    shell(f"ip link set {cards.shared} up && ip link set {cards.shared}p up")
    cards.wait(lambda: len(cards.published()[DRIVER]) == 3, "the device to be back in the slice")
