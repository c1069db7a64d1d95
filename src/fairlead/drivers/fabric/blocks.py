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
from fairlead.drivers.fabric.redfish import Json, last, link, links
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
        for path in self.members(link(service, "ResourceBlocks")):
            with problems.of(f"{self.manager.name}: {last(path)}"):
                blocks[path] = self.get(path)
        zones: dict[str, list[str]] = {}
        for path in self.members(link(service, "ResourceZones")):
            with problems.of(f"{self.manager.name}: zone {last(path)}"):
                for block in links(self.get(path), "Links", "ResourceBlocks"):
                    zones.setdefault(block, []).append(path)
        reach: dict[str, set[str]] = {}
        for path, resource in blocks.items():
            if _ANCHORS & set(resource.get("ResourceBlockType") or ()):
                for zone in zones.get(path, ()):
                    reach.setdefault(zone, set()).update(map(last, links(resource, "Links", "ComputerSystems")))
        units = {}
        for path, resource in blocks.items():
            parts = [one for name in _PARTS for one in links(resource, name)]
            if not parts or _ANCHORS & set(resource.get("ResourceBlockType") or ()):
                continue
            with problems.of(f"{self.manager.name}: {last(path)}"):
                units[path] = self._unit(path, resource, parts[0], zones.get(path, []), reach, tasks)
        return View(units)

    def _unit(
        self, path: str, block: Json, part: str, zones: list[str], reach: dict[str, set[str]], tasks: list[str]
    ) -> Unit:
        state = (block.get("CompositionStatus") or {}).get("CompositionState", "")
        what: dict[str, Any] = self.details(part, str(block.get("@odata.etag", "")))
        systems = links(block, "Links", "ComputerSystems")
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
        tag = str(system.get("@odata.etag") or "")
        target = ((system.get("Actions") or {}).get(f"#ComputerSystem.{action}") or {}).get("target")
        if target:
            body: Json = {"ResourceBlock": {"@odata.id": unit.path}}
            if block_tag := self.get(unit.path).get("@odata.etag"):
                body["ResourceBlockETag"] = block_tag
            if tag:
                body["ComputerSystemETag"] = tag
            return self.send("POST", str(target), body)
        wanted = [one for one in links(system, "Links", "ResourceBlocks") if one != unit.path]
        if action == "AddResourceBlock":
            wanted.append(unit.path)
        listed = [{"@odata.id": one} for one in wanted]
        return self.send("PATCH", path, {"Links": {"ResourceBlocks": listed}}, tag)

    def _path_of(self, system: str) -> str:
        systems = link(self.root(), "Systems") or "/redfish/v1/Systems"
        return f"{systems}/{system}"
