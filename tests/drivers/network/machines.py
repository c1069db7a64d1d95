"""Machines with network cards, as trees of files and answers of netlink.

Values are those of real machines where they are known (PCI ids, names, forms of files); MAC addresses and GUIDs are
made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec

from fairlead.drivers.network import Function, Link, Netlink, NetworkDriver, read_settings
from fairlead.drivers.network.hook.work import Before, read_order
from fairlead.hardware import HardwareError, Problems, pci_functions
from tests.hardware.tree import Tree

MELLANOX, AMAZON, VIRTIO = 0x15B3, 0x1D0F, 0x1AF4
ETHERNET, INFINIBAND = 0x020000, 0x020700
PF = "0000:3b:00.0"
BOOT = "/proc/sys/kernel/random/boot_id"


class FakeNetlink(Netlink):
    """A kernel's netlink that remembers; interfaces that a pod has are in `away`."""

    def __init__(self) -> None:
        self.known: dict[str, Link] = {}
        self.away: dict[str, Link] = {}
        self.default: list[int] = []
        self.modes: dict[str, str] = {}
        self.errors: dict[str, HardwareError] = {}
        """Method to what it raises."""
        self.done: list[tuple[Any, ...]] = []

    def add(self, name: str, **more: Any) -> Link:
        link = Link(index=len(self.known) + len(self.away) + 1, name=name, **more)
        self.known[name] = link
        return link

    def change(self, name: str, **more: Any) -> None:
        self.known[name] = msgspec.structs.replace(self.known[name], **more)

    def links(self) -> list[Link]:
        self._fails("links")
        return list(self.known.values())

    def defaults(self) -> list[int]:
        self._fails("defaults")
        return self.default

    def switch_mode(self, address: str) -> str:
        self._fails("switch_mode")
        return self.modes.get(address, "")

    def look(self, name: str) -> Before:
        self._fails("look")
        link = self.known[name]
        return Before(link.name, link.mtu, link.mac, link.alias, link.state == "up", list(link.addresses))

    def mark(self, name: str, marker: str) -> None:
        self._fails("mark")
        self.change(name, alias=marker)

    def make_child(self, parent: str, marker: str) -> None:
        self._fails("make_child")
        if all(one.alias != marker for one in self.known.values()):
            self.add(f"child{len(self.known)}", kind="macvlan", alias=marker, under=self.known[parent].index)

    def move(self, marker: str) -> None:
        """What the hook does when a container starts."""
        name = next(one.name for one in self.known.values() if one.alias == marker)
        self.away[marker] = self.known.pop(name)

    def take_back(self, order: Path) -> str:
        self._fails("take_back")
        done = read_order(order)
        here = next((one for one in self.known.values() if one.alias == done.marker), None)
        link = self.away.pop(done.marker, here)
        if here is not None:
            del self.known[here.name]
        if link is None or done.before is None:
            return ""
        before = asdict(done.before)
        self.known[done.before.name] = msgspec.structs.replace(
            link, name=before["name"], mtu=before["mtu"], mac=before["mac"], alias=before["alias"]
        )
        return done.before.name

    def set_function(self, parent: str, now: Function, wanted: Function) -> None:
        self._fails("set_function")
        self.done.append(("set_function", parent, wanted))
        functions = {one.number: one for one in self.known[parent].functions}
        self.change(parent, functions=tuple((functions | {wanted.number: wanted}).values()))

    def wait(self, stop: Event, seconds: float) -> bool:
        self._fails("wait")
        stop.wait(seconds)
        return False

    def _fails(self, name: str) -> None:
        if name in self.errors:
            raise self.errors[name]


