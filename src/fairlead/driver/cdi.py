"""Container Device Interface: what the container runtime does for a device, and the files that tell it.

One file a claim, with a name that holds the claim's UID: runtimes keep what they read by name, so a name must never
come back with another meaning. The file says the lowest version of CDI that has the fields it uses, for runtimes refuse
versions that they do not know. A device without edits is invalid to them and is left out here.

Source: CDI specification 1.1.0 (SPEC.md, schema), and the rules that its Go library checks on loading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from fairlead.driver.files import Files, is_leftover, replace

DEFAULT_FOLDER: Final = Path("/var/run/cdi")
_CLASS: Final = "claim"
_HOOKS: Final = frozenset({"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"})
_NODE_TYPES: Final = frozenset({"", "b", "c", "u", "p"})
_name = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")


class EditsError(ValueError):
    """The runtime would refuse these edits; the text names field and reason."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of what is written as it is."""


class DeviceNode(_Part, frozen=True):
    """A device node in the container; `host_path` where the node has another path on the host."""

    path: str
    host_path: str = ""
    type: str = ""
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None


class NetDevice(_Part, frozen=True):
    """A network interface that the runtime moves into the container, there called `name` (CDI 1.1.0)."""

    host_interface_name: str
    name: str


class Hook(_Part, frozen=True):
    """A program that the runtime calls; `timeout` in seconds."""

    hook_name: str
    path: str
    args: list[str] = []
    env: list[str] = []
    timeout: int | None = None


class Mount(_Part, frozen=True):
    """A mount; `type` of the filesystem where it is not a bind mount."""

    host_path: str
    container_path: str
    options: list[str] = []
    type: str = ""


class IntelRdt(_Part, frozen=True):
    """Cache and memory bandwidth (resctrl)."""

    clos_id: str = msgspec.field(default="", name="closID")
    l3_cache_schema: str = msgspec.field(default="", name="l3CacheSchema")
    mem_bw_schema: str = ""
    schemata: list[str] = []
    enable_monitoring: bool = False


class Edits(_Part, frozen=True):
    """What the runtime changes in a container that uses a device."""

    env: dict[str, str] = {}
    device_nodes: list[DeviceNode] = []
    net_devices: list[NetDevice] = []
    hooks: list[Hook] = []
    mounts: list[Mount] = []
    intel_rdt: IntelRdt | None = None
    additional_gids: list[int] = []

    def __bool__(self) -> bool:
        return self != Edits()


def check(edits: Edits) -> None:
    """Whether a runtime will take the edits.

    Raises:
        EditsError: it will not.
    """
    for name, value in edits.env.items():
        if not name or "=" in name or "\0" in name + value:
            raise EditsError(f"env: {name!r}: is no name of an environment variable, or its value holds a null byte")
    for node in edits.device_nodes:
        _absolute("deviceNodes", "path", node.path)
        if node.host_path:
            _absolute("deviceNodes", "hostPath", node.host_path)
        if node.type not in _NODE_TYPES:
            raise EditsError(f"deviceNodes: {node.path}: type: {node.type!r} is none of b, c, u, p")
        if node.permissions != "none" and node.permissions.strip("rwm"):
            raise EditsError(f"deviceNodes: {node.path}: permissions: {node.permissions!r} may hold r, w, m only")
    for field in ("host_interface_name", "name"):
        names = [getattr(one, field) for one in edits.net_devices]
        if "" in names or len(set(names)) < len(names):
            raise EditsError(f"netDevices: {', '.join(names)}: names must be there, and differ")
    for hook in edits.hooks:
        _absolute("hooks", "path", hook.path)
        if hook.hook_name not in _HOOKS:
            raise EditsError(f"hooks: {hook.path}: hookName: {hook.hook_name!r} is none of {', '.join(sorted(_HOOKS))}")
        if bad := [one for one in hook.env if one.find("=") <= 0]:
            raise EditsError(f"hooks: {hook.path}: env: {bad[0]!r} is not NAME=VALUE")
    for mount in edits.mounts:
        _absolute("mounts", "hostPath", mount.host_path)
        _absolute("mounts", "containerPath", mount.container_path)
    if any(not 0 <= gid < 2**32 for gid in edits.additional_gids):
        raise EditsError(f"additionalGids: {edits.additional_gids}: a group is a number below 2^32")
    if edits.intel_rdt is not None:
        clos = edits.intel_rdt.clos_id
        if clos != "/" and (len(clos) >= 4096 or clos in (".", "..") or "/" in clos or "\n" in clos):
            raise EditsError(f"intelRdt: closID: {clos[:40]!r} is no name of a file")


