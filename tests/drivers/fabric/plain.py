"""The door to managers by Python's own HTTP client, for tests where sushy is not installed."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairlead.driver import Driver
from fairlead.drivers.fabric import FabricDriver, Options, Redfish, read_options
from fairlead.hardware import HardwareError, LiveMachine, Machine


class PlainRedfish(Redfish):
    def __init__(self, options: Options) -> None:
        self._urls = {one.name: one.url for one in options.managers}

    def get(self, manager: str, path: str) -> dict[str, Any]:
        return self._ask(manager, "GET", path, None, "")

    def send(self, manager: str, method: str, path: str, body: dict[str, Any], etag: str) -> dict[str, Any]:
        return self._ask(manager, method, path, None if method == "DELETE" else body, etag)

    def _ask(self, manager: str, method: str, path: str, body: dict[str, Any] | None, etag: str) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} | ({"If-Match": etag} if etag else {})
        request = urllib.request.Request(self._urls[manager] + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found = json.loads(answer.read() or b"{}")
                if not isinstance(found, dict):
                    raise ValueError("is no object")
                return found
        except urllib.error.HTTPError as error:
            text = json.loads(error.read() or b"{}").get("error", {}).get("message", "")
            raise HardwareError(f"{manager}: {method} {path}: {error.code} {text}", str(error.code)) from None
        except OSError as error:
            raise HardwareError(f"{manager}: {error}") from None
        except ValueError as error:
            raise HardwareError(
                f"{manager}: {method} {path}: the answer is no JSON object: {error}", "malformed"
            ) from None


class PlainMachine(LiveMachine):
    """A tree of files, and the plain door."""

    def __init__(self, options: Options, root: Path) -> None:
        super().__init__(root)
        self._options = options

    def door(self, kind: Any, live: Any) -> Any:
        return PlainRedfish(self._options) if kind is Redfish else live()


def make(argument: str, node: str, machine: Machine) -> Sequence[Driver]:
    """The drivers of CONFIG.yaml[,ROOT]."""
    path, _, root = argument.partition(",")
    options = read_options(Path(path))
    return [FabricDriver(name, options, PlainMachine(options, Path(root or "/"))) for name in options.drivers]
