"""`senlib_config.json`, which tells IBM's library in a container which functions it has and where metrics go.

Made of a template, in which these places are set; all others stay as they are:

* GENERAL.sen_bus_id: the addresses; GENERAL.doom: true for virtual functions;
* METRICS.general.path: with metrics enabled a file in /data, one for several functions; else beside the program;
* GENERAL.multi_aiu_config_path: where parts of the configuration go when there are several functions;
* SNT_MCI.DCR.MCI_CTRL.ENABLE_RISCV: off for cards.

Source: the behaviour of internal/handler/config of ibm-aiu/dra-driver-spyre 1.4.0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

FILE: Final = "senlib_config.json"
_DEFAULT: Final = {"GENERAL": {"target": "SOC"}, "METRICS": {"general": {"enable": False, "port": 8082}}}


class TemplateError(ValueError):
    """A template cannot be used; the text names it, the place and the reason."""


def senlib_config(template: bytes | None, name: str, addresses: Sequence[str], virtual: bool) -> bytes:
    """The content of the file.

    Args:
        template: the template; None for a plain one.
        name: what the template is called.
        addresses: of the functions, in the order of the claim.
        virtual: whether they are virtual functions.

    Raises:
        TemplateError: the template cannot be used.
    """
    try:
        config: Any = json.loads(template) if template is not None else json.loads(json.dumps(_DEFAULT))
    except ValueError as error:
        raise TemplateError(f"{name}: is no JSON: {error}") from None
    if not isinstance(config, dict) or "GENERAL" not in config:
        raise TemplateError(f"{name}: must be an object that has GENERAL")
    general = _object(config, "GENERAL", name)
    general |= {"sen_bus_id": list(addresses), "doom": virtual}
    metrics = _object(_object(config, "METRICS", name), "general", f"{name}: METRICS")
    enabled = metrics.setdefault("enable", False) is True
    several = len(addresses) > 1
    if enabled:
        metrics["path"] = "/data/multi-aiu-sentientmap" if several else f"/data/sentientmap_{addresses[0]}"
    else:
        metrics["path"] = "./sentientmap"
    if several:
        general["multi_aiu_config_path"] = "/data/multi-aiu-config" if enabled else "/tmp/testing"
    if not virtual:
        place = name
        inner = config
        for key in ("SNT_MCI", "DCR", "MCI_CTRL"):
            inner = _object(inner, key, place)
            place = f"{place}: {key}"
        inner["ENABLE_RISCV"] = "0x0"
    return json.dumps(config, indent=1).encode() + b"\n"


def read_template(folder: Path, chosen: str) -> tuple[bytes | None, str]:
    """A template and its name; None for the plain one, where nobody put another into the folder.

    Args:
        folder: of templates. A user names files in it, and must not reach others.
        chosen: what a claim names; empty for the usual one.

    Raises:
        TemplateError: it is not there, or not in the folder.
    """
    path = folder / (chosen or FILE)
    if chosen and (path.parent != folder or path.name in (".", "..")):
        raise TemplateError(f"senlibTemplateFile: {chosen!r}: must be the name of a file in {folder}")
    try:
        return path.read_bytes(), str(path)
    except FileNotFoundError:
        if chosen:
            raise TemplateError(f"senlibTemplateFile: {path}: is not there") from None
        return None, "the plain template"
    except OSError as error:
        raise TemplateError(f"{path}: {error.strerror}") from None


def _object(parent: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    """The object below a key, which is made where nothing is."""
    value = parent.setdefault(key, {})
    if not isinstance(value, dict):
        raise TemplateError(f"{name}: {key}: must be an object")
    return value
