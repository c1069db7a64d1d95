"""From a claim to what each DPU has to do for it: pure, so that preparing, undoing and asking beforehand agree.

A share of a port's bandwidth limits what the claim's functions of that port may send, each its equal part; in a claim
without functions it only keeps the bandwidth from others. A share of a DPU is a number of its services.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fairlead.driver import Claim, ClaimDevice, PrepareError
from fairlead.drivers.bluefield.config import FunctionConfig
from fairlead.drivers.bluefield.devices import MEGABIT, Place
from fairlead.drivers.bluefield.functions import Wanted

_NANO: Final = 10**9


@dataclass(slots=True)
class Work:
    """What one DPU has to do for one claim."""

    wanted: list[Wanted] = field(default_factory=list)
    services: dict[str, int] = field(default_factory=dict)

    @property
    def touches(self) -> bool:
        """Whether anything of it needs the side of the e-switch: a function that is there as it is does not."""
        one_does = any(
            one.function.kind == "sf" or one.bridge or one.mac or one.vlan or one.tx_max for one in self.wanted
        )
        return one_does or any(self.services.values())


def work_of(claim: Claim, place_of: Callable[[str], Place | None], undo: bool = False) -> dict[str, Work]:
    """For each DPU of a claim what it has to do.

    Args:
        claim: with devices of ours only.
        place_of: what a device is, by its name; None where it has gone.
        undo: whether it is to be taken back: then nothing is refused, for a device may have gone meanwhile.

    Raises:
        PrepareError: what is asked for makes no sense.
    """
    placed = [(device, place_of(device.name)) for device in claim.devices if not device.admin_access]
    functions = [(device, place) for device, place in placed if place is not None and not place.share]
    limits = _limits(placed, functions, undo)
    work: dict[str, Work] = {}
    for device, place in functions:
        if place.function is None:
            continue
        config = device.config(FunctionConfig) or FunctionConfig()
        if config.vlan and not config.bridge and not undo:
            raise PrepareError(f"{device.name}: FunctionConfig: vlan: needs a bridge")
        limit = limits.get((place.slot, place.function.pf), 0)
        wanted = Wanted(place.function, config.bridge, config.vlan, config.mac, limit)
        work.setdefault(place.slot, Work()).wanted.append(wanted)
    for device, whole in placed:
        if whole is not None and whole.share and whole.function is None:
            services = work.setdefault(whole.slot, Work()).services
            for name, amount in device.consumed_capacity.items():
                services[name] = services.get(name, 0) + amount.nano // _NANO
    return work


def _limits(
    placed: list[tuple[ClaimDevice, Place | None]], functions: list[tuple[ClaimDevice, Place]], undo: bool
) -> dict[tuple[str, int], int]:
    """Mbit/s for each function of a port of which the claim has shares."""
    bits: dict[tuple[str, int], int] = {}
    for device, place in placed:
        if place is not None and place.share and place.function is not None:
            amount = device.consumed_capacity.get("bandwidth")
            key = (place.slot, place.function.pf)
            bits[key] = bits.get(key, 0) + (amount.nano // _NANO if amount is not None else 0)
    limits = {}
    for (slot, pf), total in bits.items():
        count = sum(
            place.slot == slot and place.function is not None and place.function.pf == pf for _, place in functions
        )
        if not count and (undo or not functions):
            continue
        if not count:
            raise PrepareError(
                f"the claim has bandwidth of port {pf} of DPU {slot}, but no function of that port: let both requests "
                "match in pfAddress"
            )
        limits[slot, pf] = max(total // count // MEGABIT, 1)
    return limits
