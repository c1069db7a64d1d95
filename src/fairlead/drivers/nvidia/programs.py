"""The live door to the host: NVIDIA's programs, MPS daemons under systemd, notes in the driver's folder.

Programs run on the host: where the driver's container sees the host's processes (`hostPID`), in the mount namespace of
process 1, else beside us. MPS daemons are units of the host's systemd, for they must outlive the driver: a rolling
update must not end the pods that they serve. The units and folders of a claim carry its UID, so that they are found
again from it alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from fairlead.drivers.nvidia.host import Host, Note, Served
from fairlead.hardware import HardwareError

STATE: Final = Path("/var/lib/kubelet/plugins/gpu.nvidia.com/changes")
"""Where notes are: the driver's folder, which is the same inside and outside of its container."""
MPS: Final = Path("/run/fairlead/mps")
"""Where MPS daemons have their pipes: a tmpfs, for memory that is shared with clients lies there, too."""
_LONGEST: Final = 30.0
"""Seconds that a program may take."""
_PATIENCE: Final = 10.0
"""Seconds until an MPS daemon answers."""


class LiveHost(Host):
    """This machine."""

    def __init__(self, state: Path = STATE, mps: Path = MPS, enter: Sequence[str] | None = None) -> None:
        """Touches nothing yet.

        Args:
            state: folder of the notes.
            mps: folder of the MPS daemons' folders; the same path on the host.
            enter: what stands before each program; None to find out.
        """
        self._state: Final = state
        self._mps: Final = mps
        self._enter = enter

    def libraries(self) -> str:
        """By `nvidia-ctk cdi generate`, of which only what is common to all GPUs is taken."""
        try:
            spec = msgspec.json.decode(self._run("nvidia-ctk", "--quiet", "cdi", "generate", "--format", "json"))
            edits = spec["containerEdits"] if isinstance(spec, dict) else None
        except _NotInstalledError:
            return ""
        except (msgspec.DecodeError, KeyError):
            edits = None
        if not isinstance(edits, dict):
            raise HardwareError("nvidia-ctk cdi generate: gave no CDI specification with containerEdits")
        return msgspec.json.encode(edits).decode()

    def notes(self) -> dict[str, Note]:
        """Reads the folder."""
        found = {}
        try:
            for path in sorted(self._state.glob("*.json")):
                found[path.stem] = msgspec.json.decode(path.read_bytes(), type=Note)
        except (OSError, msgspec.DecodeError) as error:
            raise HardwareError(f"{self._state}: notes of what was changed cannot be read: {error}") from None
        return found

    def note(self, claim: str, note: Note) -> None:
        """Written beside and renamed, so that a crash leaves the old or the new one."""
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            half = self._state / f"{claim}.half"
            with half.open("wb") as file:
                file.write(msgspec.json.encode(note))
                file.flush()
                os.fsync(file.fileno())
            half.rename(self._path(claim))
        except OSError as error:
            raise HardwareError(f"{error.filename or self._state}: {error.strerror}") from None

    def forget(self, claim: str) -> None:
        """Removes the file."""
        try:
            self._path(claim).unlink(missing_ok=True)
        except OSError as error:
            raise HardwareError(f"{error.filename}: {error.strerror}") from None

    def set_time_slice(self, uuid: str, interval: int) -> None:
        """By nvidia-smi: NVML has no call for it."""
        self._run("nvidia-smi", "compute-policy", "-i", uuid, "--set-timeslice", str(interval))

    def serve(
        self,
        claim: str,
        group: str,
        uuids: Sequence[str],
        percentage: int | None,
        limits: Mapping[str, str],
        multi_user: bool,
    ) -> Served:
        """Starts a unit with a /dev/shm of its own, which clients get as theirs."""
        folder = self._mps / claim / group
        pipe, shared, log = folder / "pipe", folder / "shm", folder / "log"
        try:
            for one in (pipe, shared, log):
                one.mkdir(parents=True, exist_ok=True)
            shared.chmod(0o1777)
            pipe.chmod(0o1777)
        except OSError as error:
            raise HardwareError(f"{error.filename}: {error.strerror}") from None
        environment = {"CUDA_MPS_PIPE_DIRECTORY": str(pipe), "CUDA_MPS_LOG_DIRECTORY": str(log)}
        self._run(
            "systemd-run",
            f"--unit={_unit(claim, group)}",
            f"--description=MPS daemon for ResourceClaim {claim}",
            "--service-type=exec",
            "--collect",
            f"--property=BindPaths={shared}:/dev/shm",
            *(f"--setenv={name}={value}" for name, value in environment.items()),
            f"--setenv=CUDA_VISIBLE_DEVICES={','.join(uuids)}",
            "nvidia-cuda-mps-control",
            "-f",
            *(["-M"] if multi_user else []),
        )
        self._await(environment)
        if percentage is not None:
            self._tell(environment, f"set_default_active_thread_percentage {percentage}")
        for uuid, limit in limits.items():
            self._tell(environment, f"set_default_device_pinned_mem_limit {uuid} {limit}")
        return Served(str(pipe), str(shared))

    def stop_serving(self, claim: str) -> None:
        """Stops the units whose folders are there: a folder is made before its unit, and goes after it."""
        folder = self._mps / claim
        try:
            for one in sorted(folder.iterdir()) if folder.is_dir() else []:
                unit = _unit(claim, one.name)
                try:
                    self._run("systemctl", "stop", unit)
                except HardwareError as error:
                    if "not loaded" not in str(error):
                        raise
            shutil.rmtree(folder, ignore_errors=False) if folder.is_dir() else None
        except OSError as error:
            raise HardwareError(f"{error.filename}: {error.strerror}") from None

    def _path(self, claim: str) -> Path:
        return self._state / f"{claim}.json"

    def _await(self, environment: Mapping[str, str]) -> None:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._tell(environment, "get_server_list")
                return
            except HardwareError as error:
                if time.monotonic() > until:
                    raise HardwareError(f"the MPS daemon does not answer: {error}") from None
            time.sleep(0.1)

    def _tell(self, environment: Mapping[str, str], command: str) -> None:
        settings = [f"{name}={value}" for name, value in environment.items()]
        self._run("env", *settings, "nvidia-cuda-mps-control", stdin=f"{command}\n")

    def _run(self, program: str, *arguments: str, stdin: str = "") -> str:
        """What a program of the host says.

        Raises:
            HardwareError: it failed, or took too long.
        """
        command = [*self._entering(), program, *arguments]
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=_LONGEST, check=False, errors="replace"
            )
        except FileNotFoundError:
            raise _NotInstalledError(program) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HardwareError(f"{program}: {error}") from None
        if done.returncode == 127 or (self._entering() and "No such file" in done.stderr and program in done.stderr):
            raise _NotInstalledError(program)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise HardwareError(f"{program}: exit status {done.returncode}: {said[-1] if said else 'nothing was said'}")
        return done.stdout

    def _entering(self) -> Sequence[str]:
        if self._enter is None:
            self._enter = ["nsenter", "--target=1", "--mount", "--"] if _sees_host() else []
        return self._enter


class _NotInstalledError(HardwareError):
    def __init__(self, program: str) -> None:
        super().__init__(f"{program}: is not installed on the host", "not-installed")


def _unit(claim: str, group: str) -> str:
    return f"fairlead-mps-{claim}-{group}.service"


def _sees_host() -> bool:
    """Whether process 1 is of another mount namespace: the host's, seen from a container."""
    try:
        return os.readlink("/proc/1/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    except OSError:
        return False
