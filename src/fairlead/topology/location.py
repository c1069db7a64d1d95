"""Where one device sits in its node, as far as that is known, and what says so.

Invariant: a fact is either unknown ("" or None) or has its source in `sources`; `kind` alone may come from nothing
but the driver's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

KINDS: Final = ("gpu", "nic", "dpu", "accelerator", "other")
FACTS: Final = ("model", "bus", "switch", "root", "numa", "rail", "nvlink", "rdma", "port")
"""The names of the facts of a location that rules may set, which are its fields."""
LOCAL: Final = "node/"
"""How the name of an NVLink domain begins that does not leave its node: equal names on two nodes are two domains."""
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Location:
    """What is known of where one device sits; "" and None mean unknown, never a guess.

    Two locations are equal when they say the same, wherever they have it from.
    """

    kind: str
    """gpu, nic, dpu, accelerator or other."""
    model: str = ""
    bus: str = ""
    """PCI address, `dddd:bb:dd.f`."""
    switch: str = ""
    """PCIe switch."""
    root: str = ""
    """PCIe root complex, as `pci0000:10`."""
    numa: int | None = None
    rail: int | None = None
    """Which rail of the network it belongs to; for a GPU, the rail of its NIC."""
    nvlink: str = ""
    """Domain of a fabric between GPUs (NVLink, xGMI); begins with `node/` when it does not leave the node."""
    rdma: bool | None = None
    port: str = ""
    """PCI address of the physical function that a virtual one belongs to; its own where it is none."""
    part: bool = False
    """A partition of a device (MIG and the like), which takes no part in the links between GPUs."""
    sources: Mapping[str, str] = field(default_factory=lambda: _NOTHING, compare=False)
    """Fact -> `attribute NAME` or `rule NAME`."""

    @property
    def spans(self) -> bool:
        """Whether its NVLink domain has a name that means the same on every node."""
        return bool(self.nvlink) and not self.nvlink.startswith(LOCAL)
