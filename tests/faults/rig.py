"""The controller as a process behind the proxy, or two of them, started again whenever a fault has killed one.

The proxy's event loop runs in a thread. A killed controller is followed by the next as soon as what was on its way to
the server has got there: a write that comes later than that is a second writer for a moment, against which only the
lock helps (docs/controller.md).
"""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from plan import Fault
from proxy import Hooks, Proxy

from kube import ControlPlane
from kube.api import Api

COMMAND = [sys.executable, "-c", "from fairlead.cli import main; main()", "controller"]


class Rig:
    """One control plane, the proxy before it, and the controller behind that."""

    def __init__(self, plane: ControlPlane, account: Api) -> None:
        """Starts the proxy; `account` has the controller's rights."""
        self.plane = plane
        self.wrong: list[str] = []
        self.deaths = self.restarts = 0
        self.log = plane.folder / "logs" / "fairlead.log"
        self.log.touch()
        self._written: Callable[[str, str], Awaitable[None]] | None = None
        self.controllers = 1
        """How many run at one time, none of which knows of the others."""
        self._wanted = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._restarting = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        tls = ssl.create_default_context(cafile=str(account.authority))
        hooks = Hooks(self._kill, self._restart_server, self._was_written)
        self.proxy = Proxy(account.server, tls, hooks)
        self._run(self.proxy.start())
        self._kubeconfig = plane.folder / "through-proxy.kubeconfig"
        Api(self.proxy.address, account.token, account.authority).write_kubeconfig(self._kubeconfig)
        self._watching = asyncio.run_coroutine_threadsafe(self._supervise(), self._loop)

    def begin(self, faults: list[Fault], written: Callable[[str, str], Awaitable[None]] | None) -> int:
        """A scenario begins; returns where its log does."""
        self._written = written

        async def begin() -> None:
            self.proxy.begin(faults)
            self._wanted = True

        self._run(begin())
        return self.log.stat().st_size

    def lines(self, since: int) -> list[str]:
        """What the controllers have logged."""
        return self.log.read_bytes()[since:].decode(errors="replace").splitlines()

    def stop(self) -> None:
        """Ends controller and proxy."""
        self._wanted = False
        self._watching.cancel()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                # One that has just been started does not know yet what to do when it is told to stop.
                if process.wait(15) not in (0, -signal.SIGKILL, -signal.SIGTERM):
                    self.wrong.append(f"told to stop, the controller ended with status {process.returncode}")
            except subprocess.TimeoutExpired:
                self.wrong.append("the controller did not stop when it was told to")
                process.kill()
                process.wait()
        self._run(self.proxy.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, what: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await what

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            ended = [process for process in self._processes if process.poll() is not None]
            if not self._wanted or len(self._processes) - len(ended) >= self.controllers:
                continue
            for process in ended:
                self._processes.remove(process)
                if process.returncode != -signal.SIGKILL:
                    self.wrong.append(f"the controller ended with status {process.returncode}")
            if not self.proxy.writing or self.controllers > 1:
                with self.log.open("ab") as log:
                    command = [*COMMAND, "--kubeconfig", str(self._kubeconfig)]
                    self._processes.append(subprocess.Popen(command, stderr=log))

    def _kill(self) -> None:
        """Ends the controller that has run the longest; with several it need not be the one that met the fault."""
        running = [process for process in self._processes if process.poll() is None]
        if running:
            self.deaths += 1
            running[0].kill()
            running[0].wait()

    async def _restart_server(self) -> None:
        async with self._restarting:
            self.restarts += 1
            await asyncio.to_thread(self._restart)

    def _restart(self) -> None:
        self.plane.crash("kube-apiserver")
        self.plane.run("kube-apiserver")
        self.plane.wait_ready("kube-apiserver")

    async def _was_written(self, purpose: str, name: str) -> None:
        if self._written is not None:
            await self._written(purpose, name)


def unexplained(lines: list[str], faults: list[Fault]) -> list[str]:
    """The lines of a log that no fault explains, and that are no conflict: those anybody's write can bring about.

    A refusal by the lock is one, too. A gate that cannot be opened since the pod is another one, or has no gate any
    more, is 422: a test in a JSON patch. So is a condition of a pod that is another one: its UID cannot be changed.
    """
    hows = {fault.how for fault in faults if fault.injected}
    restarted = any(how.startswith("restart") for how in hows)
    cut = restarted or any(how.startswith(("cut", "kill")) for how in hows)
    doubted = set()
    found = []
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            found.append(line)
            continue
        event, problem, what = said["event"], str(said.get("problem", "")), said.get("object")
        if event.startswith("perhaps"):
            doubted.add((event.removeprefix("perhaps "), what))
        if "problem" not in said:
            continue
        expected = (
            "injected: " in problem
            or said.get("status") in (404, 409)
            or "lock.fairlead.dev" in problem
            or (said.get("status") == 422 and event in ("not opened", "not marked"))
            or (said.get("status") == 422 and (event.removeprefix("not "), what) in doubted)
            or (restarted and _of_restart(problem))
            or (cut and problem.startswith(_CUTS))
        )
        if not expected:
            found.append(line)
    return found


_CUTS = ("ServerDisconnectedError", "ClientOSError", "ClientPayloadError", "ConnectionResetError", "closed at once")


def _of_restart(problem: str) -> bool:
    with suppress(ValueError):
        return int(problem.split()[0]) in (401, 403, 410, 429, 500, 503, 504)
    return problem.startswith(_CUTS) or "Unauthorized" in problem or "forbidden" in problem


def save(path: Path, lines: list[str]) -> Path:
    """Writes a scenario's log."""
    path.write_text("\n".join(lines) + "\n")
    return path
