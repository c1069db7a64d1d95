"""Making one device ready for a claim, and undoing it.

Order of preparing: what is wanted is worked out and checked; how things are is kept on the disk; then the virtual
function is set up, another kernel driver bound, the interface marked, and the hook's order written before that. Undoing
takes the same steps back from what is kept, each of which finds out for itself whether it is needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from fairlead.driver import ClaimDevice, DeviceNode, DeviceStatus, Edits, Hook, PreparedDevice, PrepareError
from fairlead.drivers.network.discovery import Network, Port
from fairlead.drivers.network.door import Function, Link, Netlink
from fairlead.drivers.network.functions import bind, bind_back, bound, iommu_node, override
from fairlead.drivers.network.hook.work import Order, read_order, write_order
from fairlead.drivers.network.install import install
from fairlead.drivers.network.keep import Keep, Kept
from fairlead.drivers.network.objects import Objects
from fairlead.drivers.network.publish import Published, is_pool, is_shared
from fairlead.drivers.network.rdma import CONNECTIONS
from fairlead.drivers.network.settings import Settings
from fairlead.drivers.network.wanted import Wanted, wanted
from fairlead.hardware import Files, HardwareError
from fairlead.resource import NetworkDeviceData

_VFIO: Final = "vfio-pci"
_HOOK_SECONDS: Final = 30
_LONGEST: Final = 15
"""Bytes of an interface's name (IFNAMSIZ)."""


