"""Starts and ends the driver under test, which is a command line.

Placeholders of the command: {plugins} {registry} {cdi} {kubeconfig} {node} {dir} {pod_uid}. The same is in the
environment, under the names that drivers commonly read. The process leads a group of its own, so that what it started
goes with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

POD_UID: Final = "{pod_uid}"
BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


class DriverProcess:
    """One run of the driver."""

    def __init__(
        self, command: Sequence[str], values: Mapping[str, str], log: Path, boot_id: Path | None = None
    ) -> None:
        """Starts it.

        Args:
            command: with placeholders.
            values: what stands for them.
            log: gets what it prints.
            boot_id: a file that the process sees as the machine's boot id; see `can_reboot`.

        Raises:
            OSError: the program cannot be started.
        """
        arguments = [_filled(part, values) for part in command]
        if boot_id is not None:
            arguments = [*_other_boot(boot_id), *arguments]
        environment = {
            **os.environ,
            "KUBECONFIG": values["kubeconfig"],
            "NODE_NAME": values["node"],
            "CDI_ROOT": values["cdi"],
            "KUBELET_PLUGINS_DIRECTORY_PATH": values["plugins"],
            "KUBELET_REGISTRAR_DIRECTORY_PATH": values["registry"],
        }
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """Ends it and what it started, at once."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    async def stop(self, seconds: float) -> bool:
        """Asks it to end, as the container runtime does; whether it did in time. It is killed where it did not."""
        if self.running:
            self._process.terminate()
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.running and loop.time() < until:
            await asyncio.sleep(0.02)
        ended = not self.running
        self.kill()
        return ended

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def can_reboot(boot_id: Path) -> bool:
    """Whether a process can be given another boot id: as root, in a mount namespace of its own."""
    try:
        done = subprocess.run([*_other_boot(boot_id), "cat", BOOT_ID], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == boot_id.read_text().strip()


def _other_boot(boot_id: Path) -> list[str]:
    script = f'mount --bind "$0" {BOOT_ID} && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(boot_id)]


def _filled(part: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        part = part.replace(f"{{{name}}}", value)
    return part
