"""Where a DPU's agent and what its host sees do not agree, and answers of agents that make no sense.

Both sides of a card are read apart, by programs that may be of different versions, and either can be configured anew
without the other. What does not agree is told; what the host sees is published, for it is what pods get.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fairlead.drivers.bluefield.agents import Report
from fairlead.drivers.bluefield.discovery import Dpu
from fairlead.drivers.bluefield.functions import Granted, Wanted
from fairlead.hardware import HardwareError

_SHOWN: Final = 3
_MOST: Final = 2**63 - 1
_LONGEST: Final = 32
"""Characters of a capacity's name (`resource.k8s.io`, a C identifier)."""


def contradictions(dpu: Dpu, report: Report) -> list[str]:
    """What an agent says that what the host sees belies, a line each."""
    found = []
    if dpu.mode == "nic":
        found.append(
            "its e-switch is managed by this host (NIC mode), so its agent can make nothing ready: take it out of the "
            "options, or set the card to DPU mode"
        )
    elif report.eswitch and not report.eswitch.startswith("switchdev"):
        found.append(f"its agent says that its e-switch is in mode {report.eswitch}: functions have no representors")
    else:
        here = [one.function for port in dpu.ports for one in (port.physical, *port.virtual)]
        without = [str(one) for one in here if not report.representor(one)]
        if without:
            more = f" and {len(without) - _SHOWN} more" if len(without) > _SHOWN else ""
            found.append(f"its agent knows no representor of {', '.join(without[:_SHOWN])}{more}")
    found += [f"its agent offers {name!r}: {amount}, which cannot be published" for name, amount in _bad(report)]
    return [f"DPU {dpu.slot}: {line}" for line in found]


def services(report: Report | None) -> Mapping[str, int]:
    """The services of a DPU that can be published, without those that it has none of."""
    if report is None:
        return {}
    bad = dict(_bad(report))
    return {name: amount for name, amount in sorted(report.services.items()) if amount and name not in bad}


def check_granted(dpu: str, wanted: Iterable[Wanted], granted: Iterable[Granted]) -> None:
    """Whether an agent says of all that it was asked for that it is done.

    Raises:
        HardwareError: it does not, and something else may have been done.
    """
    done = {one.function: one for one in granted}
    for one in wanted:
        answer = done.get(one.function)
        if answer is None:
            raise HardwareError(f"DPU {dpu}: its agent says that it is done, but nothing of {one.function}")
        if answer.bridge != one.bridge:
            there = answer.bridge or "none"
            raise HardwareError(
                f"DPU {dpu}: its agent was asked for bridge {one.bridge or 'none'} for {one.function}, and says {there}"
            )


def _bad(report: Report) -> list[tuple[str, int]]:
    return [
        (name, amount)
        for name, amount in sorted(report.services.items())
        if not (name.isascii() and name.isidentifier() and len(name) <= _LONGEST and amount <= _MOST)
    ]
