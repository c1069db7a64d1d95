"""A machine of `machines` that outlives the driver's process, to run `fairlead node` and `fairlead conformance` on it.

The argument: a machine, a folder that its state is kept in, the driver's settings. What the driver changes by netlink
is in a file of the folder, for several instances see the same kernel; a start of the machine (another boot id) ends
what was changed, as it does on a real one.

    DRIVER=tests.drivers.network.lasting:make=connectx7:/tmp/box:share=ens1f1np1
    PYTHONPATH=src:. fairlead conformance -- fairlead node --driver $DRIVER --node-name {node} --pod-uid {pod_uid} \\
        --kubeconfig {kubeconfig} --plugins-dir {plugins} --registry-dir {registry} --cdi-dir {cdi}
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairlead.driver import Driver
from fairlead.drivers.network import Function, Link, NetworkDriver, read_settings
from fairlead.drivers.network.hook.work import Before
from tests.drivers.network import machines
from tests.hardware.tree import Tree

MODE = "/sys/module/ib_core/parameters/netns_mode"


def exclusive(root: Path) -> machines.Made:
    """A ConnectX-7 whose kernel keeps RDMA devices in one namespace each."""
    made = machines.connectx7(root)
    made.tree.file(MODE, "N")
    return made


def plain(root: Path) -> machines.Made:
    """A virtual machine with four plain cards of 10 Gbit/s, beside the two that it has."""
    made = machines.plain_vm(root)
    for number in range(5, 9):
        path = made.tree.pci(f"0000:00:0{number}.0", vendor=0x8086, device=0x1572, class_code=machines.ETHERNET)
        made.interface(f"ens{number}", path, speed=10000, mac=f"3c:fd:fe:00:00:0{number}")
    return made


class LastingNetlink(machines.FakeNetlink):
    """Reads what is there before each answer, and keeps it after each change."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._read()

    def links(self) -> list[Link]:
        self._read()
        return super().links()

    def look(self, name: str) -> Before:
        self._read()
        return super().look(name)

    def mark(self, name: str, marker: str) -> None:
        self._read()
        super().mark(name, marker)
        self._write()

    def make_child(self, parent: str, marker: str) -> None:
        self._read()
        super().make_child(parent, marker)
        self._write()

    def take_back(self, order: Path) -> str:
        self._read()
        name = super().take_back(order)
        self._write()
        return name

    def set_function(self, parent: str, now: Function, wanted: Function) -> None:
        self._read()
        super().set_function(parent, now, wanted)
        self._write()

    def _read(self) -> None:
        self.known, self.away, self.default, self.modes = pickle.loads(self._file.read_bytes())

    def _write(self) -> None:
        _keep(self._file, self)


def make(argument: str, node: str, machine: Any) -> Sequence[Driver]:
    """The driver of such a machine, which runs under the real boot id."""
    kind, folder, settings = (*argument.split(":", 2), "")[:3]
    root, boot = Path(folder), Path(machines.BOOT).read_text()
    state, booted = root / "netlink", root / "booted"
    if not state.exists():
        _keep(state, _made(kind, root).netlink)
        _keep(root / "first", LastingNetlink(state))
        booted.write_text(boot)
    if booted.read_text() != boot:
        state.write_bytes((root / "first").read_bytes())
        booted.write_text(boot)
    tree = Tree(root / "root")
    (tree.root / machines.BOOT.lstrip("/")).write_text(boot)
    text = ",".join(filter(None, (f"state={root / 'state'}", settings)))
    return [NetworkDriver(read_settings(text), node, tree.machine, LastingNetlink(state))]


def _made(kind: str, root: Path) -> machines.Made:
    known = {"exclusive": exclusive, "plain": plain}
    made: machines.Made = known.get(kind, getattr(machines, kind, None))(root)  # type: ignore[misc]
    return made


def _keep(file: Path, netlink: machines.FakeNetlink) -> None:
    half = file.with_suffix(".half")
    half.write_bytes(pickle.dumps((netlink.known, netlink.away, netlink.default, netlink.modes)))
    half.replace(file)
