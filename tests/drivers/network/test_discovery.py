"""What is found on machines with network cards, and what of it is published."""

from __future__ import annotations

import errno
import json

import pytest

from fairlead.driver.inventory import make_inventory
from fairlead.driver.slices import Publication, problems_of
from fairlead.drivers import DriverArgumentError, make
from fairlead.drivers.network import Netlink, discover, read_settings
from fairlead.drivers.network.discovery import own_links
from fairlead.drivers.network.door import Link
from fairlead.hardware import (
    HardwareError,
    RecordedMachine,
    Recording,
    RecordingMachine,
    read_recording,
    write_recording,
)
from fairlead.hardware.files import LiveFiles
from fairlead.topology import default_rules
from fairlead.topology.locate import locate
from tests.drivers.network.machines import PF, connectx7, efa, infiniband, plain_vm

MACHINES = {"vm": plain_vm, "connectx7": connectx7, "infiniband": infiniband, "efa": efa}


def plain(device):
    """Attribute to value, without the domain of DRANET."""
    values = {}
    for name, value in device.attributes.items():
        one = [x for x in (value.string, value.int_, value.bool_) if x is not None]
        values[name.removeprefix("dra.net/")] = one[0]
    return values


def published(driver):
    pool = driver.discover()
    return {one.name: one for one in pool.devices}


def test_a_virtual_machine_keeps_the_card_of_its_default_route(tmp_path):
    assert list(published(plain_vm(tmp_path).driver())) == ["pci-0000-00-04-0"]


def test_a_port_of_a_connectx7_is_described_in_the_words_of_dranet(tmp_path):
    port = plain(published(connectx7(tmp_path).driver())["pci-0000-3b-00-0"])
    assert port == {
        "ifName": "ens1f0np0",
        "mac": "b8:ce:f6:03:00:00",
        "mtu": 9000,
        "encapsulation": "ether",
        "alias": "",
        "state": "up",
        "type": "device",
        "ebpf": False,
        "virtual": False,
        "pciAddress": "0000:3b:00.0",
        "pciVendor": "Mellanox Technologies",
        "pciDevice": "MT2910 Family [ConnectX-7]",
        "pciSubsystem": "0041",
        "numaNode": 0,
        "rdma": True,
        "rdmaDevice": "mlx5_0",
        "sriov": True,
        "sriovVfs": 16,
        "isSriovVf": False,
        "resource.kubernetes.io/pciBusID": "0000:3b:00.0",
        "resource.kubernetes.io/pcieRoot": "pci0000:3a",
        "resource.kubernetes.io/numaNode": 0,
    }


def test_sixteen_virtual_functions_are_devices_with_their_port_and_its_speed(tmp_path):
    found = published(connectx7(tmp_path).driver())
    functions = {name: one for name, one in found.items() if plain(one).get("isSriovVf")}
    assert len(functions) == 16
    first = functions["pci-0000-3b-00-2"]
    assert plain(first)["pfPciAddress"] == PF
    assert str(first.capacity["bandwidth"].value) == "400G"
    assert first.capacity["bandwidth"].request_policy is None


def test_a_port_and_its_functions_exclude_each_other(tmp_path):
    found = published(connectx7(tmp_path).driver())
    taken = {name: one.consumes_counters for name, one in found.items()}
    [whole] = taken["pci-0000-3b-00-0"]
    [part] = taken["pci-0000-3b-00-2"]
    assert (whole.counter_set, str(whole.counters["functions"].value)) == ("pf-0000-3b-00-0", "16")
    assert (part.counter_set, str(part.counters["functions"].value)) == ("pf-0000-3b-00-0", "1")
    assert taken["pci-0000-3b-00-1"] == []


def test_a_shared_port_leaves_its_functions_to_others(tmp_path):
    driver = connectx7(tmp_path).driver("share=ens1f0np0")
    assert all(not one.consumes_counters for one in driver.discover().devices)
    pools = make_inventory(driver.discover(), "node-1").pools
    assert problems_of(Publication(driver.name, "node-1", "uid", True), pools) == []


def test_a_port_of_infiniband(tmp_path):
    device = published(infiniband(tmp_path).driver())["pci-0000-9a-00-0"]
    port = plain(device)
    assert port["encapsulation"] == "infiniband"
    assert (port["rdmaDevice"], port["numaNode"]) == ("mlx5_4", 1)
    assert str(device.capacity["bandwidth"].value) == "400G"