class Made:
    """One machine."""

    def __init__(self, root: Path) -> None:
        self.tree = Tree(root / "root")
        self.netlink = FakeNetlink()
        self.state = root / "state"
        self.tree.file("/sys/bus/pci/drivers_probe")
        self.tree.file(BOOT, "11111111-2222-3333-4444-555555555555")

    def driver(self, settings: str = "", node: str = "node-1") -> NetworkDriver:
        text = ",".join(filter(None, (f"state={self.state}", settings)))
        return NetworkDriver(read_settings(text), node, self.tree.machine, self.netlink)

    def interface(self, name: str, path: str, *, speed: int = 0, carrier: int = 1, port: str = "", **link: Any) -> None:
        """The interface of a device, at the path of its folder."""
        place = f"{path}/net/{name}"
        self.tree.file(f"{place}/carrier", carrier)
        if speed:
            self.tree.file(f"{place}/speed", speed)
        if port:
            self.tree.file(f"{place}/phys_port_name", port)
        self.tree.link(f"/sys/class/net/{name}", place)
        self.netlink.add(name, **{"encapsulation": "ether", "mtu": 1500, "state": "up"} | link)

    def rdma(self, name: str, path: str, number: int, *, layer: str, rate: str, state: str = "4: ACTIVE") -> None:
        """The RDMA device of a device, with its nodes."""
        place = f"{path}/infiniband/{name}"
        self.tree.file(f"{place}/node_guid", f"b8ce:f603:00{number:02x}:1234")
        self.tree.file(f"{place}/ports/1/link_layer", layer)
        self.tree.file(f"{place}/ports/1/state", state)
        self.tree.file(f"{place}/ports/1/rate", rate)
        self.tree.link(f"{place}/device", path)
        self.tree.link(f"/sys/class/infiniband/{name}", place)
        self.tree.folder(f"{path}/infiniband_verbs")
        self.tree.folder(f"{path}/infiniband_verbs/uverbs{number}")
        self.tree.file(f"/dev/infiniband/uverbs{number}")
        if layer == "InfiniBand":
            for node in (f"issm{number}", f"umad{number}"):
                self.tree.folder(f"{path}/infiniband_mad")
                self.tree.folder(f"{path}/infiniband_mad/{node}")
                self.tree.file(f"/dev/infiniband/{node}")
        self.tree.file("/dev/infiniband/rdma_cm")

    def unplug(self, address: str) -> None:
        """A PCI function goes, with its interface."""
        self.tree.remove(f"/sys/bus/pci/devices/{address}")
        net = self.tree.root / "sys/class/net"
        for name in sorted(one.name for one in net.iterdir()):
            if f"/{address}/" in str((net / name).readlink()):
                self.tree.remove(f"/sys/class/net/{name}")
                self.netlink.known.pop(name, None)


def plain_vm(root: Path) -> Made:
    """A virtual machine with one virtio card, which has the default route, and a card beside it."""
    made = Made(root)
    for number, name in ((3, "eth0"), (4, "eth1")):
        path = made.tree.pci(f"0000:00:0{number}.0", vendor=VIRTIO, device=0x1041, class_code=ETHERNET, numa=-1)
        made.interface(name, f"{path}/virtio{number - 3}", mac=f"02:fc:00:00:00:0{number}")
    made.netlink.change("eth0", addresses=("192.0.2.2/24", "fd00::2/64"))
    made.netlink.default = [made.netlink.known["eth0"].index]
    made.netlink.add("lo", encapsulation="loopback")
    made.netlink.add("veth0a1b2c3", encapsulation="ether", kind="veth", foreign=True, under=2)
    return made


def connectx7(root: Path, functions: int = 16) -> Made:
    """Two sockets; a ConnectX-7 of two ports with 400 Gbit/s, the first with virtual functions, RoCE; a small card."""
    made = plain_vm(root)
    for port in (0, 1):
        path = made.tree.pci(
            f"0000:3b:00.{port}",
            vendor=MELLANOX,
            device=0x1021,
            class_code=ETHERNET,
            root="pci0000:3a",
            bridges=["0000:3a:01.0"],
            numa=0,
            driver="mlx5_core",
            subsystem=(MELLANOX, 0x0041),
            total_virtual=16,
            iommu_group=40 + port,
        )
        name = f"ens1f{port}np{port}"
        rows = tuple(Function(number, mac="00:00:00:00:00:00", spoof_check=False, trust=False) for number in range(16))
        made.interface(
            name,
            path,
            speed=400000,
            port=f"p{port}",
            mac=f"b8:ce:f6:03:00:0{port}",
            mtu=9000,
            functions=rows[: functions if port == 0 else 0],
        )
        made.rdma(f"mlx5_{port}", path, port, layer="Ethernet", rate="400 Gb/sec (4X NDR)")
        made.netlink.modes[f"0000:3b:00.{port}"] = "legacy"
    if functions:
        add_functions(made, functions)
    made.tree.file("/sys/bus/pci/drivers/vfio-pci/unbind")
    return made


