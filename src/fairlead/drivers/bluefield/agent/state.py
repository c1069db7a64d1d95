"""What the agent holds for claims: one file, replaced whole, written before and after side effects.

Three states of a claim. `applying` and `releasing`: anything of it may be there, and must be undone. `applied`: all of
it is there, and is put back where it is not, for instance after the DPU was started anew.

A file that cannot be understood is refused, as the driver kit does with its own: to guess would cut running pods off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from fairlead.driver.files import Files, problem_of, replace
from fairlead.drivers.bluefield.functions import Wanted

FORMAT: Final = 1
State = Literal["applying", "applied", "releasing"]


class StateError(Exception):
    """The state cannot be read or written; the text names the file, the reason and what to do."""


class ClaimState(msgspec.Struct, frozen=True):
    """What is held for a claim."""

    state: State
    name: str
    """namespace/name, for people."""
    wanted: list[Wanted]
    services: dict[str, int] = {}


class AgentState(msgspec.Struct, frozen=True):
    """The file: claims by UID."""

    format: int = FORMAT
    claims: dict[str, ClaimState] = {}

    def having(self, uid: str, claim: ClaimState) -> AgentState:
        """The same with a claim added or replaced."""
        return AgentState(claims={**self.claims, uid: claim})

    def without(self, uid: str) -> AgentState:
        """The same without a claim."""
        return AgentState(claims={key: claim for key, claim in self.claims.items() if key != uid})


class StateFile:
    """The file in a folder of the agent."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        """Touches nothing yet.

        Args:
            path: of the file; its folder is made.
            files: what touches the disk.
        """
        self._path: Final = path
        self._files: Final = files or Files()

    def read(self) -> AgentState:
        """What was written last. StateError where it cannot be used."""
        try:
            state = msgspec.json.decode(self._path.read_bytes(), type=AgentState)
        except FileNotFoundError:
            return AgentState()
        except OSError as error:
            raise StateError(f"{self._path}: cannot be read: {error.strerror}") from None
        except msgspec.MsgspecError as error:
            raise StateError(
                f"{self._path}: {error}; nothing is changed until this is settled: drain the host, then move it away"
            ) from None
        if state.format > FORMAT:
            raise StateError(f"{self._path}: was written by a newer agent (format {state.format}): start that one")
        return state

    def write(self, state: AgentState) -> None:
        """Replaces the file; it is on the disk afterwards. StateError where that fails."""
        try:
            self._files.make_folder(self._path.parent, 0o700)
            data = msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n"
            replace(self._files, self._path, data, mode=0o600, durable="new")
        except OSError as error:
            raise StateError(f"{self._path}: cannot be written: {problem_of(error)}") from None
