"""`python3 hook.pyz FILE...`: called by the container runtime with the container's state on stdin (OCI, createRuntime).

Each FILE is an order of the driver. Exit status 0, or 1 with one line on stderr, which the runtime puts into the pod's
events.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .work import WorkError, attach


def main(arguments: list[str] | None = None) -> int:
    """Attaches what the orders name."""
    paths = sys.argv[1:] if arguments is None else arguments
    try:
        state = json.load(sys.stdin)
        process = int(state["pid"])
    except (ValueError, KeyError, TypeError) as error:
        return _failed(f"the container's state on stdin cannot be used: {error!r}")
    for path in paths:
        try:
            attach(Path(path), process, _namespace(state))
        except (WorkError, OSError, ValueError, TypeError, KeyError) as error:
            return _failed(f"{path}: {error}")
    return 0


def _namespace(state: dict[str, Any]) -> str:
    """The path of the network namespace in the container's configuration; empty where that cannot be read."""
    try:
        config = json.loads(Path(state["bundle"], "config.json").read_text())
        spaces = config["linux"]["namespaces"]
        return next((str(one.get("path", "")) for one in spaces if one["type"] == "network"), "")
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _failed(text: str) -> int:
    print(f"fairlead network hook: {text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