def add_functions(made: Made, number: int) -> None:
    """Virtual functions of the first port, as the kernel shows them once they are made."""
    addresses = [f"0000:3b:{(2 + one) // 8:02x}.{(2 + one) % 8}" for one in range(number)]
    for one, path in enumerate(made.tree.virtual(PF, addresses, 0x101E, "mlx5_core")):
        made.interface(f"ens1f0v{one}", path, mac=f"b8:ce:f6:03:01:{one:02x}", state="down")
        made.rdma(f"mlx5_{one + 2}", path, one + 2, layer="Ethernet", rate="400 Gb/sec (4X NDR)")
        made.tree.file(f"{path}/driver_override", "(null)")
        made.tree.file("/sys/bus/pci/drivers/mlx5_core/unbind")
        made.tree.folder(f"/sys/kernel/iommu_groups/{60 + one}")
        made.tree.link(f"{path}/iommu_group", f"/sys/kernel/iommu_groups/{60 + one}")


def infiniband(root: Path) -> Made:
    """A ConnectX-7 port of an InfiniBand fabric, NDR, with IP over it."""
    made = plain_vm(root)
    path = made.tree.pci(
        "0000:9a:00.0",
        vendor=MELLANOX,
        device=0x1021,
        class_code=INFINIBAND,
        root="pci0000:97",
        bridges=["0000:97:01.0", "0000:98:00.0", "0000:99:02.0"],
        numa=1,
        driver="mlx5_core",
        total_virtual=16,
    )
    mac = "00:00:10:29:fe:80:00:00:00:00:00:00:b8:ce:f6:03:00:ee:12:34"
    made.interface("ibp154s0", path, speed=400000, encapsulation="infiniband", mtu=4092, mac=mac)
    made.rdma("mlx5_4", path, 4, layer="InfiniBand", rate="400 Gb/sec (4X NDR)")
    return made


def efa(root: Path) -> Made:
    """As a p5.48xlarge: 8 places of a GPU with 4 EFA each; the first has the node's interface (ENA) beside it."""
    made = Made(root)
    number = 0
    for place, bus in enumerate((0x4F, 0x60, 0x71, 0x82, 0x93, 0xA4, 0xB5, 0xC6)):
        for card in range(4):
            path = made.tree.pci(
                f"0000:{bus:02x}:{card:02x}.0",
                vendor=AMAZON,
                device=0xEFA2,
                class_code=0x020000,
                root=f"pci0000:{bus - 0xF:02x}",
                bridges=[f"0000:{bus - 0xF:02x}:00.0"],
                numa=place // 4,
                driver="efa",
                subsystem=(AMAZON, 0xEFA2),
            )
            made.rdma(f"rdmap{bus}s{card}", path, number, layer="Unspecified", rate="100 Gb/sec (4X EDR)")
            number += 1
    path = made.tree.pci(
        "0000:4f:1f.0",
        vendor=AMAZON,
        device=0xEC20,
        class_code=0x020000,
        root="pci0000:40",
        numa=0,
        driver="ena",
        subsystem=(AMAZON, 0xEC20),
    )
    made.interface("ens32", path, mac="0e:96:fe:e8:a3:f5", mtu=9001, addresses=("192.168.155.224/19",))
    made.netlink.default = [made.netlink.known["ens32"].index]
    return made


