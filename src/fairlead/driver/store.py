"""The one file that says which claims are prepared: crash-safe, shared by two instances during an upgrade.

Invariants:

* The file is replaced whole, and a new claim is on the disk before `save` returns. Whoever changes it holds the lock
  (`flock` of a file that is never removed) and has read the file under it, for another instance may have written it.
* The first line is a header with format, length and checksum of the bytes that follow. The checksum is over bytes,
  never over values written again: another version of this program writes equal values differently.
* `format` says which version wrote the file, `readers` the oldest format that a reader must know. A version that only
  adds fields keeps `readers`, so that an older one can still read; what it does not know it writes back unchanged.
* A file that cannot be trusted is never replaced: `StoreError` says what to do about it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from fairlead.driver.files import Files, problem_of
from fairlead.driver.files import replace as replace_file
from fairlead.driver.record import Record
from fairlead.resource import decode_hook, encode_hook

FORMAT: Final = 1
STATE_FILE: Final = "prepared.json"
LOCK_FILE: Final = "prepared.lock"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_POLL: Final = 0.005
"""Seconds between two looks at a lock that another holds."""

_encode = msgspec.json.Encoder(enc_hook=encode_hook).encode
_decoder: Final = msgspec.json.Decoder(Record, dec_hook=decode_hook)


class StoreError(Exception):
    """The state cannot be used; the text names the file, the reason and what to do."""


class _Header(msgspec.Struct, frozen=True):
    format: int
    readers: int
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the file says: a value. Claims are kept as they were read until they are asked for."""

    boot_id: str = ""
    claims: dict[str, msgspec.Raw] = field(default_factory=dict)
    unknown: dict[str, msgspec.Raw] = field(default_factory=dict)
    """Fields that a newer version wrote."""

    def get(self, uid: str) -> Record | None:
        """What is known of a claim.

        Raises:
            StoreError: it cannot be understood.
        """
        found = self.claims.get(uid)
        return None if found is None else _record(uid, bytes(found))

    def records(self) -> list[Record]:
        """All claims, oldest first.

        Raises:
            StoreError: one cannot be understood.
        """
        return [_record(uid, bytes(raw)) for uid, raw in self.claims.items()]

    def having(self, *records: Record) -> Prepared:
        """The same with claims added or replaced."""
        return replace(self, claims=self.claims | {record.uid: msgspec.Raw(_encode(record)) for record in records})

    def without(self, *uids: str) -> Prepared:
        """The same without some claims."""
        return replace(self, claims={key: raw for key, raw in self.claims.items() if key not in uids})

    def since(self, boot_id: str) -> Prepared:
        """The same after the machine was started anew: nothing is prepared, all of it may have left traces."""
        return replace(self, boot_id=boot_id, claims={uid: _void(uid, raw) for uid, raw in self.claims.items()})


class Store:
    """The file in a folder of the driver."""

    def __init__(self, folder: Path, boot_id: str, files: Files | None = None, patience: float = 10.0) -> None:
        """Touches nothing yet.

        Args:
            folder: where the file and its lock are; made when needed.
            boot_id: of this start of the machine: what was written during another one comes back as `started`.
            files: what touches the disk.
            patience: seconds to wait for another instance that holds the lock.
        """
        self.path: Final = folder / STATE_FILE
        self._lock: Final = folder / LOCK_FILE
        self._files = files or Files()
        self._boot_id: Final = boot_id
        self._patience = patience
        self._last: tuple[bytes | None, Prepared] = (None, Prepared(boot_id))

    @contextmanager
    def locked(self) -> Iterator[Ledger]:
        """The content of the file, which nobody else changes meanwhile.

        Raises:
            StoreError: the lock is not to be had, or the file cannot be trusted.
        """
        try:
            self._files.make_folder(self._lock.parent, 0o750)
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(_unwritable(self._lock, error)) from None
        try:
            self._acquire(handle)
            yield Ledger(self._read(), self._save)
        finally:
            os.close(handle)

    def read(self) -> Prepared:
        """The content of the file, without waiting for whoever changes it.

        Raises:
            StoreError: the file cannot be trusted.
        """
        return self._read()

    def _acquire(self, handle: int) -> None:
        until = time.monotonic() + self._patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StoreError(
                        f"{self._lock}: another instance of the driver has held the lock for {self._patience:g} s; "
                        "kubelet will ask again"
                    ) from None
                time.sleep(_POLL)

    def _read(self) -> Prepared:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return Prepared(self._boot_id)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror}") from None
        known, prepared = self._last
        if data != known:
            prepared = _decode(self.path, data)
            if prepared.boot_id != self._boot_id:
                prepared = prepared.since(self._boot_id)
            self._last = data, prepared
        return prepared

    def _save(self, prepared: Prepared, new: bool) -> None:
        data = _encode_file(prepared)
        try:
            replace_file(self._files, self.path, data, mode=0o600, durable="new" if new else "either")
        except OSError as error:
            raise StoreError(_unwritable(self.path, error)) from None
        self._last = data, prepared


