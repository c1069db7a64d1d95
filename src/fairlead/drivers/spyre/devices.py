"""From functions and the topology file to devices.

A card and its virtual functions exclude each other: they take from one counter set of the card, the card all of it,
each virtual function one. Virtual functions come first, and cards in the order of their addresses, so that a claim that
does not care leaves whole cards, and whole groups of peers, to those that do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fairlead import __version__
from fairlead.driver import Pool
from fairlead.drivers.spyre.cards import CARD, VIRTUAL, product
from fairlead.drivers.spyre.layout import Place
from fairlead.hardware import PciFunction, Problems, attribute, standard_attributes
from fairlead.resource import (
    Counter,
    CounterSet,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    DeviceCounterConsumption,
    Quantity,
)

CARD_MEMORY: Final = 128 << 30
"""Bytes, by IBM's data sheet of the Spyre Accelerator: 128 GB of LPDDR5."""
_COUNTER: Final = "virtual-functions"
_NUMA: Final = "resource.kubernetes.io/numaNode"
_NOWHERE: Final = Place()


def pool(found: Sequence[PciFunction], layout: Mapping[str, Place], problems: Problems) -> Pool:
    """All that is published for a machine.

    Args:
        found: its functions, in the order of their addresses.
        layout: what the topology file says, by address.
        problems: gets a line where file and kernel disagree; becomes the pool's.
    """
    cards = {one.address: one for one in found if one.device == CARD}
    shares = {address: max(one.total_virtual, len(one.virtual)) for address, one in cards.items()}
    for one in found:
        if one.physical and one.physical not in cards:
            # The card itself is not to be had: nothing to exclude, but its memory is shared.
            shares[one.physical] = sum(other.physical == one.physical for other in found)
    order = sorted(found, key=lambda one: (one.device != VIRTUAL, one.physical, one.address))
    index = {one.address: number for number, one in enumerate(found)}
    made = []
    for one in order:
        count = shares.get(one.physical or one.address, 0)
        taken = (count if one.device == CARD else 1) if (one.physical or one.address) in cards else 0
        made.append(_device(one, _attributes(one, index[one.address], cards, layout, problems), layout, count, taken))
    return Pool(
        made,
        [
            CounterSet(name=name_of(address), counters={_COUNTER: Counter(Quantity.from_int(shares[address]))})
            for address in cards
            if shares[address]
        ],
        parts={name_of(one.address): name_of(one.physical) for one in found if one.physical in cards},
        problems=problems,
    )


def name_of(address: str) -> str:
    """A device's name: its address, with dashes."""
    return address.replace(":", "-").replace(".", "-")


def _device(
    one: PciFunction,
    attributes: dict[str, DeviceAttribute],
    layout: Mapping[str, Place],
    shares: int,
    taken: int,
) -> Device:
    memory = _memory(one, layout, shares)
    consumed = DeviceCounterConsumption(
        counter_set=name_of(one.physical or one.address), counters={_COUNTER: Counter(Quantity.from_int(taken))}
    )
    return Device(
        name=name_of(one.address),
        attributes=attributes,
        capacity={} if memory is None else {"memory": DeviceCapacity(value=Quantity.from_int(memory, "BinarySI"))},
        consumes_counters=[consumed] if taken else [],
    )


def _memory(one: PciFunction, layout: Mapping[str, Place], shares: int) -> int | None:
    """Bytes; a virtual function has an equal share of its card, and None where its card is not seen."""
    own = layout.get(one.address, _NOWHERE).memory
    if own is not None:
        return own
    if one.device == CARD:
        return CARD_MEMORY
    if not one.physical:
        return None
    return (layout.get(one.physical, _NOWHERE).memory or CARD_MEMORY) // max(shares, 1)


def _attributes(
    one: PciFunction,
    index: int,
    cards: Mapping[str, PciFunction],
    layout: Mapping[str, Place],
    problems: Problems,
) -> dict[str, DeviceAttribute]:
    near = layout.get(one.physical or one.address, _NOWHERE)
    place = layout.get(one.address, near)
    if place.numa is not None and one.numa is not None and place.numa != one.numa:
        problems.append(
            f"{one.address}: is on NUMA node {one.numa} for the kernel, on {place.numa} by the topology file"
        )
    known = _ibms(one, index, cards, place) | _ours(one, near)
    attributes = {name: attribute(value) for name, value in known.items()} | standard_attributes(one)
    if place.numa is not None and _NUMA not in attributes:
        attributes[_NUMA] = attribute(place.numa)
    return attributes


def _ibms(one: PciFunction, index: int, cards: Mapping[str, PciFunction], place: Place) -> dict[str, int | str | bool]:
    """What IBM's driver publishes, by its names, on every device: a selector on an absent attribute fails the claim."""
    numa = place.numa if place.numa is not None else one.numa
    siblings = cards[one.physical].virtual if one.physical in cards else ()
    return {
        "index": index,
        "driverVersion": __version__,
        "vendor": f"{one.vendor:04x}",
        "driver": one.driver,
        "productId": product(one),
        "pciAddress": one.address,
        "pfPciAddress": one.physical,
        "isPf": one.device == CARD,
        "subClass": f"{one.class_code >> 8 & 0xFF:02x}",
        "vfId": siblings.index(one.address) if one.address in siblings else -1,
        "numaInfo": "" if numa is None else str(numa),
        **({"linkSpeed": place.link_speed} if place.link_speed else {}),
        **place.facts,
    }


def _ours(one: PciFunction, near: Place) -> dict[str, int | str | bool]:
    known: dict[str, int | str | bool] = {}
    if len(one.bridges) >= 3:
        # Root port, the switch's upstream port, its downstream port.
        known["pcieSwitch"] = one.bridges[-2]
    for number, level in enumerate(near.levels):
        if level.group:
            known[f"peerGroup{number}"] = level.group
        if level.distance is not None:
            known[f"peerDistance{number}"] = level.distance
    return known
