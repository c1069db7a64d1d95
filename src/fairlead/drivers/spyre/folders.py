"""The folders of a claim that its containers mount: one a request with configuration, and one for metrics.

All that the driver writes, below one folder of the host. Removing works from the claim's UID alone.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fairlead.driver import Mount

DEFAULT: Final = Path("/usr/local/etc/dra-driver-spyre")
"""Where IBM's driver has them."""
_uid = re.compile("[A-Za-z0-9-]+")
_OPTIONS: Final = ("nosuid", "nodev", "bind")


class ClaimFolders:
    """The folders of all claims of a node."""

    def __init__(self, base: Path = DEFAULT) -> None:
        """Touches nothing yet.

        Args:
            base: at the same path on the host: the runtime mounts from there.
        """
        self._base: Final = base

    def make(self, uid: str, files: Mapping[str, Mapping[str, bytes]]) -> dict[str, list[Mount]]:
        """Makes the folders of a claim, and gives what containers mount, by request.

        Args:
            uid: of the claim.
            files: for each request what its folder of configuration holds, by name.

        Raises:
            OSError: that is not possible.
        """
        config, metrics = self._places(uid)
        metrics.mkdir(parents=True, exist_ok=True)
        metrics.chmod(0o777)  # the containers of the claim write there, as any user
        mounts = {}
        for request, contents in files.items():
            folder = config / request
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in contents.items():
                beside = folder / f".{name}.tmp"
                beside.write_bytes(data)
                beside.chmod(0o644)
                os.replace(beside, folder / name)
            mounts[request] = [
                Mount(host_path=str(folder), container_path="/etc/aiu", options=[*_OPTIONS, "ro"]),
                Mount(host_path=str(metrics), container_path="/data", options=[*_OPTIONS, "rw"]),
            ]
        return mounts

    def remove(self, uid: str) -> None:
        """Removes the folders of a claim with all that is in them; nothing happens where they are not.

        Raises:
            OSError: that is not possible.
        """
        for place in self._places(uid):
            if place.exists():
                shutil.rmtree(place)

    def _places(self, uid: str) -> tuple[Path, Path]:
        if not _uid.fullmatch(uid):
            raise ValueError(f"{uid!r} is no UID")
        return self._base / "container-config" / uid, self._base / "container-metrics" / uid
