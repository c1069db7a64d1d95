"""Composition managers for tests: a real HTTP server on loopback that speaks Redfish, of one of two kinds.

`resource-blocks` has a CompositionService with blocks, zones and systems (DMTF DSP2050), by actions or by PATCH;
`connections` has a PCIe fabric with endpoints and connections. Attaching and detaching are tasks that take their time.
Faults are fields: refusals, tasks that fail, 503, ETags that are stale, devices that are lost, sessions that end, and
the client killed at a moment.

It notes what must never happen (`violations`): a device attached that is attached, or detached that is not.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROOT = "/redfish/v1"
SERVICE = f"{ROOT}/CompositionService"
FABRIC = f"{ROOT}/Fabrics/PCIe-1"
TASKS = f"{ROOT}/TaskService/Tasks"
Json = dict[str, Any]


class RefusalError(Exception):
    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


@dataclass
class Hardware:
    """A device of the box."""

    name: str
    serial: str
    kind: str = "GPU"
    model: str = "NVIDIA H100 PCIe"
    uuid: str = ""
    vendor: str = "0x10DE"
    device: str = "0x2331"
    zone: str = "zone-1"
    health: str = "OK"


def gpus(count: int = 2) -> list[Hardware]:
    return [Hardware(f"GPU-{n}", f"SN-00{n}", uuid=f"GPU-1111-{n}") for n in range(count)]


@dataclass
class Task:
    id: str
    verb: str
    name: str
    system: str
    ends: float
    payload: Json
    state: str = "Running"
    message: str = ""


@dataclass
class Emulator:
    """One manager; a context manager."""

    kind: str = "resource-blocks"
    devices: list[Hardware] = field(default_factory=gpus)
    systems: dict[str, str] = field(default_factory=lambda: {"Sys-1": "zone-1", "Sys-2": "zone-1"})
    seconds: float = 0.05
    patch_only: bool = False
    user: str = ""
    password: str = ""
    on_change: Callable[[str, str, bool], None] = lambda name, system, attached: None
    # Faults
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    fail_tasks: set[str] = field(default_factory=set)
    unavailable: int = 0
    stale: int = 0
    lost: set[str] = field(default_factory=set)
    keep: set[str] = field(default_factory=set)
    """Devices that it does not detach."""
    broken: set[str] = field(default_factory=set)
    denied: int = 0
    """Status with which everything is refused but the service root."""
    raw: dict[str, bytes] = field(default_factory=dict)
    """What is sent for a resource, by the end of its path, in place of what it is."""
    mangle: Callable[[str, Json], Json] = lambda path, resource: resource
    """Changes resources before they are sent."""
    kill: tuple[str, int] | None = None
    """When the client dies (`before attach`, `after detach`, `reading attach`, `read 3`), and its process."""
    # What happened
    attached: dict[str, str] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    requests: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._tags: dict[str, int] = {}
        self._tokens: set[str] = set()
        self._reads = 0

    def __enter__(self) -> Emulator:
        emulator = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else {}
                status, headers, answer = emulator.handle(self.command, self.path, body, dict(self.headers.items()))
                data = (
                    answer if isinstance(answer, bytes) else json.dumps(answer).encode() if answer is not None else b""
                )
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    if self.close_connection:  # the client asked for it
                        self.send_header("Connection", "close")
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def arm(self, moment: str, victim: int) -> None:
        """The client dies at a moment."""
        with self._lock:
            self._reads, self.kill = 0, (moment, victim)

    def end_sessions(self) -> None:
        self._tokens.clear()

    def handle(self, method: str, path: str, body: Json, headers: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        with self._lock:
            self.requests += 1
            self._advance()
            writes = len(self.writes)
            if method == "GET":
                self._reads += 1
                last = self.writes[-1].split()[0] if self.writes else ""
                if self._shoot(f"read {self._reads}") or (self._reads == 2 and self._shoot(f"reading {last}")):
                    return 500, {}, None
            try:
                answer = self._serve(method, path.rstrip("/"), body, headers)
            except RefusalError as refusal:
                info = [{"MessageId": "Base.1.13.GeneralError", "Message": str(refusal), "Severity": "Critical"}]
                error = {"code": "Base.1.13.GeneralError", "message": str(refusal), "@Message.ExtendedInfo": info}
                answer = (refusal.status, refusal.headers, {"error": error})
            if len(self.writes) > writes:
                self._reads = 0
                self._shoot(f"after {self.writes[-1].split()[0]}")
            return answer

    def _shoot(self, moment: str) -> bool:
        """Kills the client, if this is the moment; nothing more is done for it then."""
        if self.kill is None or self.kill[0] != moment:
            return False
        victim, self.kill = self.kill[1], None
        os.kill(victim, signal.SIGKILL)
        return True

    def settled(self) -> bool:
        with self._lock:
            self._advance()
            return not any(one.state == "Running" for one in self.tasks)

    def _advance(self) -> None:
        """Ends the tasks whose time has come."""
        for task in self.tasks:
            if task.state != "Running" or time.monotonic() < task.ends:
                continue
            if task.name in self.fail_tasks:
                task.state, task.message = "Exception", f"the link of {task.name} did not train"
            else:
                task.state = "Completed"
                if task.verb == "attach":
                    self.attached[task.name] = task.system
                else:
                    self.attached.pop(task.name, None)
                self.on_change(task.name, task.system, task.verb == "attach")
            self._bump(self._path(task.name), f"{ROOT}/Systems/{task.system}")

    def _path(self, name: str) -> str:
        return f"{SERVICE}/ResourceBlocks/{name}" if self.kind == "resource-blocks" else f"{FABRIC}/Endpoints/{name}"

    def _bump(self, *paths: str) -> None:
        for path in paths:
            self._tags[path] = self._tags.get(path, 1) + 1

    def _tag(self, path: str) -> str:
        return f'"{self._tags.get(path, 1)}"'

    def _begin(self, verb: str, name: str, system: str, payload: Json) -> tuple[int, dict[str, str], Json]:
        if self._shoot(f"before {verb}"):
            raise RefusalError(500, "nobody waits for it")
        self.writes.append(f"{verb} {name} {system}")
        if any(one.name == name and one.state == "Running" for one in self.tasks):
            self.violations.append(f"{verb} {name}: while it is changed")
            raise RefusalError(409, f"{name} is being changed")
        if (verb == "attach") == (name in self.attached):
            self.violations.append(f"{verb} {name}: attached to {self.attached.get(name)}")
            raise RefusalError(409, f"{name}: cannot {verb} it now")
        if verb == "detach" and name in self.keep:
            raise RefusalError(403, "is in use")
        if verb == "attach" and name in self.refuse:
            raise RefusalError(*self.refuse[name])
        task = Task(str(len(self.tasks) + 1), verb, name, system, time.monotonic() + self.seconds, payload)
        self.tasks.append(task)
        self._bump(self._path(name), f"{ROOT}/Systems/{system}")
        return 202, {"Location": f"{ROOT}/TaskService/TaskMonitors/{task.id}"}, self._task(task)

    def _task(self, task: Task) -> Json:
        messages = [{"Message": task.message}] if task.message else []
        return {
            "@odata.id": f"{TASKS}/{task.id}",
            "@odata.type": "#Task.v1_7_0.Task",
            "Id": task.id,
            "TaskState": task.state,
            "Messages": messages,
            "Payload": task.payload,
        }

    def _serve(self, method: str, path: str, body: Json, headers: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        lower = {name.lower(): value for name, value in headers.items()}
        if method == "POST" and path == f"{ROOT}/SessionService/Sessions":
            if (body.get("UserName"), body.get("Password")) != (self.user, self.password):
                raise RefusalError(401, "wrong user or password")
            token = f"token-{self.requests}"
            self._tokens.add(token)
            place = f"{ROOT}/SessionService/Sessions/{self.requests}"
            return 201, {"X-Auth-Token": token, "Location": place}, {"@odata.id": place, "Id": "1", "Name": "s"}
        open_ = path in (ROOT, f"{ROOT}/SessionService", f"{ROOT}/SessionService/Sessions")
        if self.user and not open_ and lower.get("x-auth-token") not in self._tokens:
            raise RefusalError(401, "no session")
        if self.denied and not open_:
            raise RefusalError(self.denied, "not with these rights")
        if self.unavailable > 0 and not open_:
            self.unavailable -= 1
            raise RefusalError(503, "the manager is starting", {"Retry-After": "1"})
        if method == "GET":
            if (garbage := self.raw.get(path.rpartition("/")[2])) is not None:
                return 200, {}, garbage
            found = self._get(path)
            if "@odata.etag" not in found:
                found["@odata.etag"] = self._tag(path)
            return 200, {"ETag": found["@odata.etag"]}, self.mangle(path, {"@odata.id": path} | found)
        payload = {"HttpOperation": method, "TargetUri": path, "JsonBody": json.dumps(body)}
        if self.stale > 0:
            self.stale -= 1
            self._bump(path, *(f"{ROOT}/Systems/{one}" for one in self.systems), *map(self._path, self._names()))
            self._bump(*(f"{FABRIC}/Connections/{one}" for one in self._names()))
        if self.kind == "connections":
            return self._write_connection(method, path, body, lower, payload)
        return self._write_block(method, path, body, lower, payload)

    def _names(self) -> list[str]:
        return [one.name for one in self.devices]

    def _check(self, tag: str | None, path: str) -> None:
        if tag is not None and tag != self._tag(path):
            raise RefusalError(412, f"{path} has changed")

    def _write_block(
        self, method: str, path: str, body: Json, headers: dict[str, str], payload: Json
    ) -> tuple[int, dict[str, str], Any]:
        parts = path.split("/")
        system = parts[4] if len(parts) > 4 and parts[3] == "Systems" else ""
        if system not in self.systems:
            raise RefusalError(404, f"{path}: is not there")
        here = f"{ROOT}/Systems/{system}"
        if method == "PATCH" and path == here:
            self._check(headers.get("if-match"), here)
            wanted = {one["@odata.id"].rpartition("/")[2] for one in body["Links"]["ResourceBlocks"]}
            have = {name for name, of in self.attached.items() if of == system}
            new, gone = wanted - have - set(self._anchors(system)), have - wanted
            if len(new) + len(gone) != 1:
                raise RefusalError(400, "one change at a time")
            name = next(iter(new | gone))
            self._must_be_there(name)
            # The manager's task names the block, as the block is in the request where it is added.
            payload = payload | {"JsonBody": payload["JsonBody"] + self._path(name)}
            return self._begin("attach" if new else "detach", name, system, payload)
        action = path.rpartition("ComputerSystem.")[2]
        if method != "POST" or self.patch_only or action not in ("AddResourceBlock", "RemoveResourceBlock"):
            raise RefusalError(405, f"{method} {path}: is not possible")
        name = body["ResourceBlock"]["@odata.id"].rpartition("/")[2]
        self._must_be_there(name)
        self._check(body.get("ComputerSystemETag"), here)
        self._check(body.get("ResourceBlockETag"), self._path(name))
        return self._begin("attach" if action == "AddResourceBlock" else "detach", name, system, payload)

    def _write_connection(
        self, method: str, path: str, body: Json, headers: dict[str, str], payload: Json
    ) -> tuple[int, dict[str, str], Any]:
        if method == "POST" and path == f"{FABRIC}/Connections":
            (host,) = body["Links"]["InitiatorEndpoints"]
            (target,) = body["Links"]["TargetEndpoints"]
            name = target["@odata.id"].rpartition("/")[2]
            self._must_be_there(name)
            return self._begin("attach", name, host["@odata.id"].rpartition("/Host-")[2], payload)
        if method == "DELETE" and path.startswith(f"{FABRIC}/Connections/"):
            name = path.rpartition("/")[2]
            self._check(headers.get("if-match"), path)
            if name not in self.attached:
                raise RefusalError(404, f"{path}: is not there")
            return self._begin("detach", name, self.attached[name], payload)
        raise RefusalError(405, f"{method} {path}: is not possible")

    def _must_be_there(self, name: str) -> None:
        if name not in self._names() or name in self.lost:
            raise RefusalError(404, f"{name}: is not there")

    def _anchors(self, system: str) -> list[str]:
        return [f"Compute-{system}"]

    def _get(self, path: str) -> Json:
        if path.rpartition("/")[2] in self.broken:
            raise RefusalError(500, "internal error")
        fixed: dict[str, Callable[[], Json]] = {
            ROOT: self._root,
            f"{ROOT}/SessionService": lambda: (
                {"Id": "s", "Name": "s", "ServiceEnabled": True}
                | {"Sessions": _link(f"{ROOT}/SessionService/Sessions")}
            ),
            f"{ROOT}/SessionService/Sessions": lambda: _members([]),
            f"{ROOT}/TaskService": lambda: {"Tasks": _link(TASKS)},
            TASKS: lambda: _members([f"{TASKS}/{one.id}" for one in self.tasks]),
        }
        if path in fixed:
            return fixed[path]()
        for task in self.tasks:
            if path == f"{TASKS}/{task.id}":
                return self._task(task)
        found = self._blocks(path) if self.kind == "resource-blocks" else self._fabric(path)
        if found is None:
            raise RefusalError(404, f"{path}: is not there")
        return found

    def _root(self) -> Json:
        root: Json = {
            "@odata.type": "#ServiceRoot.v1_15_0.ServiceRoot",
            "Id": "RootService",
            "Name": "Root",
            "RedfishVersion": "1.15.0",
            "SessionService": _link(f"{ROOT}/SessionService"),
            "Links": {"Sessions": _link(f"{ROOT}/SessionService/Sessions")},
            "Tasks": _link(f"{ROOT}/TaskService"),
        }
        if self.kind == "resource-blocks":
            return root | {"CompositionService": _link(SERVICE), "Systems": _link(f"{ROOT}/Systems")}
        return root | {"Fabrics": _link(f"{ROOT}/Fabrics")}

    def _there(self) -> list[Hardware]:
        return [one for one in self.devices if one.name not in self.lost]

    def _resource(self, one: Hardware, path: str) -> Json:
        return {
            "@odata.type": "#Processor.v1_18_0.Processor",
            "ProcessorType": one.kind,
            "Manufacturer": "NVIDIA",
            "Model": one.model,
            "SerialNumber": one.serial,
            "UUID": one.uuid,
            "MemorySummary": {"TotalMemorySizeMiB": 81920},
            "Links": {"PCIeFunctions": [_link(f"{path}/Function")]},
        }

    def _blocks(self, path: str) -> Json | None:
        blocks = f"{SERVICE}/ResourceBlocks"
        zones = sorted({*self.systems.values(), *(one.zone for one in self.devices)})
        if path == SERVICE:
            return {
                "ServiceEnabled": True,
                "ResourceBlocks": _link(blocks),
                "ResourceZones": _link(f"{SERVICE}/ResourceZones"),
            }
        if path == blocks:
            names = [f"Compute-{one}" for one in self.systems] + [one.name for one in self._there()]
            half = len(names) // 2  # in two parts, as long collections come
            rest = {"Members@odata.nextLink": f"{blocks}/Rest", "Members@odata.count": len(names)}
            return _members([f"{blocks}/{one}" for one in names[:half]]) | rest
        if path == f"{blocks}/Rest":
            names = [f"Compute-{one}" for one in self.systems] + [one.name for one in self._there()]
            rest = {"Members@odata.count": len(names)}
            return _members([f"{blocks}/{one}" for one in names[len(names) // 2 :]]) | rest
        if path == f"{SERVICE}/ResourceZones":
            return _members([f"{path}/{one}" for one in zones])
        for zone in zones:
            if path == f"{SERVICE}/ResourceZones/{zone}":
                inside = [f"Compute-{name}" for name, of in self.systems.items() if of == zone]
                inside += [one.name for one in self._there() if one.zone == zone]
                return {"Links": {"ResourceBlocks": [_link(f"{blocks}/{one}") for one in inside]}}
        for system in self.systems:
            here = f"{ROOT}/Systems/{system}"
            if path == here:
                names = [*self._anchors(system), *(name for name, of in self.attached.items() if of == system)]
                found: Json = {"Id": system, "Links": {"ResourceBlocks": [_link(f"{blocks}/{one}") for one in names]}}
                if not self.patch_only:
                    actions = ("AddResourceBlock", "RemoveResourceBlock")
                    target = f"{here}/Actions/ComputerSystem"
                    found["Actions"] = {f"#ComputerSystem.{one}": {"target": f"{target}.{one}"} for one in actions}
                return found
            if path == f"{blocks}/Compute-{system}":
                return {
                    "Id": f"Compute-{system}",
                    "ResourceBlockType": ["Compute"],
                    "CompositionStatus": {"CompositionState": "Composed"},
                    "Links": {
                        "ComputerSystems": [_link(here)],
                        "Zones": [_link(f"{SERVICE}/ResourceZones/{self.systems[system]}")],
                    },
                    "Processors": [_link(f"{path}/Processors/CPU")],
                }
        for one in self._there():
            here = f"{blocks}/{one.name}"
            if path == here:
                running = any(task.name == one.name and task.state == "Running" for task in self.tasks)
                state = "Composing" if running else "Composed" if one.name in self.attached else "Unused"
                on = [_link(f"{ROOT}/Systems/{self.attached[one.name]}")] if one.name in self.attached else []
                return {
                    "Id": one.name,
                    "ResourceBlockType": ["Processor"],
                    "CompositionStatus": {"CompositionState": state, "Reserved": False},
                    "Status": {"State": "Enabled", "Health": one.health},
                    "Links": {
                        "ComputerSystems": on,
                        "Zones": [_link(f"{SERVICE}/ResourceZones/{one.zone}")],
                    },
                    "Processors": [_link(f"{here}/Processors/1")],
                }
            if path == f"{here}/Processors/1":
                return self._resource(one, path)
            if path == f"{here}/Processors/1/Function":
                return {"VendorId": one.vendor, "DeviceId": one.device}
        return None

    def _fabric(self, path: str) -> Json | None:
        endpoints, connections = f"{FABRIC}/Endpoints", f"{FABRIC}/Connections"
        if path == f"{ROOT}/Fabrics":
            return _members([FABRIC])
        if path == FABRIC:
            return {"Id": "PCIe-1", "Endpoints": _link(endpoints), "Connections": _link(connections)}
        if path == endpoints:
            names = [f"Host-{one}" for one in self.systems] + [one.name for one in self._there()]
            return _members([f"{endpoints}/{one}" for one in names])
        if path == connections:
            return _members([f"{connections}/{one}" for one in self.attached])
        for system in self.systems:
            if path == f"{endpoints}/Host-{system}":
                entity = {"EntityType": "RootComplex", "EntityLink": _link(f"{ROOT}/Systems/{system}")}
                return {"Id": f"Host-{system}", "ConnectedEntities": [entity]}
        for name, system in self.attached.items():
            if path == f"{connections}/{name}":
                return {
                    "Status": {"State": "Enabled"},
                    "Links": {
                        "InitiatorEndpoints": [_link(f"{endpoints}/Host-{system}")],
                        "TargetEndpoints": [_link(f"{endpoints}/{name}")],
                    },
                }
        for one in self._there():
            device = f"{ROOT}/Chassis/Box/Processors/{one.name}"
            if path == f"{endpoints}/{one.name}":
                entity = {"EntityType": "Processor", "EntityLink": _link(device)}
                return {
                    "Id": one.name,
                    "ConnectedEntities": [entity],
                    "Status": {"State": "Enabled", "Health": one.health},
                }
            if path == device:
                return self._resource(one, path)
            if path == f"{device}/Function":
                return {"VendorId": one.vendor, "DeviceId": one.device}
        return None


def _link(path: str) -> Json:
    return {"@odata.id": path}


def _members(paths: list[str]) -> Json:
    return {"Members": [_link(one) for one in paths], "Members@odata.count": len(paths)}
