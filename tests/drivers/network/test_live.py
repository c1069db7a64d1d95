"""The driver on this machine's kernel, from discovery to a container's hook and back."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest

from fairlead.drivers.network import Function, NetworkDriver, read_settings
from fairlead.drivers.network import live as live_module
from fairlead.drivers.network.door import Link
from fairlead.drivers.network.hook.rtnetlink import Netlink as Raw
from fairlead.drivers.network.live import LiveNetlink
from fairlead.hardware import HardwareError, LiveMachine
from tests.drivers.network.kernel import Pod, call_hook, let_go, links, needs_kernel, shell
from tests.drivers.network.node import Node, claim, opaque, result

try:
    import pyroute2
except ImportError:
    pyroute2 = None
needs_pyroute2 = pytest.mark.skipif(pyroute2 is None, reason="needs pyroute2 (pip install 'fairlead[network]')")


class Reading(LiveNetlink):
    """The live door, whose reading needs no library: enough for interfaces without virtual functions."""

    def links(self):
        with Raw() as here:
            return [
                Link(one.index, one.name, one.mac, one.mtu, "ether", "up" if one.up else "down", one.kind, one.alias)
                for one in here.links()
                if one.name != "lo"
            ]

    def defaults(self):
        return []

    def switch_mode(self, address):
        return ""


@pytest.fixture
def card():
    name = f"fl{uuid.uuid4().hex[:8]}"
    shell(f"ip link add {name} type veth peer name {name}p")
    shell(f"ip link set {name} mtu 1400 up && ip link set {name}p up && ip addr add 198.51.100.5/24 dev {name}")
    yield name
    let_go(name)
    subprocess.run(["ip", "link", "del", f"{name}p"], capture_output=True)


def make_driver(folder, card, netlink=None, **more):
    text = ",".join(
        [
            f"state={folder / 'state'}",
            f"virtual={card}",
            f"only={card}",
            *(f"{key}={value}" for key, value in more.items()),
        ]
    )
    return NetworkDriver(read_settings(text), "node-1", LiveMachine(), netlink or Reading())


def hooks_of(node, driver, uid):
    [edits] = node.edits(driver, uid).values()
    return [(Path(one["args"][2]), Path(one["args"][3])) for one in edits["hooks"]]


@needs_kernel()
def test_from_claim_to_pod_and_back(card, tmp_path):
    before = links()[card]
    driver = make_driver(tmp_path, card)
    node, pod = Node(tmp_path), Pod(tmp_path, named=True)
    try:
        engine = node.engine(driver)
        config = opaque("dra.net", {"interface": {"name": "net1", "mtu": 1300, "addresses": ["192.168.7.2/24"]}})
        engine.prepare(claim("u", [result("dra.net", card)], [config]), "u")
        for program, order in hooks_of(node, driver, "u"):
            assert call_hook(program, order, pod.state).returncode == 0
        assert pod.links()["net1"]["mtu"] == 1300
        assert [one.name for one in driver.discover().devices] == [card], "published while a pod has it"
        pod.stop()
        engine.unprepare("u")
        after = links()[card]
        for field in ("mtu", "address", "flags"):
            assert after[field] == before[field]
        assert [one["local"] for one in after["addr_info"] if one["scope"] == "global"] == ["198.51.100.5"]
        assert "ifalias" not in after
        assert not (tmp_path / "state" / "u").exists()
    finally:
        pod.remove()


@needs_kernel()
def test_shares_of_one_interface_in_two_pods(card, tmp_path):
    driver = make_driver(tmp_path, card, share=card)
    node = Node(tmp_path)
    engine = node.engine(driver)
    pods = {uid: Pod(tmp_path) for uid in "ab"}
    try:
        for number, (uid, pod) in enumerate(pods.items()):
            config = opaque("dra.net", {"interface": {"name": "net1", "addresses": [f"198.51.100.{20 + number}/24"]}})
            engine.prepare(claim(uid, [result("dra.net", card, shareID=f"share-{uid}")], [config]), uid)
            for program, order in hooks_of(node, driver, uid):
                assert call_hook(program, order, pod.state).returncode == 0
        addresses = {uid: pod.links()["net1"]["address"] for uid, pod in pods.items()}
        assert len(set(addresses.values())) == 2
        assert "1 received" in pods["a"].run("ping -c 1 -W 5 198.51.100.21") if _has("ping") else True
        for uid in "ab":
            engine.unprepare(uid)
        assert all("net1" not in pod.links() for pod in pods.values())
        assert "198.51.100.5" in json.dumps(links()[card])
    finally:
        for pod in pods.values():
            pod.remove()


@needs_kernel()
def test_the_driver_that_prepared_is_killed_and_another_undoes(card, tmp_path):
    node, pod = Node(tmp_path), Pod(tmp_path)
    try:
        driver = make_driver(tmp_path, card)
        node.engine(driver).prepare(claim("u", [result("dra.net", card)]), "u")
        for program, order in hooks_of(node, driver, "u"):
            assert call_hook(program, order, pod.state).returncode == 0
        assert card not in links()
        node.engine(make_driver(tmp_path, card)).unprepare("u")
        assert links()[card]["mtu"] == 1400
    finally:
        pod.remove()


@needs_kernel()
def test_the_pod_is_gone_before_the_claim_is(card, tmp_path):
    # As with kubelet, which ends the sandbox first.
    node, pod = Node(tmp_path), Pod(tmp_path)
    driver = make_driver(tmp_path, card)
    engine = node.engine(driver)
    engine.prepare(claim("u", [result("dra.net", card)]), "u")
    for program, order in hooks_of(node, driver, "u"):
        assert call_hook(program, order, pod.state).returncode == 0
    pod.remove()
    engine.unprepare("u")
    assert links()[card]["mtu"] == 1400
    assert not (tmp_path / "state" / "u").exists()


@needs_kernel()
def test_an_interface_that_is_gone_for_good_does_not_hold_the_claim(card, tmp_path):
    node, pod = Node(tmp_path), Pod(tmp_path)
    driver = make_driver(tmp_path, card)
    engine = node.engine(driver)
    engine.prepare(claim("u", [result("dra.net", card)]), "u")
    for program, order in hooks_of(node, driver, "u"):
        assert call_hook(program, order, pod.state).returncode == 0
    shell(f"ip link del {card}p")
    pod.remove()
    engine.unprepare("u")
    assert driver.discover().devices == []
    assert not (tmp_path / "state" / "u").exists()


def _has(program):
    return subprocess.run(["which", program], capture_output=True).returncode == 0


def test_without_the_library_the_reason_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyroute2", None)
    for ask in (LiveNetlink().links, LiveNetlink().defaults, lambda: LiveNetlink().switch_mode("0000:00:00.0")):
        with pytest.raises(HardwareError, match=r"pip install 'fairlead\[network\]'"):
            ask()


@needs_pyroute2
@needs_kernel()
def test_interfaces_are_read_as_the_kernel_has_them(card):
    shell(f"ip link set {card} alias 'cable 7'")
    found = {one.name: one for one in LiveNetlink().links()}
    link = found[card]
    assert (link.mtu, link.kind, link.alias, link.state) == (1400, "veth", "cable 7", "up")
    assert link.encapsulation == "ether"
    assert link.addresses == ("198.51.100.5/24",)
    assert link.mac == links()[card]["address"]
    assert found[f"{card}p"].under == link.index


@needs_pyroute2
@needs_kernel()
def test_an_alias_that_is_no_text_is_shown_as_far_as_it_can_be(card, tmp_path):
    subprocess.run([b"ip", b"link", b"set", card.encode(), b"alias", b"\xff\xfebad"], check=True)
    [device] = make_driver(tmp_path, card, LiveNetlink()).discover().devices
    assert device.attributes["dra.net/alias"].string == "\ufffd\ufffdbad"


@needs_pyroute2
@needs_kernel()
def test_members_and_children_are_told(card):
    bridge = f"fl{uuid.uuid4().hex[:8]}"
    shell(f"ip link add {bridge} type bridge && ip link set {card}p master {bridge}")
    shell(f"ip link add link {card} name {bridge}m type macvlan mode bridge")
    try:
        found = {one.name: one for one in LiveNetlink().links()}
        assert found[f"{card}p"].master == found[bridge].index
        assert found[f"{bridge}m"].under == found[card].index
    finally:
        shell(f"ip link del {bridge}m && ip link del {bridge}")


@needs_pyroute2
@needs_kernel()
def test_default_routes_are_those_of_the_kernel():
    told = {one["dev"] for one in json.loads(shell("ip -json route show default"))}
    told |= {one["dev"] for one in json.loads(shell("ip -6 -json route show default"))}
    names = {one.index: one.name for one in LiveNetlink().links()}
    assert {names[index] for index in LiveNetlink().defaults()} == told


@needs_pyroute2
@needs_kernel()
def test_a_function_without_a_switch_has_no_mode():
    assert LiveNetlink().switch_mode("0000:ff:1f.7") == ""


@needs_pyroute2
@needs_kernel()
def test_changes_wake_the_watch(card):
    stop, woken = threading.Event(), []
    thread = threading.Thread(target=lambda: woken.append(LiveNetlink().wait(stop, 30)))
    thread.start()
    for _ in range(20):
        time.sleep(0.2)
        shell(f"ip link set {card} mtu 1350 && ip link set {card} mtu 1400")
        if not thread.is_alive():
            break
    stop.set()
    thread.join()
    assert woken == [True]


@needs_pyroute2
@needs_kernel()
def test_what_a_card_refuses_is_named(card):
    with pytest.raises(HardwareError, match=f"{card}: VF 3: vlan: ") as error:
        LiveNetlink().set_function(card, Function(3), Function(3, vlan=100))
    assert error.value.code in {errno.errorcode[one] for one in (errno.EOPNOTSUPP, errno.EINVAL)} | {""}
    with pytest.raises(HardwareError, match="nowhere: is not on the node"):
        LiveNetlink().set_function("nowhere", Function(3), Function(3))


@needs_pyroute2
def test_settings_of_a_function_are_encoded_as_the_kernel_wants_them():
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.requests.link import LinkIPRouteFilter

    wanted = Function(3, "02:00:00:00:00:07", 100, 5, "802.1q", True, False, "enable", 0, 25000)
    names = [name for name, _ in live_module._settings(Function(3), wanted)]
    assert names == ["mac", "vlan", "spoofchk", "trust", "link state", "rate"]
    assert list(live_module._settings(wanted, wanted)) == [], "what is as it should be is not touched"
    encoded = {}
    for name, value in live_module._settings(Function(3), wanted):
        message = ifinfmsg()
        message["attrs"] = [("IFLA_VFINFO_LIST", LinkIPRouteFilter("set").get_vf({"vf": 3, **value}))]
        message.encode()
        encoded[name] = message.data.hex()
    # struct ifla_vf_vlan {vf, vlan, qos}, ifla_vf_rate {vf, min_tx_rate, max_tx_rate}: 32 bits each
    assert "10000200030000006400000005000000" in encoded["vlan"]
    assert "100006000300000000000000a8610000" in encoded["rate"]
    assert "0c0004000300000001000000" in encoded["spoofchk"]
    assert "0c0009000300000000000000" in encoded["trust"]
    assert "020000000007" in encoded["mac"]


@needs_pyroute2
def test_virtual_functions_are_read_from_the_kernels_answer():
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    rows = [
        ("IFLA_VF_MAC", {"vf": 3, "mac": "02:00:00:00:00:07"}),
        ("IFLA_VF_VLAN", {"vf": 3, "vlan": 100, "qos": 5}),
        ("IFLA_VF_SPOOFCHK", {"vf": 3, "spoofchk": 1}),
        ("IFLA_VF_LINK_STATE", {"vf": 3, "link_state": 1}),
        ("IFLA_VF_RATE", {"vf": 3, "min_tx_rate": 0, "max_tx_rate": 25000}),
        ("IFLA_VF_TRUST", {"vf": 3, "trust": 0}),
    ]
    message = ifinfmsg()
    message["attrs"] = [("IFLA_VFINFO_LIST", {"attrs": [("IFLA_VF_INFO", {"attrs": rows})]})]
    message.encode()
    again = ifinfmsg(message.data)
    again.decode()
    [found] = list(live_module._functions(again))
    assert found == Function(3, "02:00:00:00:00:07", 100, 5, "802.1q", True, False, "enable", 0, 25000)


@needs_pyroute2
@needs_kernel()
def test_the_machine_that_we_run_on_keeps_its_network(tmp_path):
    driver = NetworkDriver(read_settings(f"state={tmp_path}"), socket.gethostname(), LiveMachine())
    told = {one["dev"] for one in json.loads(shell("ip -json route show default"))}
    names = {
        value.string for one in driver.discover().devices for key, value in one.attributes.items() if "ifName" in key
    }
    assert not told & names
