"""Where a driver's sockets are, and whose they are when two instances of it run.

Without a pod's UID there is one instance, with the names that every tool expects. With one, all names hold it: a
rolling update starts the new instance before the old one ends, and neither may remove what the other listens on.

An instance holds a lock (`flock`) on a file of its own for as long as it lives, from before its first socket is there.
A lock that is free belongs to a dead instance; only such a one's sockets are removed by others.

Source of the names: kubelet's plugin registry; rolling update in kubeletplugin of
`k8s.io/dynamic-resource-allocation` 0.37.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PLUGINS: Final = Path("/var/lib/kubelet/plugins")
REGISTRY: Final = Path("/var/lib/kubelet/plugins_registry")
_PATH_MAX: Final = 107
"""Bytes of a path that fit into the address of a Unix socket on Linux, without the null byte."""
_ALONE: Final = "alone"


class SocketError(Exception):
    """The driver cannot listen there; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The two sockets of one instance."""

    service: Path
    """Where kubelet asks to prepare."""
    registration: Path
    """Where kubelet's plugin registry finds the driver."""


def endpoints(driver: str, pod_uid: str = "", plugins: Path = PLUGINS, registry: Path = REGISTRY) -> Endpoints:
    """The sockets of an instance.

    Args:
        driver: its name.
        pod_uid: of the pod that the instance runs in; empty where no second instance is ever started beside it.
        plugins: where drivers have their folders.
        registry: where kubelet looks for drivers.

    Raises:
        SocketError: a path is too long for a socket.
    """
    services, registrations = ["dra.sock"], [f"{driver}-reg.sock"]
    if pod_uid:
        short = _hash(pod_uid.encode(), 8)
        both = _hash(f"{driver}\0{pod_uid}".encode(), 16)
        services = [f"dra-{pod_uid}.sock", f"dra-{_hash(pod_uid.encode(), 6)}.sock"]
        registrations = [f"{driver}-{pod_uid}-reg.sock", f"{driver}-{short}-reg.sock", f"dra-{both}-reg.sock"]
    return Endpoints(_fitting(plugins / driver, services), _fitting(registry, registrations))


class Instance:
    """This instance's claim to its sockets; held until `release`, or until the process ends."""

    def __init__(self, folder: Path, pod_uid: str, order: float) -> None:
        """Touches nothing yet.

        Args:
            folder: of the driver.
            pod_uid: as for `endpoints`.
            order: when the instance was started: the instance with the highest is the youngest.
        """
        self._folder: Final = folder
        self._path: Final = folder / f"instance-{pod_uid or _ALONE}.lock"
        self._order: Final = order
        self._handle: int | None = None

    def acquire(self, sockets: Endpoints) -> None:
        """Takes the lock, and removes sockets that a dead instance of the same name left.

        Raises:
            SocketError: an instance of the same name is alive.
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = _lock(self._path)
        for _ in range(20):  # others only look whether it is held, for a moment
            if handle is not None:
                break
            time.sleep(0.05)
            handle = _lock(self._path)
        if handle is None:
            raise SocketError(
                f"{self._path}: another instance of the driver is running; for updates without a gap start each with "
                "--pod-uid, else end the other first"
            )
        os.truncate(handle, 0)
        os.pwrite(handle, f"{self._order!r}\n{sockets.service}\n{sockets.registration}\n".encode(), 0)
        self._handle = handle
        _remove(sockets.service, sockets.registration)

    def release(self) -> None:
        """Removes the lock; the sockets must be gone."""
        if self._handle is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None

    def bury(self) -> list[Path]:
        """Removes what instances left that were killed; their sockets, where some were still there."""
        gone = []
        for path in self._others():
            handle = _lock(path)
            if handle is not None:
                _, sockets = _content(path)
                gone += [socket for socket in sockets if socket.exists()]
                _remove(*sockets)
                path.unlink(missing_ok=True)
                os.close(handle)
        return gone

    def is_youngest(self) -> bool:
        """Whether no living instance was started after this one."""
        for path in self._others():
            handle = _lock(path)
            if handle is not None:
                os.close(handle)
                continue
            order, _ = _content(path)
            if order > self._order:
                return False
        return True

    def _others(self) -> Iterator[Path]:
        for path in sorted(self._folder.glob("instance-*.lock")):
            if path != self._path:
                yield path


def _lock(path: Path) -> int | None:
    """A handle of the locked file; None where another process, or another `Instance` here, has it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        try:
            if os.path.samestat(os.stat(path), os.fstat(handle)):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # its owner removed the file in between: nobody else sees this one any more


def _content(path: Path) -> tuple[float, list[Path]]:
    try:
        order, *sockets = path.read_text().splitlines()
        return float(order), [Path(one) for one in sockets]
    except (OSError, ValueError):
        return float("-inf"), []  # it has only just been started


def _remove(*sockets: Path) -> None:
    for path in sockets:
        path.unlink(missing_ok=True)


def _hash(data: bytes, length: int) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()[:length]).rstrip(b"=").decode()


def _fitting(folder: Path, names: list[str]) -> Path:
    for path in (folder / name for name in names):
        if len(os.fsencode(path)) <= _PATH_MAX:
            return path
    size = len(os.fsencode(path))
    raise SocketError(f"{path}: has {size} bytes, a Unix socket's path takes {_PATH_MAX}: use a shorter folder")
