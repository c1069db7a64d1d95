"""Putting an interface into a pod's namespace and taking it back, each of them from any state that a crash may leave.

What is to be done is an `Order`, a JSON file that the driver wrote when it prepared the claim. An interface is known by
its alias, which the driver set to the order's `marker`: the kernel keeps it over moves, renames and restarts of all of
us, so every step first asks the kernel where the interface is. Beside the order, `FILE.where` says which namespace it
went to; it is written before the move. A namespace with an interface that would end with it is kept (`pins`).

Several containers of a pod, and their restarts, call `attach` again: it then finds the interface in the namespace. When
the pod got another sandbox, it fetches the interface from the namespace of the one before.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from . import pins, rdma
from .rtnetlink import Link, Netlink, Route, inside

_WAIT: Final = 0.05
_PATIENCE: Final = 5.0
"""Seconds for the kernel to return hardware of a namespace that is gone, which it does by itself."""
_IN_USE: Final = (errno.EEXIST,)


class WorkError(Exception):
    """It cannot be done; the text names the interface and the reason."""


@dataclass(frozen=True)
class Before:
    """How an interface was on the node."""

    name: str
    mtu: int
    mac: str
    alias: str = ""
    up: bool = False
    addresses: list[str] = field(default_factory=list)
    routes: list[dict[str, Any]] = field(default_factory=list)
    kind: str = ""
    """The kernel's name for what it makes; empty for hardware, which alone comes back from a namespace that ends."""


@dataclass(frozen=True)
class Order:
    """What is to be done with one interface. Fields that are empty or None are left as they are."""

    marker: str
    """The interface's alias."""
    device: str
    """For messages."""
    before: Before | None = None
    """None for an interface that was made for the claim, and goes with it."""
    name: str = ""
    """In the pod; with `%d` the kernel numbers it. Empty: as on the node."""
    mtu: int | None = None
    mac: str | None = None
    addresses: list[str] = field(default_factory=list)
    routes: list[dict[str, Any]] = field(default_factory=list)
    """As `Route`."""
    rules: list[dict[str, Any]] = field(default_factory=list)
    """`priority`, `source`, `destination`, `table`."""
    neighbors: list[dict[str, str]] = field(default_factory=list)
    """`destination`, `hardwareAddr`."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Number of a link attribute to its value: the sizes of GSO and GRO."""
    sysctls: dict[str, str] = field(default_factory=dict)
    """`ipv4/conf/%/forwarding`, where % is the interface, to the value."""
    rdma: str = ""
    """The RDMA device that moves with it; empty where none does."""
    bare: bool = False
    """There is no interface, only the RDMA device."""

    @property
    def made(self) -> bool:
        """Whether the interface was made for the claim."""
        return self.before is None and not self.bare


def read_order(path: Path) -> Order:
    """An order from its file. Fields of a newer version are not refused: an older hook may be in place."""
    raw = json.loads(path.read_text())
    known = {one.name for one in fields(Order)}
    before = raw.pop("before", None)
    return Order(before=None if before is None else Before(**before), **{n: v for n, v in raw.items() if n in known})


def write_order(order: Order, path: Path) -> None:
    """Puts an order in place, whole or not at all."""
    _replace(path, json.dumps(asdict(order), indent=1))


def attach(path: Path, process: int, namespace: str = "") -> None:
    """Puts the order's interface into the namespace of a container, and configures it there.

    Args:
        path: the order's file.
        process: the container's.
        namespace: the path by which the runtime keeps the namespace; empty where it has none.

    Raises:
        WorkError: it cannot be done.
    """
    order = read_order(path)
    try:
        with _opened(f"/proc/{process}/ns/net") as target:
            inode = os.fstat(target).st_ino
            if inode == os.stat("/proc/self/ns/net").st_ino:
                return  # a pod in the node's network: the interface is where the pod is
            where = {"namespace": namespace, "process": process, "inode": inode}
            earlier = _where(path)
            if order.rdma:
                _note(path, where)
                _move_rdma(order, earlier, target)
            if not order.bare:
                _attach(order, path, where, earlier, target)
    except OSError as error:
        raise WorkError(f"{order.device}: {_reason(error)}") from None


