"""From units of managers to pools: one pool for the devices of a manager that reach the same systems.

A pool has one node selector, so devices that different nodes reach are in different pools, named after their zones.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from fairlead.driver import Pool
from fairlead.drivers.fabric.boxes import Unit
from fairlead.drivers.fabric.options import Manager, Rule
from fairlead.drivers.fabric.planning import Place
from fairlead.hardware import Problems, attribute
from fairlead.resource import (
    Device,
    DeviceCapacity,
    DeviceTaint,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Quantity,
)

ATTACHED: Final = "Attached"
FAILED: Final = "AttachFailed"
RETURNING: Final = "returning"
"""Key of the taint of a device that is still on a node."""


def rule_of(unit: Unit, rules: Iterable[Rule]) -> Rule | None:
    """The first rule that a unit matches; None where it is left alone."""
    return next((one for one in rules if one.match.fits(unit.type, unit.id, unit.manufacturer, unit.model)), None)


def place_of(unit: Unit) -> Place:
    """Pool and name of a unit's device. Both stay as long as its zones do, whatever it is attached to."""
    zones = "-".join(unit.zones) or "none"
    return _label(f"{prefix_of(unit.manager)}{zones}"), _label(f"{unit.type}-{unit.id}")


def prefix_of(manager: str) -> str:
    """What the names of a manager's pools begin with, and maybe those of another one."""
    return f"{manager}-"


def pools(
    driver: str,
    units: Mapping[Place, Unit],
    returning: Collection[Place],
    rules: Iterable[Rule],
    managers: Mapping[str, Manager],
    problems: Problems,
) -> list[Pool]:
    """The pools of devices.

    Args:
        driver: under whose name they are published.
        units: those that are to be published.
        returning: those that are on a node although no claim holds them; they are tainted.
        rules: of the configuration.
        managers: by name.
        problems: gets a line for what no node reaches.
    """
    rules = list(rules)
    found: dict[str, list[tuple[str, Unit]]] = {}
    for (pool, name), unit in sorted(units.items()):
        found.setdefault(pool, []).append((name, unit))
    made = []
    for pool, members in found.items():
        manager = managers[members[0][1].manager]
        systems = frozenset(one for _, unit in members for one in unit.systems)
        values = manager.nodes.values(systems)
        if not values:
            problems.append(f"{pool}: no node reaches its devices: no system is in their zone, or none is a node")
            continue
        requirement = NodeSelectorRequirement(key=manager.nodes.key, operator="In", values=values)
        devices = [
            _device(driver, name, unit, rule, (pool, name) in returning)
            for name, unit in members
            if (rule := rule_of(unit, rules)) is not None
        ]
        selector = NodeSelector(node_selector_terms=[NodeSelectorTerm(match_expressions=[requirement])])
        made.append(Pool(devices, name=pool, reach=selector))
    return made


def _device(driver: str, name: str, unit: Unit, rule: Rule, returning: bool) -> Device:
    texts = {
        "type": unit.type,
        "manufacturer": unit.manufacturer,
        "model": unit.model,
        "serialNumber": unit.serial,
        "uuid": unit.uuid,
        "vendorId": unit.vendor,
        "deviceId": unit.device,
        "manager": unit.manager,
        "unit": unit.id,
    }
    attributes = {key: attribute(value) for key, value in texts.items() if value}
    attributes |= {key: attribute(given) for key, given in rule.attributes.items()}
    memory = {"memory": DeviceCapacity(value=Quantity.parse(f"{unit.memory_mib}Mi"))} if unit.memory_mib else {}
    return Device(
        name=name,
        attributes=attributes,
        capacity=memory,
        taints=[DeviceTaint(key=f"{driver}/{RETURNING}", effect="NoSchedule")] if returning else [],
        binds_to_node=True,
        binding_conditions=[f"{driver}/{ATTACHED}"],
        binding_failure_conditions=[f"{driver}/{FAILED}"],
    )


def _label(text: str) -> str:
    return re.sub("[^a-z0-9-]+", "-", text.lower()).strip("-")[:63].rstrip("-")
