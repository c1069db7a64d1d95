"""What the kernel says of the NX accelerators: a pure reading of files.

Two kinds of machine. A partition under PowerVM (pSeries) opens windows on credits that the hypervisor gives the whole
partition, by class: `default` by its processors, `qos` as the administrator ordered them. Which chip serves a window
is the hypervisor's choice. A machine of its own (PowerNV) has one switchboard (VAS) a chip, any of which a process may
choose, and knows no credits: what there is a chip is windows.

Source: Linux Documentation/arch/powerpc/vas-api.rst, arch/powerpc/platforms/pseries/vas-sysfs.c (one window takes one
credit; more credits used than there are means that some were lost), platforms/powernv/vas.h (64 Ki windows a chip);
skiboot's doc/nx.rst for the device tree.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from fairlead.drivers.power.processors import Processors, processors
from fairlead.hardware import Files, Problems

NODE: Final = "/dev/crypto/nx-gzip"
WINDOWS: Final = 64 << 10
"""Of the switchboard of one chip."""
_LIMITS: Final = "/sys/devices/vio/ibm,compression-v1/nx_gzip_caps"
_CREDITS: Final = "/sys/devices/virtual/misc/vas/vas0/gzip"
_TREE: Final = "/proc/device-tree"
_CRYPTO: Final = "/proc/crypto"
CLASSES: Final = ("default", "qos")
Platform = Literal["pSeries", "PowerNV"]


@dataclass(frozen=True, slots=True)
class Credits:
    """The credits of one class."""

    total: int
    used: int
    """Windows that are open, whoever opened them."""


@dataclass(frozen=True, slots=True)
class Switchboard:
    """The VAS of one chip, with the NX that it leads to."""

    vas: int
    """What a process names to choose it."""
    chip: int
    numa: int | None


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What there is of NX for programs."""

    platform: Platform
    processors: Processors
    credits: Mapping[str, Credits | None] = field(default_factory=dict)
    """By class, on pSeries. The default class with None: the kernel counts no credits."""
    switchboards: tuple[Switchboard, ...] = ()
    """On PowerNV."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Lengths in bytes that the hypervisor states for requests."""
    algorithms: frozenset[str] | None = None
    """What the kernel's crypto API does on NX: `842`, `cbc(aes)`; None where it cannot be read."""


def accelerator(files: Files, problems: Problems) -> Accelerator | None:
    """The NX of a machine; None where programs have none.

    Args:
        files: of the machine.
        problems: gets a line for what is there and cannot be read.
    """
    platform: Platform | None = None
    with problems.of("NX"):
        platform = _platform(files)
    if platform is None:
        return None
    with problems.of("nx-gzip"):
        if not files.exists(NODE):
            raise OSError(errno.ENODEV, "is not there, although the machine has NX: its kernel module failed", NODE)
        cpus = processors(files, problems)
        return Accelerator(
            platform,
            cpus,
            credits_of(files, problems) if platform == "pSeries" else {},
            _switchboards(files, problems, cpus) if platform == "PowerNV" else (),
            _limits(files, problems) if platform == "pSeries" else {},
            _algorithms(files, problems),
        )
    return None


def credits_of(files: Files, problems: Problems) -> dict[str, Credits | None]:
    """The credits of a partition by class; a class that cannot be read is left out."""
    if not files.exists(_CREDITS):
        problems.append(f"credits: {_CREDITS}: is not there: this kernel does not count them")
        return {"default": None}
    found: dict[str, Credits | None] = {}
    for name in CLASSES:
        path = f"{_CREDITS}/{name}_capabilities"
        with problems.of(f"{name} credits"):
            if name == "default" or files.exists(path):
                found[name] = Credits(
                    _amount(files, f"{path}/nr_total_credits"), _amount(files, f"{path}/nr_used_credits")
                )
    return found


def signature(files: Files) -> object:
    """What tells that discovery has news, in few reads: totals of credits, the node, the processors."""
    return [
        _seen(files.text, f"{_CREDITS}/default_capabilities/nr_total_credits"),
        _seen(files.text, f"{_CREDITS}/qos_capabilities/nr_total_credits"),
        _seen(files.text, "/sys/devices/system/cpu/online"),
        _seen(files.real, NODE),
    ]


def _seen(ask: Callable[[str], str], path: str) -> str | int | None:
    try:
        return ask(path)
    except OSError as error:
        return error.errno


def _platform(files: Files) -> Platform | None:
    if files.exists(_LIMITS) or files.exists(_CREDITS):
        return "pSeries"
    return "PowerNV" if _nodes(files, _TREE, "vas@") else None


def _limits(files: Files, problems: Problems) -> dict[str, int]:
    found = {}
    for name in ("min_compress_len", "min_decompress_len", "req_max_processed_len"):
        with problems.of("nx-gzip limits"):
            found[name] = _amount(files, f"{_LIMITS}/{name}")
    return found


def _switchboards(files: Files, problems: Problems, cpus: Processors) -> tuple[Switchboard, ...]:
    vas = {}
    for path in _nodes(files, _TREE, "vas@"):
        with problems.of(path.rsplit("/", 1)[-1]):
            vas[_cell(files, f"{path}/ibm,chip-id")] = _cell(files, f"{path}/ibm,vas-id")
    found = []
    for path in _nodes(files, _TREE, "xscom@"):
        with problems.of(path.rsplit("/", 1)[-1]):
            engines = [one for nx in _nodes(files, path, "nx@") for one in _nodes(files, nx, "ibm,gzip-")]
            if not engines:
                continue
            chip = _cell(files, f"{path}/ibm,chip-id")
            if chip not in vas:
                raise OSError(errno.ENODEV, f"chip {chip} has a gzip engine, and no VAS that leads to it", path)
            numa = cpus.chips.get(chip, ())
            found.append(Switchboard(vas[chip], chip, numa[0] if len(numa) == 1 else None))
    return tuple(sorted(found, key=lambda one: one.chip))


def _algorithms(files: Files, problems: Problems) -> frozenset[str] | None:
    """Those whose implementation the kernel names `...-nx`."""
    with problems.of("kernel crypto"):
        found, name = set(), ""
        for line in files.text(_CRYPTO).splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "name":
                name = value
            elif key == "driver" and value.endswith("-nx"):
                found.add(name)
        return frozenset(found)
    return None


def _nodes(files: Files, path: str, prefix: str) -> list[str]:
    return [f"{path}/{name}" for name in files.listed(path) if name.startswith(prefix)]


def _cell(files: Files, path: str) -> int:
    """A number of the device tree: four bytes, the highest first."""
    data = files.read(files.real(path))
    if len(data) != 4:
        raise OSError(errno.EINVAL, f"has {len(data)} bytes instead of 4", path)
    return int.from_bytes(data, "big")


def _amount(files: Files, path: str) -> int:
    number = files.number(path)
    if number < 0:
        raise OSError(errno.EINVAL, f"holds {number}", path)
    return number