def version(devices: Mapping[str, Edits]) -> str:
    """The lowest version of CDI that has all that these devices use; the names count, too."""
    every = list(devices.values())
    rdt = [edits.intel_rdt for edits in every if edits.intel_rdt is not None]
    if any(edits.net_devices for edits in every) or any(one.schemata or one.enable_monitoring for one in rdt):
        return "1.1.0"
    if rdt or any(edits.additional_gids for edits in every):
        return "0.7.0"
    if any(name[:1].isdigit() for name in devices) or any(n.host_path for e in every for n in e.device_nodes):
        return "0.5.0"
    if any(mount.type for edits in every for mount in edits.mounts):
        return "0.4.0"
    return "0.3.0"


class SpecFolder:
    """The files of one driver in a folder of the runtime; others' files are never touched."""

    def __init__(self, driver: str, folder: Path = DEFAULT_FOLDER, files: Files | None = None) -> None:
        """Touches nothing yet.

        Args:
            driver: name of the driver: a DNS subdomain, so a vendor's name to CDI once a letter stands before it.
            folder: one that the runtime reads (`cdi_spec_dirs`).
            files: what touches the disk.
        """
        self.folder: Final = folder
        self.kind: Final = f"k8s.{driver}/{_CLASS}"
        self._prefix: Final = f"k8s.{driver}-{_CLASS}_"
        self._files = files or Files()

    def path(self, uid: str) -> Path:
        """The file of a claim."""
        return self.folder / f"{self._prefix}{uid}.json"

    def device_id(self, name: str) -> str:
        """What kubelet hands to the runtime for a device."""
        return f"{self.kind}={name}"

    def write(self, uid: str, devices: Mapping[str, Edits]) -> None:
        """Puts a claim's file in place; nothing is written where it is there already, or without devices.

        Args:
            uid: of the claim.
            devices: their edits by name; none of them empty, all of them checked.

        Raises:
            OSError: it could not be written.
        """
        if not devices:
            self.remove(uid)
            return
        data = render(self.kind, devices)
        path = self.path(uid)
        try:
            if path.read_bytes() == data:
                return
        except OSError:
            pass  # not there, or not readable: writing says which
        self._files.make_folder(self.folder)
        # Not durable: after a loss of power the machine starts anew, and then nothing is prepared.
        replace(self._files, path, data)

    def remove(self, uid: str) -> None:
        """Removes a claim's file; nothing happens where there is none.

        Raises:
            OSError: it could not be removed.
        """
        self._files.remove(self.path(uid))

    def sweep(self, known: Iterable[str]) -> list[str]:
        """Removes our files of claims that are not among the known, and what a crash left; the names of what went.

        Raises:
            OSError: one could not be removed.
        """
        keep = {self.path(uid).name for uid in known}
        gone = []
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            ours = path.name.startswith(self._prefix) and path.suffix == ".json"
            if (ours and path.name not in keep) or is_leftover(path.name, self._prefix):
                self._files.remove(path)
                gone.append(path.name)
        return gone


def render(kind: str, devices: Mapping[str, Edits]) -> bytes:
    """The text of a file.

    Raises:
        EditsError: a device has no edits, or a name that the runtime refuses.
    """
    for name, edits in devices.items():
        if not _name.fullmatch(name):
            raise EditsError(f"device {name!r}: must be letters, digits, and _ . : - between them")
        if not edits:
            raise EditsError(f"device {name!r}: has no edits")
    spec = {
        "cdiVersion": version(devices),
        "kind": kind,
        "devices": [{"name": name, "containerEdits": _plain(edits)} for name, edits in devices.items()],
    }
    return msgspec.json.format(msgspec.json.encode(spec), indent=1) + b"\n"


def _plain(edits: Edits) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(edits)
    if edits.env:
        value["env"] = [f"{name}={text}" for name, text in edits.env.items()]
    return value


def _absolute(field: str, part: str, path: str) -> None:
    if not path.startswith("/") or "\0" in path:
        raise EditsError(f"{field}: {part}: {path!r} must be an absolute path")
