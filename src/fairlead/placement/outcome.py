"""What became of a gang, in values and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from fairlead.placement.gangs import Change, Need, Objective, Relaxation, Shortage, Shortfall
from fairlead.placement.words import counted
from fairlead.topology import Bandwidth


@dataclass(frozen=True, slots=True)
class GangOutcome:
    """A gang that was placed whole, or not at all."""

    name: str
    pods: int
    placed: bool
    levels: tuple[str, ...] = ()
    """The levels whose domains were counted, the most important first."""
    objective: Objective | None = None
    bound: Objective | None = None
    """No placement is better than this; equal to `objective` where that is the best."""
    rails: tuple[int, ...] | None = None
    """The rails that every pod has its GPUs on; None where they are not the same, or not known."""
    bandwidth: Bandwidth | None = None
    reasons: tuple[str, ...] = ()
    """What falls short."""
    helps: tuple[str, ...] = ()
    """What would help, each as the end of `it would fit ...`."""
    proven: bool = True

    def __str__(self) -> str:
        return f"gang {self.name}: {self.text}"

    @property
    def text(self) -> str:
        """One line about it."""
        if not self.placed:
            return f"{self.pods} pods, not placed: {'; '.join(self.reasons)}"
        parts = [f"{self.pods} pods"]
        if self.objective is not None:
            parts.append(f"on {counted(self.objective.nodes, 'node')}")
            domains = [
                f"{count} {level}{'' if count == 1 else 's'}"
                for level, count in zip(self.levels, self.objective.domains, strict=True)
            ]
            if domains:
                parts[-1] += f" in {', '.join(domains)}"
            if self.rails is not None:
                parts.append(f"rails {_ranges(self.rails)} on every node")
            parts.append("no placement is better" if self.proven else "a better placement was not excluded")
        else:
            parts.append("placed one by one")
        if self.bandwidth is not None and 0 < self.bandwidth.all_reduce < inf:
            parts.append(f"all-reduce about {self.bandwidth.all_reduce:.0f} GB/s")
        return ", ".join(parts)


def reasons_of(shortage: Shortage, pods: int) -> tuple[str, ...]:
    """Which level fails, and by how much."""
    return tuple(_reason(one, pods) for one in shortage.shortfalls)


def helps_of(shortage: Shortage) -> tuple[str, ...]:
    """The changes that would make it fit."""
    return tuple(f"if {' and '.join(_change(one) for one in remedy.relaxations)}" for remedy in shortage.remedies)


def _reason(short: Shortfall, pods: int) -> str:
    most = f"{short.held}" if short.exact else f"{short.held} or a few more"
    where = " and ".join(path[-1] for path in short.domains)
    match short.need:
        case Need.LEVEL:
            return f"no {short.level} has room for all {short.wanted} pods: {where or 'the best'} has room for {most}"
        case Need.SLICES:
            best = f" ({where})" if where else ""
            return f"{short.wanted} slices wanted, each in one {short.level}, there is room for {most}{best}"
        case Need.CAPACITY:
            return f"{short.wanted} pods wanted at the same time, all nodes together have room for {most}"
        case _:
            return f"each of its conditions could be met alone, but not all together for {pods} pods"


def _change(one: Relaxation) -> str:
    match one.change:
        case Change.DROP_LEVEL:
            return f"level {one.level} is preferred and not required"
        case Change.WIDEN_LEVEL:
            return f"level {one.to} is required instead of {one.level}"
        case Change.NO_ALIGNMENT:
            return "rails are preferred and not required"
        case Change.NO_BALANCE:
            return "slices need not be balanced"
        case _:
            return "pods need not come in slices"


def _ranges(numbers: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
