"""Where sockets are, and that no instance of a driver takes or removes those of another that lives."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from fairlead.driver.sockets import Endpoints, Instance, SocketError, endpoints

UID = "0b3c5a2e-6f0c-4f5e-9d3a-1c2b3a4d5e6f"


def test_names() -> None:
    alone = endpoints("gpu.example.com")
    assert str(alone.service) == "/var/lib/kubelet/plugins/gpu.example.com/dra.sock"
    assert str(alone.registration) == "/var/lib/kubelet/plugins_registry/gpu.example.com-reg.sock"
    one = endpoints("gpu.example.com", UID)
    assert one.service.name == f"dra-{UID}.sock"
    assert one.registration.name == f"gpu.example.com-{UID}-reg.sock"


def test_long_names_are_shortened_as_far_as_that_goes() -> None:
    middle = endpoints("a" * 30 + ".example.com", UID, Path("/p"))
    assert middle.registration.name == "a" * 30 + ".example.com-HYLfOZh0j-o-reg.sock"
    longest = endpoints("a" * 51 + ".example.com", UID, registry=Path("/" + "r" * 50))
    assert longest.service.name == "dra-HYLfOZh0.sock"
    assert longest.registration.name.startswith("dra-")
    assert len(str(longest.registration)) <= 107


def test_a_path_that_is_too_long_is_refused_with_what_to_do() -> None:
    with pytest.raises(SocketError, match=r"has 1\d\d bytes, a Unix socket's path takes 107: use a shorter folder"):
        endpoints("gpu.example.com", plugins=Path("/" + "x" * 90))


def listen(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


def both(folder: Path, uid: str) -> Endpoints:
    return endpoints("d", uid, folder.parent, folder)


def test_a_second_instance_of_the_same_name_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    sockets = both(folder, "")
    first = Instance(folder, "", 1)
    first.acquire(sockets)
    with listen(sockets.service):
        with pytest.raises(SocketError, match=r"another instance of the driver is running; .* --pod-uid"):
            Instance(folder, "", 2).acquire(sockets)
        assert sockets.service.exists()
    sockets.service.unlink()
    first.release()
    Instance(folder, "", 2).acquire(sockets)


def test_sockets_of_a_killed_instance_are_removed_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    child = os.fork()
    if child == 0:
        for uid in ("", "old"):
            Instance(folder, uid, 1).acquire(both(folder, uid))
            listen(both(folder, uid).service)
            listen(both(folder, uid).registration)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    alone, old, new = both(folder, ""), both(folder, "old"), both(folder, "new")
    again = Instance(folder, "", 2)
    again.acquire(alone)
    assert not alone.service.exists()
    instance = Instance(folder, "new", 3)
    instance.acquire(new)
    assert instance.bury() == [old.service, old.registration]
    assert sorted(path.name for path in folder.iterdir()) == ["instance-alone.lock", "instance-new.lock"]


def test_sockets_of_a_living_instance_stay(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    old, new = Instance(folder, "old", time.time()), Instance(folder, "new", time.time() + 1)
    old.acquire(both(folder, "old"))
    with listen(both(folder, "old").service):
        new.acquire(both(folder, "new"))
        assert new.bury() == []
        assert both(folder, "old").service.exists()


def test_the_youngest_living_instance_publishes(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    old, new = Instance(folder, "old", 1.0), Instance(folder, "new", 2.0)
    old.acquire(both(folder, "old"))
    assert old.is_youngest()
    new.acquire(both(folder, "new"))
    assert new.is_youngest()
    assert not old.is_youngest()
    new.release()
    assert old.is_youngest()
