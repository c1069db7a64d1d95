"""What to attach and to detach, from how things stand and which claims hold what. Pure.

* A unit that a claim holds belongs on the system of that claim's node, and nowhere else; it is detached from another
  system first. Where that system is not known, it is left as it is.
* A unit that no claim holds belongs nowhere: it is detached, unless it is on a system that is no node of ours. One that
  is in another pool by now than its claim says (its zone has changed, or could not be read) is still the claim's.
* A unit that is busy is left alone until it is not.
* Where two claims hold the same unit (they were allocated by schedulers that did not know of each other), the one that
  has it keeps it, else the first by UID; the other is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fairlead.drivers.fabric.boxes import Unit

Place = tuple[str, str]
"""Pool and name of a device."""


@dataclass(frozen=True, slots=True)
class Want:
    """A device that a claim holds."""

    uid: str
    """Of the claim."""
    since: str
    """What tells this allocation of it from an earlier one."""
    node: str
    system: str
    """Empty where it is not known."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change."""

    verb: Literal["attach", "detach"]
    place: Place
    system: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and what will not be."""

    steps: Sequence[Step] = ()
    chosen: Mapping[Place, Want] = field(default_factory=dict)
    """The claim that has each device, or gets it."""
    refused: Mapping[tuple[str, Place], str] = field(default_factory=dict)
    """By claim and device, why it will not be attached."""


def plan(
    units: Mapping[Place, Unit],
    wants: Mapping[Place, Sequence[Want]],
    nodes: Mapping[str, frozenset[str]],
    limits: Mapping[str, int],
) -> Plan:
    """The next steps.

    Args:
        units: the devices that managers have now.
        wants: what claims hold.
        nodes: by manager the systems that are or may be nodes of ours.
        limits: by manager how many units a system may have; 0 for any number.
    """
    chosen: dict[Place, Want] = {}
    refused: dict[tuple[str, Place], str] = {}
    for place, all_ in wants.items():
        unit = units.get(place)
        ordered = sorted(all_, key=lambda one: (unit is None or one.system != unit.system or not one.system, one.uid))
        chosen[place] = ordered[0]
        for one in ordered[1:]:
            refused[one.uid, place] = f"the device is held by another claim (uid {ordered[0].uid})"
    counts = Counter((unit.manager, unit.system) for unit in units.values() if unit.system)
    detach, attach = [], []
    for place, unit in sorted(units.items()):
        want = chosen.get(place)
        if unit.system:
            if want is not None:
                wrong = want.system not in ("", unit.system)
            else:
                moved = any(at not in units and _alike(at, place, unit.manager) for at in wants)
                wrong = unit.system in nodes.get(unit.manager, ()) and not moved
            if wrong and not unit.busy:
                detach.append(Step("detach", place, unit.system))
        elif want is not None:
            if not want.system:
                refused[want.uid, place] = f"node {want.node or '(none)'}: it is not known which system it is"
            elif want.system not in unit.systems:
                refused[want.uid, place] = f"system {want.system} of node {want.node} does not reach the device"
            elif not unit.busy:
                key, limit = (unit.manager, want.system), limits.get(unit.manager, 0)
                if limit and counts[key] >= limit:
                    refused[want.uid, place] = (
                        f"node {want.node} has {counts[key]} devices attached, the limit is {limit}"
                    )
                    continue
                counts[key] += 1
                attach.append(Step("attach", place, want.system))
    for place, want in chosen.items():
        if place not in units:
            refused[want.uid, place] = "the device has gone from its manager"
    return Plan([*detach, *attach], chosen, refused)


def _alike(place: Place, other: Place, manager: str) -> bool:
    """Whether two places are of the same device in pools of the same manager."""
    return place[1] == other[1] and place[0].startswith(f"{manager}-")