def take_back(path: Path, patience: float = _PATIENCE, clock: Callable[[], float] = time.monotonic) -> str:
    """Brings the order's interface back to our namespace, as it was before; one that was made goes.

    Args:
        path: the order's file, which must be there.
        patience: seconds for the kernel to return hardware.
        clock: for the patience.

    Returns:
        the interface's name on the node; empty where it has gone for good.

    Raises:
        WorkError: it cannot be done now.
    """
    order = read_order(path)
    where = _where(path)
    try:
        if where is not None:
            _fetch(order, where)
        if order.bare:
            return ""
        name = _put_back(order, where, clock, clock() + patience)
        pins.unpin(order.marker)
        Path(f"{path}.where").unlink(missing_ok=True)
        return name
    except OSError as error:
        raise WorkError(f"{order.device}: {_reason(error)}") from None


def _put_back(order: Order, where: dict[str, Any] | None, clock: Callable[[], float], until: float) -> str:
    with Netlink() as here:
        while (link := here.aliased(order.marker)) is None:
            if (pin := pins.hidden(order.marker)) is not None:
                raise WorkError(
                    f"{order.device}: its namespace is kept as {pin}, which cannot be entered from here: the driver "
                    "needs hostPID, or that folder with its mounts (remove the file to give the interface up)"
                )
            # Only hardware comes back by itself, and only where it went away.
            if where is None or order.before is None or order.before.kind or clock() >= until:
                return ""
            time.sleep(_WAIT)
        if order.before is None:
            here.delete(link.index)
            return ""
        return _restore(here, link, order.before)


def remember(link: Link, here: Netlink) -> Before:
    """How an interface is now, for `take_back`."""
    return Before(
        link.name,
        link.mtu,
        link.mac,
        link.alias,
        link.up,
        here.addresses(link.index),
        [asdict(route) for route in here.routes(link.index)],
        link.kind,
    )


def _move_rdma(order: Order, earlier: dict[str, Any] | None, target: int) -> None:
    until = time.monotonic() + (_PATIENCE if earlier is not None else 0)
    while not rdma.move(order.rdma, None, target) and not rdma.has(order.rdma, target):
        # It was in a sandbox that has ended, and the kernel is about to return it.
        if time.monotonic() >= until:
            raise WorkError(f"{order.device}: the RDMA device {order.rdma} is not on the node")
        time.sleep(_WAIT)


def _attach(order: Order, path: Path, where: dict[str, Any], earlier: dict[str, Any] | None, target: int) -> None:
    with Netlink(target) as there:
        link = there.aliased(order.marker)
        if link is None:
            with Netlink() as here:
                found = _found(order, earlier, here)
                _note(path, where)
                if found.kind:
                    pins.pin(order.marker, target)
                with _named(order, _name(order, found)):
                    here.set(found.index, namespace=target, name=_name(order, found))
            link = there.aliased(order.marker)
            if link is None:
                raise WorkError(f"{order.device}: the interface vanished while it was moved")
        name = _name(order, link)
        if not re.fullmatch(re.escape(name).replace("%d", r"\d+"), link.name):
            # An earlier start moved it, and the name was in use then.
            there.set(link.index, up=False)
            with _named(order, name):
                there.set(link.index, name=name)
        _configure(there, link, order, target)


def _found(order: Order, earlier: dict[str, Any] | None, here: Netlink) -> Link:
    """The interface on the node, to which it is brought from an earlier sandbox of the pod, or comes by itself."""
    until = time.monotonic() + (_PATIENCE if earlier is not None else 0)
    while True:
        found = here.aliased(order.marker)
        if found is None and earlier is not None:
            with contextlib.ExitStack() as stack:
                source = _find(order, earlier, stack)
                if source is not None:
                    with Netlink(source) as there:
                        if (left := there.aliased(order.marker)) is not None:
                            there.set(left.index, namespace=stack.enter_context(_ours()), name="dev%d")
                            found = here.aliased(order.marker)
        if found is not None:
            return found
        if time.monotonic() >= until:
            raise WorkError(f"{order.device}: no interface with the alias {order.marker} is on the node")
        time.sleep(_WAIT)


def _name(order: Order, link: Link) -> str:
    return order.name or (order.before.name if order.before else link.name)


