"""What a synthetic cluster consists of: parts, each a hardware profile with values for its fields.

Two forms that say the same. YAML, one part an entry:

    name: day
    parts:
    - {profile: h100, nodes: 64, per-leaf: 32}
    - {profile: bluefield}

and one line for the command line: `h100:nodes=64,per-leaf=32;bluefield`. Nothing is guessed: an unknown profile or
field, a value outside its bounds or of another type, or names that would collide is a `Problem` with its field path.
Parts act in order: those that extend nodes extend the nodes of the parts before them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import yaml

from fairlead.placement import Cluster
from fairlead.resource import Objects, Problem
from fairlead.resource.manifest.text import TextError, parse_yaml
from fairlead.resource.problem import duplicate, invalid, required, unknown_field, unsupported
from fairlead.simulation.hardware import PROFILES, Field, Part, Site

NODES_MAX: Final = 20_000
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,30}[a-z0-9])?")
_NAME_RULE: Final = "must be lower case letters, digits and dashes, begin with a letter, and have at most 32 characters"


class SpecError(ValueError):
    """A spec cannot be used: everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = list(problems)


def read_spec(text: str, origin: str) -> list[Part]:
    """The parts of a spec in YAML.

    Args:
        text: the document.
        origin: what problems call it.

    Raises:
        SpecError: with all that is wrong.
    """
    try:
        documents = parse_yaml(text)
    except TextError as error:
        raise SpecError([Problem("", "", str(error), origin)]) from None
    document = documents[0] if documents else None
    label = "cluster spec"
    if len(documents) != 1 or not isinstance(document, dict):
        raise SpecError([Problem(label, "", "must be one mapping with `parts`", origin)])
    name = document.get("name")
    if isinstance(name, str) and name:
        label = f'cluster spec "{name}"'
    found: list[tuple[str, str]] = [
        (str(key), unknown_field(str(key))) for key in document if key not in ("name", "parts")
    ]
    if name is not None and not isinstance(name, str):
        found.append(("name", invalid(name, "must be a string")))
    entries = document.get("parts")
    if not isinstance(entries, list) or not entries:
        found.append(("parts", required("a list of at least one part")))
        entries = []
    parts = _parts(entries, found)
    if found:
        raise SpecError([Problem(label, path, reason, origin) for path, reason in found])
    return parts


def parse_line(line: str) -> list[Part]:
    """The parts of a spec in one line: `PROFILE[:FIELD=VALUE,...][;PROFILE...]`.

    Raises:
        SpecError: with all that is wrong.
    """
    found: list[tuple[str, str]] = []
    entries: list[dict[str, Any]] = []
    for index, piece in enumerate(line.split(";")):
        profile, _, rest = piece.strip().partition(":")
        entry: dict[str, Any] = {"profile": profile.strip()}
        for pair in rest.split(",") if rest.strip() else ():
            key, separator, value = (part.strip() for part in pair.partition("="))
            if not separator or not key or not value:
                found.append((f"parts[{index}]", invalid(pair.strip(), "must be FIELD=VALUE")))
            elif key in entry:
                found.append((f"parts[{index}].{key}", duplicate(key)))
            else:
                entry[key] = int(value) if re.fullmatch(r"-?[0-9]{1,9}", value) else value
        entries.append(entry)
    parts = _parts(entries, found)
    if found:
        raise SpecError([Problem(f'cluster spec "{line}"', path, reason) for path, reason in found])
    return parts


def write_spec(parts: Sequence[Part], name: str = "") -> str:
    """The spec as YAML, with every field, which reads back to equal parts."""
    document: dict[str, Any] = {"name": name} if name else {}
    document["parts"] = [{"profile": part.profile, **part.values} for part in parts]
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def line_of(parts: Sequence[Part]) -> str:
    """The spec in one line, without fields that have their default."""
    pieces = []
    for part in parts:
        fields = {field.name: field.default for field in PROFILES[part.profile].fields}
        given = ",".join(f"{name}={value}" for name, value in part.values.items() if value != fields[name])
        pieces.append(f"{part.profile}:{given}" if given else part.profile)
    return ";".join(pieces)


def build(parts: Sequence[Part]) -> Objects:
    """The nodes, slices and classes of a cluster."""
    site = Site()
    for part in parts:
        PROFILES[part.profile].build(part, site)
    return site.objects()


def as_cluster(objects: Objects) -> Cluster:
    """The objects as a snapshot to place pods on."""
    return Cluster(nodes=objects.nodes, slices=objects.slices, classes=objects.classes, claims=objects.claims)


def _parts(entries: Sequence[Any], found: list[tuple[str, str]]) -> list[Part]:
    parts: list[Part] = []
    names: dict[str, int] = {}
    nodes = 0
    for index, entry in enumerate(entries):
        path = f"parts[{index}]"
        if not isinstance(entry, dict):
            found.append((path, invalid(entry, "must be a mapping")))
            continue
        profile = PROFILES.get(entry.get("profile")) if isinstance(entry.get("profile"), str) else None
        if profile is None:
            reason = unsupported(entry.get("profile"), PROFILES) if entry.get("profile") else required()
            found.append((f"{path}.profile", reason))
            continue
        values: dict[str, int | str] = {}
        fields = {field.name: field for field in profile.fields}
        for key, value in entry.items():
            if key == "profile":
                continue
            if key not in fields:
                found.append((f"{path}.{key}", f"{unknown_field(str(key))}, {profile.name} has {', '.join(fields)}"))
                continue
            reason = _fault(fields[key], value)
            if reason:
                found.append((f"{path}.{key}", reason))
            else:
                values[key] = value
        part = Part(profile.name, {field.name: values.get(field.name, field.default) for field in profile.fields})
        if profile.extends:
            if not parts:
                found.append((f"{path}.profile", invalid(profile.name, "must come after a part that makes nodes")))
            if any(other.profile == profile.name for other in parts):
                found.append((f"{path}.profile", duplicate(profile.name)))
        else:
            name = part.text("name")
            if any(_collide(name, other) for other in names):
                found.append((f"{path}.name", f"{duplicate(name)}: the nodes of another part are called so"))
            names[name] = index
            nodes += part.number("racks") * part.number("trays") if "racks" in part.values else part.number("nodes")
        parts.append(part)
    if nodes > NODES_MAX:
        found.append(("parts", invalid(nodes, f"must have at most {NODES_MAX} nodes together")))
    return parts


def _collide(one: str, other: str) -> bool:
    """Whether nodes of parts with these names could be called the same: only digits may follow a name."""
    longer, shorter = sorted((one, other), key=len, reverse=True)
    return longer == shorter or bool(re.fullmatch(rf"{re.escape(shorter)}(-[0-9]+)+", longer))


def _fault(field: Field, value: object) -> str:
    """What is wrong with the value of a field; empty where nothing is."""
    if isinstance(field.default, int):
        if isinstance(value, bool) or not isinstance(value, int):
            return invalid(value, "must be a whole number")
        if not field.least <= value <= field.most:
            return invalid(value, f"must be between {field.least} and {field.most}")
        return ""
    if not isinstance(value, str):
        return invalid(value, "must be a string")
    if field.choices:
        return "" if value in field.choices else unsupported(value, field.choices)
    return "" if _NAME.fullmatch(value) else invalid(value, _NAME_RULE)
