"""A host whose programs are a list of what was asked of them, and that can refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fairlead.drivers.nvidia.host import Host, Note, Served
from fairlead.hardware import HardwareError

LIBRARY = "/usr/lib/x86_64-linux-gnu/libcuda.so.580.126.20"
EDITS = {
    "env": ["NVIDIA_CTK_LIBCUDA_DIR=/usr/lib/x86_64-linux-gnu", "NVIDIA_VISIBLE_DEVICES=void"],
    "deviceNodes": [{"path": "/dev/nvidiactl"}, {"path": "/dev/nvidia-uvm"}],
    "hooks": [
        {
            "hookName": "createContainer",
            "path": "/usr/bin/nvidia-cdi-hook",
            "args": ["nvidia-cdi-hook", "update-ldcache", "--folder", "/usr/lib/x86_64-linux-gnu"],
            "env": ["NVIDIA_CTK_DEBUG=false"],
        }
    ],
    "mounts": [
        {"hostPath": LIBRARY, "containerPath": LIBRARY, "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]}
    ],
}
"""What nvidia-ctk 1.18 gives besides devices, cut to one library and one hook."""


class FakeHost(Host):
    """Programs and notes in memory; notes are kept as text, as on a disk."""

    def __init__(self, edits: Mapping[str, Any] | None = EDITS) -> None:
        self.edits = edits
        self.written: dict[str, bytes] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.refuse: dict[str, HardwareError] = {}

    def libraries(self) -> str:
        self._may("libraries")
        return "" if self.edits is None else json.dumps(self.edits)

    def notes(self) -> dict[str, Note]:
        self._may("notes")
        return {claim: msgspec.json.decode(data, type=Note) for claim, data in sorted(self.written.items())}

    def note(self, claim: str, note: Note) -> None:
        self._may("note")
        self.written[claim] = msgspec.json.encode(note)

    def forget(self, claim: str) -> None:
        self.written.pop(claim, None)

    def set_time_slice(self, uuid: str, interval: int) -> None:
        self._may("set_time_slice")
        self.calls.append(("set_time_slice", uuid, interval))

    def serve(
        self,
        claim: str,
        group: str,
        uuids: Sequence[str],
        percentage: int | None,
        limits: Mapping[str, str],
        multi_user: bool,
    ) -> Served:
        self._may("serve")
        self.calls.append(("serve", claim, group, tuple(uuids), percentage, dict(limits), multi_user))
        return Served(f"/run/fairlead/mps/{claim}/{group}/pipe", f"/run/fairlead/mps/{claim}/{group}/shm")

    def stop_serving(self, claim: str) -> None:
        self._may("stop_serving")
        self.calls.append(("stop_serving", claim))

    def _may(self, call: str) -> None:
        if call in self.refuse:
            raise self.refuse[call]
