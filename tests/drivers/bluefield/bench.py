"""A host with its driver on the kit's engine, and the DPU's agent beside it, all in this process."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from fairlead.driver import Claim
from fairlead.driver.cdi import SpecFolder
from fairlead.driver.engine import Engine
from fairlead.driver.inventory import make_inventory
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.steps import Steps
from fairlead.driver.store import Store
from fairlead.drivers.bluefield.agent.core import AgentCore
from fairlead.drivers.bluefield.agent.state import StateFile
from fairlead.drivers.bluefield.agents import Agents, PortReport, Report
from fairlead.drivers.bluefield.config import DRIVER
from fairlead.drivers.bluefield.driver import BlueFieldDriver
from fairlead.drivers.bluefield.network import Bridge
from fairlead.drivers.bluefield.options import Options, read_options
from fairlead.drivers.bluefield.side import EswitchSide
from fairlead.hardware import HardwareError
from fairlead.resource import (
    AllocationResult,
    DeviceAllocationConfiguration,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ObjectMeta,
    OpaqueDeviceConfiguration,
    Quantity,
    ResourceClaim,
    ResourceClaimStatus,
)
from tests.drivers.bluefield.machines import SERIAL, SLOT, Host, MemoryNetwork, dpu_devlink
from tests.hardware.tree import Tree

NODE = "node-1"
_shares = count()
OPTIONS = read_options(f"dpus: [{{address: '{SLOT}', agent: 'unix:/nowhere'}}]\nsfs: 4")


def result(device: str, request: str = "fn", **more: Any) -> DeviceRequestAllocationResult:
    """A device of ours on this node; `consumed` maps capacities to amounts, for shares."""
    if consumed := more.pop("consumed", None):
        amounts = {name: Quantity.parse(text) for name, text in consumed.items()}
        more |= {"consumed_capacity": amounts, "share_id": f"share-{next(_shares)}"}
    return DeviceRequestAllocationResult(request=request, driver=DRIVER, pool=NODE, device=device, **more)


def claim(uid: str, *results: DeviceRequestAllocationResult, **config: Any) -> ResourceClaim:
    """An allocated claim, whose FunctionConfig says this."""
    parameters = {"apiVersion": f"{DRIVER}/v1", "kind": "FunctionConfig"} | config
    opaque = OpaqueDeviceConfiguration(driver=DRIVER, parameters=parameters)
    configs = [DeviceAllocationConfiguration(source="FromClaim", opaque=opaque)] if config else []
    devices = DeviceAllocationResult(results=list(results), config=configs)
    return ResourceClaim(
        metadata=ObjectMeta(name=f"claim-{uid}", namespace="ml", uid=uid),
        status=ResourceClaimStatus(allocation=AllocationResult(devices=devices)),
    )


class Here(Agents):
    """The agent without a network. `down` says why it does not answer."""

    def __init__(self, core: AgentCore, side: EswitchSide) -> None:
        self.core = core
        self.side = side
        self.down = ""
        self.lost_answers = 0
        self.boot = "boot-1"

    def _answers(self) -> None:
        if self.down:
            raise HardwareError(f"DPU {SLOT}: agent unix:/nowhere: {self.down}", "unavailable")

    def report(self, dpu):
        self._answers()
        ports = tuple(PortReport(function, name) for function, name in self.side.representors().items())
        return Report(
            version="0.1",
            boot_id=self.boot,
            serial=SERIAL,
            eswitch="switchdev",
            ports=ports,
            services=self.core.offers,
            claims=tuple(self.core.claims()),
        )

    def apply(self, dpu, uid, name, wanted, services, dry_run):
        self._answers()
        granted = self.core.apply(uid, name, wanted, services, dry_run)
        if self.lost_answers and not dry_run:
            self.lost_answers -= 1
            raise HardwareError("no answer to Apply within 15 s", "unavailable")
        return granted

    def release(self, dpu, uid):
        self._answers()
        self.core.release(uid)


class Bench:
    """A host with a DPU in either mode."""

    def __init__(self, root: Path, mode: str = "dpu", options: Options | None = None) -> None:
        self.root = root
        self.tree = Tree(root / "host")
        self.host = Host(self.tree, mode)
        self.devlink = dpu_devlink(self.tree) if mode == "dpu" else self.host.devlink
        self.network = MemoryNetwork(
            self.devlink, Bridge("br-tenant"), Bridge("br-old", vlans=False), Bridge("ovs", True)
        )
        self.side = EswitchSide(self.devlink, self.network)
        self.served: list[tuple[str, str, str, int]] = []
        self.options = options or (OPTIONS if mode == "dpu" else Options(sfs=4))
        self.log: list[tuple[str, dict[str, object]]] = []
        self.now = 0.0
        self.restart_agent()
        self.restart()

    def restart_agent(self) -> None:
        """A new process of the agent."""
        file = StateFile(self.root / "dpu" / "state.json")
        self.core = AgentCore(self.side, file, {"nvmeSnap": 8}, lambda *one: self.served.append(one), self._told)
        self.agent = Here(self.core, self.side)
        if hasattr(self, "driver"):
            self.driver._agents = self.agent
            self.driver._hearts._agents = self.agent

    def restart(self) -> None:
        """A new process of the driver."""
        machine = self.host.machine(self.agent, self.network)
        self.driver = BlueFieldDriver(machine, self.options, appear=0.2, clock=lambda: self.now)
        steps = Steps(
            self.driver, SpecFolder(DRIVER, self.root / "cdi"), MetadataFolder(DRIVER, self.root / "plugin"), self._told
        )
        self.engine = Engine(self.driver, Store(self.root / "plugin", "boot-1"), steps, self._told)
        self.discover()

    def discover(self) -> None:
        self.engine.inventory = make_inventory(self.driver.discover(), NODE)

    def _told(self, event: str, **fields: object) -> None:
        self.log.append((event, fields))

    def prepare(self, wanted: ResourceClaim) -> None:
        self.engine.prepare(wanted, wanted.metadata.uid)

    def spec(self, uid: str) -> dict[str, Any]:
        """The edits of a claim's CDI file, by device."""
        import json

        path = self.root / "cdi" / f"k8s.{DRIVER}-claim_{uid}.json"
        return {one["name"]: one["containerEdits"] for one in json.loads(path.read_text())["devices"]}

    def clean(self) -> bool:
        """Whether nothing of any claim is left on either side."""
        held = self.core.claims() or self.devlink.sfs() or self.network.members or self.network.up
        files = list((self.root / "cdi").glob("*")) if (self.root / "cdi").is_dir() else []
        return not held and not any(self.devlink.rates.values()) and not files and not self.engine.records()

    def as_author(self, wanted: ResourceClaim) -> Claim:
        """The claim as the driver's code sees it."""
        from fairlead.driver.claims import for_author, read_claim

        record = read_claim(wanted, wanted.metadata.uid, self.driver, self.engine.inventory)
        return for_author(record, self.driver, self.engine.inventory)
