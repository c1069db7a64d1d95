"""Preparing and unpreparing: the order of steps that a crash at any of them leaves in a state that can be put right.

Prepare, with the store's lock held from the first to the last step:

1. the claims are checked against what was discovered and against all other claims;
2. their records are saved as `started`;
3. the author's code prepares their devices, the metadata files and the CDI files are written;
4. the records are saved as `completed`, with all that containers need, and only then is anybody told.

Unprepare goes back: saved as `started`, side effects undone, records gone. A `started` record that is seen under the
lock is therefore always what somebody left who died or failed: it is undone before anything else happens with the
claim. Undoing is the same code in all cases, so it is run every day, and not only after a crash.

Calls that wait for each other go through these steps together: waiting for the disk is most of what a claim takes, and
a hundred claims wait as long as one. What has been done is saved every tenth of a second at least, so a slow device
delays only the claims behind it.

The store is authoritative, not the files beside it: these are made again from it, or removed, by `recover` and by every
repeated prepare. After a reboot (another boot id) nothing is prepared whatever the records say: all are undone.

Knows neither network nor asyncio; one thread at a time calls it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from fairlead.driver.author import Driver, PrepareError
from fairlead.driver.claims import read_claim
from fairlead.driver.inventory import Inventory
from fairlead.driver.overlap import check_overlap, same_allocation
from fairlead.driver.record import Record, RecordedDevice, started
from fairlead.driver.steps import Answer, Log, Steps
from fairlead.driver.store import Ledger, Store, StoreError
from fairlead.resource import ResourceClaim

_COMMIT: Final = 0.1
"""Seconds for which what has been done may wait to be saved together with what comes next."""


@dataclass(frozen=True, slots=True)
class Done:
    """A claim that is prepared: what kubelet is told, and what is written down."""

    answers: tuple[Answer, ...]
    record: Record


Outcome = Done | PrepareError


class Engine:
    """Preparing for one driver."""

    def __init__(self, driver: Driver, store: Store, steps: Steps, log: Log) -> None:
        """Touches nothing yet.

        Args:
            driver: the author's code.
            store: what is prepared.
            steps: the side effects.
            log: is told what was put right.
        """
        self.inventory = Inventory()
        """What was discovered last; whoever discovers puts it here."""
        self._driver: Final = driver
        self._store: Final = store
        self._steps: Final = steps
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
                        self._steps.place(record)
                except (PrepareError, StoreError) as error:
                    problems.append(f"{_label(record)} (uid {record.uid}): {error}")
            try:
                for name in self._steps.sweep(set(ledger.prepared.claims)):
                    self._log("removed a file of an unknown claim", file=name)
            except PrepareError as error:
                problems.append(str(error))
        return problems

    def prepare(self, claim: ResourceClaim, uid: str) -> tuple[Answer, ...]:
        """Makes one claim's devices ready, as `prepare_all`.

        Raises:
            PrepareError: it is not possible.
            StoreError: the state cannot be used.
        """
        outcomes: dict[str, Outcome] = {}
        self.prepare_all([(uid, claim)], outcomes.__setitem__)
        if isinstance(outcome := outcomes[uid], PrepareError):
            raise outcome
        return outcome.answers

    def unprepare(self, uid: str) -> None:
        """Undoes what was prepared for one claim, as `unprepare_all`.

        Raises:
            PrepareError: it is not possible now.
            StoreError: the state cannot be used.
        """
        outcomes: dict[str, PrepareError | None] = {}
        self.unprepare_all([uid], outcomes.__setitem__)
        if (outcome := outcomes[uid]) is not None:
            raise outcome

    def prepare_all(self, jobs: Sequence[tuple[str, ResourceClaim]], tell: Callable[[str, Outcome], None]) -> None:
        """Makes the devices of claims ready; where they are, says the same again.

        Args:
            jobs: UIDs that kubelet asks for, each once, and the claims as the API server has them now.
            tell: is called once for each UID, as soon as what it tells is on the disk. Of a claim that could not be
                prepared, whatever was begun has been undone, or will be before the next try.

        Raises:
            StoreError: the state cannot be used; those who were not told share it.
        """
        with self._store.locked() as ledger:
            begun: list[Record] = []
            for uid, claim in jobs:
                try:
                    if (repeated := self._begin(ledger, begun, uid, claim)) is not None:
                        tell(uid, repeated)
                except PrepareError as error:
                    tell(uid, error)
            if not begun:
                return
            ledger.save(ledger.prepared.having(*begun), new=True)
            batch = _Batch(ledger, self._take_back, tell)
            for record in begun:
                try:
                    done, answers = self._steps.do(record, self.inventory)
                    batch.keep(Done(answers, done))
                except PrepareError as error:
                    batch.drop(record, self._take_back(record, error))
                batch.save_now_and_then()
            batch.save()

    def unprepare_all(self, uids: Sequence[str], tell: Callable[[str, PrepareError | None], None]) -> None:
        """Undoes what was prepared for claims; nothing happens where nothing was. Needs no API server.

        Args:
            uids: of the claims, each once.
            tell: is called once for each, with what went wrong: kubelet asks again, and the devices stay with the
                claim.

        Raises:
            StoreError: the state cannot be used; those who were not told share it.
        """
        with self._store.locked() as ledger:
            found = [record for uid in uids if (record := ledger.prepared.get(uid)) is not None]
            known = {record.uid for record in found}
            for uid in uids:
                if uid not in known:
                    tell(uid, None)
            if whole := [started(record) for record in found if record.state != "started"]:
                # Before anything is undone: a crash must not leave a claim that looks whole.
                ledger.save(ledger.prepared.having(*whole))
            gone: list[str] = []
            for record in found:
                try:
                    self._steps.undo(record, self.inventory)
                    gone.append(record.uid)
                except PrepareError as error:
                    tell(record.uid, error)
            if gone:
                ledger.save(ledger.prepared.without(*gone))
            for uid in gone:
                tell(uid, None)

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

    def _begin(self, ledger: Ledger, begun: list[Record], uid: str, claim: ResourceClaim) -> Done | None:
        """Checks a claim and adds it to those that are begun; where it is prepared, says so."""
        before = ledger.prepared.get(uid)
        if before is not None and before.state == "completed" and self._repeats(claim, before):
            return Done(self._steps.place(before), before)
        record = read_claim(claim, uid, self._driver, self.inventory)
        if before is not None:
            self._undo(ledger, before)
        check_overlap(record, [*ledger.prepared.records(), *begun], self.inventory)
        begun.append(record)
        return None

    def _repeats(self, claim: ResourceClaim, before: Record) -> bool:
        """Whether a claim is allocated as it was when it was prepared; it need not pass the other checks again."""
        allocation = claim.status.allocation
        if claim.metadata.uid != before.uid or allocation is None:
            return False
        now = [RecordedDevice(result=one) for one in allocation.devices.results if one.driver == self._driver.name]
        return same_allocation(before, msgspec.structs.replace(before, devices=now))

    def _undo(self, ledger: Ledger, record: Record) -> None:
        if record.state != "started":
            ledger.save(ledger.prepared.having(started(record)))
        self._steps.undo(record, self.inventory)
        ledger.save(ledger.prepared.without(record.uid))

    def _take_back(self, record: Record, error: Exception) -> tuple[bool, PrepareError]:
        """Undoes a claim that could not be prepared: whether that worked, and what the user is told."""
        text = f"{_label(record)}: {error}"
        try:
            self._steps.undo(record, self.inventory)
        except PrepareError as second:
            return False, PrepareError(f"{text}; undoing it failed, too, and is tried again first next time: {second}")
        return True, PrepareError(text)


class _Batch:
    """Claims whose side effects are done and that wait to be saved, and those who wait to be told of them."""

    def __init__(
        self,
        ledger: Ledger,
        take_back: Callable[[Record, Exception], tuple[bool, PrepareError]],
        tell: Callable[[str, Outcome], None],
    ) -> None:
        self._ledger = ledger
        self._draft = ledger.prepared
        self._take_back = take_back
        self._tell = tell
        self._waiting: dict[str, Outcome] = {}
        self._saved_at = time.monotonic()

    def keep(self, done: Done) -> None:
        """A claim that is prepared."""
        self._draft = self._draft.having(done.record)
        self._waiting[done.record.uid] = done

    def drop(self, record: Record, outcome: tuple[bool, PrepareError]) -> None:
        """A claim that could not be prepared, and whether it was undone."""
        undone, error = outcome
        if undone:
            self._draft = self._draft.without(record.uid)
        self._waiting[record.uid] = error

    def save_now_and_then(self) -> None:
        """Saves when the last time is long enough ago."""
        if time.monotonic() - self._saved_at > _COMMIT:
            self.save()

    def save(self) -> None:
        """Saves, and tells those who wait. What cannot be saved is undone: nobody would know of it after a crash."""
        waiting, self._waiting = self._waiting, {}
        try:
            self._ledger.save(self._draft)
        except StoreError as error:
            for uid, outcome in waiting.items():
                if isinstance(outcome, Done):
                    undone, waiting[uid] = self._take_back(outcome.record, error)
                    self._draft = self._draft.without(uid) if undone else self._draft.having(started(outcome.record))
        for uid, outcome in waiting.items():
            self._tell(uid, outcome)
        self._saved_at = time.monotonic()


def _label(record: Record) -> str:
    return f"ResourceClaim {record.namespace}/{record.name}"
