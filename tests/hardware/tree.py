"""A machine's tree of files in a folder, made by a test: what drivers read of /sys, /proc and /dev."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fairlead.hardware import LiveMachine


class Tree:
    """The tree of one made-up machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.machine = LiveMachine(root)

    def file(self, path: str, content: str | int | bytes = "") -> None:
        """A file; a number and a text end with a new line, as in /sys."""
        place = self._place(path)
        place.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())

    def link(self, path: str, target: str) -> None:
        """A link, with an absolute target, which is followed inside of the tree."""
        self._place(path).symlink_to(target)

    def folder(self, path: str) -> None:
        """An empty folder."""
        self._place(path).mkdir(exist_ok=True)

    def remove(self, path: str) -> None:
        """A file or a link goes."""
        (self.root / path.lstrip("/")).unlink()

    def pci(
        self,
        address: str,
        *,
        vendor: int,
        device: int,
        class_code: int,
        root: str = "pci0000:00",
        bridges: Sequence[str] = (),
        numa: int = 0,
        driver: str = "",
        iommu_group: int | None = None,
        subsystem: tuple[int, int] = (0, 0),
        total_virtual: int = 0,
    ) -> str:
        """A PCI function below a root complex and bridges; gives the path of its folder."""
        path = "/".join(["/sys/devices", root, *bridges, address])
        self.link(f"/sys/bus/pci/devices/{address}", path)
        for name, value in {
            "vendor": f"0x{vendor:04x}",
            "device": f"0x{device:04x}",
            "class": f"0x{class_code:06x}",
            "subsystem_vendor": f"0x{subsystem[0]:04x}",
            "subsystem_device": f"0x{subsystem[1]:04x}",
            "numa_node": numa,
        }.items():
            self.file(f"{path}/{name}", value)
        if driver:
            self.bind(address, driver)
        if iommu_group is not None:
            self.folder(f"/sys/kernel/iommu_groups/{iommu_group}")
            self.link(f"{path}/iommu_group", f"/sys/kernel/iommu_groups/{iommu_group}")
        if total_virtual:
            self.file(f"{path}/sriov_totalvfs", total_virtual)
            self.file(f"{path}/sriov_numvfs", 0)
        return path

    def bind(self, address: str, driver: str) -> None:
        """Binds a kernel driver to a function, as the kernel shows it."""
        place = (self.root / "sys/bus/pci/devices" / address).readlink()
        link = self.root / str(place).lstrip("/") / "driver"
        link.unlink(missing_ok=True)
        self.folder(f"/sys/bus/pci/drivers/{driver}")
        link.symlink_to(f"/sys/bus/pci/drivers/{driver}")

    def virtual(self, physical: str, addresses: Sequence[str], device: int, driver: str = "") -> list[str]:
        """Virtual functions of a function that is there; gives the paths of their folders."""
        path = str((self.root / "sys/bus/pci/devices" / physical).readlink())
        read = {name: int((self.root / path.lstrip("/") / name).read_text(), 16) for name in ("vendor", "class")}
        numa = int((self.root / path.lstrip("/") / "numa_node").read_text())
        _, _, _, root, *bridges = path.rsplit("/", 1)[0].split("/")
        self.file(f"{path}/sriov_numvfs", len(addresses))
        made = []
        for number, address in enumerate(addresses):
            at = self.pci(
                address,
                vendor=read["vendor"],
                device=device,
                class_code=read["class"],
                root=root,
                bridges=bridges,
                numa=numa,
                driver=driver,
            )
            self.link(f"{at}/physfn", path)
            self.link(f"{path}/virtfn{number}", at)
            made.append(at)
        return made

    def _place(self, path: str) -> Path:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place
