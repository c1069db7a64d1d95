"""A machine of `machines` that outlives the driver's process, to run `fairlead node` and `fairlead conformance` on it.

The argument: a machine, a folder that its state is kept in, the driver's options. IMEX channels are left out.

    DRIVER=tests.drivers.nvidia.lasting:make=half_on:/tmp/box:mig=dynamic
    PYTHONPATH=src:. fairlead conformance -- fairlead node --driver $DRIVER --node-name {node} --pod-uid {pod_uid} \\
        --kubeconfig {kubeconfig} --plugins-dir {plugins} --registry-dir {registry} --cdi-dir {cdi}
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

from fairlead.driver import Driver
from fairlead.drivers.nvidia import make as make_drivers
from fairlead.drivers.nvidia.host import Note
from fairlead.drivers.nvidia.programs import LiveHost
from fairlead.hardware import Machine
from tests.drivers.nvidia import machines
from tests.drivers.nvidia.fake_host import FakeHost

CHANGES = ("set_mig", "create", "destroy", "set_exclusive")


class LastingHost(FakeHost):
    """Notes are files, as on a real host."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._files = LiveHost(folder / "notes", folder / "mps", enter=())

    def notes(self) -> dict[str, Note]:
        return self._files.notes()

    def note(self, claim: str, note: Note) -> None:
        self._files.note(claim, note)

    def forget(self, claim: str) -> None:
        self._files.forget(claim)


def make(argument: str, node: str, machine: Machine) -> Sequence[Driver]:
    """The driver of GPUs on such a machine."""
    kind, folder, options = (*argument.split(":", 2), "")[:3]
    root, state = Path(folder) / "tree", Path(folder) / "gpus"
    box = _kept(kind, root, state)
    box.host = LastingHost(Path(folder))
    for name in CHANGES:
        _saving(box, name, state)
    return make_drivers(f"{options},channels=0", node, box)


def _kept(kind: str, root: Path, state: Path) -> machines.Box:
    if not state.exists():
        root.mkdir(parents=True)
        box: machines.Box = getattr(machines, kind)(root)
        state.write_bytes(pickle.dumps((box.nvml.installed, box.nvml.gpus)))
    system, gpus = pickle.loads(state.read_bytes())
    tree = machines.Tree(root)
    return machines.Box(tree, machines.FakeNvml(tree, system, gpus), FakeHost())


def _saving(box: machines.Box, name: str, state: Path) -> None:
    change = getattr(box.nvml, name)

    def saved(*arguments: object) -> object:
        # Another instance of the driver may have changed it.
        box.nvml.gpus = pickle.loads(state.read_bytes())[1]
        made = change(*arguments)
        half = state.with_suffix(".half")
        half.write_bytes(pickle.dumps((box.nvml.installed, box.nvml.gpus)))
        half.rename(state)
        return made

    setattr(box.nvml, name, saved)
