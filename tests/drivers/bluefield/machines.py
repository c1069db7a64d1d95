"""Made-up machines with a BlueField-3: the host in both modes, the DPU itself, and their devlink and bridges in memory.

Numbers are those of a B3220 card (two ports of 200 Gb/s) as far as documents show them; the addresses of virtual
functions, serial numbers and hardware addresses are made up.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from fairlead.drivers.bluefield.devlink import Devlink, DevlinkInfo, DevlinkPort
from fairlead.drivers.bluefield.network import Bridge, Network
from fairlead.hardware import Door, HardwareError, LiveMachine, Machine
from tests.hardware.tree import Tree

SLOT = "0000:3b:00"
SERIAL = "MT2334XZ0LQ2"
NAME = "BlueField-3 P-Series DPU 200GbE/NDR200 dual-port QSFP112 integrated BMC PCIe Gen5.0 x16"
PART = "900-9D3B6-00CV-AA0"
FIRMWARE = "32.39.2048"
VFS = 4


def vpd(serial: str = SERIAL) -> bytes:
    """The card's vital product data."""

    def keyword(name: str, text: str) -> bytes:
        return name.encode() + bytes([len(text)]) + text.encode()

    def resource(tag: int, body: bytes) -> bytes:
        return bytes([tag]) + len(body).to_bytes(2, "little") + body

    fields = keyword("PN", PART) + keyword("EC", "A9") + keyword("SN", serial) + keyword("RV", "\0")
    return resource(0x82, NAME.encode()) + resource(0x90, fields) + b"\x78" + bytes(64)


class Host:
    """A host with one card: a tree of files, and the host's devlink."""

    def __init__(self, tree: Tree, mode: str = "dpu", vfs: int = VFS) -> None:
        self.tree = tree
        self.mode = mode
        for pf in range(2):
            address = f"{SLOT}.{pf}"
            path = tree.pci(
                address,
                vendor=0x15B3,
                device=0xA2DC,
                class_code=0x020000,
                root="pci0000:3a",
                bridges=["0000:3a:01.0"],
                numa=1,
                driver="mlx5_core",
                iommu_group=40 + pf,
                subsystem=(0x15B3, 0x0009),
                total_virtual=16,
            )
            tree.file(f"{path}/vpd", vpd())
            self.interface(path, f"enp59s0f{pf}np{pf}", f"a0:88:c2:00:00:0{pf}", f"mlx5_{pf}")
            virtual = tree.virtual(address, [f"0000:3b:0{pf}.{3 + one}" for one in range(vfs)], 0x101E, "mlx5_core")
            for number, at in enumerate(virtual):
                self.interface(
                    at, f"enp59s0f{pf}v{number}", f"02:00:00:00:0{pf}:0{number}", f"mlx5_{2 + 8 * pf + number}"
                )
        if mode == "dpu":
            tree.pci(
                f"{SLOT}.2",
                vendor=0x15B3,
                device=0xC2D5,
                class_code=0x080100,
                root="pci0000:3a",
                bridges=["0000:3a:01.0"],
                numa=1,
            )
        self.devlink = MemoryDevlink(self._appears if mode == "nic" else None)
        for pf in range(2):
            self.devlink.device(f"pci/{SLOT}.{pf}", "switchdev" if mode == "nic" else None)
            if mode == "nic":
                self.devlink.physical(f"pci/{SLOT}.{pf}", pf, f"enp59s0f{pf}np{pf}")
                for number in range(vfs):
                    self.devlink.virtual(f"pci/{SLOT}.{pf}", pf, number, f"eth{pf}{number}", 0)

    def interface(self, path: str, name: str, mac: str, rdma: str) -> None:
        """A function's interface and RDMA device."""
        self.tree.file(f"{path}/net/{name}/address", mac)
        self.tree.file(f"{path}/net/{name}/speed", 200000)
        self.tree.file(f"{path}/infiniband/{rdma}/node_type", "1: CA")
        self.tree.file(f"{path}/infiniband_verbs/uverbs{rdma.rpartition('_')[2]}/ibdev", rdma)

    def path(self, address: str) -> str:
        """The folder of a function."""
        return f"/sys/devices/pci0000:3a/0000:3a:01.0/{address}"

    def _appears(self, port: DevlinkPort, there: bool) -> None:
        """What the host sees when a sub-function becomes active, or goes."""
        sub_function(self.tree, port.pf, port.sf, there)

    def machine(self, *doors: Door) -> Machine:
        """The machine with the host's devlink, and other doors instead of the live ones."""
        return Doors(self.tree.machine, [self.devlink, *doors])


def sub_function(tree: Tree, pf: int, sf: int, there: bool) -> None:
    """A sub-function appears on the host, or goes."""
    import shutil

    path = f"/sys/devices/pci0000:3a/0000:3a:01.0/{SLOT}.{pf}/mlx5_core.sf.{pf * 1000 + sf}"
    if there:
        tree.file(f"{path}/net/enp59s0f{pf}s{sf}/address", "02:11:22:33:44:55")
        tree.file(f"{path}/infiniband/mlx5_{sf}/node_type", "1: CA")
        tree.file(f"{path}/infiniband_verbs/uverbs{sf}/ibdev", f"mlx5_{sf}")
        tree.file(f"{path}/sfnum", sf)
    else:
        shutil.rmtree(tree.root / path.lstrip("/"), ignore_errors=True)


class Doors(LiveMachine):
    """A machine with doors of a test."""

    def __init__(self, machine: Machine, doors: list[Door]) -> None:
        self.files = machine.files
        self._doors = {one.door: one for one in doors}

    def door(self, kind, live):
        return self._doors[kind.door] if kind.door in self._doors else live()


