"""What the GPUs of a set can move out of their node through the NICs of the set.

It is the greatest flow from GPUs to network ports: each GPU sends at most what its link to the host carries; a NIC
takes at most what its own link and its port carry, and the functions of a port share it. A port is an equal part of
its card. A NIC is near a GPU when the link between them is at least as good as the GPU's model asks for reading its
memory directly (same PCIe root, or same NUMA node where C2C does it). Otherwise the data goes through host memory and
a share of the way is left; and all that crosses sockets shares the way between them.

Ports that a GPU has itself (Gaudi) come on top. Without GPUs, the NICs count alone. A NIC of unknown speed adds
nothing, and is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from fairlead.topology.flow import Flow
from fairlead.topology.rules import LINK_KINDS

if TYPE_CHECKING:
    from fairlead.topology.wiring import Wiring

_FAR = {
    "numa": "only on the same NUMA node",
    "system": "on another NUMA node",
    "unknown": "at an unknown distance",
}


@dataclass(frozen=True, slots=True)
class Outward:
    """GB/s out of the node, and what limits it."""

    gbytes: float
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Nic:
    device: int
    port: str
    gbytes: float
    """GB/s of its port."""


def near(wiring: Wiring, gpu: int, nic: int) -> bool:
    """Whether a NIC reads the memory of a GPU directly."""
    model = wiring.models[gpu]
    return wiring.link(gpu, nic).rank <= LINK_KINDS.index(model.near if model is not None else "root")


def network(wiring: Wiring, devices: Sequence[int]) -> Outward:
    """What the GPUs among devices can move through the NICs among them."""
    gpus = [device for device in devices if wiring.locations[device].kind == "gpu"]
    parts: list[str] = []
    nics = _nics(wiring, devices, parts)
    own = _own_ports(wiring, gpus, parts)
    if not nics:
        return Outward(own, tuple(parts))
    flow = Flow()
    for nic in nics:
        flow.add(nic.port, "network", nic.gbytes)
        flow.add(nic.device, nic.port, wiring.host(nic.device).gbytes)
        direct = [gpu for gpu in gpus if near(wiring, gpu, nic.device)]
        for gpu in direct:
            flow.add(gpu, nic.device, inf)
        for gpu in gpus:
            if gpu not in direct:
                lost = _join_far(wiring, flow, gpu, nic)
                if not direct:
                    parts.append(lost)
        if not gpus:
            flow.add("gpus", nic.device, inf)
    for gpu in gpus:
        flow.add("gpus", gpu, wiring.host(gpu).gbytes)
    return Outward(own + flow.greatest("gpus", "network"), tuple(parts))


def _own_ports(wiring: Wiring, gpus: Sequence[int], parts: list[str]) -> float:
    """What the GPUs that have network ports of their own send through them; says so for each."""
    total = 0.0
    for gpu in gpus:
        model = wiring.models[gpu]
        if model is not None and model.network and not wiring.locations[gpu].part:
            figure = wiring.rules.figures[model.network]
            parts.append(f"{wiring.names[gpu]}: network {figure.gbytes:g} GB/s of its own ({figure.source})")
            total += figure.gbytes
    return total


def _nics(wiring: Wiring, devices: Sequence[int], parts: list[str]) -> list[_Nic]:
    """The NICs of known speed; says what each port carries."""
    found: list[_Nic] = []
    ports: set[str] = set()
    for device in devices:
        location, model, name = wiring.locations[device], wiring.models[device], wiring.names[device]
        if location.kind not in ("nic", "dpu"):
            continue
        if model is None or not model.network:
            parts.append(f"{name}: its speed is unknown, so it is not counted")
            continue
        figure = wiring.rules.figures[model.network]
        port = location.port or f"port of {name}"
        sharing = wiring.ports.get(location.port.partition(".")[0], 1)
        found.append(_Nic(device, port, figure.gbytes / sharing))
        if port not in ports:
            ports.add(port)
            shared = f", shared by {sharing} ports" if sharing > 1 else ""
            parts.append(f"{name}: network {found[-1].gbytes:g} GB/s ({figure.source}{shared})")
    return found


def _join_far(wiring: Wiring, flow: Flow, gpu: int, nic: _Nic) -> str:
    """Joins a GPU with a NIC that is not near; says what is left of the way."""
    link = wiring.link(gpu, nic.device)
    share = wiring.rules.defaults.staged
    carried = share * min(link.gbytes, nic.gbytes)
    if link.kind in ("system", "unknown"):
        way = (link.kind, wiring.locations[gpu].numa, wiring.locations[nic.device].numa)
        flow.add(gpu, (*way, "in"), inf)
        flow.add((*way, "in"), (*way, "out"), share * wiring.socket.gbytes)
        flow.add((*way, "out"), nic.device, carried)
    else:
        flow.add(gpu, nic.device, carried)
    why = _FAR.get(link.kind, f"only under the same {link.kind}")
    return (
        f"{wiring.names[gpu]} - {wiring.names[nic.device]}: {why}, through host memory: {carried:g} GB/s "
        f"({share:g} of the way, {link.kind} {link.gbytes:g} GB/s, {link.source})"
    )
