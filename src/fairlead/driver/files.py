"""File operations in the order that survives a crash: each method of `Files` is one step at the operating system.

Everything the kit changes on disk goes through a `Files`, so that tests can end the process, or fail a call, at any
step. Nothing here decides what to write.

Invariants: `replace` leaves either the old or the new content under the name, never a part of it; a file that appears
has its final mode; what a crash leaves behind beside the file has a name that `is_leftover` knows.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final, Literal

Durable = Literal["no", "either", "new"]
_LEFTOVER: Final = ".tmp"
_ADVICE: Final = {
    errno.ENOSPC: "make room on that filesystem",
    errno.EDQUOT: "raise the quota of that filesystem",
    errno.EROFS: "mount it writable into the driver's pod",
    errno.EACCES: "the driver must run as a user who may write there",
    errno.EPERM: "the driver must run as a user who may write there",
    errno.EIO: "the disk is failing: drain the node",
}


class Files:
    """The file operations that change something; all of them raise OSError."""

    def make_folder(self, path: Path, mode: int = 0o755) -> None:
        """A folder and those above it; nothing happens where it is."""
        path.mkdir(mode=mode, parents=True, exist_ok=True)

    def create(self, path: Path, mode: int) -> int:
        """A descriptor of an empty file, which is emptied where it exists."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        os.fchmod(handle, mode)
        return handle

    def write(self, handle: int, data: bytes) -> None:
        """All of the data."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def sync(self, handle: int) -> None:
        """Waits until the content of a file is on the disk."""
        os.fsync(handle)

    def rename(self, source: Path, target: Path) -> None:
        """Puts a file in the place of another."""
        os.replace(source, target)

    def sync_folder(self, path: Path) -> None:
        """Waits until the names in a folder are on the disk."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, path: Path) -> None:
        """Removes a file; nothing happens where there is none."""
        if os.path.lexists(path):  # a read-only filesystem refuses also what would change nothing
            path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        """Removes an empty folder; nothing happens where there is none."""
        try:
            path.rmdir()
        except FileNotFoundError:
            return


def replace(files: Files, path: Path, data: bytes, *, mode: int = 0o644, durable: Durable = "no") -> None:
    """Gives a file new content, whole or not at all.

    Args:
        files: what touches the disk.
        path: the file; its folder must exist, and no other process may replace it at the same time.
        data: the new content.
        mode: permissions of the file.
        durable: what a loss of power must leave: `no` for anything, `either` for the old or the new content, `new` for
            the new one. A killed process leaves the old or the new one in any case.

    Raises:
        OSError: it could not be written; what was there is unchanged.
    """
    beside = path.with_name(f".{path.name}{_LEFTOVER}")
    try:
        handle = files.create(beside, mode)
        try:
            files.write(handle, data)
            if durable != "no":
                files.sync(handle)
        finally:
            os.close(handle)
        files.rename(beside, path)
    except OSError:
        if beside.exists():
            beside.unlink()  # gives the space back: the disk may be full
        raise
    if durable == "new":
        files.sync_folder(path.parent)


def is_leftover(name: str, of: str) -> bool:
    """Whether a file is what a crash left of writing one whose name starts with `of`."""
    return name.startswith(f".{of}") and name.endswith(_LEFTOVER)


def problem_of(error: OSError) -> str:
    """What went wrong with which file, and what to do about it."""
    name = f"{error.filename2 or error.filename}: " if error.filename else ""
    advice = _ADVICE.get(error.errno or 0)
    return f"{name}{error.strerror or error}" + (f": {advice}" if advice else "")
