"""RDMA devices between network namespaces, over netlink (RDMA_NLDEV); needed where the kernel keeps them apart.

The kernel has two modes for all devices: shared (each namespace sees every device, the default), and exclusive (a
device is in one namespace, and is moved like an interface). `/sys/module/ib_core/parameters/netns_mode` says which.

Source: linux/rdma/rdma_netlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final

from .rtnetlink import ask, attribute, attributes_of, inside

_NETLINK_RDMA: Final = 20
_NLDEV: Final = 5 << 10
_GET, _SET = 1, 2
_DEV_INDEX, _DEV_NAME, _NET_NS_FD = 1, 2, 68
_DUMP: Final = 0x300


def move(name: str, source: int | None, target: int) -> bool:
    """Moves an RDMA device; whether it was there.

    Args:
        name: of the device, `mlx5_3`.
        source: a descriptor of the namespace that has it; None for ours.
        target: a descriptor of the namespace that gets it.

    Raises:
        OSError: the kernel refuses.
    """

    try:
        channel = _channel(source)
    except OSError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return False  # a kernel without RDMA
        raise
    with channel:
        index = _index(channel, name)
        if index is not None:
            ask(channel, 2, _NLDEV | _SET, setting(index, target), 0)
        return index is not None


def has(name: str, namespace: int) -> bool:
    """Whether a namespace, given by a descriptor, has an RDMA device. OSError where the kernel does not say."""
    with _channel(namespace) as channel:
        return _index(channel, name) is not None


def _channel(namespace: int | None) -> socket.socket:
    def make() -> socket.socket:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_RDMA)

    return make() if namespace is None else inside(namespace, make)


def _index(channel: socket.socket, name: str) -> bytes | None:
    for body in ask(channel, 1, _NLDEV | _GET, b"", _DUMP):
        parts = dict(attributes_of(body))
        if parts.get(_DEV_NAME, b"").rstrip(b"\0").decode() == name:
            return parts[_DEV_INDEX]
    return None


def setting(index: bytes, target: int) -> bytes:
    """The message that moves a device."""
    return attribute(_DEV_INDEX, index) + attribute(_NET_NS_FD, struct.pack("=I", target))