def test_efa_has_no_interface_and_is_found_by_its_name(tmp_path):
    found = published(efa(tmp_path).driver())
    assert len(found) == 32, "the node's own ENA stays"
    device = plain(found["pci-0000-4f-00-0"])
    assert device["pciDevice"] == "Elastic Fabric Adapter (EFA)"
    assert (device["rdma"], device["rdmaDevice"], device["pciSubsystem"]) == (True, "rdmap79s0", "efa2")
    assert "ifName" not in device
    assert "sriov" not in device


def test_the_profile_of_the_sriov_driver_shows_functions_only(tmp_path):
    driver = connectx7(tmp_path).driver("profile=sriov")
    assert driver.name == "sriovnetwork.k8snetworkplumbingwg.io"
    found = published(driver)
    assert len(found) == 16
    own = "sriovnetwork.k8snetworkplumbingwg.io/"
    assert {name.removeprefix(own): value for name, value in plain(found["0000-3b-01-1"]).items()} == {
        "vendor": "15b3",
        "deviceID": "101e",
        "pfDeviceID": "1021",
        "pciAddress": "0000:3b:01.1",
        "PFName": "ens1f0np0",
        "EswitchMode": "legacy",
        "vfID": 7,
        "pfPciAddress": PF,
        "linkType": "ethernet",
        "rdmaCapable": True,
        "k8s.cni.cncf.io/deviceID": "0000:3b:01.1",
        "numaNode": 0,
        "resource.kubernetes.io/pciBusID": "0000:3b:01.1",
        "resource.kubernetes.io/pcieRoot": "pci0000:3a",
        "resource.kubernetes.io/numaNode": 0,
    }


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("profile", ["dranet", "sriov"])
def test_what_is_published_passes_the_validation_of_the_api(tmp_path, name, profile):
    settings = f"profile={profile},rails=ens1f0np0+ens1f1np1,share=ens1f1np1"
    driver = MACHINES[name](tmp_path).driver(settings)
    pools = make_inventory(driver.discover(), "node-1").pools
    assert problems_of(Publication(driver.name, "node-1", "uid", True), pools) == []


def test_shares_and_pools_pass_the_validation_of_the_api(tmp_path):
    driver = connectx7(tmp_path).driver("vfpool=ens1f0np0,share=ens1f1np1")
    pools = make_inventory(driver.discover(), "node-1").pools
    assert problems_of(Publication(driver.name, "node-1", "uid", True), pools) == []


def test_a_pool_of_functions_is_one_device_that_is_shared_out(tmp_path):
    found = published(connectx7(tmp_path).driver("vfpool=ens1f0np0"))
    assert list(found) == ["pci-0000-00-04-0", "pci-0000-3b-00-0-vfs", "pci-0000-3b-00-1"]
    pool = found["pci-0000-3b-00-0-vfs"]
    assert pool.allow_multiple_allocations
    assert str(pool.capacity["functions"].value) == "16"
    policy = pool.capacity["bandwidth"].request_policy
    assert (str(policy.default), str(policy.valid_range.step), str(policy.valid_range.max)) == ("1G", "1G", "400G")


@pytest.mark.parametrize(
    ("settings", "gone"),
    [
        ("skip=ens1f1np1", "pci-0000-3b-00-1"),
        ("skip=0000:3b:00.1", "pci-0000-3b-00-1"),
        ("skip=ens1f0np0/vf", "pci-0000-3b-00-2"),
        ("skip=mlx5_1", "pci-0000-3b-00-1"),
        ("only=ens1f0*", "pci-0000-3b-00-1"),
    ],
)
def test_hardware_can_be_left_to_others(tmp_path, settings, gone):
    made = connectx7(tmp_path)
    assert gone in published(made.driver())
    found = published(made.driver(settings))
    assert gone not in found
    assert "pci-0000-3b-00-0" in found


