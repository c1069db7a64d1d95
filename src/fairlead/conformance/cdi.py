"""Judges CDI files as a container runtime does: which devices there are, and what is wrong with them.

The rules for edits, and the version that each needs, are those of `fairlead.driver.cdi`; here they are held against
what any driver wrote.

Source: CDI specification 1.1.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from fairlead.driver.cdi import Edits, EditsError, check, version

VERSIONS: Final = ("0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
_id = re.compile(
    r"(?P<vendor>[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]|[A-Za-z])/(?P<class>[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?)"
    r"=(?P<name>[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?)"
)


@dataclass(frozen=True, slots=True)
class Spec:
    """One file of the folder."""

    path: Path
    kind: str
    version: str
    devices: dict[str, dict[str, Any]]
    """The edits of each device by name, as they stand there."""
    problems: tuple[str, ...]
    """What a runtime would refuse it for."""
    stated_too_low: str
    """The version that its fields need, where it states a lower one."""


def is_qualified(identifier: str) -> bool:
    """Whether a text is of the form vendor/class=device."""
    return _id.fullmatch(identifier) is not None


def read_folder(folder: Path) -> list[Spec]:
    """Every CDI file of a folder; runtimes look at .json and .yaml only."""
    if not folder.is_dir():
        return []
    return [_read(path) for path in sorted(folder.iterdir()) if path.suffix in (".json", ".yaml") and path.is_file()]


def find(specs: list[Spec], identifier: str) -> tuple[Spec, dict[str, Any]] | None:
    """The file that has a device, and the device's edits; None where no file has it."""
    kind, _, name = identifier.partition("=")
    return next(((one, one.devices[name]) for one in specs if one.kind == kind and name in one.devices), None)


def _read(path: Path) -> Spec:
    try:
        given = yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else msgspec.json.decode(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError, msgspec.MsgspecError) as error:
        return Spec(path, "", "", {}, (f"cannot be read: {error}",), "")
    if not isinstance(given, dict):
        return Spec(path, "", "", {}, ("is no object",), "")
    problems = []
    kind, stated = str(given.get("kind", "")), str(given.get("cdiVersion", ""))
    if not is_qualified(f"{kind}=x"):
        problems.append(f"kind: {kind!r} is not vendor/class")
    if stated not in VERSIONS:
        problems.append(f"cdiVersion: {stated!r} is none of {', '.join(VERSIONS)}")
    devices: dict[str, dict[str, Any]] = {}
    decoded = {}
    entries: Any = given.get("devices") or []
    common = given.get("containerEdits") or {}
    for entry in entries if isinstance(entries, list) else []:
        name = str(entry.get("name", "")) if isinstance(entry, dict) else ""
        edits = entry.get("containerEdits") if isinstance(entry, dict) else None
        if not is_qualified(f"v/c={name}") or name in devices:
            problems.append(f"devices: {name!r} is no name, or stands there twice")
            continue
        devices[name] = edits if isinstance(edits, dict) else {}
        if not devices[name]:
            problems.append(f"device {name}: has no edits, which runtimes refuse")
            continue
        decoded[name] = _edits(f"device {name}", devices[name], problems)
    if not devices:
        problems.append("devices: there are none")
    every = dict(decoded)
    if common:
        every["common"] = _edits("containerEdits", common, problems)
    needed = version(every) if every else VERSIONS[0]
    low = stated in VERSIONS and VERSIONS.index(stated) < VERSIONS.index(needed)
    return Spec(path, kind, stated, devices, tuple(problems), needed if low else "")


def _edits(label: str, given: dict[str, Any], problems: list[str]) -> Edits:
    value = dict(given)
    env = value.pop("env", None) or []
    try:
        if bad := [one for one in env if not isinstance(one, str) or one.find("=") <= 0]:
            raise EditsError(f"env: {bad[0]!r} is not NAME=VALUE")
        if unknown := value.keys() - {field.encode_name for field in msgspec.structs.fields(Edits)}:
            raise EditsError(f"{', '.join(sorted(unknown))}: is not known to CDI")
        value["env"] = dict(one.split("=", 1) for one in env)
        edits = msgspec.convert({key: one for key, one in value.items() if one is not None}, Edits)
        check(edits)
        return edits
    except (EditsError, msgspec.ValidationError, AttributeError, TypeError) as error:
        problems.append(f"{label}: {error}")
        return Edits()
