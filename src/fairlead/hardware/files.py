"""A machine's tree of files, below any root.

Links are followed inside the tree: a link to `/sys/devices/...` found below the root `/host` leads to
`/host/sys/devices/...`, so that a copied or a mounted tree reads as the machine itself. All paths are absolute, as on
the machine. What cannot be read raises the `OSError` that the machine gave, with the machine's path.
"""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, Literal

Kind = Literal["file", "directory", "link", "device"]
_MOST_LINKS: Final = 40
_MOST_DIGITS: Final = 64
_TOO_MUCH: Final = 1 << 63
"""Numbers of attributes are less."""
_MOST_BYTES: Final = 1 << 20
"""Of one file: what drivers read is small, and some files of /sys and /proc have no end."""


class Files(ABC):
    """What drivers ask of files. The four first are the tree itself, the others are made of them."""

    @abstractmethod
    def kind(self, path: str) -> Kind | None:
        """What is at a path whose folders are no links; None where nothing is."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The content of a file that is no link."""

    @abstractmethod
    def names(self, path: str) -> list[str]:
        """The names in a folder that is no link, sorted."""

    @abstractmethod
    def target(self, path: str) -> str:
        """Where a link leads, as it is written in it."""

    @abstractmethod
    def write(self, path: str, text: str) -> None:
        """Writes to a file that is there, as one call, which is what files of /sys need."""

    def real(self, path: str) -> str:
        """The path without links. FileNotFoundError where nothing is there."""
        if not path.startswith("/"):
            raise ValueError(f"{path}: is not absolute")
        done: list[str] = []
        ahead = [part for part in reversed(path.split("/")) if part]
        links = 0
        while ahead:
            part = ahead.pop()
            if part == ".":
                continue
            if part == "..":
                del done[-1:]
                continue
            here = "/" + "/".join([*done, part])
            kind = self.kind(here)
            if kind is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            if kind != "link":
                done.append(part)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = self.target(here)
            if target.startswith("/"):
                done.clear()
            ahead.extend(part for part in reversed(target.split("/")) if part)
        return "/" + "/".join(done)

    def exists(self, path: str) -> bool:
        """Whether something is there, behind links."""
        try:
            self.real(path)
        except FileNotFoundError:
            return False
        return True

    def text(self, path: str) -> str:
        """The content of a file, without the white space around it."""
        return self.read(self.real(path)).decode(errors="replace").strip()

    def number(self, path: str, base: int = 10) -> int:
        """The number that a file holds. OSError (EINVAL) where it holds something else, or more than 64 bits."""
        text = self.text(path)
        try:
            number = int(text, base) if len(text) <= _MOST_DIGITS else _TOO_MUCH
        except ValueError:
            number = _TOO_MUCH
        if not -_TOO_MUCH <= number < _TOO_MUCH:
            raise OSError(errno.EINVAL, f"holds no number: {text[:40]!r}", path)
        return number

    def listed(self, path: str) -> list[str]:
        """The names in a folder, sorted; none where the folder is not there."""
        try:
            return self.names(self.real(path))
        except FileNotFoundError:
            return []

    def put(self, path: str, text: str) -> None:
        """Writes to a file that is there, behind links."""
        self.write(self.real(path), text)


class LiveFiles(Files):
    """The tree below a folder of this machine."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Args:
        root: where the machine's `/` is: a mounted host, or a copied tree.
        """
        self._root: Final = "" if str(root) == "/" else str(root)

    def kind(self, path: str) -> Kind | None:
        """Of what is there now."""
        try:
            mode = os.lstat(self._root + path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _at(error, path) from None
        if stat.S_ISLNK(mode):
            return "link"
        if stat.S_ISDIR(mode):
            return "directory"
        return "device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "file"

    def read(self, path: str) -> bytes:
        """At most the first MiB."""
        try:
            # Without buffers: a file of /sys gives its whole content to the first read.
            with open(self._root + path, "rb", buffering=0) as file:
                parts, size = [], 0
                while size < _MOST_BYTES and (part := file.read(_MOST_BYTES - size)):
                    parts.append(part)
                    size += len(part)
                return b"".join(parts)
        except OSError as error:
            raise _at(error, path) from None

    def names(self, path: str) -> list[str]:
        """Of what is there now."""
        try:
            return sorted(os.listdir(self._root + path))
        except OSError as error:
            raise _at(error, path) from None

    def target(self, path: str) -> str:
        """Of the link as it is now."""
        try:
            return os.readlink(self._root + path)
        except OSError as error:
            raise _at(error, path) from None

    def write(self, path: str, text: str) -> None:
        """Fails with the kernel's own errno."""
        try:
            descriptor = os.open(self._root + path, os.O_WRONLY | os.O_TRUNC)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _at(error, path) from None


def _at(error: OSError, path: str) -> OSError:
    """The same error, at the path on the machine rather than below our root."""
    return OSError(error.errno, error.strerror, path)
