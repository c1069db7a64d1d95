"""Which devices a driver must not publish, because others do: a device plugin, a shared pool, a driver before it.

kube-scheduler counts what a device plugin offers and what ResourceSlices hold apart from each other, so a device in
both is given away twice. Pure:

* A device is offered where a plugin's id is one of the device's own: its UUID or that of the whole that it is cut from,
  or its PCI address. NVIDIA's plugin adds `::3` to the id of a share.
* With a device goes what shares hardware with it: its whole, and all parts of that.
* Where a plugin offers a resource that is known to be this hardware, under ids that name none of the devices (an index,
  say), nothing can be told apart, and all devices are withheld. An id with a UUID or an address in it names a device,
  if none of ours: one that this driver left out for a reason of its own.
* A device that a fabric has attached to this node is still one of the fabric's pool, where it was allocated: the node's
  own driver, which finds it like any other, leaves it there. The two know it by its UUID or its serial number.
* What a driver before ours shows of this node is its own, known by UUID or PCI address. With a PCI function go its
  virtual functions, and with a virtual function its physical one, for who has that reaches all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fairlead.driver.author import Pool
from fairlead.resource import Device

_IDENTITIES: Final = ("uuid", "parentuuid", "pcibusid", "pciaddress", "pciaddr")
_PHYSICAL: Final = "pfpciaddress"
_WORLDWIDE: Final = ("uuid", "serialnumber", "serial")
_NAMING: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_SHORT: Final = re.compile(r"[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


@dataclass(frozen=True, slots=True, order=True)
class Offer:
    """A device that a device plugin offers on this node."""

    resource: str
    """`nvidia.com/gpu`"""
    device: str
    """The plugin's own id of the device."""


def withhold(pools: Iterable[Pool], offers: Iterable[Offer], resources: Sequence[str]) -> list[Pool]:
    """The pools without the devices that are offered, each with lines that say so.

    Args:
        pools: as discovered.
        offers: of all device plugins of the node.
        resources: regular expressions over the names of resources that are known to be this driver's hardware.
    """
    found = list(pools)
    by_identity: dict[str, str] = {}
    blind: dict[str, str] = {}
    known = {one for pool in found for device in pool.devices for one in _identities(device)}
    for offer in sorted(offers):
        identity = _normal(offer.device)
        if identity in known:
            by_identity.setdefault(identity, offer.resource)
        elif not _NAMING.search(identity) and any(re.fullmatch(pattern, offer.resource) for pattern in resources):
            blind.setdefault(offer.resource, offer.device)
    if not by_identity and not blind:
        return found
    return [_without(pool, by_identity, blind) for pool in found]


def withhold_shared(pools: Iterable[Pool], identities: Mapping[str, str]) -> list[Pool]:
    """The pools of this node without devices that are in a pool that many nodes reach, each with lines that say so.

    Args:
        pools: as discovered.
        identities: UUIDs and serial numbers of the devices in shared pools, with the place of each for people.
    """
    found = []
    for pool in pools:
        reasons: dict[str, str] = {}
        for device in pool.devices if pool.reach is None else ():
            for identity in identities_of(device):
                if identity in identities:
                    reasons[_whole(pool, device.name)] = f"it belongs to {identities[identity]}"
        found.append(_leave_out(pool, reasons))
    return found


def withhold_taken(pools: Iterable[Pool], taken: Mapping[str, str]) -> list[Pool]:
    """The pools without devices that drivers before ours show on this node, each with lines that say so.

    Args:
        pools: as discovered.
        taken: what `hardware_of` tells of their devices, to the driver's name.
    """
    found = list(pools)
    taken = dict(taken)
    for pool in found:
        for device in pool.devices:
            owners = [taken[one] for one in hardware_of(device) if one in taken]
            if owners and (physical := _physical(device)):
                # The virtual one shows that its physical function is not ours to give.
                taken.setdefault(f"of {physical}", owners[0])
    left = []
    for pool in found:
        reasons: dict[str, str] = {}
        for device in pool.devices:
            own = hardware_of(device)
            for identity in (*own, _physical(device), *(f"of {one}" for one in own)):
                if identity in taken:
                    reasons[_whole(pool, device.name)] = f"{taken[identity]} has it on this node"
        left.append(_leave_out(pool, reasons))
    return left


def hardware_of(device: Device) -> list[str]:
    """What tells which hardware of its node a device is: UUID and PCI address."""
    return _identities(device)


def _physical(device: Device) -> str:
    """The PCI address of a virtual function's physical one; empty for others."""
    values = (value.string for name, value in device.attributes.items() if name.rpartition("/")[2].lower() == _PHYSICAL)
    return _normal(next(filter(None, values), ""))


def identities_of(device: Device) -> list[str]:
    """What tells a device from all others in the world: its UUID and its serial number."""
    return [
        _normal(value.string)
        for name, value in device.attributes.items()
        if value.string and name.rpartition("/")[2].lower() in _WORLDWIDE
    ]


def _without(pool: Pool, by_identity: Mapping[str, str], blind: Mapping[str, str]) -> Pool:
    reasons: dict[str, str] = {}
    for device in pool.devices:
        for identity in _identities(device):
            if identity in by_identity:
                reasons[_whole(pool, device.name)] = f"a device plugin offers it as {by_identity[identity]}"
    if blind and pool.devices:
        resource, device_id = min(blind.items())
        text = f"a device plugin offers {resource} under ids that name no device, such as {device_id!r}"
        reasons = {_whole(pool, device.name): text for device in pool.devices} | reasons
    return _leave_out(pool, reasons)


def _leave_out(pool: Pool, reasons: Mapping[str, str]) -> Pool:
    """The pool without the wholes that have a reason, and their parts."""
    if not reasons:
        return pool
    gone = {device.name: reasons[whole] for device in pool.devices if (whole := _whole(pool, device.name)) in reasons}
    return replace(
        pool,
        devices=[device for device in pool.devices if device.name not in gone],
        parts={part: whole for part, whole in pool.parts.items() if part not in gone and whole not in gone},
        problems=[*pool.problems, *(f"{name}: is not published: {why}" for name, why in gone.items())],
    )


def _whole(pool: Pool, name: str) -> str:
    return pool.parts.get(name, name)


def _identities(device: Device) -> list[str]:
    return [
        _normal(value.string)
        for name, value in device.attributes.items()
        if value.string and name.rpartition("/")[2].lower() in _IDENTITIES
    ]


def _normal(identity: str) -> str:
    identity = identity.partition("::")[0].strip().lower()
    return f"0000:{identity}" if _SHORT.fullmatch(identity) else identity
