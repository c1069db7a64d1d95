"""Which port of which switch an interface is cabled to, from what lldpd has heard (`lldpcli show neighbors -f json`).

Both of lldpd's JSON forms are read: `json` (an object an interface, or a list of such) and `json0` (lists everywhere).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


class Neighbour(msgspec.Struct, frozen=True):
    """The other end of a cable."""

    switch: str
    """The switch's name, or what identifies it."""
    port: str
    """The port's identifier there."""


def read_neighbours(path: Path) -> dict[str, Neighbour]:
    """The neighbours by interface.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not lldpd's JSON.
    """
    try:
        raw = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: is no JSON: {error}") from None
    found: dict[str, Neighbour] = {}
    for lldp in _many(raw.get("lldp") if isinstance(raw, dict) else None):
        for entry in _many(lldp.get("interface") if isinstance(lldp, dict) else None):
            for name, one in _interfaces(entry):
                switch, port = _switch(one), _identifier(one.get("port"))
                if switch and port:
                    found.setdefault(name, Neighbour(switch, port))
    if not isinstance(raw, dict) or "lldp" not in raw:
        raise ValueError(f"{path}: has no member lldp: make it with lldpcli show neighbors -f json")
    return found


def _interfaces(entry: Any) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(entry, dict):
        return []
    if isinstance(entry.get("name"), str):
        return [(entry["name"], entry)]
    return [(name, one) for name, many in entry.items() for one in _many(many) if isinstance(one, dict)]


def _switch(one: dict[str, Any]) -> str:
    for chassis in _many(one.get("chassis")):
        if not isinstance(chassis, dict):
            continue
        if "id" in chassis or "name" in chassis:
            return _value(chassis.get("name")) or _identifier(chassis)
        for name, inner in chassis.items():
            return str(name) or _identifier(inner)
    return ""


def _identifier(value: Any) -> str:
    for one in _many(value):
        if isinstance(one, dict):
            return _value(one.get("id"))
    return ""


def _value(value: Any) -> str:
    for one in _many(value):
        if isinstance(one, str):
            return one
        if isinstance(one, dict) and isinstance(one.get("value"), str):
            return str(one["value"])
    return ""


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
