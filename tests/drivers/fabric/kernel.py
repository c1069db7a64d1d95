"""The kernels of nodes on a fabric, as trees of files: devices come when they are attached, and go when asked to.

`change` is for the emulator: it plugs and pulls. A thread does what a kernel does with `remove` of a function and with
`rescan` of the bus: a function that was removed while it is attached is found again by a scan. `events` is what went.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.hardware.tree import Tree

_RESCAN = "/sys/bus/pci/rescan"


class Kernel:
    """The trees of nodes, each a folder of its name below a root; a context manager."""

    def __init__(self, root: Path, nodes: Mapping[str, str], own: bool = False) -> None:
        """Makes the trees.

        Args:
            root: folder for the trees.
            nodes: the name of each to the id of its system.
            own: whether each node has a GPU of its own, too.
        """
        self.root = root
        self.events: list[str] = []
        self._nodes = dict(nodes)
        self._lock = threading.Lock()
        self._attached: dict[str, str] = {}
        """Name of a device to the node that it is attached to."""
        self._seen: set[str] = set()
        """Those that their node's kernel shows."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        for node in nodes:
            tree = Tree(root / node)
            tree.folder("/sys/bus/pci/devices")
            tree.file(_RESCAN)
            if own:
                path = "/sys/devices/pci0000:00/0000:01:00.0"
                tree.file(f"{path}/uuid", "GPU-of-the-board")
                tree.pci("0000:01:00.0", vendor=0x10DE, device=0x2330, class_code=0x030200)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def change(self, name: str, system: str, attached: bool) -> None:
        """What the emulator tells: a device was attached to a system, or detached from it."""
        node = next(one for one, of in self._nodes.items() if of == system)
        with self._lock:
            self._look(node)
            if attached:
                self._attached[name] = node
                self._show(node, name)
                self.events.append(f"attach {name}")
            else:
                self.events.append(f"detach {name} {'without' if name in self._seen else 'after'} removal")
                self._hide(node, name)
                self._attached.pop(name, None)

    def shows(self, name: str) -> bool:
        """Whether a node's kernel shows the device."""
        with self._lock:
            if (node := self._attached.get(name)) is not None:
                self._look(node)
            return name in self._seen

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            with self._lock:
                for node in self._nodes:
                    self._look(node)

    def _look(self, node: str) -> None:
        """Does what was written into `remove` and `rescan`."""
        here = [name for name, of in self._attached.items() if of == node]
        for name in here:
            if name in self._seen and (self._folder(node, name) / "remove").read_text() == "1":
                self._hide(node, name)
                self.events.append(f"remove {name}")
        scan = self.root / node / _RESCAN.lstrip("/")
        if scan.read_text() == "1":
            scan.write_text("")
            for name in here:
                if name not in self._seen:
                    self._show(node, name)

    def _show(self, node: str, name: str) -> None:
        tree, number, address = Tree(self.root / node), int(name[-1]), _address(name)
        path = f"/sys/devices/pci0000:60/{address}"
        serial = f"SN-00{number}".encode()
        field = b"SN" + bytes([len(serial)]) + serial
        # The link of the bus, by which it is found, comes last, as it does in a kernel.
        tree.file(f"{path}/vpd", b"\x82\x03\x00GPU" + b"\x90" + len(field).to_bytes(2, "little") + field)
        tree.file(f"{path}/uuid", f"GPU-1111-{number}")
        tree.file(f"{path}/remove", "")
        tree.file(f"{path}/drm/renderD{128 + number}/dev", "226:128")
        tree.file(f"/dev/dri/renderD{128 + number}", "")
        tree.pci(address, vendor=0x10DE, device=0x2331, class_code=0x030200, root="pci0000:60", driver="nvidia")
        self._seen.add(name)

    def _hide(self, node: str, name: str) -> None:
        (self.root / node / "sys/bus/pci/devices" / _address(name)).unlink(missing_ok=True)
        shutil.rmtree(self._folder(node, name), ignore_errors=True)
        (self.root / node / f"dev/dri/renderD{128 + int(name[-1])}").unlink(missing_ok=True)
        self._seen.discard(name)

    def _folder(self, node: str, name: str) -> Path:
        return self.root / node / "sys/devices/pci0000:60" / _address(name)


def _address(name: str) -> str:
    return f"0000:6{name[-1]}:00.0"