class MemoryDevlink(Devlink):
    """devlink with state. `fails` says which call fails: name of a method to an error."""

    def __init__(self, appears: Callable[[DevlinkPort, bool], None] | None = None) -> None:
        self._modes: dict[str, str | None] = {}
        self._ports: dict[str, DevlinkPort] = {}
        self._appears = appears or (lambda port, there: None)
        self.rates: dict[str, int] = {}
        self.fails: dict[str, HardwareError] = {}
        self.reporters: dict[str, dict[str, str]] = {}
        self.changes: list[str] = []
        self.before_change: Callable[[], None] = lambda: None

    def device(self, name: str, mode: str | None) -> None:
        self._modes[name] = mode

    def physical(self, device: str, pf: int, netdev: str) -> None:
        self._ports[f"{device}/65535"] = DevlinkPort(f"{device}/65535", "physical", netdev, physical=pf)

    def function(self, device: str, pf: int, netdev: str, controller: int) -> None:
        handle = f"{device}/{1 + pf}"
        self._ports[handle] = DevlinkPort(handle, "pcipf", netdev, controller, pf=pf)

    def virtual(self, device: str, pf: int, vf: int, netdev: str, controller: int) -> None:
        handle = f"{device}/{10 + vf}"
        self._ports[handle] = DevlinkPort(handle, "pcivf", netdev, controller, pf=pf, vf=vf, ipsec=True)

    def _asked(self, method: str, changes: bool = False) -> None:
        if changes:
            self.before_change()
            self.changes.append(method)
        if method in self.fails:
            raise self.fails[method]

    def devices(self) -> list[str]:
        self._asked("devices")
        return sorted(self._modes)

    def info(self, device: str) -> DevlinkInfo:
        self._asked("info")
        return DevlinkInfo("mlx5_core", "", FIRMWARE, "MT_0000000884")

    def eswitch(self, device: str) -> str:
        self._asked("eswitch")
        mode = self._modes.get(device)
        if mode is None:
            raise HardwareError("kernel answers: Operation not permitted", "EPERM")
        return mode

    def ports(self) -> list[DevlinkPort]:
        self._asked("ports")
        return list(self._ports.values())

    def health(self, device: str) -> dict[str, str]:
        self._asked("health")
        return self.reporters.get(device, {"fw": "healthy", "fw_fatal": "healthy"})

    def add_sf(self, device: str, pf: int, sf: int, controller: int) -> DevlinkPort:
        self._asked("add_sf", True)
        handle = f"{device}/{32768 + sf}"
        if handle in self._ports:
            raise HardwareError("File exists", "EEXIST")
        netdev = f"en3f{pf}pf{pf}sf{sf}"
        port = DevlinkPort(handle, "pcisf", netdev, controller, pf=pf, sf=sf, state="inactive", ipsec=True)
        self._ports[handle] = port
        return port

    def delete_port(self, handle: str) -> None:
        self._asked("delete_port", True)
        self.rates.pop(handle, None)
        self._appears(self._ports.pop(handle), False)

    def set_mac(self, handle: str, mac: str) -> None:
        self._asked("set_mac", True)
        self._ports[handle] = replace(self._ports[handle], mac=mac)

    def set_state(self, handle: str, state: str) -> None:
        self._asked("set_state", True)
        self._ports[handle] = replace(self._ports[handle], state=state)
        self._appears(self._ports[handle], state == "active")

    def set_rate(self, handle: str, tx_max: int) -> None:
        self._asked("set_rate", True)
        self.rates[handle] = tx_max

    def sfs(self) -> list[str]:
        """The sub-functions that there are."""
        return sorted(f"pf{one.pf}sf{one.sf}" for one in self._ports.values() if one.flavour == "pcisf")

    def netdevs(self) -> set[str]:
        return {one.netdev for one in self._ports.values()}


def dpu_devlink(tree: Tree) -> MemoryDevlink:
    """devlink of the DPU itself in DPU mode, whose sub-functions appear on a host."""
    devlink = MemoryDevlink(lambda port, there: sub_function(tree, port.pf, port.sf, there))
    for pf in range(2):
        device = f"pci/0000:03:00.{pf}"
        devlink.device(device, "switchdev")
        devlink.physical(device, pf, f"p{pf}")
        devlink.function(device, pf, f"pf{pf}hpf", 1)
        for number in range(VFS):
            devlink.virtual(device, pf, number, f"pf{pf}vf{number}", 1)
    return devlink


class MemoryNetwork(Network):
    """Bridges with state."""

    def __init__(self, devlink: MemoryDevlink, *bridges: Bridge) -> None:
        self._devlink = devlink
        self._bridges = list(bridges)
        self.members: dict[str, tuple[str, int]] = {}
        self.up: set[str] = set()
        self.fails: dict[str, HardwareError] = {}
        self.before_change: Callable[[], None] = lambda: None

    def _asked(self, method: str, changes: bool = False) -> None:
        if changes:
            self.before_change()
        if method in self.fails:
            raise self.fails[method]

    def bridges(self) -> list[Bridge]:
        self._asked("bridges")
        return self._bridges

    def bridge_of(self, link: str) -> str:
        self._asked("bridge_of")
        return self.members.get(link, ("", 0))[0]

    def exists(self, link: str) -> bool:
        return link in self._devlink.netdevs()

    def attach(self, link: str, bridge: Bridge, vlan: int) -> None:
        self._asked("attach", True)
        self.members[link] = (bridge.name, vlan)

    def detach(self, link: str, bridge: str) -> None:
        self._asked("detach", True)
        self.members.pop(link, None)

    def set_up(self, link: str, up: bool) -> None:
        self._asked("set_up", True)
        (self.up.add if up else self.up.discard)(link)
