"""What whoever runs the driver chooses: `--driver nvidia=mig=dynamic,shares=4`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

Mig = Literal["static", "dynamic"]
Shares = int | Literal["disabled", "memory", "unlimited"]


@dataclass(frozen=True, slots=True)
class Options:
    """Of both drivers."""

    mig: Mig = "static"
    """Whether instances are published that are there, or all that there could be, made when they are prepared."""
    shares: Shares = "disabled"
    """Whether a GPU goes to several claims: by memory, without a limit, or to so many."""
    libraries: bool = True
    """Whether containers get the kernel driver's libraries, by nvidia-ctk."""
    ignored: frozenset[int] = field(default=frozenset())
    """XIDs that say nothing about a GPU's health, beside those of applications."""
    hold: float = 600.0
    """Seconds for which an XID counts where the kernel driver does not say what has to be done about it."""
    channels: int = 1
    """How many IMEX channels are published, from 0."""


_TEXT: Final = (
    "mig=static|dynamic, shares=disabled|memory|unlimited|NUMBER, libraries=yes|no, ignore-xids=NUMBER+NUMBER..., "
    "xid-hold=SECONDS, channels=NUMBER"
)


def read_options(text: str) -> Options:
    """The options that a user gave: `NAME=VALUE`, with commas between.

    Raises:
        ValueError: they are wrong; the text says which.
    """
    given: dict[str, object] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            given |= _option(name, value)
        except (ValueError, KeyError):
            raise ValueError(f"{part}: must be of {_TEXT}") from None
    return Options(**given)  # type: ignore[arg-type]


def _option(name: str, value: str) -> dict[str, object]:
    match name:
        case "mig" if value in ("static", "dynamic"):
            return {"mig": value}
        case "shares" if value in ("disabled", "memory", "unlimited"):
            return {"shares": value}
        case "shares":
            return {"shares": _from(int(value), 1)}
        case "libraries":
            return {"libraries": {"yes": True, "no": False}[value]}
        case "ignore-xids":
            return {"ignored": frozenset(int(one) for one in value.split("+"))}
        case "xid-hold":
            return {"hold": _from(float(value), 0)}
        case "channels":
            return {"channels": int(_from(int(value), 0))}
    raise ValueError(name)


def _from(value: float, least: float) -> float:
    if not least <= value < float("inf"):
        raise ValueError(value)
    return value
