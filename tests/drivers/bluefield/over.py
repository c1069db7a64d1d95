"""A host whose driver reaches the agent over its real socket; as a program, a driver that kills itself at a call."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from fairlead.driver.cdi import SpecFolder
from fairlead.driver.engine import Engine
from fairlead.driver.inventory import make_inventory
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.steps import Steps
from fairlead.driver.store import Store
from fairlead.drivers.bluefield.config import DRIVER
from fairlead.drivers.bluefield.driver import BlueFieldDriver
from fairlead.drivers.bluefield.options import read_options
from fairlead.resource import ResourceClaim
from tests.drivers.bluefield.bench import NODE, claim, result
from tests.drivers.bluefield.machines import SLOT, Host
from tests.hardware.tree import Tree


class Over:
    """The driver on the kit's engine."""

    def __init__(self, root: Path, socket: Path) -> None:
        self.root = root
        tree = Tree(root / "host")
        self.host = Host(tree, "dpu")
        self._options = read_options(f"dpus: [{{address: '{SLOT}', agent: 'unix:{socket}'}}]\nsfs: 4")
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        """A new process of the driver."""
        self.driver = BlueFieldDriver(self.host.machine(), self._options, appear=3.0, clock=lambda: self.now)
        folders = SpecFolder(DRIVER, self.root / "cdi"), MetadataFolder(DRIVER, self.root / "plugin")
        steps = Steps(self.driver, *folders, lambda event, **fields: None)
        self.engine = Engine(self.driver, Store(self.root / "plugin", "boot-1"), steps, lambda event, **fields: None)
        self.engine.inventory = make_inventory(self.driver.discover(), NODE)

    def prepare(self, wanted: ResourceClaim) -> None:
        self.engine.prepare(wanted, wanted.metadata.uid)

    def settle(self, uid: str) -> None:
        """What kubelet does with a claim that could not be prepared, once its pod has gone."""
        self.now += 60
        self.engine.unprepare(uid)
        assert self.engine.records() == []


def main(root: str, socket: str, at: str) -> None:
    when, _, call = at.partition("-")
    over = Over.__new__(Over)
    over.root = Path(root)
    over.host = Host.__new__(Host)
    over.now = 0.0
    _reopen(over, Path(root), Path(socket))
    agents: Any = over.driver._agents
    real = getattr(agents, call)

    def killed(*arguments: Any) -> Any:
        if when == "after":
            real(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(agents, call, killed)
    devices = result("sf-0000-3b-00-0-1001", "a"), result("vf-0000-3b-00-3", "b")
    over.prepare(claim("u", *devices, bridge="br-tenant"))
    over.engine.unprepare("u")


def _reopen(over: Over, root: Path, socket: Path) -> None:
    """The tree of the host is there already: only its devlink is made anew."""
    from tests.drivers.bluefield.machines import MemoryDevlink

    over.host.tree = Tree(root / "host")
    over.host.devlink = MemoryDevlink()
    for pf in range(2):
        over.host.devlink.device(f"pci/{SLOT}.{pf}", None)
    over._options = read_options(f"dpus: [{{address: '{SLOT}', agent: 'unix:{socket}'}}]\nsfs: 4")
    over.restart()


if __name__ == "__main__":
    main(*sys.argv[1:])
