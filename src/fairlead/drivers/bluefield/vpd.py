"""Vital product data of a PCI card: its name, part and serial number, the same for all functions of the card.

Source: PCI Local Bus Specification 3.0, appendix I: resources with a tag, a length and data; keywords of two letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_NAME, _READ_ONLY, _END = 0x82, 0x90, 0x78
_HEAD: Final = 3


@dataclass(frozen=True, slots=True)
class Vpd:
    """What the card says of itself; empty where it does not."""

    name: str = ""
    part: str = ""
    serial: str = ""


def read_vpd(data: bytes) -> Vpd:
    """The content of a card's `vpd` file.

    Raises:
        ValueError: it is damaged.
    """
    name, fields, at = "", {}, 0
    while at < len(data) and data[at] != _END:
        tag = data[at]
        if not tag & 0x80 or at + _HEAD > len(data):
            raise ValueError(f"VPD: byte {at}: no resource that is known")
        size = int.from_bytes(data[at + 1 : at + _HEAD], "little")
        body = data[at + _HEAD : at + _HEAD + size]
        if len(body) < size:
            raise ValueError(f"VPD: byte {at}: the resource has {len(body)} of {size} bytes")
        if tag == _NAME:
            name = _text(body)
        elif tag == _READ_ONLY:
            fields = _keywords(body)
        at += _HEAD + size
    return Vpd(name, fields.get("PN", ""), fields.get("SN", ""))


def _keywords(body: bytes) -> dict[str, str]:
    found, at = {}, 0
    while at + _HEAD <= len(body):
        size = body[at + 2]
        found[body[at : at + 2].decode("latin-1")] = _text(body[at + _HEAD : at + _HEAD + size])
        at += _HEAD + size
    return found


def _text(body: bytes) -> str:
    return body.decode("latin-1").strip("\0 ")
