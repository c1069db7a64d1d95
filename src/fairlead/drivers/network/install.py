"""Puts the hook on the node: a zip file of the package `hook`, beside the driver's state.

The runtime runs it outside of the driver's container, so the folder must have the same path inside and outside. The
file's name holds a hash of its content: containers that start during an upgrade find the hook of their time.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Final

_PACKAGE: Final = "hook"
_MAIN: Final = "import sys\nfrom hook.__main__ import main\nsys.exit(main())\n"
_TIME: Final = (1980, 1, 1, 0, 0, 0)


def archive() -> bytes:
    """The hook as one file that Python runs; the same bytes each time."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as target:
        modules = sorted(
            (one for one in files("fairlead.drivers.network.hook").iterdir() if one.name.endswith(".py")),
            key=lambda one: one.name,
        )
        for module in modules:
            target.writestr(zipfile.ZipInfo(f"{_PACKAGE}/{module.name}", _TIME), module.read_text())
        target.writestr(zipfile.ZipInfo("__main__.py", _TIME), _MAIN)
    return data.getvalue()


def install(folder: Path) -> Path:
    """The hook's place; it is written where it is not there. OSError where that fails."""
    data = archive()
    path = folder / f"hook-{hashlib.sha256(data).hexdigest()[:12]}.pyz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        half = folder / f".{path.name}.{os.getpid()}"
        half.write_bytes(data)
        half.replace(path)
    return path