def of_slice(root: Path, devices: Sequence[dict[str, Any]]) -> Made:
    """The machine that devices recorded with DRANET come from, as far as they tell of it."""
    made = Made(root)
    ids = {
        "Elastic Fabric Adapter (EFA)": (AMAZON, 0xEFA2, 0x020000, "efa"),
        "Elastic Network Adapter (ENA)": (AMAZON, 0xEC20, 0x020000, "ena"),
        "CX8 Family [ConnectX-8]": (MELLANOX, 0x1023, 0x020000, "mlx5_core"),
    }
    for number, one in enumerate(devices):
        told = {name.removeprefix("dra.net/"): next(iter(value.values())) for name, value in one["attributes"].items()}
        vendor, device, class_code, driver = ids[told["pciDevice"]]
        path = made.tree.pci(
            told["pciAddress"],
            vendor=vendor,
            device=device,
            class_code=class_code,
            root=told["resource.kubernetes.io/pcieRoot"],
            numa=told["numaNode"],
            driver=driver,
            subsystem=(vendor, int(told.get("pciSubsystem", "0"), 16)),
            total_virtual=16 if told.get("sriov") else 0,
        )
        if "ifName" in told:
            made.interface(
                told["ifName"],
                path,
                mac=told["mac"],
                mtu=told["mtu"],
                state=told["state"],
                addresses=(told["ipv4"],) if "ipv4" in told else (),
            )
        if told["rdma"]:
            made.rdma(
                told.get("rdmaDevice", f"mlx5_{number}"), path, number, layer="Ethernet", rate="400 Gb/sec (4X NDR)"
            )
    return made


def e810(root: Path) -> Made:
    """An Intel E810 with two ports of 100 Gbit/s and four virtual functions each, beside the node's own card."""
    made = Made(root)
    path = made.tree.pci("0000:00:03.0", vendor=VIRTIO, device=0x1041, class_code=ETHERNET, numa=-1)
    made.interface("enp0s3", f"{path}/virtio0", mac="02:fc:00:00:00:03")
    made.netlink.default = [made.netlink.known["enp0s3"].index]
    for port in (0, 1):
        address = f"0000:08:00.{port}"
        path = made.tree.pci(
            address,
            vendor=0x8086,
            device=0x1592,
            class_code=ETHERNET,
            root="pci0000:00",
            bridges=["0000:00:02.0"],
            driver="ice",
            total_virtual=64,
        )
        rows = tuple(Function(number, mac="00:00:00:00:00:00", spoof_check=True, trust=False) for number in range(4))
        made.interface(f"eth{port}", path, speed=100000, port=f"p{port}", mac=f"b4:96:91:00:00:0{port}", functions=rows)
        made.netlink.modes[address] = "legacy"
        addresses = [f"0000:08:0{2 * port}.{number}" for number in range(2, 6)]
        for number, place in enumerate(made.tree.virtual(address, addresses, 0x1889, "iavf")):
            made.interface(f"eth{port}v{number}", place, mac=f"b4:96:91:01:0{port}:0{number}", state="down")
            made.tree.file(f"{place}/driver_override", "(null)")
            made.tree.folder(f"/sys/kernel/iommu_groups/{20 + 4 * port + number}")
            made.tree.link(f"{place}/iommu_group", f"/sys/kernel/iommu_groups/{20 + 4 * port + number}")
    made.tree.file("/sys/bus/pci/drivers/iavf/unbind")
    made.tree.file("/sys/bus/pci/drivers/vfio-pci/unbind")
    return made


class Rebinding(Thread):
    """The part of the kernel that binds drivers when it is told to in /sys."""

    def __init__(self, made: Made) -> None:
        super().__init__(daemon=True)
        self.made = made
        self.stopped = Event()
        self.usual = {one.address: one.driver for one in pci_functions(made.tree.machine.files, Problems())}

    def run(self) -> None:
        probe = self.made.tree.root / "sys/bus/pci/drivers_probe"
        while not self.stopped.wait(0.005):
            if address := probe.read_text().strip():
                probe.write_text("")
                wanted = self.made.tree.machine.files.text(f"/sys/bus/pci/devices/{address}/driver_override")
                self.made.tree.bind(address, self.usual[address] if wanted in ("", "(null)") else wanted)

    def __enter__(self) -> Rebinding:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()
