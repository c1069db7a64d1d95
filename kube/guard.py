"""A process between a control plane's starter and its programs, so that nothing stays behind whatever ends the starter.

The starter writes one JSON line a command to the guard's standard input and reads one JSON line as its answer. When
that input ends, because the starter closed it, was killed or crashed, the guard stops every program and removes the
control plane's folder if it was told to. The programs ask the system to be killed should the guard itself die
(PR_SET_PDEATHSIG, which Linux ties to the thread that started them: the guard has one).

Commands:
    {"do": "start", "name": N, "argv": [...], "log": PATH}    -> {"pid": P}
    {"do": "stop", "name": N}                                 -> {"code": exit status, or null if it did not run}
    {"do": "signal", "name": N, "number": S}                  -> {}
    {"do": "poll"}                                            -> {"codes": {N: exit status or null while it runs}}
    {"do": "remove", "folder": PATH or null}                  -> {}   what to remove at the end
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
PATIENCE_SECONDS = 5.0

_LIBC = ctypes.CDLL(None)


class Guard:
    """The programs of one control plane, by name."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._remove: str | None = None

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Does one command.

        Raises:
            OSError: a program cannot be started.
        """
        match command["do"]:
            case "start":
                return {"pid": self._start(command["name"], command["argv"], command["log"])}
            case "stop":
                return {"code": self._stop(command["name"])}
            case "signal":
                os.kill(self._running[command["name"]].pid, command["number"])
                return {}
            case "poll":
                return {"codes": {name: process.poll() for name, process in self._running.items()}}
            case "remove":
                self._remove = command["folder"]
                return {}
        raise OSError(f"unknown command {command['do']}")

    def end(self) -> None:
        """Stops everything, in the reverse order of its start, and removes the folder."""
        for name in reversed(list(self._running)):
            self._stop(name)
        if self._remove:
            shutil.rmtree(self._remove, ignore_errors=True)

    def _start(self, name: str, argv: list[str], log: str) -> int:
        with open(log, "ab") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._running[name] = process
        return process.pid

    def _stop(self, name: str) -> int | None:
        process = self._running.pop(name, None)
        if process is None:
            return None
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group: what it started goes with it
        return process.wait()


def _die_with_parent() -> None:
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)


def main() -> None:
    """Obeys commands from standard input until it ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    guard = Guard()
    try:
        for line in sys.stdin:
            try:
                answer = guard.obey(json.loads(line))
            except OSError as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)
    except BrokenPipeError:
        pass
    finally:
        guard.end()


if __name__ == "__main__":
    main()
