"""From what there is of NX to devices.

A device stands for a class of credits (pSeries) or for a chip (PowerNV); claims share it, and each share takes as many
of its `credits` as it will open windows, one unless it says otherwise. The default class comes first, so that requests
that name none get it as long as it lasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fairlead.drivers.power.accelerator import CLASSES, WINDOWS, Accelerator, Credits
from fairlead.drivers.power.processors import in_short
from fairlead.hardware import Problems, attribute
from fairlead.resource import (
    CapacityRequestPolicy,
    CapacityRequestPolicyRange,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    Quantity,
)

NAME: Final = "cryptonxgzip"
"""As IBM's driver calls its one device."""
CAPACITY: Final = "credits"
_NUMA: Final = "resource.kubernetes.io/numaNode"
_LONGEST: Final = 64
_LIMITS: Final = {
    "min_compress_len": "minCompressLength",
    "min_decompress_len": "minDecompressLength",
    "req_max_processed_len": "maxRequestLength",
}


def devices(found: Accelerator, reserve: int, assumed: int | None, problems: Problems) -> list[Device]:
    """The devices of a machine.

    Args:
        found: what it has.
        reserve: credits of the default class that are kept for programs without a claim; on PowerNV of each chip.
        assumed: credits where the kernel counts none; None for what is known of the hardware.
        problems: gets a line for a class without credits.
    """
    common = _common(found)
    made: list[Device] = []
    for index, board in enumerate(found.switchboards):
        own = {"index": index, "chip": board.chip, "vasID": board.vas}
        if board.numa is not None:
            own[_NUMA] = board.numa
        attributes = _attributes({"creditClass": "default", **own})
        amount = (WINDOWS if assumed is None else assumed) - reserve
        made += _device(f"{NAME}-chip{board.chip}", attributes | common, amount, problems)
    for index, name in enumerate(CLASSES):
        if name not in found.credits:
            continue
        total = _total(found.credits[name], assumed)
        attributes = _attributes({"index": index, "creditClass": name})
        if name == "default":
            made += _device(device_of(name), attributes | common, None if total is None else total - reserve, problems)
        elif total:
            # A partition has no credits of this class unless somebody ordered them: nothing to tell then.
            made += _device(device_of(name), attributes | common, total, problems)
    return made


def device_of(kind: str) -> str:
    """The name of the device that stands for a partition's credits of a class."""
    return NAME if kind == "default" else f"{NAME}-{kind}"


def class_of(device: str) -> str:
    """The class of credits that a device of that name stands for."""
    return next((kind for kind in CLASSES if device == device_of(kind)), "default")


def _total(known: Credits | None, assumed: int | None) -> int | None:
    return assumed if known is None else known.total


def _device(
    name: str, attributes: dict[str, DeviceAttribute], amount: int | None, problems: Problems
) -> Iterable[Device]:
    if amount is not None and amount < 1:
        problems.append(f"{name}: has no credits for claims")
        return
    capacity = {} if amount is None else {CAPACITY: _shared(amount)}
    yield Device(name=name, attributes=attributes, capacity=capacity, allow_multiple_allocations=True)


def _shared(amount: int) -> DeviceCapacity:
    one, all_ = Quantity.from_int(1), Quantity.from_int(amount)
    policy = CapacityRequestPolicy(default=one, valid_range=CapacityRequestPolicyRange(min=one, max=all_, step=one))
    return DeviceCapacity(value=all_, request_policy=policy)


def _common(found: Accelerator) -> dict[str, DeviceAttribute]:
    cpus = found.processors
    known: dict[str, int | str | bool] = {"type": "nx-gzip", "platform": found.platform}
    if cpus.model:
        known["processor"] = cpus.model
    if found.platform == "pSeries":
        if cpus.numa:
            known["numaNodes"] = _as_much_as_fits(in_short(cpus.numa))
        if len(cpus.numa) == 1:
            known[_NUMA] = cpus.numa[0]
        if cpus.chips:
            known["chips"] = _as_much_as_fits(in_short(cpus.chips))
    known |= {_LIMITS[name]: number for name, number in found.limits.items()}
    if found.algorithms is not None:
        others = sorted(found.algorithms - {"842"})
        known |= {"nx842": "842" in found.algorithms, "nxCrypto": bool(others)}
        if others:
            known["nxCryptoAlgorithms"] = _as_much_as_fits(",".join(others))
    return _attributes(known)


def _as_much_as_fits(text: str) -> str:
    """A list without the parts at its end that an attribute has no room for."""
    return text if len(text) <= _LONGEST else text[: _LONGEST + 1].rpartition(",")[0]


def _attributes(known: Mapping[str, int | str | bool]) -> dict[str, DeviceAttribute]:
    return {name: attribute(value) for name, value in known.items()}
