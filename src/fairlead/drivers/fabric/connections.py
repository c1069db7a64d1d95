"""Composition by connections: a switch joins the endpoint of a device with the endpoint of a host.

A device is attached by a POST to the fabric's Connections with an initiator (the host) and a target (the device), and
detached by a DELETE of that connection, with If-Match. The connection is the only state, and it is the manager's.

Source: DMTF schemas Fabric 1.3, Endpoint 1.8, Connection 1.2 (`Links.InitiatorEndpoints`, `Links.TargetEndpoints`).
"""

from __future__ import annotations

from typing import Final

from fairlead.drivers.fabric.boxes import Box, Unit, View, concerns, fault_of
from fairlead.drivers.fabric.redfish import Json, last, link, links, several, text
from fairlead.hardware import HardwareError, Problems

_HOSTS: Final = frozenset({"ComputerSystem", "RootComplex"})
_DEVICES: Final = frozenset(
    {"Processor", "Drive", "NetworkController", "PCIeDevice", "AccelerationFunction", "MediaController"}
)
_COMING: Final = ("Starting", "Updating", "Deferring")


class ConnectionBox(Box):
    """A manager of fabrics."""

    def read(self, problems: Problems) -> View:
        """Fabrics with their endpoints and connections."""
        root = self.root()
        tasks = self.running(root)
        units: dict[str, Unit] = {}
        for fabric in self.members(root, "Fabrics"):
            with problems.of(f"{self.manager.name}: {last(fabric)}"):
                self._read(fabric, units, tasks, problems)
        return View(units)

    def _read(self, fabric: str, units: dict[str, Unit], tasks: list[str], problems: Problems) -> None:
        resource = self.get(fabric)
        endpoints: dict[str, Json] = {}
        for path in self.members(resource, "Endpoints"):
            with problems.of(f"{self.manager.name}: {last(path)}"):
                endpoints[path] = self.get(path)
        hosts = {path: system for path, one in endpoints.items() if (system := _entity(one, _HOSTS))}
        joined: dict[str, tuple[str, Json]] = {}
        for path in self.members(resource, "Connections"):
            # Not skipped where it cannot be read: its device would look free.
            connection = self.get(path)
            targets = links(connection, "Links", "TargetEndpoints")
            if not targets and not _other(connection):
                raise HardwareError(f"connection {last(path)} does not say what it joins")
            for target in targets:
                joined[target] = path, connection
        for path, endpoint in endpoints.items():
            device = _entity(endpoint, _DEVICES)
            if not device:
                continue
            handle, connection = joined.get(path, ("", {}))
            initiators = links(connection, "Links", "InitiatorEndpoints")
            state = text(connection, "Status", "State")
            with problems.of(f"{self.manager.name}: {last(path)}"):
                if handle and not (initiators and initiators[0] in hosts):
                    # It is attached, and it cannot be told to what: then it is neither right nor wrong.
                    raise HardwareError("is attached to a host that could not be read")
                system = hosts[initiators[0]] if handle else ""
                units[path] = Unit(
                    manager=self.manager.name,
                    id=last(path),
                    path=path,
                    zones=(last(fabric),),
                    systems=frozenset(map(last, hosts.values())),
                    system=last(system),
                    handle=handle,
                    busy=state in _COMING or concerns(tasks, path, handle),
                    fault=fault_of(endpoint) or fault_of(connection),
                    **self.details(device, text(endpoint, "@odata.etag")),
                )

    def attach(self, unit: Unit, system: str) -> Json:
        """Makes the connection. It has a name of ours, for people who look at the manager."""
        fabric = unit.path.rpartition("/Endpoints/")[0]
        resource = self.get(fabric)
        host = ""
        for path in self.members(resource, "Endpoints"):
            if last(_entity(self.get(path), _HOSTS)) == system:
                host = path
        if not host:
            raise HardwareError(f"{self.manager.name}: system {system} has no endpoint in {last(fabric)}")
        body: Json = {
            "Name": f"fairlead {unit.id} {system}",
            "Links": {
                "InitiatorEndpoints": [{"@odata.id": host}],
                "TargetEndpoints": [{"@odata.id": unit.path}],
            },
        }
        return self.send("POST", link(resource, "Connections"), body)

    def detach(self, unit: Unit) -> Json:
        """Removes the connection, if it is still the one that was read."""
        connection = self.get(unit.handle)
        return self.send("DELETE", unit.handle, {}, text(connection, "@odata.etag"))


def _other(connection: Json) -> bool:
    """Whether it is a connection of another kind: of memory, of volumes, of groups of endpoints."""
    kinds = ("MemoryChunkInfo", "MemoryRegionInfo", "VolumeInfo")
    return any(connection.get(one) for one in kinds) or bool(links(connection, "Links", "TargetEndpointGroups"))


def _entity(endpoint: Json, types: frozenset[str]) -> str:
    """The path of what an endpoint stands for, where it is of one of these types."""
    for one in several(endpoint, "ConnectedEntities"):
        if text(one, "EntityType") in types:
            return link(one, "EntityLink")
    return ""