@contextlib.contextmanager
def _named(order: Order, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _IN_USE:
            raise WorkError(f"{order.device}: the pod has an interface {name} already") from None
        raise


def _configure(there: Netlink, link: Link, order: Order, target: int) -> None:
    if order.mac is not None and order.mac.lower() != link.mac:
        there.set(link.index, up=False)
        there.set(link.index, mac=order.mac)
    if order.mtu is not None and order.mtu != link.mtu:
        there.set(link.index, mtu=order.mtu)
    if order.sizes:
        there.set(link.index, sizes={int(number): size for number, size in order.sizes.items()})
    there.set(link.index, up=True)
    for address in order.addresses:
        there.add_address(link.index, address)
    # Routes over gateways need the routes that make the gateways reachable.
    for route in sorted((Route(**one) for one in order.routes), key=lambda one: bool(one.gateway)):
        there.add_route(link.index, route)
    for rule in order.rules:
        there.add_rule(rule.get("priority", 0), rule.get("source", ""), rule.get("destination", ""), rule["table"])
    for one in order.neighbors:
        there.add_neighbour(link.index, one["destination"], one["hardwareAddr"])
    if order.sysctls:
        inside(target, lambda: _sysctls(order.sysctls, link.name))


def _sysctls(values: dict[str, str], name: str) -> None:
    for place, value in values.items():
        # /proc/sys/net shows the namespace of the thread that opens it.
        Path("/proc/sys/net", place.replace("%", name)).write_text(value)


def _fetch(order: Order, where: dict[str, Any]) -> None:
    """Moves the interface to us, where its namespace still lives."""
    with contextlib.ExitStack() as stack:
        source = _find(order, where, stack)
        ours = stack.enter_context(_ours())
        if source is None or os.fstat(source).st_ino == os.fstat(ours).st_ino:
            return
        if order.rdma:
            rdma.move(order.rdma, source, ours)
        if order.bare:
            return
        there = stack.enter_context(Netlink(source))
        link = there.aliased(order.marker)
        if link is None:
            return
        if order.before is None:
            there.delete(link.index)
            return
        there.set(link.index, up=False)
        try:
            there.set(link.index, namespace=ours, name=order.before.name)
        except OSError as error:
            # The kernel may have moved it under its present name before it found the wanted one in use.
            if error.errno not in _IN_USE:
                raise
            if there.aliased(order.marker) is not None:
                there.set(link.index, namespace=ours, name="dev%d")


def _find(order: Order, where: dict[str, Any], stack: contextlib.ExitStack) -> int | None:
    """A descriptor of a namespace that was noted, while it lives."""
    inode = where["inode"]
    named = [str(one) for one in pins.places(order.marker)]
    named += [where["namespace"]] if where["namespace"] else []
    for place in (*named, f"/proc/{where['process']}/ns/net", *_living()):
        with contextlib.suppress(OSError):
            if os.stat(place).st_ino == inode:
                return stack.enter_context(_opened(place))
    return None


def _living() -> Iterator[str]:
    """All namespaces that something keeps: names, then processes."""
    with contextlib.suppress(OSError):
        yield from (f"/var/run/netns/{name}" for name in os.listdir("/var/run/netns"))
    yield from (f"/proc/{name}/ns/net" for name in os.listdir("/proc") if name.isdigit())


def _restore(here: Netlink, link: Link, before: Before) -> str:
    name = before.name
    if link.name != name:
        here.set(link.index, up=False)
        try:
            here.set(link.index, name=name)
        except OSError as error:
            if error.errno not in _IN_USE:
                raise
            name = link.name
    if link.mac != before.mac:
        here.set(link.index, up=False)
        here.set(link.index, mac=before.mac)
    if link.mtu != before.mtu:
        here.set(link.index, mtu=before.mtu)
    here.set(link.index, up=before.up)
    for address in before.addresses:
        here.add_address(link.index, address)
    for route in sorted((Route(**one) for one in before.routes), key=lambda one: bool(one.gateway)):
        # What the route went over may have changed since; the interface is back all the same.
        with contextlib.suppress(OSError):
            here.add_route(link.index, route)
    # The marker goes last: until then all of this is done again after a crash.
    here.set(link.index, alias=before.alias)
    return name


def _where(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(Path(f"{path}.where").read_text())
    except FileNotFoundError:
        return None
    return found


def _note(path: Path, where: dict[str, Any]) -> None:
    _replace(Path(f"{path}.where"), json.dumps(where))


def _replace(path: Path, text: str) -> None:
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(text)
    half.replace(path)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _ours() -> contextlib.AbstractContextManager[int]:
    return _opened("/proc/self/ns/net")


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
