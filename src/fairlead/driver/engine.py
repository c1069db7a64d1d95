"""Preparing and unpreparing: the order of steps that a crash at any of them leaves in a state that can be put right.

Prepare, with the store's lock held from the first to the last step:

1. the claim is checked against what was discovered and against all other claims;
2. the record is saved as `started`;
3. the author's code prepares the devices, the metadata files and the CDI file are written;
4. the record is saved as `completed`, with all that containers need.

Unprepare goes back: saved as `started`, CDI file gone (no container starts with it any more), author's code, metadata
files, record gone. A `started` record that is seen under the lock is therefore always what somebody left who died or
failed: it is undone before anything else happens with the claim. Undoing is the same code in all cases, so it is run
every day, and not only after a crash.

The store is authoritative, not the files beside it: these are made again from it, or removed, by `recover` and by every
repeated prepare. After a reboot (another boot id) nothing is prepared whatever the records say: all are undone.

Knows neither network nor asyncio; one thread at a time calls it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import msgspec

from fairlead.driver.author import Claim, Driver, PreparedDevice, PrepareError
from fairlead.driver.cdi import EditsError, SpecFolder, check
from fairlead.driver.claims import for_author, read_claim
from fairlead.driver.files import problem_of
from fairlead.driver.inventory import Inventory
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.overlap import check_overlap, same_allocation
from fairlead.driver.record import Record, RecordedDevice, completed, started
from fairlead.driver.store import Ledger, Store, StoreError
from fairlead.resource import ResourceClaim

_Values = ParamSpec("_Values")
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


class Engine:
    """Preparing for one driver."""

    def __init__(self, driver: Driver, store: Store, specs: SpecFolder, metadata: MetadataFolder, log: Log) -> None:
        """Touches nothing yet.

        Args:
            driver: the author's code.
            store: what is prepared.
            specs: the runtime's folder.
            metadata: where metadata files go.
            log: is told what was put right.
        """
        self.inventory = Inventory()
        """What was discovered last; whoever discovers puts it here."""
        self._driver: Final = driver
        self._store: Final = store
        self._specs: Final = specs
        self._metadata: Final = metadata
        self._log = log

    def recover(self) -> list[str]:
        """Puts right what a crash, a reboot or somebody else left; to be called before anything is prepared.

        Returns:
            what could not be put right, a line each; those claims are tried again when kubelet asks.

        Raises:
            StoreError: the state cannot be used.
        """
        problems = []
        with self._store.locked() as ledger:
            for record in ledger.prepared.records():
                try:
                    if record.state == "started":
                        self._undo(ledger, record)
                        self._log("undone what was left half-way", claim=record.uid)
                    else:
                        self._place(record)
                except (PrepareError, EditsError, OSError, StoreError) as error:
                    problems.append(f"{_label(record)} (uid {record.uid}): {_text(error)}")
            known = {record.uid for record in ledger.prepared.records()}
            try:
                for name in [*self._specs.sweep(known), *self._metadata.sweep(known)]:
                    self._log("removed a file of an unknown claim", file=name)
            except OSError as error:
                problems.append(problem_of(error))
        return problems

    def prepare(self, claim: ResourceClaim, uid: str) -> tuple[Answer, ...]:
        """Makes a claim's devices ready; where they are, says the same again.

        Args:
            claim: as the API server has it now.
            uid: of the claim that kubelet asks for.

        Raises:
            PrepareError: it is not possible; whatever was begun has been undone, or will be before the next try.
            StoreError: the state cannot be used.
        """
        with self._store.locked() as ledger:
            before = ledger.prepared.get(uid)
            if before is not None and before.state == "completed" and self._repeats(claim, before):
                return self._guarded(self._place, before)
            record = read_claim(claim, uid, self._driver, self.inventory)
            if before is not None:
                self._guarded(self._undo, ledger, before)
            check_overlap(record, ledger.prepared.records(), self.inventory)
            ledger.save(ledger.prepared.having(record))
            try:
                done = completed(record, self._prepare(record))
                answers = self._place(done)
                ledger.save(ledger.prepared.having(done))
            except (PrepareError, EditsError, OSError, StoreError) as error:
                raise PrepareError(self._undone_after(error, ledger, record)) from error
            return answers

    def unprepare(self, uid: str) -> None:
        """Undoes what was prepared for a claim; nothing happens where nothing was. Needs no API server.

        Raises:
            PrepareError: it is not possible now; kubelet asks again, and the devices stay with the claim.
            StoreError: the state cannot be used.
        """
        with self._store.locked() as ledger:
            record = ledger.prepared.get(uid)
            if record is None:
                return
            self._guarded(self._undo, ledger, record)

    def records(self) -> list[Record]:
        """What is known of all claims now.

        Raises:
            StoreError: the state cannot be used.
        """
        return self._store.read().records()

    def record(self, uid: str) -> Record | None:
        """What is known of a claim now.

        Raises:
            StoreError: the state cannot be used.
        """
        return self._store.read().get(uid)

    def _repeats(self, claim: ResourceClaim, before: Record) -> bool:
        """Whether a claim is allocated as it was when it was prepared; it need not pass the other checks again."""
        allocation = claim.status.allocation
        if claim.metadata.uid != before.uid or allocation is None:
            return False
        now = [RecordedDevice(result=one) for one in allocation.devices.results if one.driver == self._driver.name]
        return same_allocation(before, msgspec.structs.replace(before, devices=now))

    def _prepare(self, record: Record) -> list[RecordedDevice]:
        claim = for_author(record, self._driver, self.inventory)
        done = self._authors(record, self._all_prepared, claim)
        return [_recorded(device, one) for device, one in zip(record.devices, done, strict=True)]

    def _all_prepared(self, claim: Claim) -> list[PreparedDevice]:
        """What the author's code prepared, in the order of the claim's devices."""
        return _in_order(claim, self._driver.prepare(claim))

    def _authors(
        self, record: Record, work: Callable[_Values, _Result], *args: _Values.args, **named: _Values.kwargs
    ) -> _Result:
        """Calls the author's code: whatever it raises, the claim must not stay half prepared without a word."""
        try:
            return work(*args, **named)
        except (PrepareError, OSError):
            raise
        except Exception as error:
            self._log("the driver failed", claim=record.uid, problem=repr(error), trace=traceback.format_exc())
            raise PrepareError(f"the driver failed: {type(error).__name__}: {error}") from error

    def _place(self, record: Record) -> tuple[Answer, ...]:
        """Puts the files of a completed claim in place, and says what kubelet is told."""
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

    def _undo(self, ledger: Ledger, record: Record) -> None:
        if record.state != "started":
            # Before anything is undone: a crash must not leave a claim that looks whole.
            ledger.save(ledger.prepared.having(started(record)))
        self._specs.remove(record.uid)
        self._authors(record, self._driver.unprepare, for_author(record, self._driver, self.inventory))
        self._metadata.remove(record.uid)
        ledger.save(ledger.prepared.without(record.uid))

    def _undone_after(self, error: Exception, ledger: Ledger, record: Record) -> str:
        """Undoes a claim that could not be prepared; what the user is told."""
        text = f"{_label(record)}: {_text(error)}"
        try:
            self._undo(ledger, record)
        except (PrepareError, OSError, StoreError) as second:
            return f"{text}; undoing it failed, too, and is tried again first next time: {_text(second)}"
        return text

    def _guarded(self, work: Callable[_Values, _Result], *args: _Values.args, **named: _Values.kwargs) -> _Result:
        """Turns trouble with files into an answer for kubelet."""
        try:
            return work(*args, **named)
        except OSError as error:
            raise PrepareError(problem_of(error)) from error


def _label(record: Record) -> str:
    return f"ResourceClaim {record.namespace}/{record.name}"


def _text(error: Exception) -> str:
    return problem_of(error) if isinstance(error, OSError) else str(error)


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
        raise EditsError(f"device {device.result.device}: {error}") from None
    return msgspec.structs.replace(device, edits=prepared.edits, status=prepared.status, attributes=prepared.attributes)
