"""The driver: Spyre on the kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import ClassVar, Final

from fairlead.driver import (
    Claim,
    DeviceNode,
    Driver,
    Edits,
    Health,
    Pool,
    PreparedDevice,
    PrepareError,
    look_for_changes,
)
from fairlead.drivers.spyre.cards import DRIVER, VIRTUAL, fault, functions, product, signature, vfio_nodes
from fairlead.drivers.spyre.checker import BAD, HealthChecker, LiveHealthChecker
from fairlead.drivers.spyre.config import SpyreClaimParameters
from fairlead.drivers.spyre.devices import name_of, pool
from fairlead.drivers.spyre.folders import DEFAULT, ClaimFolders
from fairlead.drivers.spyre.layout import read_layout
from fairlead.drivers.spyre.senlib import FILE, TemplateError, read_template, senlib_config
from fairlead.hardware import HardwareError, Machine, PciFunction, Problems, pci_function

TEMPLATES: Final = Path("/etc/senlib-config-template")
_OPTIONS: Final = ("topology", "templates", "state", "health")


class SpyreDriver(Driver):
    """The Spyre cards of one machine."""

    name = "spyre.ibm.com"
    configs = (SpyreClaimParameters,)
    plugin_resources = (r"ibm\.com/spyre_.*",)
    poll: ClassVar[float] = 5.0
    """Seconds between two looks at which functions there are."""

    def __init__(
        self,
        machine: Machine,
        node: str,
        topology: str = "",
        templates: Path = TEMPLATES,
        folders: ClaimFolders | None = None,
        checker: str = "",
    ) -> None:
        """Args:
        machine: where the cards are.
        node: the node's name.
        topology: path of the topology file on the machine; empty for the places where IBM's tools put it.
        templates: folder with templates of senlib_config.json.
        folders: where claims have their folders; None for the usual place.
        checker: address of IBM's health checker; empty where it is not to be asked.
        """
        self._files: Final = machine.files
        self._node = node
        self._topology = topology
        self._templates = templates
        self._folders = folders or ClaimFolders()
        self._checker: HealthChecker | None = None
        if checker:
            self._checker = machine.door(HealthChecker, lambda: LiveHealthChecker(checker))  # type: ignore[type-abstract]
        self._known: list[str] = []

    def discover(self) -> Pool:
        """Cards and virtual functions."""
        problems = Problems()
        found = functions(self._files, problems)
        self._known = [one.address for one in found]
        # What health says now belongs to a recording, too.
        list(self.health())
        layout = read_layout(self._files, path, problems) if (path := self._layout_path(problems)) else {}
        return pool(found, layout, problems)

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        """The claim's folders with their configuration; nothing is changed on the cards."""
        found = [self._function(device.name) for device in claim.devices]
        kinds = sorted({product(one) for one in found})
        if len(kinds) > 1:
            listed = ", ".join(f"{one.address} ({product(one)})" for one in found)
            raise PrepareError(
                f"devices of a claim must have one productId, these have {' and '.join(kinds)}: {listed}; "
                "select one productId in the claim or its class"
            )
        nodes = [vfio_nodes(self._files, one.address) for one in found]
        mounts = self._folders.make(claim.uid, self._contents(claim, found))
        addresses = ",".join(one.address for one in found)
        for number, (device, one) in enumerate(zip(claim.devices, found, strict=True)):
            edits = Edits(
                env={
                    "KUBERNETES_NODE_NAME": self._node,
                    "DRA_RESOURCE_DRIVER_NAME": self.name,
                    "PCIDEVICE_IBM_COM_AIU_PF": addresses,
                    f"AIU_DEVICE_{number}": one.address,
                },
                device_nodes=[DeviceNode(path=path, host_path=host, permissions="rw") for path, host in nodes[number]],
                mounts=mounts[device.request],
            )
            yield device.prepared(edits, attributes=device.device.attributes if device.device else None)

    def unprepare(self, claim: Claim) -> None:
        """The claim's folders go."""
        self._folders.remove(claim.uid)

    def watch(self, changed: Callable[[], None], stop: Event) -> None:
        """Tells when functions come or go, are bound to another driver, or the topology file changes."""
        look_for_changes(self._signature, changed, stop, self.poll)

    def health(self) -> Iterator[Health]:
        """Cards that do not answer, have no driver, or that the health checker finds faulty."""
        states, silent = self._states()
        # The kit asks before it discovers: a faulty card must not be published as a good one, however briefly.
        try:
            known = self._known or [one.address for one in functions(self._files, Problems())]
        except OSError:
            return  # discovery tells what is wrong
        for address in known:
            found = fault(self._files, address)
            if found is not None:
                yield Health(name_of(address), False if found.certain else None, f"{address}: {found.text}")
            elif states.get(address) in BAD:
                yield Health(name_of(address), False, f"{address}: {BAD[states[address]]}")
            elif silent:
                yield Health(name_of(address), None, silent)

    def _states(self) -> tuple[dict[str, int], str]:
        if self._checker is None:
            return {}, ""
        try:
            return self._checker.states(), ""
        except HardwareError as error:
            return {}, str(error)

    def _function(self, name: str) -> PciFunction:
        address = next((one for one in self._known if name_of(one) == name), "")
        if not address:
            raise PrepareError(f"{name}: there is no such function any more")
        found = pci_function(self._files, address)
        if found.driver != DRIVER:
            raise PrepareError(f"{address}: is bound to {found.driver or 'no driver'}, and must be to {DRIVER}")
        if (wrong := fault(self._files, address)) is not None and wrong.certain:
            raise PrepareError(f"{address}: {wrong.text}")
        return found

    def _contents(self, claim: Claim, found: list[PciFunction]) -> dict[str, dict[str, bytes]]:
        """The files of each request: all of the claim's functions, set up as the request says."""
        addresses = [one.address for one in found]
        layout = self._layout()
        made: dict[str, dict[str, bytes]] = {}
        for device in claim.devices:
            if device.request not in made:
                config = device.config(SpyreClaimParameters)
                try:
                    template, name = read_template(self._templates, config.template if config is not None else "")
                    text = senlib_config(template, name, addresses, found[0].device == VIRTUAL)
                except TemplateError as error:
                    raise PrepareError(str(error)) from None
                made[device.request] = {FILE: text, **layout}
        return made

    def _layout(self) -> dict[str, bytes]:
        """A copy of the topology file. Containers do without it: what is wrong with it is told by discovery."""
        problems = Problems()
        if path := self._layout_path(problems):
            with problems.of("topology file"):
                return {"topo.json": self._files.read(self._files.real(path))}
        return {}

    def _layout_path(self, problems: Problems) -> str:
        """Where the topology file is; empty where there is none."""
        with problems.of("topology file"):
            if self._topology:
                return self._files.real(self._topology)
            for path in (f"{DEFAULT}/metadata/topo.json", f"/etc/aiu/topology/{self._node}"):
                if self._files.exists(path):
                    return path
        return ""

    def _signature(self) -> object:
        path = self._layout_path(Problems())
        try:
            layout: object = self._files.text(path) if path else ""
        except OSError as error:
            layout = error.errno
        return signature(self._files), layout


def make(argument: str, node: str, machine: Machine) -> list[Driver]:
    """The driver of `[topology=FILE][,templates=DIR][,state=DIR][,health=ADDRESS]`.

    Raises:
        ValueError: it is of another form.
    """
    options = {key: value for key, _, value in (one.partition("=") for one in argument.split(",") if one)}
    if options.keys() - set(_OPTIONS) or not all(options.values()):
        raise ValueError(f"must be [topology=FILE][,templates=DIR][,state=DIR][,health=ADDRESS], is {argument!r}")
    return [
        SpyreDriver(
            machine,
            node,
            options.get("topology", ""),
            Path(options.get("templates", TEMPLATES)),
            ClaimFolders(Path(options.get("state", DEFAULT))),
            options.get("health", ""),
        )
    ]
