"""What `--driver network=KEY=VALUE,...` says. Lists have `+` between their entries, and `*` stands for anything.

`vfs=ens1f0np0:16+ens1f1np1:16,skip=eth0+0000:0b:*,rails=ens1f0np0+ens1f1np1`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal

Profile = Literal["dranet", "sriov"]
NAMES: Final[Mapping[str, str]] = {"dranet": "dra.net", "sriov": "sriovnetwork.k8snetworkplumbingwg.io"}
"""The name that drivers of a profile have in claims that exist."""
_FIRST: Final[Mapping[str, tuple[str, ...]]] = {
    "dranet": ("dpu.fairlead.dev", NAMES["sriov"]),
    "sriov": ("dpu.fairlead.dev",),
}
"""The drivers that a profile leaves functions to: that of DPUs, which knows more of them, then that of SR-IOV."""
_PLUGINS: Final = Path("/var/lib/kubelet/plugins")


@dataclass(frozen=True, slots=True)
class Settings:
    """How one driver works. Hardware is named by interface, PCI address, or `INTERFACE/vf` for all its functions."""

    profile: Profile = "dranet"
    """Whose device names, attributes and configuration are used."""
    name: str = "dra.net"
    """The driver's name."""
    only: tuple[str, ...] = ()
    """Hardware to publish; empty for all."""
    skip: tuple[str, ...] = ()
    """Hardware to leave alone."""
    others: tuple[str, ...] = _FIRST["dranet"]
    """Drivers whose functions, as they show them on this node, are left to them."""
    virtual: tuple[str, ...] = ()
    """Interfaces that are no hardware and are published all the same."""
    share: tuple[str, ...] = ()
    """Hardware that several claims use at the same time."""
    vfpool: tuple[str, ...] = ()
    """Physical functions whose virtual functions are one device, shared out one a claim."""
    vfs: Mapping[str, int] | None = None
    """Physical function to the number of virtual functions that it shall have."""
    rails: tuple[str, ...] = ()
    """The hardware of rail 0, 1, and so on; `lldp` alone: by the switches that they are cabled to."""
    lldp: Path | None = None
    """What lldpd knows, as JSON."""
    objects: Path | None = None
    """A manifest, or a folder of such: networks, policies and attributes of the SR-IOV driver."""
    pciids: Path | None = None
    """A PCI id list."""
    state: Path = _PLUGINS / "dra.net" / "network"
    """Where what is needed for undoing is kept; at the same path on the node."""
    python: str = "/usr/bin/python3"
    """The node's Python, which runs the hook."""
    poll: float = 30.0
    """Seconds between two looks at the files where the kernel tells nothing by itself."""


def read_settings(text: str) -> Settings:
    """The settings of an argument. ValueError for what is wrong with it."""
    given: dict[str, Any] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        key, equals, value = part.partition("=")
        if key not in _READERS or not equals:
            raise ValueError(f"{part!r}: must be KEY=VALUE with one of {', '.join(_READERS)}")
        if key in given:
            raise ValueError(f"{key}: is given twice")
        try:
            given[key] = _READERS[key](value)
        except ValueError as error:
            raise ValueError(f"{key}={value}: {error}") from None
    given.setdefault("name", NAMES[given.get("profile", "dranet")])
    given.setdefault("others", _FIRST[given.get("profile", "dranet")])
    given["others"] = tuple(one for one in given["others"] if one != given["name"])
    given.setdefault("state", _PLUGINS / given["name"] / "network")
    if given.get("rails") == ("lldp",) and "lldp" not in given:
        raise ValueError("rails=lldp: needs lldp=FILE")
    return Settings(**given)


def matches(patterns: tuple[str, ...], names: frozenset[str]) -> bool:
    """Whether one of the names is meant."""
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _list(value: str) -> tuple[str, ...]:
    return tuple(filter(None, value.split("+")))


def _profile(value: str) -> str:
    if value not in NAMES:
        raise ValueError(f"must be one of {', '.join(NAMES)}")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", value):
        raise ValueError("must be a DNS subdomain of at most 63 bytes")
    return value


def _functions(value: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in _list(value):
        name, colon, number = one.rpartition(":")
        if not colon or not number.isdigit() or not name:
            raise ValueError(f"{one!r} must be INTERFACE:NUMBER or ADDRESS:NUMBER")
        found[name] = int(number)
    return found


def _absolute(value: str) -> Path:
    if not value.startswith("/"):
        raise ValueError("must be an absolute path")
    return Path(value)


def _seconds(value: str) -> float:
    number = float(value)
    if not 0 < number < 86400:
        raise ValueError("must be seconds, up to a day")
    return number


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "profile": _profile,
    "name": _name,
    "only": _list,
    "skip": _list,
    "others": _list,
    "virtual": _list,
    "share": _list,
    "vfpool": _list,
    "vfs": _functions,
    "rails": _list,
    "lldp": Path,
    "objects": Path,
    "pciids": Path,
    "state": _absolute,
    "python": lambda value: str(_absolute(value)),
    "poll": _seconds,
}
assert set(_READERS) == {one.name for one in fields(Settings)}
