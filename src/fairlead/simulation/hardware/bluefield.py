"""A BlueField-3 DPU in every node, as our driver `bluefield` publishes it in DPU mode with an agent.

Two ports, each with virtual functions, sub-functions that may be made, itself as a whole, and its bandwidth in shares;
and the services of the DPU. The counters say which function may be had beside which (docs/drivers/bluefield.md).
Left out are the binding conditions, which nothing would make true. The PCI address is one that no other profile uses.
"""

from __future__ import annotations

from typing import Final

from fairlead.resource import CapacityRequestPolicy as Policy
from fairlead.resource import CapacityRequestPolicyRange as Range
from fairlead.resource import Counter, CounterSet, Device, DeviceCapacity, DeviceCounterConsumption, Quantity
from fairlead.simulation.hardware.parts import BUS, NUMA, ROOT, Version, attributes, uuid_of
from fairlead.simulation.hardware.profile import Field, Part, Profile
from fairlead.simulation.hardware.site import ARCH, Site

DRIVER: Final = "dpu.fairlead.dev"
_GIGABIT: Final = 10**9
_STEP: Final = 10**8
_FIRST_SF: Final = 1000
_SERVICES: Final = {"nvmeSnap": 8, "virtioNet": 16}


def _devices(node: str, on_pc: bool, part: Part) -> tuple[list[Device], list[CounterSet]]:
    """A node's DPU, in the order of the driver's pool."""
    slot, root = ("0000:29:00", "pci0000:27") if on_pc else ("0006:01:00", "pci0006:00")
    vfs, sfs = part.number("functions"), part.number("sfs")
    common: dict[str, object] = {
        "dpu": slot,
        "model": "BlueField-3",
        "deviceID": "a2dc",
        "serial": f"MT{uuid_of(f'{node}/dpu')[:10].upper()}",
        "partNumber": "900-9D3B6-00CV-AA0",
        "psid": "MT_0000000884",
        "firmwareVersion": Version("32.39.2048"),
        "mode": "dpu",
        "eswitchMode": "switchdev",
        "bfbVersion": "DOCA_2.9.1_BSP_4.9.1_Ubuntu_22.04",
        "agentVersion": "0.1.0",
        "ovs": True,
        "ipsec": True,
        **dict.fromkeys(_SERVICES, True),
        ROOT: root,
        NUMA: 0,
    }
    functions: list[Device] = []
    wholes: list[Device] = []
    counters: list[CounterSet] = []
    for port in range(2):
        address = f"{slot}.{port}"
        whole = f"pf-{_plain(address)}"
        own = common | {"port": port, "pfAddress": address, BUS: address}
        for vf in range(vfs):
            # A port's virtual functions are on a bus address of their own: behind it, or above.
            at = f"{slot[:-2]}{1 + port * 8 + vf // 8:02x}.{vf % 8}"
            values = own | {"type": "vf", "vf": vf, "rdma": True, "representor": f"pf{port}vf{vf}", BUS: at}
            functions.append(_device(f"vf-{_plain(at)}", values, (whole, 1)))
        for sf in range(_FIRST_SF, _FIRST_SF + sfs):
            values = own | {"type": "sf", "sf": sf, "rdma": True}
            functions.append(_device(f"sf-{_plain(address)}-{sf}", values, (whole, 1)))
        values = own | {"type": "pf", "rdma": True, "representor": f"pf{port}hpf", "interface": f"dpu0p{port}"}
        wholes.append(_device(whole, values, (whole, vfs + sfs)))
        counters.append(CounterSet(name=whole, counters={"functions": Counter(Quantity.from_int(vfs + sfs))}))
        step = Quantity.from_int(_STEP)
        bandwidth = DeviceCapacity(
            Quantity.from_int(part.number("gigabits") * _GIGABIT), Policy(step, valid_range=Range(step, step=step))
        )
        wholes.append(_device(f"port-{_plain(address)}", own | {"type": "port"}, capacity={"bandwidth": bandwidth}))
    none, one = Quantity.from_int(0), Quantity.from_int(1)
    policy = Policy(none, valid_range=Range(none, step=one))
    services = {name: DeviceCapacity(Quantity.from_int(amount), policy) for name, amount in _SERVICES.items()}
    dpu = _device(f"dpu-{_plain(slot)}", common | {"type": "dpu", BUS: f"{slot}.0"}, capacity=services)
    return [*functions, *wholes, dpu], counters


def _device(
    name: str,
    values: dict[str, object],
    takes: tuple[str, int] | None = None,
    capacity: dict[str, DeviceCapacity] | None = None,
) -> Device:
    consumed = []
    if takes is not None:
        counters = {"functions": Counter(Quantity.from_int(takes[1]))}
        consumed.append(DeviceCounterConsumption(counter_set=takes[0], counters=counters))
    return Device(
        name=name,
        attributes=attributes(values),
        capacity=capacity or {},
        consumes_counters=consumed,
        allow_multiple_allocations=True if capacity else None,
    )


def _plain(address: str) -> str:
    return address.replace(":", "-").replace(".", "-")


def _build(part: Part, site: Site) -> None:
    site.need_class(DRIVER, f"device.driver == '{DRIVER}'")
    for node in site.nodes:
        devices, counters = _devices(node.name, node.metadata.labels[ARCH] == "amd64", part)
        site.publish(DRIVER, devices, pool=node.name, counters=counters)


PROFILE = Profile(
    "bluefield",
    "a BlueField-3 DPU in every node of the parts before: functions, and shares of two ports and of services",
    (
        Field("functions", 8, "virtual functions of a port", most=56),
        Field("sfs", 8, "sub-functions that may be made on a port", most=400),
        Field("gigabits", 200, "bandwidth of a port in Gb/s"),
    ),
    _build,
    extends=True,
)
