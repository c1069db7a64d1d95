"""Composition by resource blocks: a system is given blocks of a zone that it shares with them.

A block is attached by the action AddResourceBlock of the system, with the ETags of both, so that the manager refuses
where either has changed since it was read; where the system has no such action, by a PATCH of its list of blocks with
If-Match. Detached likewise. The block itself says whether it is free (`CompositionStatus.CompositionState`) and which
system has it (`Links.ComputerSystems`).

Source: DMTF DSP2050 (composability), schemas CompositionService, ResourceBlock 1.4, Zone 1.6, ComputerSystem 1.20.
"""

from __future__ import annotations

from typing import Any, Final

from fairlead.drivers.fabric.boxes import Box, Unit, View, concerns, fault_of
from fairlead.drivers.fabric.redfish import Json, last, link, links, part, several, text
from fairlead.hardware import HardwareError, Problems

_ANCHORS: Final = frozenset({"Compute", "ComputerSystem"})
"""Types of blocks that make a system what it is; never attached or detached here."""
_PARTS: Final = ("Processors", "Drives", "NetworkInterfaces", "Memory")
_BUSY: Final = ("Composing",)
_BAD: Final = ("Failed", "Unavailable")


class BlockBox(Box):
    """A manager with a CompositionService."""

    def read(self, problems: Problems) -> View:
        """Service, zones, blocks, and the devices that blocks consist of."""
        root = self.root()
        service = self.get(link(root, "CompositionService") or "/redfish/v1/CompositionService")
        if service.get("ServiceEnabled") is False:
            raise HardwareError(f"{self.manager.name}: its CompositionService is not enabled")
        tasks = self.running(root)
        blocks: dict[str, Json] = {}
        for path in self.members(service, "ResourceBlocks"):
            with problems.of(f"{self.manager.name}: {last(path)}"):
                blocks[path] = self.get(path)
        zones: dict[str, list[str]] = {}
        unread = set()
        for path in self.members(service, "ResourceZones"):
            unread.add(path)
            with problems.of(f"{self.manager.name}: zone {last(path)}"):
                zone = self.get(path)
                if not isinstance(part(zone, "Links", "ResourceBlocks"), list):
                    raise HardwareError("has no ResourceBlocks")
                for member in links(zone, "Links", "ResourceBlocks"):
                    zones.setdefault(member, []).append(path)
                unread.discard(path)
        reach: dict[str, set[str]] = {}
        for path, resource in blocks.items():
            if _ANCHORS & set(_types(resource)):
                with problems.of(f"{self.manager.name}: {last(path)}"):
                    systems = _systems(resource)
                    for one in zones.get(path, ()):
                        reach.setdefault(one, set()).update(map(last, systems))
        units = {}
        for path, resource in blocks.items():
            parts = [one for name in _PARTS for one in links(resource, name)]
            if not parts or _ANCHORS & set(_types(resource)):
                continue
            with problems.of(f"{self.manager.name}: {last(path)}"):
                if unread and not (unread.isdisjoint(own := links(resource, "Links", "Zones")) and own):
                    raise HardwareError("may be in a zone that could not be read")
                units[path] = self._unit(path, resource, parts[0], zones.get(path, []), reach, tasks)
        return View(units)

    def _unit(
        self, path: str, block: Json, device: str, zones: list[str], reach: dict[str, set[str]], tasks: list[str]
    ) -> Unit:
        state = text(block, "CompositionStatus", "CompositionState")
        what: dict[str, Any] = self.details(device, text(block, "@odata.etag"))
        systems = _systems(block)
        return Unit(
            manager=self.manager.name,
            id=last(path),
            path=path,
            zones=tuple(sorted(map(last, zones))),
            systems=frozenset(one for zone in zones for one in reach.get(zone, ())),
            system=last(systems[0]) if systems else "",
            handle=systems[0] if systems else "",
            busy=state in _BUSY or concerns(tasks, path),
            fault=f"the manager says: CompositionState is {state}" if state in _BAD else fault_of(block),
            **what,
        )

    def attach(self, unit: Unit, system: str) -> Json:
        """Adds the block to the system."""
        return self._change(unit, self._path_of(system), "AddResourceBlock")

    def detach(self, unit: Unit) -> Json:
        """Takes the block out of the system."""
        return self._change(unit, unit.handle, "RemoveResourceBlock")

    def _change(self, unit: Unit, path: str, action: str) -> Json:
        system = self.get(path)
        tag = text(system, "@odata.etag")
        if target := text(system, "Actions", f"#ComputerSystem.{action}", "target"):
            body: Json = {"ResourceBlock": {"@odata.id": unit.path}}
            if block_tag := text(self.get(unit.path), "@odata.etag"):
                body["ResourceBlockETag"] = block_tag
            if tag:
                body["ComputerSystemETag"] = tag
            return self.send("POST", target, body)
        if not isinstance(part(system, "Links", "ResourceBlocks"), list):
            raise HardwareError(f"{self.manager.name}: {path}: has neither the action {action} nor ResourceBlocks")
        wanted = [one for one in links(system, "Links", "ResourceBlocks") if one != unit.path]
        if action == "AddResourceBlock":
            wanted.append(unit.path)
        listed = [{"@odata.id": one} for one in wanted]
        return self.send("PATCH", path, {"Links": {"ResourceBlocks": listed}}, tag)

    def _path_of(self, system: str) -> str:
        systems = link(self.root(), "Systems") or "/redfish/v1/Systems"
        return f"{systems}/{system}"


def _systems(block: Json) -> list[str]:
    """The systems that a block is part of."""
    systems = links(block, "Links", "ComputerSystems")
    if not systems and text(block, "CompositionStatus", "CompositionState") == "Composed":
        raise HardwareError("is composed, and does not say into which system")
    return systems


def _types(block: Json) -> list[str]:
    return [one for one in several(block, "ResourceBlockType") if isinstance(one, str)]