class Ledger:
    """The content of the store while its lock is held."""

    def __init__(self, prepared: Prepared, save: Callable[[Prepared, bool], None]) -> None:
        self._prepared: Prepared = prepared
        self._save = save

    @property
    def prepared(self) -> Prepared:
        """What the file says now."""
        return self._prepared

    def save(self, prepared: Prepared, new: bool = False) -> None:
        """Gives the file a new content.

        Args:
            prepared: what it is to say.
            new: whether a claim is in it that was not: then it must outlive a loss of power before anything is done for
                the claim. All other changes need not: after a loss of power all claims are undone anyway.

        Raises:
            StoreError: it could not be written; the file says what it said before, or already the new.
        """
        self._save(prepared, new)
        self._prepared = prepared


def boot_id(path: Path = BOOT_ID) -> str:
    """What tells one start of the machine from the next; the same in every container."""
    return path.read_text().strip()


@lru_cache(maxsize=4096)
def _record(uid: str, raw: bytes) -> Record:
    try:
        return _decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StoreError(f"claim {uid} in the state file: {error}; {_SETTLE}") from None


def _void(uid: str, raw: msgspec.Raw) -> msgspec.Raw:
    record = msgspec.json.decode(raw)
    if not isinstance(record, dict):
        raise StoreError(f"claim {uid} in the state file: is no object; {_SETTLE}")
    return msgspec.Raw(_encode({**record, "state": "started"}))


def _encode_file(prepared: Prepared) -> bytes:
    body = _encode({**prepared.unknown, "bootID": prepared.boot_id, "claims": prepared.claims}) + b"\n"
    header = _Header(FORMAT, FORMAT, len(body), hashlib.sha256(body).hexdigest())
    return _encode(header) + b"\n" + body


def _decode(path: Path, data: bytes) -> Prepared:
    head, _, body = data.partition(b"\n")
    try:
        header = msgspec.json.decode(head, type=_Header)
    except msgspec.MsgspecError:
        raise StoreError(f"{path}: has no header that this program wrote; {_settle(path)}") from None
    if header.readers > FORMAT:
        raise StoreError(
            f"{path}: was written in format {header.format} by a newer version of the driver, this one reads format "
            f"{FORMAT}; nothing was changed: start the newer version again, or drain the node with it before going back"
        )
    if len(body) != header.length:
        raise StoreError(f"{path}: has {len(body)} bytes where {header.length} were written; {_settle(path)}")
    if hashlib.sha256(body).hexdigest() != header.sha256:
        raise StoreError(f"{path}: was changed or damaged, its checksum does not match; {_settle(path)}")
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        boot = msgspec.json.decode(fields.pop("bootID", msgspec.Raw(b'""')), type=str)
        claims = msgspec.json.decode(fields.pop("claims", msgspec.Raw(b"{}")), type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path}: {error}; {_settle(path)}") from None
    return Prepared(boot, claims, fields)


_SETTLE: Final = "nothing is prepared or unprepared until this is settled"


def _settle(path: Path) -> str:
    return f"{_SETTLE}: drain the node, then move the file away (mv {path} {path}.damaged) and restart the driver"


def _unwritable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written: {problem_of(error)}; kubelet will ask again"
