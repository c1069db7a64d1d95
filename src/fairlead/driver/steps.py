"""The side effects of one claim: the author's code, the metadata files and the CDI file; done, placed again, or undone.

Knows no store: the order of these steps with what is written down stands in `engine.py`. Undoing works from any point
at which doing was cut off, and may be repeated.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from fairlead.driver.author import Claim, Driver, PreparedDevice, PrepareError
from fairlead.driver.cdi import EditsError, SpecFolder, check
from fairlead.driver.claims import for_author
from fairlead.driver.files import problem_of
from fairlead.driver.inventory import Inventory
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.record import Record, RecordedDevice, completed

_Result = TypeVar("_Result")
Log = Callable[..., None]
"""Told what happened: an event's name, and fields."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A device of a claim as kubelet is told of it."""

    request: str
    pool: str
    device: str
    cdi_ids: tuple[str, ...]
    share_id: str | None


class Steps:
    """The side effects of one driver. Every method raises PrepareError, whatever went wrong."""

    def __init__(self, driver: Driver, specs: SpecFolder, metadata: MetadataFolder, log: Log) -> None:
        """Args:
        driver: the author's code.
        specs: the runtime's folder.
        metadata: where metadata files go.
        log: is told of bugs in the author's code.
        """
        self._driver: Final = driver
        self._specs: Final = specs
        self._metadata: Final = metadata
        self._log = log

    def do(self, record: Record, inventory: Inventory) -> tuple[Record, tuple[Answer, ...]]:
        """Prepares a claim; the record once that is done, and what kubelet is told."""
        claim = for_author(record, self._driver, inventory)
        prepared = self._guarded(record, lambda: _in_order(claim, self._driver.prepare(claim)))
        done = completed(record, [_recorded(*pair) for pair in zip(record.devices, prepared, strict=True)])
        return done, self.place(done)

    def place(self, record: Record) -> tuple[Answer, ...]:
        """Puts the files of a claim in place, where they are not; what kubelet is told."""
        return self._guarded(record, lambda: self._place(record))

    def undo(self, record: Record, inventory: Inventory) -> None:
        """Takes everything back. The CDI file goes first: no container starts with the devices any more."""
        self._guarded(record, lambda: self._specs.remove(record.uid))
        self._guarded(record, lambda: self._driver.unprepare(for_author(record, self._driver, inventory)))
        self._guarded(record, lambda: self._metadata.remove(record.uid))

    def sweep(self, known: set[str]) -> list[str]:
        """Removes our files of claims that are not among the known; the names of what went."""
        try:
            return [*self._specs.sweep(known), *self._metadata.sweep(known)]
        except OSError as error:
            raise PrepareError(problem_of(error)) from error

    def _place(self, record: Record) -> tuple[Answer, ...]:
        mounts = self._metadata.write(record)
        named = {device.cdi_name: device.edits for device in record.devices if device.edits}
        extra = {request: f"{record.uid}_metadata_{request}" for request in mounts}
        self._specs.write(record.uid, named | {name: mounts[request] for request, name in extra.items()})
        answers = []
        for device in record.devices:
            result = device.result
            request = result.request.partition("/")[0]
            names = [device.cdi_name] if device.edits else []
            if request in extra:
                names.append(extra.pop(request))  # once a request: its containers get all devices of it
            ids = tuple(map(self._specs.device_id, names))
            answers.append(Answer(request, result.pool, result.device, ids, result.share_id))
        return tuple(answers)

    def _guarded(self, record: Record, work: Callable[[], _Result]) -> _Result:
        """Whatever is raised, also by the author's code: a claim must not stay half-way without a word."""
        try:
            return work()
        except PrepareError:
            raise
        except OSError as error:
            raise PrepareError(problem_of(error)) from error
        except EditsError as error:
            raise PrepareError(str(error)) from error
        except Exception as error:
            self._log("the driver failed", claim=record.uid, problem=repr(error), trace=traceback.format_exc())
            raise PrepareError(f"the driver failed: {type(error).__name__}: {error}") from error


def _in_order(claim: Claim, returned: Iterable[PreparedDevice]) -> list[PreparedDevice]:
    found: dict[int, PreparedDevice] = {}
    for one in returned:
        if not any(one.device is device for device in claim.devices) or id(one.device) in found:
            raise PrepareError(f"the driver prepared {one.device.name}, which the claim does not have, or twice")
        found[id(one.device)] = one
    if missing := [device.name for device in claim.devices if id(device) not in found]:
        raise PrepareError(f"the driver did not prepare {', '.join(missing)}")
    return [found[id(device)] for device in claim.devices]


def _recorded(device: RecordedDevice, prepared: PreparedDevice) -> RecordedDevice:
    try:
        check(prepared.edits)
    except EditsError as error:
        raise PrepareError(f"device {device.result.device}: {error}") from None
    return msgspec.structs.replace(device, edits=prepared.edits, status=prepared.status, attributes=prepared.attributes)
