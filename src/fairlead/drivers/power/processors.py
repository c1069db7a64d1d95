"""Which chips and NUMA nodes a Power machine has, as far as its kernel knows.

A partition under PowerVM often does not know its chips: the kernel then says -1, which is no chip here.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fairlead.hardware import Files, Problems

_CPUS: Final = "/sys/devices/system/cpu"
_MOST: Final = 1 << 16
"""More than any machine has of processors or nodes."""
_NODES: Final = "/sys/devices/system/node"


@dataclass(frozen=True, slots=True)
class Processors:
    """What is known of the processors."""

    model: str = ""
    """`POWER10`; empty where the kernel does not say."""
    numa: tuple[int, ...] = ()
    """The NUMA nodes that have processors."""
    chips: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Each chip, with the NUMA nodes of its processors."""


def processors(files: Files, problems: Problems) -> Processors:
    """The processors that are online.

    Args:
        files: of the machine.
        problems: gets a line for what cannot be read.
    """
    model, nodes, chips = "", {}, {}
    with problems.of("processor model"):
        model = _model(files)
    with problems.of("NUMA nodes"):
        nodes = _nodes(files)
    with problems.of("chips"):
        chips = _chips(files, nodes)
    return Processors(model, tuple(sorted(set(nodes.values()))), chips)


def numbers(path: str, text: str) -> list[int]:
    """A list as the kernel writes them: `0-3,8`. OSError (EINVAL) where it is none."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, dash, last = part.partition("-")
        try:
            begin, end = int(first), int(last if dash else first)
        except ValueError:
            begin, end = 0, -1
        if not 0 <= begin <= end < _MOST:
            raise OSError(errno.EINVAL, f"holds no list of numbers: {text[:40]!r}", path)
        found.extend(range(begin, end + 1))
    return found


def in_short(many: Iterable[int]) -> str:
    """Numbers as the kernel writes lists of them."""
    runs: list[list[int]] = []
    for number in sorted(set(many)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _model(files: Files) -> str:
    for line in files.text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "cpu" and value.strip():
            return value.split()[0].rstrip(",")
    return ""


def _nodes(files: Files) -> dict[int, int]:
    """Each processor's NUMA node."""
    found = {}
    for node in _list(files, f"{_NODES}/online"):
        for cpu in _list(files, f"{_NODES}/node{node}/cpulist"):
            found[cpu] = node
    return found


def _chips(files: Files, nodes: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
    found: dict[int, set[int]] = {}
    for cpu in _list(files, f"{_CPUS}/online"):
        try:
            chip = files.number(f"{_CPUS}/cpu{cpu}/topology/physical_package_id")
        except FileNotFoundError:
            continue  # went offline between the two looks
        if chip >= 0:
            found.setdefault(chip, set()).update({nodes[cpu]} if cpu in nodes else ())
    return {chip: tuple(sorted(found[chip])) for chip in sorted(found)}


def _list(files: Files, path: str) -> list[int]:
    return numbers(path, files.text(path))