class Preparer:
    """Prepares devices of one driver."""

    def __init__(self, settings: Settings, files: Files, netlink: Netlink, keep: Keep) -> None:
        """Args:
        settings: of the driver.
        files: of the machine.
        netlink: of the node.
        keep: what must be known for undoing.
        """
        self._settings: Final = settings
        self._files: Final = files
        self._netlink: Final = netlink
        self._keep: Final = keep

    def prepare(
        self,
        uid: str,
        namespace: str,
        device: ClaimDevice,
        published: Published,
        network: Network,
        objects: Objects,
        names: Collection[str] = (),
    ) -> PreparedDevice:
        """Makes one device ready.

        Args:
            uid: of the claim.
            namespace: of the claim.
            device: what is to be made ready.
            published: what each device is.
            network: what there is on the node.
            objects: networks by name.
            names: of the interfaces that the claim brings into the pod already.

        Raises:
            PrepareError: it is not possible.
        """
        if device.admin_access:
            return device.prepared(Edits(env=self._environment(device, None, "")))
        port = published.ports.get(device.name)
        if port is None:
            raise PrepareError(f"{device.name}: is not on this node any more")
        earlier = self._keep.read(uid, device.name, device.share_id)
        if earlier is not None and self._keep.outlived(earlier):
            self._keep.forget(uid, device.name, device.share_id)
            earlier = None
        pooled = is_pool(port, self._settings)
        if earlier is not None:
            port = earlier.port
        elif pooled:
            port = self._pick(device, port, network)
        shared = not pooled and is_shared(port, self._settings)
        want = wanted(device, port, self._settings.profile, namespace, objects, self._keep.addresses())
        self._check(device, port, want, shared, network)
        if earlier is None:
            function = self._function(port, want, network)
            kept = Kept(
                port,
                self._keep.boot,
                function,
                None if function is None else _joined(function, want),
                override(self._files, port.name) if want.driver else None,
                shared,
            )
            self._keep.write(uid, device.name, device.share_id, kept)
        else:
            kept = earlier
        try:
            if shared and not want.name and port.link is not None:
                want = replace(want, name=_free(port.link.name, names))
            return self._made(uid, device, kept, want, shared, network)
        except HardwareError as error:
            raise PrepareError(f"{device.name}: {error}") from None
        except OSError as error:
            raise PrepareError(f"{device.name}: {error.filename}: {error.strerror}") from None

    def undo(self, uid: str, device: ClaimDevice) -> None:
        """Takes everything back. PrepareError where that is not possible now."""
        kept = self._keep.read(uid, device.name, device.share_id)
        if kept is None:
            return
        if not self._keep.outlived(kept):
            try:
                self._back(kept, device, self._keep.order(uid, device.name, device.share_id))
            except HardwareError as error:
                raise PrepareError(f"{device.name}: {error}") from None
        try:
            self._keep.forget(uid, device.name, device.share_id)
        except OSError as error:
            raise PrepareError(f"{device.name}: {error.filename}: {error.strerror}") from None

    def _pick(self, device: ClaimDevice, pool: Port, network: Network) -> Port:
        taken = {one.port.name for one in self._keep.all()}
        for port in network.ports:
            if port.pci is not None and port.pci.physical == pool.name and port.name not in taken and port.link:
                return port
        raise PrepareError(f"{device.name}: no virtual function of {pool.name} is free, or has an interface")

    def _check(self, device: ClaimDevice, port: Port, want: Wanted, shared: bool, network: Network) -> None:
        parent = _interface(network, port.parent)
        if want.mtu and parent is not None and parent.mtu and want.mtu > parent.mtu:
            raise PrepareError(f"{device.name}: MTU {want.mtu} is more than the {parent.mtu} of {parent.name}")
        if want.driver and (port.pci is None or shared):
            raise PrepareError(f"{device.name}: another kernel driver can be bound to functions only, one claim each")
        if shared and port.rdma is not None and network.exclusive:
            raise PrepareError(
                f"{device.name}: RDMA device {port.rdma.name} cannot be shared: the kernel is in exclusive mode "
                "(rdma system set netns shared)"
            )
        if want.function is not None and not port.parent:
            raise PrepareError(f"{device.name}: its physical function has no interface, so nothing can be set")
        passed = want.driver == _VFIO or (port.pci is not None and port.pci.driver == _VFIO)
        if port.link is None and port.rdma is None and not passed and not want.driver:
            driver = port.pci.driver if port.pci is not None else ""
            raise PrepareError(f"{device.name}: has no interface (kernel driver {driver or 'none'})")

    def _function(self, port: Port, want: Wanted, network: Network) -> Function | None:
        """How a virtual function is set up now, where that will be changed."""
        if port.number is None or (want.function is None and not want.mac):
            return None
        parent = _interface(network, port.parent)
        known = {one.number: one for one in parent.functions} if parent is not None else {}
        return known.get(port.number, Function(port.number))

    def _made(
        self, uid: str, device: ClaimDevice, kept: Kept, want: Wanted, shared: bool, network: Network
    ) -> PreparedDevice:
        port = kept.port
        if kept.function is not None and kept.changed is not None:
            self._netlink.set_function(port.parent, kept.function, kept.changed)
        edits = Edits(env=self._environment(device, port, want.network))
        nodes = [DeviceNode(path=one, permissions="rw") for one in self._nodes(port, want, shared)]
        if want.driver:
            bind(self._files, port.name, want.driver)
        if want.driver == _VFIO or (port.pci is not None and port.pci.driver == _VFIO and not want.driver):
            nodes += [
                DeviceNode(path=one, permissions="rw") for one in ("/dev/vfio/vfio", iommu_node(self._files, port.name))
            ]
        hooks: list[Hook] = []
        status = None
        order = None if want.driver else self._order(uid, device, port, want, shared, network)
        if order is not None:
            path = self._keep.order(uid, device.name, device.share_id)
            program = str(install(self._keep.folder))
            arguments = [self._settings.python, "-I", program, str(path)]
            hooks = [Hook("createRuntime", self._settings.python, arguments, timeout=_HOOK_SECONDS)]
            if not order.bare:
                name = order.name or (order.before.name if order.before else "")
                mac = order.mac or (order.before.mac if order.before else "")
                status = DeviceStatus(
                    network_data=NetworkDeviceData(
                        interface_name="" if "%" in name else name, ips=order.addresses, hardware_address=mac
                    )
                )
        edits = msgspec.structs.replace(edits, device_nodes=nodes, hooks=hooks)
        return device.prepared(edits, status, device.device.attributes if device.device is not None else None)

    def _order(
        self, uid: str, device: ClaimDevice, port: Port, want: Wanted, shared: bool, network: Network
    ) -> Order | None:
        """Writes the hook's order and marks the interface; None where nothing moves."""
        path = self._keep.order(uid, device.name, device.share_id)
        marker = f"dra:{uid}:{device.name}{f'@{device.share_id}' if device.share_id else ''}"
        rdma = port.rdma.name if port.rdma is not None and network.exclusive and not shared else ""
        # A port of InfiniBand has no children with addresses of their own: its shares have the RDMA device.
        link = None if port.link is None or (shared and port.infiniband) else port.link
        if link is None:
            if not rdma:
                return None
            order = Order(marker, device.name, rdma=rdma, bare=True)
            write_order(order, path)
            return order
        order = Order(
            marker,
            device.name,
            None,
            want.name,
            want.mtu,
            want.mac,
            list(want.addresses),
            [dict(one) for one in want.routes],
            [dict(one) for one in want.rules],
            [dict(one) for one in want.neighbors],
            dict(want.sizes),
            dict(want.sysctls),
            rdma,
        )
        if shared:
            write_order(order, path)
            self._netlink.make_child(link.name, marker)
            return order
        before = (read_order(path).before if path.exists() else None) or self._netlink.look(link.name)
        if before.alias.startswith("dra:"):
            before = replace(before, alias="")
        order = replace(order, before=before)
        if want.keeps:
            order = replace(order, addresses=before.addresses, routes=[*before.routes, *order.routes])
        write_order(order, path)
        self._netlink.mark(link.name, marker)
        return order

    def _back(self, kept: Kept, device: ClaimDevice, order: Path) -> None:
        port = kept.port
        if order.exists():
            name = self._netlink.take_back(order)
            if not name and port.pci is not None and port.link is not None and not kept.child and self._lacks(port):
                raise PrepareError(f"{device.name}: its interface {port.link.name} has not come back to the node yet")
        if kept.driver is not None and port.pci is not None:
            bind_back(self._files, port.name, port.pci.driver, kept.driver)
        if kept.function is not None and kept.changed is not None:
            try:
                self._netlink.set_function(port.parent, kept.changed, kept.function)
            except HardwareError as error:
                if error.code != "ENODEV":  # without its physical function the virtual one is gone, too
                    raise

    def _lacks(self, port: Port) -> bool:
        """Whether a function is on the node, has its kernel driver, and no interface."""
        assert port.pci is not None
        place = f"/sys/bus/pci/devices/{port.name}"
        return (
            self._files.exists(place)
            and bound(self._files, port.name) == port.pci.driver
            and not self._has_interface(port)
        )

    def _has_interface(self, port: Port) -> bool:
        for name in self._files.listed("/sys/class/net"):
            with suppress(OSError):
                if f"/{port.name}/" in self._files.real(f"/sys/class/net/{name}"):
                    return True
        return False

    def _nodes(self, port: Port, want: Wanted, shared: bool) -> Iterator[str]:
        if port.rdma is not None and not want.driver:
            yield from port.rdma.nodes
            if not shared and port.number is None:
                yield from port.rdma.managing
            if self._files.exists(CONNECTIONS):
                yield CONNECTIONS
        if want.vhost:
            yield from ("/dev/vhost-net", "/dev/net/tun")

    def _environment(self, device: ClaimDevice, port: Port | None, network: str) -> dict[str, str]:
        variable = device.name.upper().replace("-", "_")
        if self._settings.profile == "dranet":
            return {f"DRANET_DEVICE_{variable}": port.name if port is not None else device.name}
        found = {f"SRIOVNETWORK_VF_DEVICE_{device.name.replace('-', '_')}": port.name if port is not None else ""}
        return found | {"SRIOVNETWORK_NET_ATTACH_DEF_NAME": network}


def _free(name: str, taken: Collection[str]) -> str:
    """The name of a port for its first share in a claim, and with a number for further ones."""
    ends = itertools.chain([""], (f"-{number}" for number in itertools.count(1)))
    names = (f"{name[: _LONGEST - len(end)]}{end}" for end in ends)
    return next(one for one in names if one not in taken)


def _joined(now: Function, want: Wanted) -> Function:
    """What a virtual function shall be: what is asked for, on top of what is."""
    given = {}
    if want.function is not None:
        given = {name: getattr(want.function, name) for name in want.asked}
    return msgspec.structs.replace(now, **given, mac=want.mac or now.mac)


def _interface(network: Network, name: str) -> Link | None:
    return next((one.link for one in network.ports if name and one.link is not None and one.link.name == name), None)
