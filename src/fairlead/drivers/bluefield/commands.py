"""Runs the programs through which network hardware is asked and changed: `devlink`, `ip`, `bridge`, `ovs-vsctl`.

Arguments go to the program as they are, never through a shell. What goes wrong is a `HardwareError`, whose code is the
kernel's errno where the program tells it, `no-command` where there is no such program, and `timeout`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from fairlead.hardware import HardwareError

_Answer = TypeVar("_Answer")
_SECONDS: Final = 10.0
"""For one program: firmware that has hung answers after a minute or never."""
_CODES: Final = {
    "Operation not permitted": "EPERM",
    "Permission denied": "EACCES",
    "Operation not supported": "EOPNOTSUPP",
    "No such device": "ENODEV",
    "No such file or directory": "ENOENT",
    "does not exist": "ENODEV",
    "Cannot find device": "ENODEV",
    "Device or resource busy": "EBUSY",
    "File exists": "EEXIST",
    "Connection timed out": "ETIMEDOUT",
    "Input/output error": "EIO",
}


def run(command: Sequence[str]) -> str:
    """What the program printed.

    Raises:
        HardwareError: it is not there, took too long, or failed.
    """
    shown = " ".join(command)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        raise HardwareError(f"{command[0]}: is not installed", "no-command") from None
    except OSError as error:
        raise HardwareError(f"{command[0]}: {error.strerror}", "no-command") from None
    except subprocess.TimeoutExpired:
        raise HardwareError(f"{shown}: has not answered for {_SECONDS:g} s", "timeout") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        code = next((code for text, code in _CODES.items() if text in said), "")
        raise HardwareError(f"{shown}: {said}", code)
    return done.stdout


def run_json(command: Sequence[str], kind: type[_Answer]) -> _Answer:
    """What the program printed, as a value of a type, where fields that it does not name are left out.

    Numbers may be written as texts. A program that prints nothing says an empty object, or an empty list.

    Raises:
        HardwareError: as `run`, or what it printed is no JSON or of another type.
    """
    text = run(command).strip()
    empty = "[]" if getattr(kind, "__origin__", kind) is list else "{}"
    try:
        return msgspec.json.decode(text or empty, type=kind, strict=False)
    except msgspec.DecodeError as error:
        raise HardwareError(f"{' '.join(command)}: printed what makes no sense: {error}") from None
