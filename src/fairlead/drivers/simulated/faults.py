"""Faults of simulated hardware: a list in a YAML file that is read again whenever it changes.

    - {device: gpu-3, fault: lost, after: 10, for: 30}            # not discovered
    - {device: gpu-0, fault: unhealthy, message: XID 79}          # reported by health
    - {device: gpu-1, fault: flapping, every: 5}                  # unhealthy and healthy in turn
    - {device: gpu-2, fault: slow, seconds: 20}                   # preparing takes that long
    - {device: gpu-4, fault: failing, message: no answer}         # preparing fails

Times are in seconds since the script was opened.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import msgspec
import yaml

Kind = Literal["lost", "unhealthy", "flapping", "slow", "failing"]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the script."""

    device: str
    fault: Kind
    after: float = 0.0
    for_: float = msgspec.field(default=float("inf"), name="for")
    every: float = 5.0
    seconds: float = 0.0
    message: str = "by script"

    def acts(self, now: float) -> bool:
        """Whether the fault is there at a time."""
        since = now - self.after
        return 0 <= since < self.for_ and (self.fault != "flapping" or int(since / self.every) % 2 == 0)


class Script:
    """The faults of a file; none without one."""

    def __init__(self, path: Path | None) -> None:
        """Opens the script.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no list of faults.
        """
        self._path = path
        self._opened = time.monotonic()
        self._read: tuple[bytes, list[Fault]] = (b"", [])
        self.acting("lost")

    def acting(self, kind: Kind) -> dict[str, Fault]:
        """The faults of a kind that are there now, by device.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no list of faults.
        """
        now = time.monotonic() - self._opened
        return {one.device: one for one in self._faults() if one.fault == kind and one.acts(now)}

    def _faults(self) -> list[Fault]:
        data = self._path.read_bytes() if self._path is not None else b""
        if data != self._read[0]:
            try:
                self._read = data, msgspec.convert(yaml.safe_load(data) or [], list[Fault], strict=False)
            except (msgspec.ValidationError, yaml.YAMLError) as error:
                raise ValueError(f"{self._path}: {' '.join(str(error).split())}") from None
        return self._read[1]
