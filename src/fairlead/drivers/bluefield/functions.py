"""Functions of a DPU as both sides name them: controller, physical function, and the number of a VF or an SF.

The host knows a function by its PCI address, the DPU by these numbers; the kernel's devlink has them on both sides
(`pfnum`, `vfnum`, `sfnum`), and they do not change while the hardware stays as it is configured.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["pf", "vf", "sf"]


class Function(msgspec.Struct, frozen=True, omit_defaults=True):
    """One function: `pf0`, `pf0vf3`, `pf1sf1000`."""

    kind: Kind
    pf: int
    number: int = 0
    """Of the VF or SF; 0 for a PF."""

    def __str__(self) -> str:
        return f"pf{self.pf}" + ("" if self.kind == "pf" else f"{self.kind}{self.number}")


class Wanted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the DPU has to do for one function."""

    function: Function
    bridge: str = ""
    """The bridge that its representor becomes a port of; empty for none."""
    vlan: int = 0
    """1 to 4094: frames of the function carry this tag beyond the bridge port; 0 for none."""
    mac: str = ""
    """The hardware address that the function gets; empty for its own."""
    tx_max: int = 0
    """Mbit/s that it may send; 0 for no limit."""


class Granted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the DPU did for one function."""

    function: Function
    representor: str = ""
    bridge: str = ""
