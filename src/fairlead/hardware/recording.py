"""Recordings: what discovery read of a machine, in one file that answers for that machine anywhere.

A recording holds only what was asked: the files and links that were looked at, the folders that were listed, and the
answers of doors. What is not in it is not there, as far as files go, and is refused by doors. It is YAML or JSON by
the file's name, so that a person can read it, and take out what must not leave the house: it has the serial numbers
and addresses of the hardware.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec
import yaml

from fairlead.hardware.doors import Answer
from fairlead.hardware.files import Files, Kind

VERSION: Final = 1


class Entry(msgspec.Struct, omit_defaults=True):
    """What was found at one path."""

    kind: Kind
    text: str | None = None
    """The content of a file that is text."""
    data: bytes | None = None
    """The content of any other file."""
    names: list[str] | None = None
    target: str | None = None
    error: str | None = None
    """Why it could not be read: the name of an errno."""


class Recording(msgspec.Struct):
    """What was read of one machine."""

    machine: str = ""
    """The machine's name."""
    taken: str = ""
    """When, as RFC 3339 has it."""
    version: int = VERSION
    drivers: list[str] = msgspec.field(default_factory=list)
    """Who looked, as `--driver` takes it."""
    files: dict[str, Entry] = msgspec.field(default_factory=dict)
    doors: dict[str, dict[str, Answer]] = msgspec.field(default_factory=dict)
    """The name of a door to its answers by call."""


class RecordingError(Exception):
    """A file is no recording that can be read; the text says why."""


class NotingFiles(Files):
    """Files of another tree, with a note of all that is read."""

    def __init__(self, files: Files, entries: dict[str, Entry]) -> None:
        self._files = files
        self._entries = entries

    def kind(self, path: str) -> Kind | None:
        """Noted where something is."""
        kind = self._files.kind(path)
        if kind is not None and path not in self._entries:
            self._entries[path] = Entry(kind)
        return kind

    def read(self, path: str) -> bytes:
        """Noted, or why not."""
        data: bytes = self._note(path, "file", self._files.read)
        try:
            self._entries[path].text, self._entries[path].data = data.decode(), None
        except UnicodeDecodeError:
            self._entries[path].data = data
        return data

    def names(self, path: str) -> list[str]:
        """Noted, or why not."""
        names: list[str] = self._note(path, "directory", self._files.names)
        self._entries[path].names = names
        return names

    def target(self, path: str) -> str:
        """Noted, or why not."""
        target: str = self._note(path, "link", self._files.target)
        self._entries[path].target = target
        return target

    def write(self, path: str, text: str) -> None:
        """A machine is not changed while it is recorded."""
        raise PermissionError(errno.EPERM, "nothing is written while a machine is recorded", path)

    def _note(self, path: str, kind: Kind, ask: Callable[[str], Any]) -> Any:
        try:
            value = ask(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            self._entries.setdefault(path, Entry(kind)).error = errno.errorcode.get(error.errno or 0, "EIO")
            raise
        entry = self._entries.setdefault(path, Entry(kind))
        entry.error = None
        return value


class RecordedFiles(Files):
    """The files of a recording; what is written is read again, and never reaches the recording."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self._entries = entries
        self._folders = {str(above) for path in entries for above in PurePosixPath(path).parents}
        self._written: dict[str, str] = {}

    def kind(self, path: str) -> Kind | None:
        """A folder of what was recorded is there, too."""
        if path in self._entries:
            return self._entries[path].kind
        return "directory" if path in self._folders else None

    def read(self, path: str) -> bytes:
        """As recorded, or as written since."""
        if path in self._written:
            return self._written[path].encode()
        entry = self._entry(path)
        if entry.text is not None:
            return entry.text.encode()
        return entry.data or b""

    def names(self, path: str) -> list[str]:
        """As recorded."""
        return self._entry(path).names or []

    def target(self, path: str) -> str:
        """As recorded."""
        return self._entry(path).target or ""

    def write(self, path: str, text: str) -> None:
        """Kept beside the recording."""
        if path not in self._entries:
            raise _error("ENOENT", path)
        self._written[path] = text

    def _entry(self, path: str) -> Entry:
        entry = self._entries.get(path)
        if entry is None:
            raise _error("ENOENT", path)
        if entry.error is not None:
            raise _error(entry.error, path)
        return entry


def _error(name: str, path: str) -> OSError:
    number = getattr(errno, name, errno.EIO)
    return OSError(number, os.strerror(number), path)


def read_recording(path: Path) -> Recording:
    """A recording from its file.

    Raises:
        OSError: the file cannot be read.
        RecordingError: it is no recording, or a later version's.
    """
    data = path.read_bytes()
    try:
        raw = msgspec.json.decode(data) if path.suffix == ".json" else yaml.load(data, yaml.CSafeLoader)
        recording = msgspec.convert(raw, Recording)
    except (yaml.YAMLError, msgspec.MsgspecError) as error:
        raise RecordingError(f"{path}: is no recording: {' '.join(str(error).split())}") from None
    if recording.version > VERSION:
        raise RecordingError(f"{path}: has version {recording.version}, known are versions up to {VERSION}")
    if "version" not in raw or "files" not in raw:
        raise RecordingError(f"{path}: is no recording: has no version, or no files")
    return recording


def write_recording(recording: Recording, path: Path) -> None:
    """Writes a recording: JSON where the name ends in .json, YAML otherwise. OSError where that fails."""
    value = msgspec.to_builtins(recording)
    if path.suffix == ".json":
        text = msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"
    else:
        text = yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True, width=120)
    path.write_text(text)
