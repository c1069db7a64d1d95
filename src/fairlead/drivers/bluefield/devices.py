"""From DPUs to the pool that is published.

One pool a node. Per DPU, in this order: virtual functions, sub-functions that may be made, physical functions, a share
of each port's bandwidth, a share of the DPU's services.

* A counter set for each physical function says how many functions are behind it. A virtual or sub-function takes one,
  the physical function all of them: whoever has the port as a whole shares it with nobody.
* Sub-functions are made when they are prepared, so devices stand for numbers: `sf-0000-3b-00-0-1000` is number 1000 of
  the function 0000:3b:00.0.
* Ports and DPUs can be shared: what is consumed of a port is bandwidth, which limits the claim's functions of the port;
  of a DPU, the services that its agent offers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fairlead.driver import Pool
from fairlead.drivers.bluefield.agents import Report
from fairlead.drivers.bluefield.config import DRIVER
from fairlead.drivers.bluefield.contradictions import services
from fairlead.drivers.bluefield.discovery import Dpu, HostFunction, Port
from fairlead.drivers.bluefield.functions import Function
from fairlead.drivers.bluefield.options import Options
from fairlead.hardware import attribute, standard_attributes
from fairlead.resource import (
    CapacityRequestPolicy,
    CapacityRequestPolicyRange,
    Counter,
    CounterSet,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    DeviceCounterConsumption,
    Quantity,
)

READY: Final = f"{DRIVER}/Ready"
FAILED: Final = f"{DRIVER}/Failed"
MEGABIT: Final = 10**6
_STEP: Final = 100 * MEGABIT
"""Bits a second: shares of bandwidth are multiples of this, and at least this."""
_FUNCTIONS: Final = "functions"
_SF: Final = re.compile(r"sf-([0-9a-f]{4,8}-[0-9a-f]{2}-[0-9a-f]{2})-([0-7])-([0-9]+)")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a DPU beside what the host sees."""

    has_agent: bool = False
    report: Report | None = None
    """What the agent said last; None where there is none, or it never answered."""
    megabits: Mapping[str, int] = field(default_factory=dict)
    """The fastest link seen at each physical function, by PCI address."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a device is: a function of a DPU, or for shares the port or the DPU."""

    slot: str
    function: Function | None
    """None for a share of the DPU."""
    share: bool = False


def device_name(kind: str, address: str, number: int | None = None) -> str:
    """The name of a device: kind, address with dashes, number."""
    plain = re.sub("[:.]", "-", address)
    return f"{kind}-{plain}" if number is None else f"{kind}-{plain}-{number}"


def sub_function_place(name: str) -> Place | None:
    """What a sub-function's device is, by its name alone; None for other devices."""
    found = _SF.fullmatch(name)
    if found is None:
        return None
    slot, pf, number = found.groups()
    return Place(slot.replace("-", ":"), Function("sf", int(pf), int(number)))


def makes_sfs(dpu: Dpu, known: Known, options: Options) -> bool:
    """Whether sub-functions can be made: by an agent, or on the host where it manages the e-switch."""
    return bool(options.sfs) and (known.has_agent or (dpu.mode == "nic" and dpu.eswitch == "switchdev"))


def make_pool(
    found: Iterable[tuple[Dpu, Known]], options: Options, problems: list[str]
) -> tuple[Pool, dict[str, Place]]:
    """The pool of a node, and what each of its devices is by name."""
    devices: dict[str, tuple[Device, Place]] = {}
    counters: list[CounterSet] = []
    parts: dict[str, str] = {}
    for dpu, known in found:
        general = _general(dpu, known)
        last: list[tuple[Device, Place]] = []
        for port in dpu.ports:
            made, whole, sets = _port_devices(dpu, port, known, options, general)
            for device, place in made:
                devices[device.name] = device, place
                parts[device.name] = whole[0].name
            last += [whole, *_bandwidth(dpu, port, known, options, general)]
            counters += sets
        for device, place in [*last, *_services(dpu, known, options, general)]:
            devices[device.name] = device, place
    pool = Pool([one for one, _ in devices.values()], counters, parts=parts, problems=tuple(problems))
    return pool, {name: place for name, (_, place) in devices.items()}


def _port_devices(
    dpu: Dpu, port: Port, known: Known, options: Options, general: dict[str, DeviceAttribute]
) -> tuple[list[tuple[Device, Place]], tuple[Device, Place], list[CounterSet]]:
    """The functions behind a physical function, itself, and the counters that they share."""
    physical = port.physical
    address = physical.pci.address
    numbers = range(options.first_sf, options.first_sf + options.sfs) if makes_sfs(dpu, known, options) else range(0)
    total = len(port.virtual) + len(numbers)
    name = device_name("pf", address)

    def takes(amount: int) -> list[DeviceCounterConsumption]:
        return [DeviceCounterConsumption(name, {_FUNCTIONS: _counter(amount)})] if total else []

    made = []
    for one in port.virtual:
        attributes = _function_attributes(one, known) | standard_attributes(one.pci)
        device = _device(device_name("vf", one.pci.address), general | attributes, takes(1), known, options)
        made.append((device, Place(dpu.slot, one.function)))
    for number in numbers:
        function = Function("sf", physical.function.pf, number)
        # It lives on the PCI function of its port: that is where its traffic enters and leaves the host.
        attributes = _function_attributes(HostFunction(function, physical.pci, "", "", physical.rdma), known)
        attributes |= standard_attributes(physical.pci)
        device = _device(device_name("sf", address, number), general | attributes, takes(1), known, options)
        made.append((device, Place(dpu.slot, function)))
    attributes = _function_attributes(physical, known) | standard_attributes(physical.pci)
    if physical.interface:
        attributes["interface"] = attribute(physical.interface)
    whole = _device(name, general | attributes, takes(total), known, options)
    sets = [CounterSet(name=name, counters={_FUNCTIONS: _counter(total)})] if total else []
    return made, (whole, Place(dpu.slot, physical.function)), sets