def test_members_of_bonds_and_what_carries_the_default_route_stay(tmp_path):
    made = connectx7(tmp_path)
    bond = made.netlink.add("bond0", kind="bond", encapsulation="ether")
    vlan = made.netlink.add("bond0.100", kind="vlan", encapsulation="ether", under=bond.index)
    made.netlink.change("ens1f1np1", master=bond.index)
    assert "pci-0000-3b-00-1" not in published(made.driver()), "a member of any bond"
    made.netlink.default = [vlan.index]
    network = discover(made.tree.machine, made.netlink)
    assert network.own == {"bond0.100", "bond0", "ens1f1np1"}
    found = published(made.driver("virtual=bond0+bond0.100,share=ens1f1np1"))
    assert not {"bond0", "bond0.100", "pci-0000-3b-00-1"} & found.keys()


def test_an_interface_below_another_device_of_the_function_is_its_interface(tmp_path):
    # virtio: /sys/devices/.../0000:00:03.0/virtio0/net/eth0
    made = plain_vm(tmp_path)
    ports = {one.name: one for one in discover(made.tree.machine, made.netlink).ports}
    assert ports["0000:00:03.0"].link.name == "eth0"


def test_indices_of_other_namespaces_are_not_mistaken_for_ours():
    links = [Link(1, "eth0"), Link(2, "eth1"), Link(3, "veth1", under=1, foreign=True)]
    assert own_links(links, [1]) == {"eth0"}


def test_without_routes_nothing_is_published(tmp_path):
    made = connectx7(tmp_path)
    made.netlink.errors["defaults"] = HardwareError("netlink: Permission denied", "EPERM")
    with pytest.raises(HardwareError, match="Permission denied"):
        made.driver().discover()


def test_representors_stay_on_the_node(tmp_path):
    made = connectx7(tmp_path)
    path = "/sys/devices/pci0000:3a/0000:3a:01.0/0000:3b:00.0"
    made.interface("ens1f0npf0vf0", path, port="pf0vf0")
    made.netlink.modes[PF] = "switchdev"
    found = published(made.driver("virtual=*"))
    assert plain(found["pci-0000-3b-00-0"])["ifName"] == "ens1f0np0"
    assert not any("pf0vf0" in name for name in found)
    sriov = published(made.driver("profile=sriov"))["0000-3b-00-2"]
    assert sriov.attributes["sriovnetwork.k8snetworkplumbingwg.io/EswitchMode"].string == "switchdev"


def test_rails_by_setting_reach_the_topology_model(tmp_path):
    driver = connectx7(tmp_path).driver("rails=ens1f1np1+ens1f0np0")
    devices = driver.discover().devices
    where = dict(
        zip([one.name for one in devices], locate([("dra.net", one) for one in devices], default_rules()), strict=True)
    )
    assert (where["pci-0000-3b-00-1"].rail, where["pci-0000-3b-00-0"].rail) == (0, 1)
    function = where["pci-0000-3b-00-2"]
    assert (function.rail, function.port, function.root, function.numa) == (1, PF, "pci0000:3a", 0)
    assert (function.kind, function.rdma) == ("nic", True)


@pytest.mark.parametrize("form", ["json", "json0"])
def test_switch_ports_come_from_lldp_and_order_rails(tmp_path, form):
    heard = {"ens1f0np0": ("leaf-2", "Ethernet7/1"), "ens1f1np1": ("leaf-1", "Ethernet7/1")}
    if form == "json":
        rows = [
            {name: {"chassis": {switch: {"id": {"type": "mac", "value": "aa"}}}, "port": {"id": {"value": port}}}}
            for name, (switch, port) in heard.items()
        ]
        content = {"lldp": {"interface": rows}}
    else:
        rows = [
            {
                "name": name,
                "chassis": [{"id": [{"value": "aa"}], "name": [{"value": s}]}],
                "port": [{"id": [{"value": p}]}],
            }
            for name, (s, p) in heard.items()
        ]
        content = {"lldp": [{"interface": rows}]}
    file = tmp_path / "lldp.json"
    file.write_text(json.dumps(content))
    found = published(connectx7(tmp_path).driver(f"lldp={file},rails=lldp"))
    first, second = plain(found["pci-0000-3b-00-0"]), plain(found["pci-0000-3b-00-1"])
    assert (first["lldpSwitch"], first["lldpPort"], first["rail"]) == ("leaf-2", "Ethernet7/1", 1)
    assert second["rail"] == 0
    assert plain(found["pci-0000-3b-00-2"])["lldpSwitch"] == "leaf-2"


