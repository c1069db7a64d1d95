"""What the topology model makes of the devices that the network driver publishes."""

from __future__ import annotations

import json

import pytest

from fairlead.driver.inventory import make_inventory
from fairlead.driver.slices import Publication, plan
from fairlead.resource import Device, DeviceAttribute
from fairlead.topology import default_rules, wire
from tests.drivers.network.machines import ETHERNET, MELLANOX, plain_vm

ROOTS = ("17", "5d", "9a", "b7")
"""Of a server with four GPUs, each with a port on its root, in the order of their addresses."""
LEAVES = ("leaf-2", "leaf-1", "leaf-4", "leaf-3")
"""The switches that they are cabled to: in another order than that of the addresses."""


@pytest.fixture
def server(tmp_path):
    made = plain_vm(tmp_path)
    for number, bus in enumerate(ROOTS):
        path = made.tree.pci(
            f"0000:{bus}:00.0",
            vendor=MELLANOX,
            device=0x1021,
            class_code=ETHERNET,
            root=f"pci0000:{bus}",
            numa=number // 2,
            driver="mlx5_core",
            total_virtual=2 if number == 0 else 0,
        )
        made.interface(f"ens{number}", path, speed=400000, mac=f"b8:ce:f6:03:00:0{number}")
        made.rdma(f"mlx5_{number}", path, number, layer="Ethernet", rate="400 Gb/sec (4X NDR)")
    made.tree.virtual(f"0000:{ROOTS[0]}:00.0", [f"0000:{ROOTS[0]}:00.{one}" for one in (1, 2)], 0x101E, "mlx5_core")
    rows = [
        {f"ens{number}": {"chassis": {leaf: {"id": {"value": "aa"}}}, "port": {"id": {"value": "Eth1/7"}}}}
        for number, leaf in enumerate(LEAVES)
    ]
    (tmp_path / "lldp.json").write_text(json.dumps({"lldp": {"interface": rows}}))
    return made


def gpu(root):
    text = {"productName": "NVIDIA H100 80GB HBM3", "resource.kubernetes.io/pcieRoot": f"pci0000:{root}"}
    return Device(name=f"gpu-{root}", attributes={name: DeviceAttribute(string=value) for name, value in text.items()})


def wired(driver, with_gpus=True):
    """Device to where it is, from the slices that are published and GPUs beside them."""
    pools = make_inventory(driver.discover(), "node-1").pools
    slices = [one.item for one in plan(Publication(driver.name, "node-1", "", True), pools, [], {})]
    devices = [(one.spec.driver, device) for one in slices for device in one.spec.devices]
    devices += [("gpu.nvidia.com", gpu(root)) for root in ROOTS] if with_gpus else []
    wiring = wire(devices, default_rules())
    return dict(zip([device.name for _, device in devices], wiring.locations, strict=True)), wiring


def rails(where):
    ports = [where[f"pci-0000-{root}-00-0"].rail for root in ROOTS]
    return ports, [where[f"gpu-{root}"].rail for root in ROOTS]


@pytest.mark.parametrize("settings", ["rails=lldp,lldp={}/lldp.json", "rails=ens1+ens0+ens3+ens2"])
def test_published_rails_are_those_of_the_ports_their_functions_and_their_gpus(server, tmp_path, settings):
    where, _ = wired(server.driver(settings.format(tmp_path)))
    assert rails(where) == ([1, 0, 3, 2], [1, 0, 3, 2])
    functions = [where[f"pci-0000-{ROOTS[0]}-00-{one}"] for one in (1, 2)]
    assert [(one.rail, one.port) for one in functions] == [(1, f"0000:{ROOTS[0]}:00.0")] * 2
    assert where["pci-0000-00-04-0"].rail is None, "the front end is cabled to no leaf"
    assert where[f"pci-0000-{ROOTS[0]}-00-0"].sources["rail"] == "attribute dra.net/rail"
    assert where[f"gpu-{ROOTS[0]}"].sources["rail"] == "rule rail-of-nic"


def test_without_settings_rails_are_counted(server):
    where, _ = wired(server.driver())
    assert rails(where) == ([0, 1, 2, 3], [0, 1, 2, 3])


def test_functions_of_the_sriov_profile_have_the_rail_of_their_port(server, tmp_path):
    where, _ = wired(server.driver(f"profile=sriov,rails=lldp,lldp={tmp_path}/lldp.json"))
    assert [where[f"0000-{ROOTS[0]}-00-{one}"].rail for one in (1, 2)] == [1, 1]
    assert where[f"gpu-{ROOTS[0]}"].rail == 1


def test_a_gpu_sends_over_the_port_beside_it(server, tmp_path):
    where, wiring = wired(server.driver(f"rails=lldp,lldp={tmp_path}/lldp.json"))
    order = list(where)
    link = wiring.link(order.index(f"pci-0000-{ROOTS[2]}-00-0"), order.index(f"gpu-{ROOTS[2]}"))
    assert link.kind == "root"