def _bandwidth(
    dpu: Dpu, port: Port, known: Known, options: Options, general: dict[str, DeviceAttribute]
) -> list[tuple[Device, Place]]:
    """The port as a device to share; none where its speed is not known, or nobody could limit functions."""
    address = port.physical.pci.address
    bits = known.megabits.get(address, port.megabits) * MEGABIT
    if not bits or not makes_sfs(dpu, known, options):
        return []
    policy = CapacityRequestPolicy(
        default=Quantity.parse(str(_STEP)),
        valid_range=CapacityRequestPolicyRange(min=Quantity.parse(str(_STEP)), step=Quantity.parse(str(_STEP))),
    )
    attributes = general | standard_attributes(port.physical.pci)
    attributes |= {
        "type": attribute("port"),
        "port": attribute(port.physical.function.pf),
        "pfAddress": attribute(address),
    }
    capacity = {"bandwidth": DeviceCapacity(Quantity.parse(str(bits)), policy)}
    device = _device(device_name("port", address), attributes, [], known, options, capacity)
    return [(device, Place(dpu.slot, port.physical.function, True))]


def _services(
    dpu: Dpu, known: Known, options: Options, general: dict[str, DeviceAttribute]
) -> list[tuple[Device, Place]]:
    """The DPU as a device to share, where its agent offers services."""
    offered = services(known.report)
    if not offered:
        return []
    zero, one = Quantity.parse("0"), Quantity.parse("1")
    policy = CapacityRequestPolicy(default=zero, valid_range=CapacityRequestPolicyRange(min=zero, step=one))
    capacity = {name: DeviceCapacity(Quantity.parse(str(amount)), policy) for name, amount in offered.items()}
    attributes = {**general, "type": attribute("dpu")}
    if dpu.ports:
        attributes |= standard_attributes(dpu.ports[0].physical.pci)
    return [
        (_device(device_name("dpu", dpu.slot), attributes, [], known, options, capacity), Place(dpu.slot, None, True))
    ]


def _device(
    name: str,
    attributes: Mapping[str, DeviceAttribute],
    takes: list[DeviceCounterConsumption],
    known: Known,
    options: Options,
    capacity: dict[str, DeviceCapacity] | None = None,
) -> Device:
    waits = known.has_agent and options.binding
    return Device(
        name=name,
        attributes=dict(attributes),
        capacity=capacity or {},
        consumes_counters=takes,
        allow_multiple_allocations=True if capacity else None,
        binds_to_node=True if waits else None,
        binding_conditions=[READY] if waits else [],
        binding_failure_conditions=[FAILED] if waits else [],
    )


def _general(dpu: Dpu, known: Known) -> dict[str, DeviceAttribute]:
    """What all devices of a DPU say."""
    report = known.report or Report()
    texts = {
        "dpu": dpu.slot,
        "model": dpu.model,
        "deviceID": f"{dpu.ports[0].physical.pci.device:04x}" if dpu.ports else "",
        "serial": dpu.vpd.serial or dpu.info.serial or report.serial,
        "partNumber": dpu.vpd.part,
        "psid": dpu.info.psid,
        "mode": dpu.mode,
        "eswitchMode": dpu.eswitch or report.eswitch,
        "bfbVersion": report.bfb,
        "agentVersion": report.version,
    }
    values = {name: attribute(text) for name, text in texts.items() if text}
    if version := _version(dpu.info.firmware or report.firmware):
        values["firmwareVersion"] = DeviceAttribute(version=version)
    if known.report is not None:
        offered = {*report.offloads, *services(report)}
        for name in sorted({"ovs", "ipsec", "nvmeSnap", "virtioNet"}):
            values[name] = attribute(name in offered)
    return values


def _function_attributes(one: HostFunction, known: Known) -> dict[str, DeviceAttribute]:
    function = one.function
    address = one.pci.physical or one.pci.address
    values = {
        "type": attribute(function.kind),
        "port": attribute(function.pf),
        "pfAddress": attribute(address),
        "rdma": attribute(bool(one.rdma)),
    }
    if function.kind != "pf":
        values[function.kind] = attribute(function.number)
    if known.report is not None and (representor := known.report.representor(function)) and function.kind != "sf":
        values["representor"] = attribute(representor)
    return values


def _version(text: str) -> str:
    """A firmware version as a semantic one: `32.39.0048` has a leading zero, which those must not have."""
    numbers = text.split(".")
    if len(numbers) != 3 or not all(one.isdecimal() and len(one) < 10 for one in numbers):
        return ""
    return ".".join(str(int(one)) for one in numbers)


def _counter(amount: int) -> Counter:
    return Counter(Quantity.parse(str(amount)))
