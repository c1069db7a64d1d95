"""What composition managers have in common: units that can be attached to systems, and how things stand with each.

A `Box` reads a manager and changes it; `blocks` and `connections` are the two ways in which managers offer this. A view
is read whole and anew each time, so that nothing depends on what an earlier process did. Work that goes on (a Redfish
task) makes its unit busy, also when another process began it: a task names in its payload what it is about.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead.drivers.fabric.options import Manager
from fairlead.drivers.fabric.redfish import MALFORMED, ROOT, Json, Redfish, link, links, members, part, text
from fairlead.hardware import HardwareError, Problems

_UNUSABLE: Final = ("Disabled", "UnavailableOffline", "Absent", "InTest", "Quarantined")
_RUNNING: Final = ("New", "Starting", "Running", "Pending", "Suspended", "Stopping", "Cancelling", "Service")


@dataclass(frozen=True, slots=True)
class Unit:
    """A device of a manager."""

    manager: str
    id: str
    path: str
    """Of the resource block or the endpoint."""
    type: str
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    uuid: str = ""
    vendor: str = ""
    """PCI vendor id, four hexadecimal digits."""
    device: str = ""
    """PCI device id, likewise."""
    memory_mib: int = 0
    zones: tuple[str, ...] = ()
    """Ids of the zones, or of the fabric, that it is in."""
    systems: frozenset[str] = frozenset()
    """Ids of the systems that it can be attached to."""
    system: str = ""
    """Id of the system that it is attached to; empty for none."""
    handle: str = ""
    """Path of what is removed to detach it, where that is a resource."""
    busy: bool = False
    """Whether it is being attached or detached."""
    fault: str = ""
    """Why it cannot be used; empty where nothing is wrong."""


@dataclass(frozen=True, slots=True)
class View:
    """A manager as it was read."""

    units: Mapping[str, Unit] = field(default_factory=dict)
    """By the path of their block or endpoint."""


class Box(ABC):
    """One manager."""

    def __init__(self, door: Redfish, manager: Manager) -> None:
        """Args:
        door: to all managers.
        manager: this one's configuration.
        """
        self.door: Final = door
        self.manager: Final = manager
        self._details: Final[dict[str, tuple[str, dict[str, Any]]]] = {}
        """What a device is, by the path of its resource: only its owner's state changes."""
        self._ended: set[str] = set()
        """Paths of tasks that have come to an end."""
        self._gone = ""
        """Why there was no answer any more; nothing is asked then before the next `look`."""

    def look(self, problems: Problems) -> View:
        """Reads how things stand.

        Args:
            problems: gets a line for each resource that could not be read.

        Raises:
            HardwareError: the manager does not say, or does not answer any more.
        """
        self._gone = ""
        view = self.read(problems)
        if self._gone:
            raise HardwareError(self._gone)
        return view

    @abstractmethod
    def read(self, problems: Problems) -> View:
        """How things stand.

        Raises:
            HardwareError: the manager does not say.
        """

    @abstractmethod
    def attach(self, unit: Unit, system: str) -> Json:
        """Begins to attach a unit that is free; what the manager answered.

        Raises:
            HardwareError: it did not begin, or it is not known whether it did (no code).
        """

    @abstractmethod
    def detach(self, unit: Unit) -> Json:
        """Begins to detach a unit that is attached; likewise."""

    def get(self, path: str) -> Json:
        """A resource of the manager.

        Raises:
            HardwareError: it cannot be had. Where there was no answer, nothing else is waited for: each of a hundred
                resources would take as long as a connection takes to fail.
        """
        if self._gone:
            raise HardwareError(self._gone)
        try:
            return self.door.get(self.manager.name, path)
        except HardwareError as error:
            if not error.code:
                self._gone = str(error)
            raise

    def send(self, method: str, path: str, body: Json, etag: str = "") -> Json:
        """A change; see `Redfish.send`."""
        return self.door.send(self.manager.name, method, path, body, etag)

    def members(self, resource: Json, name: str) -> Iterator[str]:
        """Of a collection that a resource has.

        Raises:
            HardwareError: it has none, or it cannot be read.
        """
        path = link(resource, name)
        if not path:
            where = text(resource, "@odata.id") or "a resource"
            raise HardwareError(f"{self.manager.name}: {where}: has no {name}", MALFORMED)
        return members(self.door, self.manager.name, path)

    def details(self, path: str, tag: str) -> dict[str, Any]:
        """What the device of a resource is; read again when `tag`, the ETag of its owner, is another."""
        if path not in self._details or self._details[path][0] != tag:
            resource = self.get(path)
            functions = links(resource, "Links", "PCIeFunctions")
            self._details[path] = tag, what_is(resource, self.get(functions[0]) if functions else {})
        return self._details[path][1]

    def running(self, root: Json) -> list[str]:
        """What running tasks are about: for each the path and the content of the request that began it."""
        tasks = link(root, "Tasks")
        if not tasks:
            return []
        found = []
        paths = list(self.members(self.get(tasks), "Tasks"))
        self._ended &= set(paths)
        for path in paths:
            if path in self._ended:
                continue  # managers keep many
            try:
                task = self.get(path)
            except HardwareError as error:
                if error.code == "404":
                    continue  # forgotten since the list was made
                raise
            if text(task, "TaskState") in _RUNNING:
                found.append(f"{text(task, 'Payload', 'TargetUri')} {text(task, 'Payload', 'JsonBody')} ")
            else:
                self._ended.add(path)
        return found

    def forget(self) -> None:
        """The manager did not answer, and may start again with the same numbers for other tasks."""
        self._ended.clear()

    def root(self) -> Json:
        """The service root."""
        return self.get(ROOT)


def concerns(tasks: list[str], *paths: str) -> bool:
    """Whether a running task is about one of these paths, and not about a longer one."""
    return any(path and re.search(re.escape(path) + r"(?![\w.-])", task) for task in tasks for path in paths)


def what_is(resource: Mapping[str, Any], function: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Unit` that a device's resource and its first PCIe function say.

    Args:
        resource: a Processor, Drive, NetworkAdapter, Memory or PCIeDevice.
        function: a PCIeFunction; empty where it is not known.

    Raises:
        HardwareError: the resource does not say of which kind it is.
    """
    if not text(resource, "@odata.type"):
        raise HardwareError("its device does not say what it is: it has no @odata.type")
    kind = text(resource, "@odata.type").lstrip("#").split(".")[0]
    memory = part(resource, "MemorySummary", "TotalMemorySizeMiB") or part(resource, "CapacityMiB")
    return {
        "type": text(resource, "ProcessorType") or kind or "Unknown",
        "manufacturer": text(resource, "Manufacturer"),
        "model": text(resource, "Model"),
        "serial": text(resource, "SerialNumber"),
        "uuid": text(resource, "UUID"),
        "vendor": _hex(text(function, "VendorId")),
        "device": _hex(text(function, "DeviceId")),
        "memory_mib": int(memory) if isinstance(memory, int | float) and memory > 0 else 0,
    }


def _hex(digits: str) -> str:
    try:
        return f"{int(digits, 16):04x}" if digits else ""
    except ValueError:
        return ""


def fault_of(resource: Mapping[str, Any]) -> str:
    """Why a resource cannot be used, by its Status; empty where it can."""
    if text(resource, "Status", "Health") == "Critical":
        return "the manager says: Health is Critical"
    state = text(resource, "Status", "State")
    return f"the manager says: State is {state}" if state in _UNUSABLE else ""
