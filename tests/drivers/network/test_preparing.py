"""What preparing does to a node, and that unpreparing leaves it as it was."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import msgspec
import pytest

from fairlead.driver import PrepareError
from fairlead.drivers.network import Function
from fairlead.drivers.network.functions import bind, bind_back, make_functions, override
from fairlead.drivers.network.hook.work import read_order
from fairlead.hardware import HardwareError, Problems, pci_functions
from tests.drivers.network.machines import BOOT, PF, Rebinding, add_functions, connectx7, efa, infiniband
from tests.drivers.network.node import SRIOV, Node, claim, opaque, result, vf_config

FIRST = "pci-0000-3b-00-0"
SECOND = "pci-0000-3b-00-1"
VF = "pci-0000-3b-00-2"

NETWORKS = {
    "kind": "NetworkAttachmentDefinition",
    "apiVersion": "k8s.cni.cncf.io/v1",
    "metadata": {"name": "fast", "namespace": "ml"},
    "spec": {
        "config": json.dumps(
            {
                "cniVersion": "1.0.0",
                "name": "fast",
                "type": "sriov",
                "vlan": 100,
                "vlanQoS": 3,
                "spoofchk": "on",
                "trust": "on",
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": "10.0.1.0/29"}]],
                    "routes": [{"dst": "10.9.0.0/16"}],
                },
            }
        )
    },
}


@pytest.fixture
def made(tmp_path):
    return connectx7(tmp_path)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def state(made):
    """What a claim may change: interfaces, virtual functions, kernel drivers, files of the state but the hook."""
    files = [one.name for one in sorted(made.state.rglob("*")) if not one.name.startswith("hook-")]
    drivers = {one.address: one.driver for one in pci_functions(made.tree.machine.files, Problems())}
    return dict(made.netlink.known), files, drivers


def orders(made, uid="u"):
    return {path.name.removesuffix(".order"): read_order(path) for path in sorted((made.state / uid).glob("*.order"))}


def test_a_port_gets_a_hook_an_order_and_its_rdma_nodes(made, node):
    made.netlink.change("ens1f1np1", addresses=("10.1.0.7/24",))
    before = state(made)
    driver = made.driver("python=/opt/python3")
    engine = node.engine(driver)
    engine.prepare(claim("u", [result("dra.net", SECOND)]), "u")
    edits = node.edits(driver, "u")[SECOND]
    [hook] = edits["hooks"]
    assert hook["hookName"] == "createRuntime"
    assert hook["path"] == "/opt/python3"
    program, order = Path(hook["args"][2]), Path(hook["args"][3])
    assert program.exists()
    assert read_order(order) == orders(made)[SECOND]
    assert [one["path"] for one in edits["deviceNodes"]] == ["/dev/infiniband/uverbs1", "/dev/infiniband/rdma_cm"]
    assert orders(made)[SECOND].addresses == ["10.1.0.7/24"], "without configuration it keeps its addresses"
    assert made.netlink.known["ens1f1np1"].alias == f"dra:u:{SECOND}"
    engine.unprepare("u")
    assert state(made) == before


def test_the_configuration_of_dranet_becomes_the_order(made, node):
    driver = made.driver()
    parameters = {
        "interface": {
            "name": "dranet0",
            "addresses": ["169.254.169.13/32"],
            "mtu": 4321,
            "hardwareAddr": "00:11:22:33:44:55",
            "gsoMaxSize": 65536,
            "groIPv4MaxSize": 65536,
            "forwarding": True,
        },
        "routes": [
            {"destination": "169.254.169.0/24", "gateway": "169.254.169.1"},
            {"destination": "169.254.169.1/32", "scope": 253},
            {"gateway": "169.254.169.1", "table": 10},
        ],
        "rules": [{"source": "169.254.169.13/32", "table": 10, "priority": 5}],
        "neighbors": [{"destination": "169.254.169.1", "hardwareAddr": "00:11:22:33:44:66"}],
    }
    node.engine(driver).prepare(claim("u", [result("dra.net", SECOND)], [opaque("dra.net", parameters)]), "u")
    order = orders(made)[SECOND]
    assert (order.name, order.mtu, order.mac) == ("dranet0", 4321, "00:11:22:33:44:55")
    assert order.addresses == ["169.254.169.13/32"]
    assert [(one["destination"], one["gateway"], one["table"]) for one in order.routes] == [
        ("169.254.169.0/24", "169.254.169.1", 254),
        ("169.254.169.1/32", "", 254),
        ("0.0.0.0/0", "169.254.169.1", 10),
    ]
    assert order.rules == [{"priority": 5, "source": "169.254.169.13/32", "destination": "", "table": 10}]
    assert order.sizes == {"41": 65536, "64": 65536}
    assert order.sysctls == {"ipv4/conf/%/forwarding": "1", "ipv6/conf/%/forwarding": "1"}


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"interface": {"dhcp": True}}, "interface.dhcp: this driver cannot do that"),
        ({"interface": {"vrf": {"name": "red"}}}, "interface.vrf: this driver cannot do that"),
        ({"ethtool": {"features": {}, "privateFlags": {"a": True}}}, "ethtool: this driver cannot do that"),
        ({"interface": {"addresses": ["10.0.0.1"]}}, r"addresses\[0\]: '10.0.0.1' needs a prefix"),
        ({"interface": {"addresses": ["10.0.0.300/8"]}}, r"addresses\[0\]: '10.0.0.300/8' is no address"),
        ({"interface": {"name": "a/b"}}, "interface.name: 'a/b' is no name"),
        ({"interface": {"mtu": 5}}, "interface.mtu: 5 must be 68 or more"),
        ({"interface": {"mtus": 5}}, "unknown field `mtus`"),
        ({"routes": [{"destination": "nowhere"}]}, r"routes\[0\].destination"),
        ({"neighbors": [{"destination": "10.0.0.1", "hardwareAddr": "x"}]}, r"neighbors\[0\].hardwareAddr"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_changes(made, node, parameters, reason):
    before = state(made)
    with pytest.raises(PrepareError, match=reason):
        node.engine(made.driver()).prepare(
            claim("u", [result("dra.net", SECOND)], [opaque("dra.net", parameters)]), "u"
        )
    assert state(made) == before


def sriov(made, tmp_path, settings=""):
    objects = tmp_path / "objects.yaml"
    objects.write_text(json.dumps(NETWORKS))
    return made.driver(",".join(filter(None, ("profile=sriov", f"objects={objects}", settings))))


def test_a_network_sets_the_function_up_and_gives_an_address(made, node, tmp_path):
    before = state(made)
    driver = sriov(made, tmp_path)
    engine = node.engine(driver)
    config = [vf_config(ifName="net1", netAttachDefName="fast")]
    engine.prepare(claim("u", [result(SRIOV, "0000-3b-00-2")], config), "u")
    [_, parent, function] = made.netlink.done[0]
    assert parent == "ens1f0np0"
    assert function == Function(0, mac="00:00:00:00:00:00", vlan=100, qos=3, spoof_check=True, trust=True)
    order = orders(made)["0000-3b-00-2"]
    assert (order.name, order.addresses) == ("net1", ["10.0.1.2/29"])
    assert order.routes[0]["gateway"] == "10.0.1.1"
    environment = node.edits(driver, "u")["0000-3b-00-2"]["env"]
    assert "SRIOVNETWORK_VF_DEVICE_0000_3b_00_2=0000:3b:00.2" in environment
    assert "SRIOVNETWORK_NET_ATTACH_DEF_NAME=fast" in environment
    engine.unprepare("u")
    assert state(made) == before


def test_addresses_of_a_network_are_given_once_and_run_out(made, node, tmp_path):
    driver = sriov(made, tmp_path)
    engine = node.engine(driver)
    config = [vf_config(netAttachDefName="fast")]
    given = []
    for number, uid in enumerate("abcde"):
        engine.prepare(claim(uid, [result(SRIOV, f"0000-3b-{(2 + number) // 8:02x}-{(2 + number) % 8}")], config), uid)
        given += [one.addresses[0] for one in orders(made, uid).values()]
    assert given == [f"10.0.1.{number}/29" for number in range(2, 7)]
    with pytest.raises(PrepareError, match=r"ml/fast: ipam: no address of 10.0.1.0/29 is free on this node"):
        engine.prepare(claim("f", [result(SRIOV, "0000-3b-01-1")], config), "f")
    engine.unprepare("b")
    engine.prepare(claim("f", [result(SRIOV, "0000-3b-01-1")], config), "f")
    assert next(iter(orders(made, "f").values())).addresses == ["10.0.1.3/29"]


def test_a_network_that_is_not_known_is_an_error_and_no_open_door(made, node, tmp_path):
    with pytest.raises(PrepareError, match="knows no NetworkAttachmentDefinition ml/slow: give it with objects=PATH"):
        node.engine(sriov(made, tmp_path)).prepare(
            claim("u", [result(SRIOV, "0000-3b-00-2")], [vf_config(netAttachDefName="slow")]), "u"
        )
    assert made.netlink.done == []


def test_what_nobody_asks_for_stays_as_it_was(made, node, tmp_path):
    rows = (Function(0, mac="02:00:00:00:00:09", vlan=55, min_rate=100),)
    made.netlink.change("ens1f0np0", functions=rows)
    engine = node.engine(sriov(made, tmp_path))
    engine.prepare(claim("u", [result(SRIOV, "0000-3b-00-2")], [vf_config(vf={"vlan": 0, "trust": True})]), "u")
    assert made.netlink.known["ens1f0np0"].functions == (
        Function(0, mac="02:00:00:00:00:09", vlan=0, min_rate=100, trust=True),
    )
    engine.unprepare("u")
    assert made.netlink.known["ens1f0np0"].functions == rows


def test_native_settings_of_a_function(made, node, tmp_path):
    config = [
        vf_config(vf={"vlan": 7, "vlanProto": "802.1ad", "maxTxRate": 5000, "trust": False, "linkState": "enable"})
    ]
    node.engine(sriov(made, tmp_path)).prepare(claim("u", [result(SRIOV, "0000-3b-00-2")], config), "u")
    function = made.netlink.done[0][2]
    assert (function.vlan, function.protocol, function.max_rate, function.state) == (7, "802.1ad", 5000, "enable")


def test_two_interfaces_of_one_name_are_refused(made, node, tmp_path):
    before = state(made)
    results = [result(SRIOV, "0000-3b-00-2"), result(SRIOV, "0000-3b-00-3")]
    with pytest.raises(PrepareError, match="two interfaces net1"):
        node.engine(sriov(made, tmp_path)).prepare(claim("u", results, [vf_config(ifName="net1")]), "u")
    assert state(made) == before
    node.engine(sriov(made, tmp_path)).prepare(claim("v", results), "v")
    assert [one.name for one in orders(made, "v").values()] == ["vfnet%d", "vfnet%d"]


def test_another_kernel_driver_is_bound_and_taken_back(made, node, tmp_path):
    before = state(made)
    driver = sriov(made, tmp_path)
    engine = node.engine(driver)
    with Rebinding(made):
        engine.prepare(
            claim("u", [result(SRIOV, "0000-3b-00-2")], [vf_config(driver="vfio-pci", addVhostMount=True)]), "u"
        )
        assert state(made)[2]["0000:3b:00.2"] == "vfio-pci"
        edits = node.edits(driver, "u")["0000-3b-00-2"]
        assert [one["path"] for one in edits["deviceNodes"]] == [
            "/dev/vhost-net",
            "/dev/net/tun",
            "/dev/vfio/vfio",
            "/dev/vfio/60",
        ]
        assert "hooks" not in edits
        engine.unprepare("u")
    assert state(made) == before


def test_an_order_of_a_kernel_driver_that_a_crash_left_is_taken_back(made, tmp_path):
    files = made.tree.machine.files
    files.put("/sys/bus/pci/devices/0000:3b:00.2/driver_override", "vfio-pci\n")
    bind_back(files, "0000:3b:00.2", "mlx5_core", "")
    assert override(files, "0000:3b:00.2") == ""
    bind_back(files, "0000:99:00.0", "mlx5_core", "")


def test_a_kernel_driver_that_does_not_bind_is_named(made):
    with pytest.raises(HardwareError, match=r"0000:3b:00\.2: vfio-pci does not bind to it"):
        bind(made.tree.machine.files, "0000:3b:00.2", "vfio-pci", patience=0.05)


def test_a_kernel_driver_that_is_not_there_is_named(made, node, tmp_path):
    before = state(made)
    with pytest.raises(PrepareError, match="the kernel has no driver igb_uio: load its module on the node"):
        node.engine(sriov(made, tmp_path)).prepare(
            claim("u", [result(SRIOV, "0000-3b-00-2")], [vf_config(driver="igb_uio")]), "u"
        )
    assert state(made) == before


def test_a_share_of_a_pool_is_a_function_with_its_bandwidth_as_limit(made, node):
    before = state(made)
    driver = made.driver("vfpool=ens1f0np0")
    engine = node.engine(driver)
    pool = f"{FIRST}-vfs"
    for uid, amount in (("a", "25G"), ("b", "100G")):
        more = {"shareID": f"share-{uid}", "consumedCapacity": {"bandwidth": amount, "functions": "1"}}
        engine.prepare(claim(uid, [result("dra.net", pool, **more)]), uid)
    limits = [(one[2].number, one[2].max_rate) for one in made.netlink.done]
    assert limits == [(0, 25000), (1, 100000)], "Mbit/s"
    assert [one.before.name for one in (orders(made, "a") | orders(made, "b")).values()] == ["ens1f0v0", "ens1f0v1"]
    assert "pci-0000-3b-00-0-vfs" in [one.name for one in driver.discover().devices]
    engine.unprepare("a")
    engine.unprepare("b")
    assert state(made) == before


def test_shares_of_an_interface_are_children_of_it(made, node):
    before = state(made)
    engine = node.engine(made.driver("share=ens1f1np1"))
    for uid in "ab":
        more = {"shareID": f"share-{uid}", "consumedCapacity": {"bandwidth": "10G"}}
        engine.prepare(claim(uid, [result("dra.net", SECOND, **more)]), uid)
    children = [one for one in made.netlink.known.values() if one.kind == "macvlan"]
    assert [one.alias for one in children] == [f"dra:{uid}:{SECOND}@share-{uid}" for uid in "ab"]
    assert made.netlink.known["ens1f1np1"].alias == ""
    assert made.netlink.done == [], "no function, so bandwidth is a matter of counting"
    for uid in "ab":
        engine.unprepare(uid)
    assert state(made) == before


def test_two_shares_in_one_claim_have_two_names(made, node):
    engine = node.engine(made.driver("share=ens1f1np1"))
    shares = [result("dra.net", SECOND, f"r{number}", shareID=f"s{number}") for number in range(3)]
    engine.prepare(claim("u", shares), "u")
    assert sorted(one.name for one in orders(made).values()) == ["ens1f1np1", "ens1f1np1-1", "ens1f1np1-2"]
    engine.prepare(claim("u", shares), "u")
    engine.unprepare("u")
    assert orders(made) == {}


def test_names_of_shares_fit_into_the_kernels_fifteen_bytes(tmp_path, node):
    made = connectx7(tmp_path)
    made.interface("enp59s0f1np1abc", "/sys/devices/virtual", mac="02:00:00:00:00:01")
    engine = node.engine(made.driver("share=enp59s0f1np1abc,virtual=enp59s0f1np1abc"))
    engine.prepare(claim("u", [result("dra.net", "enp59s0f1np1abc", f"r{n}", shareID=f"s{n}") for n in range(2)]), "u")
    assert sorted(one.name for one in orders(made).values()) == ["enp59s0f1np1a-1", "enp59s0f1np1abc"]


def test_shares_of_rdma_need_the_kernel_to_share_it(made, node):
    made.tree.file("/sys/module/ib_core/parameters/netns_mode", "N")
    with pytest.raises(PrepareError, match="mlx5_1 cannot be shared: the kernel is in exclusive mode"):
        node.engine(made.driver("share=ens1f1np1")).prepare(claim("u", [result("dra.net", SECOND, shareID="s")]), "u")


def test_in_exclusive_mode_the_rdma_device_moves_with_the_interface(made, node):
    made.tree.file("/sys/module/ib_core/parameters/netns_mode", "N")
    node.engine(made.driver()).prepare(claim("u", [result("dra.net", SECOND)]), "u")
    assert orders(made)[SECOND].rdma == "mlx5_1"


def test_efa_is_device_nodes_and_nothing_moves(tmp_path, node):
    made = efa(tmp_path)
    driver = made.driver()
    engine = node.engine(driver)
    engine.prepare(claim("u", [result("dra.net", "pci-0000-60-01-0")]), "u")
    edits = node.edits(driver, "u")["pci-0000-60-01-0"]
    assert [one["path"] for one in edits["deviceNodes"]] == ["/dev/infiniband/uverbs5", "/dev/infiniband/rdma_cm"]
    assert "hooks" not in edits
    engine.unprepare("u")
    assert [one for one in made.state.rglob("*") if one.suffix != ".pyz"] == []


def test_efa_moves_alone_in_exclusive_mode(tmp_path, node):
    made = efa(tmp_path)
    made.tree.file("/sys/module/ib_core/parameters/netns_mode", "N")
    node.engine(made.driver()).prepare(claim("u", [result("dra.net", "pci-0000-60-01-0")]), "u")
    order = orders(made)["pci-0000-60-01-0"]
    assert (order.bare, order.rdma) == (True, "rdmap96s1")


def test_a_port_of_infiniband_brings_the_nodes_that_manage_the_fabric(tmp_path, node):
    made = infiniband(tmp_path)
    driver = made.driver()
    node.engine(driver).prepare(claim("u", [result("dra.net", "pci-0000-9a-00-0")]), "u")
    paths = [one["path"] for one in node.edits(driver, "u")["pci-0000-9a-00-0"]["deviceNodes"]]
    assert paths == [f"/dev/infiniband/{one}" for one in ("uverbs4", "issm4", "umad4", "rdma_cm")]


def test_shares_of_infiniband_have_the_rdma_device_only(tmp_path, node):
    made = infiniband(tmp_path)
    driver = made.driver("share=ibp154s0")
    node.engine(driver).prepare(claim("u", [result("dra.net", "pci-0000-9a-00-0", shareID="s")]), "u")
    [edits] = node.edits(driver, "u").values()
    assert [one["path"] for one in edits["deviceNodes"]] == ["/dev/infiniband/uverbs4", "/dev/infiniband/rdma_cm"]
    assert "hooks" not in edits


def test_a_claim_that_observes_changes_nothing(made, node):
    before = state(made)
    driver = made.driver()
    engine = node.engine(driver)
    engine.prepare(claim("u", [result("dra.net", SECOND, adminAccess=True)]), "u")
    assert state(made) == before
    engine.unprepare("u")
    assert state(made) == before


def test_what_a_pod_has_is_published_as_before(made, node):
    driver = made.driver()
    before = driver.discover().devices
    node.engine(driver).prepare(claim("u", [result("dra.net", SECOND)]), "u")
    assert driver.discover().devices == before, "the marker is no attribute"
    made.netlink.move(f"dra:u:{SECOND}")
    made.tree.remove("/sys/class/net/ens1f1np1")
    assert driver.discover().devices == before
    assert made.driver().discover().devices == before, "after a restart, too"


def test_preparing_again_after_a_crash_keeps_how_it_was(made, node):
    before = state(made)
    driver = made.driver()
    made.netlink.errors["mark"] = HardwareError("netlink: gone", "EIO")
    wanted = claim("u", [result("dra.net", SECOND)])
    device = _only(driver, node, wanted)
    with pytest.raises(PrepareError, match="netlink: gone"):
        list(driver.prepare(device))
    made.netlink.errors.clear()
    made.netlink.change("ens1f1np1", alias=f"dra:u:{SECOND}")
    list(driver.prepare(device))
    list(driver.prepare(device))
    driver.unprepare(device)
    driver.unprepare(device)
    assert state(made) == before


def _only(driver, node, wanted):
    """The claim as the author sees it."""
    seen = []

    class Seeing:
        name, configs = driver.name, driver.configs

        def discover(self):
            return driver.discover()

        def prepare(self, one):
            seen.append(one)
            return [device.prepared() for device in one.devices]

        def unprepare(self, one):
            """Nothing."""

    engine = node.engine(Seeing())
    engine.prepare(wanted, "u")
    engine.unprepare("u")
    return seen[0]


@pytest.mark.parametrize("step", ["set_function", "look", "mark"])
def test_a_failing_step_is_undone(made, node, tmp_path, step):
    before = state(made)
    driver = sriov(made, tmp_path)
    made.netlink.errors[step] = HardwareError(f"{step}: Device or resource busy", "EBUSY")
    engine = node.engine(driver)
    wanted = claim("u", [result(SRIOV, "0000-3b-00-2")], [vf_config(netAttachDefName="fast")])
    with pytest.raises(PrepareError, match="Device or resource busy"):
        engine.prepare(wanted, "u")
    made.netlink.errors.clear()
    engine.prepare(wanted, "u")
    engine.unprepare("u")
    assert state(made) == before


def test_an_interface_that_has_not_come_back_keeps_the_claim_until_it_has(made, node):
    before = state(made)
    engine = node.engine(made.driver())
    engine.prepare(claim("u", [result("dra.net", SECOND)]), "u")
    marker = f"dra:u:{SECOND}"
    made.netlink.move(marker)
    link = made.netlink.away.pop(marker)
    place = made.tree.root / "sys/class/net/ens1f1np1"
    target = place.readlink()
    place.unlink()
    with pytest.raises(PrepareError, match="its interface ens1f1np1 has not come back to the node yet"):
        engine.unprepare("u")
    place.symlink_to(target)
    made.netlink.known[link.name] = link
    engine.unprepare("u")
    assert state(made)[1:] == before[1:]
    assert made.netlink.known["ens1f1np1"] == before[0]["ens1f1np1"]


def test_a_card_that_was_pulled_while_a_pod_had_it_does_not_hold_the_claim(made, node):
    engine = node.engine(made.driver())
    engine.prepare(claim("u", [result("dra.net", SECOND)]), "u")
    made.unplug("0000:3b:00.1")
    engine.unprepare("u")
    assert not (made.state / "u").exists()


def test_after_a_reboot_nothing_is_restored(made, node):
    engine = node.engine(made.driver())
    engine.prepare(claim("u", [result("dra.net", SECOND)]), "u")
    made.netlink.change("ens1f1np1", alias="", mtu=1500)
    made.tree.file(BOOT, "99999999-2222-3333-4444-555555555555")
    again = node.engine(made.driver(), boot="boot-2")
    again.unprepare("u")
    assert made.netlink.known["ens1f1np1"].mtu == 1500
    assert not (made.state / "u").exists()


def test_a_damaged_file_is_named_and_not_guessed_at(made, node):
    engine = node.engine(made.driver())
    engine.prepare(claim("u", [result("dra.net", SECOND)]), "u")
    (made.state / "u" / f"{SECOND}.kept").write_text("{")
    with pytest.raises(PrepareError, match=f"{SECOND}.kept: was changed or damaged"):
        engine.unprepare("u")


def test_an_mtu_above_that_of_the_port_is_refused(made, node, tmp_path):
    networks = msgspec.json.decode(msgspec.json.encode(NETWORKS))
    networks["spec"]["config"] = json.dumps({"type": "sriov", "mtu": 9500})
    objects = tmp_path / "more.yaml"
    objects.write_text(json.dumps(networks))
    driver = made.driver(f"profile=sriov,objects={objects}")
    with pytest.raises(PrepareError, match="MTU 9500 is more than the 9000 of ens1f0np0"):
        node.engine(driver).prepare(
            claim("u", [result(SRIOV, "0000-3b-00-2")], [vf_config(netAttachDefName="fast")]), "u"
        )


def test_virtual_functions_are_made_once_watched_for_and_told(tmp_path):
    made = connectx7(tmp_path, functions=0)
    numvfs = made.tree.root / "sys/devices/pci0000:3a/0000:3a:01.0/0000:3b:00.0/sriov_numvfs"
    assert numvfs.read_text().strip() == "0"
    stop, told = threading.Event(), []

    def kernel():
        while not stop.wait(0.005):
            if numvfs.read_text().strip() == "16":
                numvfs.write_text("16\n")
                add_functions(made, 16)
                return

    driver = made.driver("vfs=ens1f0np0:16,poll=0.05")
    threads = [
        threading.Thread(target=kernel),
        threading.Thread(target=driver.watch, args=(lambda: told.append(1), stop)),
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 20
    while not told and time.monotonic() < until:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert told
    assert sum(one.name.startswith("pci-0000-3b") for one in driver.discover().devices) == 18
    make_functions(made.tree.machine.files, PF, 16)


def test_functions_that_do_not_appear_are_rolled_back_and_named(tmp_path):
    made = connectx7(tmp_path, functions=0)
    files = made.tree.machine.files
    with pytest.raises(HardwareError, match="only 0 of 16 virtual functions appeared; none are left"):
        make_functions(files, PF, 16, patience=0.1)
    assert files.number(f"/sys/bus/pci/devices/{PF}/sriov_numvfs") == 0


@pytest.mark.parametrize(
    ("address", "number", "reason"),
    [
        (PF, 17, "can have 16 virtual functions, not 17"),
        (PF, 8, "has 16 virtual functions, not 8; remove them first"),
        ("0000:00:04.0", 2, "is no function that can have virtual functions"),
    ],
)
def test_functions_that_cannot_be_made(made, address, number, reason):
    with pytest.raises(HardwareError, match=reason):
        make_functions(made.tree.machine.files, address, number)


def test_without_events_it_is_looked_now_and_then(made):
    made.netlink.errors["wait"] = HardwareError("pyroute2 is not installed", "no-library")
    stop, told = threading.Event(), threading.Event()
    thread = threading.Thread(target=made.driver("poll=0.02").watch, args=(told.set, stop))
    thread.start()
    try:
        assert told.wait(20)
    finally:
        stop.set()
        thread.join()