@pytest.mark.parametrize("name", MACHINES)
def test_a_recording_gives_the_same(tmp_path, name):
    made = MACHINES[name](tmp_path)
    recording = Recording(machine=name)
    watched = RecordingMachine(made.tree.machine, recording)
    found = discover(watched, watched.door(Netlink, lambda: made.netlink))
    write_recording(recording, tmp_path / "machine.json")
    again = RecordedMachine(read_recording(tmp_path / "machine.json"))
    assert discover(again, again.door(Netlink, lambda: made.netlink)) == found
    assert found.problems == ()


def test_a_recorded_machine_is_published_and_not_changed(tmp_path):
    made = connectx7(tmp_path)
    recording = Recording(machine="connectx7")
    watched = RecordingMachine(made.tree.machine, recording)
    discover(watched, watched.door(Netlink, lambda: made.netlink))
    [driver] = make(f"network=state={tmp_path}/state,vfs=ens1f1np1:4", "node-1", RecordedMachine(recording))
    assert list(published(driver)) == list(published(made.driver()))
    assert not (tmp_path / "state").exists()


def test_what_cannot_be_read_is_named_and_leaves_the_others(tmp_path):
    made = connectx7(tmp_path)
    made.tree.remove("/sys/devices/pci0000:3a/0000:3a:01.0/0000:3b:00.1/vendor")
    made.netlink.errors["switch_mode"] = HardwareError("devlink: firmware does not answer")
    pool = made.driver().discover()
    assert len(pool.devices) == 18
    assert any(line.startswith("0000:3b:00.1: ") for line in pool.problems)
    assert any("firmware does not answer" in line and line.startswith(PF) for line in pool.problems)


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    made = connectx7(tmp_path)
    read = LiveFiles.read

    def refuse(self, path):
        if path.endswith("0000:3b:00.1/class"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return read(self, path)

    monkeypatch.setattr(LiveFiles, "read", refuse)
    pool = made.driver().discover()
    assert "pci-0000-3b-00-1" not in [one.name for one in pool.devices]
    assert any("0000:3b:00.1" in line and "Permission denied" in line for line in pool.problems)


def test_firmware_that_answers_nonsense_costs_no_more_than_its_answer(tmp_path):
    made = connectx7(tmp_path)
    place = "/sys/devices/pci0000:3a/0000:3a:01.0/0000:3b:00.1"
    made.tree.file(f"{place}/numa_node", "\x00\x01 many")
    pool = made.driver().discover()
    assert len(pool.devices) == 18
    assert [one for one in pool.problems if "holds no number" in one]
    made.tree.file(f"{place}/numa_node", 7)
    made.tree.file(f"{place}/net/ens1f1np1/speed", "fast")
    made.tree.file(f"{place}/infiniband/mlx5_1/ports/1/rate", "\xff Gb/sec")
    made.tree.file(f"{place}/infiniband/mlx5_1/ports/1/state", "")
    device = published(made.driver())["pci-0000-3b-00-1"]
    assert device.capacity == {}
    assert plain(device)["numaNode"] == 7
    assert list(made.driver().health()) == []


def test_an_rdma_device_that_cannot_be_read_is_named_and_its_port_stays(tmp_path):
    made = connectx7(tmp_path)
    made.tree.remove("/sys/class/infiniband/mlx5_1")
    made.tree.link("/sys/class/infiniband/mlx5_1", "/sys/class/infiniband/mlx5_1")
    pool = made.driver().discover()
    assert [one for one in pool.problems if one.startswith("RDMA device mlx5_1: ")]
    port = plain({one.name: one for one in pool.devices}["pci-0000-3b-00-1"])
    assert (port["rdma"], port["ifName"]) == (False, "ens1f1np1")


def test_a_speed_that_makes_no_sense_is_no_capacity(tmp_path):
    made = plain_vm(tmp_path)
    path = "/sys/devices/pci0000:00/0000:00:04.0/virtio1/net/eth1"
    made.tree.file(f"{path}/speed", -1)
    assert published(made.driver())["pci-0000-00-04-0"].capacity == {}
    made.tree.file(f"{path}/speed", 10000)
    driver = made.driver()
    assert str(published(driver)["pci-0000-00-04-0"].capacity["bandwidth"].value) == "10G"
    made.tree.file(f"{path}/speed", -1)
    assert str(published(driver)["pci-0000-00-04-0"].capacity["bandwidth"].value) == "10G", "while the link is down"


def test_a_card_that_is_pulled_and_comes_back(tmp_path):
    made = connectx7(tmp_path)
    driver = made.driver()
    before = list(published(driver))
    made.unplug("0000:00:04.0")
    assert [one for one in before if one not in published(driver)] == ["pci-0000-00-04-0"]
    path = "/sys/devices/pci0000:00/0000:00:04.0"
    made.tree.link("/sys/bus/pci/devices/0000:00:04.0", path)
    made.tree.link("/sys/class/net/eth1", f"{path}/virtio1/net/eth1")
    made.netlink.add("eth1", encapsulation="ether", mtu=1500)
    assert list(published(driver)) == before


def test_an_interface_that_is_no_hardware_needs_to_be_named(tmp_path):
    made = plain_vm(tmp_path)
    made.netlink.add("dummy0", encapsulation="ether", kind="dummy")
    made.netlink.add("Dummy_1", encapsulation="ether", kind="dummy")
    assert "dummy0" not in published(made.driver())
    found = published(made.driver("virtual=dummy0+Dummy_1"))
    assert plain(found["dummy0"])["virtual"] is True
    assert "net-ir2w23lzl4yq" in found, "a name that no device may have"


def test_health_follows_the_cable(tmp_path):
    made = connectx7(tmp_path)
    driver = made.driver()
    driver.discover()
    assert list(driver.health()) == []
    made.tree.file("/sys/devices/pci0000:3a/0000:3a:01.0/0000:3b:00.0/net/ens1f0np0/carrier", 0)
    bad = list(driver.health())
    assert len(bad) == 17
    assert {one.message for one in bad} == {"ens1f0np0 has no carrier"}


def test_health_of_infiniband_follows_the_port(tmp_path):
    made = infiniband(tmp_path)
    driver = made.driver()
    driver.discover()
    place = "/sys/devices/pci0000:97/0000:97:01.0/0000:98:00.0/0000:99:02.0/0000:9a:00.0/infiniband/mlx5_4"
    made.tree.file(f"{place}/ports/1/state", "1: DOWN")
    assert [(one.device, one.healthy) for one in driver.health()] == [("pci-0000-9a-00-0", False)]


def test_settings_name_what_is_not_there(tmp_path):
    pool = plain_vm(tmp_path).driver("share=ens9+eth1,rails=ens8").discover()
    assert [line for line in pool.problems if "ens" in line] == [
        "share=ens9: no interface and no function is called that",
        "rails=ens8: no interface and no function is called that",
    ]


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("profile=multus", "must be one of dranet, sriov"),
        ("speed=3", "must be KEY=VALUE with one of"),
        ("vfs=ens1", "must be INTERFACE:NUMBER"),
        ("rails=lldp", "needs lldp=FILE"),
        ("state=here", "must be an absolute path"),
        ("poll=never", "could not convert"),
        ("pciids=/nowhere", "No such file"),
        ("skip=a,skip=b", "is given twice"),
    ],
)
def test_arguments_that_cannot_be_used(argument, reason):
    with pytest.raises(DriverArgumentError, match=reason):
        make(f"network={argument}", "node-1", RecordedMachine(Recording()))


def test_a_pci_id_list_names_more(tmp_path):
    ids = tmp_path / "pci.ids"
    ids.write_text(
        "# list\n15b3  Mellanox\n\t1021  A card\n\t\t15b3 0041  Made so\n\t2222  Other\nC 02  Network\n\t00  Eth\n"
    )
    port = plain(published(connectx7(tmp_path).driver(f"pciids={ids}"))["pci-0000-3b-00-0"])
    assert (port["pciVendor"], port["pciDevice"], port["pciSubsystem"]) == ("Mellanox", "A card", "Made so")


def test_names_of_the_driver_can_be_chosen(tmp_path):
    assert read_settings("name=nic.example.com").state.parts[-2:] == ("nic.example.com", "network")
    driver = connectx7(tmp_path).driver("name=nic.example.com")
    assert driver.name == "nic.example.com"
    assert "dra.net/ifName" in driver.discover().devices[0].attributes, "claims go on to select by the known names"
