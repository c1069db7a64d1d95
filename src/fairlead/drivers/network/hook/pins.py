"""Keeping a network namespace alive after its pod: a bind mount below /var/run/netns, as `ip netns` makes them.

Kubelet stops a pod's sandbox, and with it the last process of its namespace, before it has the claim undone. Hardware
then comes back to the node by itself; interfaces that the kernel made (veth, macvlan, VLAN) would end. A pin has them
wait until the claim is undone, or until the pod's next sandbox takes them over.

The hook makes pins in the node's mount namespace. The driver finds them by the folder, if that is propagated into its
container, or by the root of process 1. Removing the file there detaches a mount that only others see
(unlink(2): a file that is a mount point in another mount namespace).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Final

FOLDER: Final = Path("/var/run/netns")
_FIRST: Final = Path("/proc/1/root")
_BIND: Final = 4096
_DETACH: Final = 2


def pin(marker: str, namespace: int) -> None:
    """Keeps a namespace alive under the name of an order; nothing happens where it is.

    Args:
        marker: of the order.
        namespace: a descriptor of it.

    Raises:
        OSError: it is not possible.
    """
    place = FOLDER / _name(marker)
    FOLDER.mkdir(parents=True, exist_ok=True, mode=0o755)
    if not place.exists():
        place.touch(mode=0o444)
    if place.stat().st_ino == os.fstat(namespace).st_ino and _mounted(place):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.umount2(bytes(place), _DETACH)  # one of an earlier sandbox
    if libc.mount(f"/proc/self/fd/{namespace}".encode(), bytes(place), b"none", _BIND, None):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot keep the namespace: {os.strerror(number)}", str(place))


def unpin(marker: str) -> None:
    """Lets the namespace go; nothing happens where there is no pin. OSError where it stays."""
    libc = ctypes.CDLL(None, use_errno=True)
    for place in places(marker):
        if _there(place):
            libc.umount2(bytes(place), _DETACH)
            place.unlink(missing_ok=True)


def places(marker: str) -> list[Path]:
    """Where the pin of an order is."""
    place = FOLDER / _name(marker)
    return [place, _FIRST / place.relative_to("/")]


def hidden(marker: str) -> Path | None:
    """A pin whose namespace cannot be reached from here: the file is seen, the mount is not."""
    found = [one for one in places(marker) if _there(one)]
    return found[0] if found and not any(_mounted(one) for one in found) else None


def _name(marker: str) -> str:
    return marker.replace(":", "-")


def _there(place: Path) -> bool:
    with contextlib.suppress(OSError):
        return place.exists()
    return False


def _mounted(place: Path) -> bool:
    with contextlib.suppress(OSError):
        return place.stat().st_dev != place.parent.stat().st_dev
    return False
