"""The agent without its network: claims are applied whole or not at all, and what is held is known after any crash.

Apply: what the claim wants is checked, saved as `applying`, done function by function, saved as `applied`. Release:
saved as `releasing`, undone, forgotten. Whatever goes wrong on the way is undone at once; what cannot be undone stays
`releasing` and is tried again at the next call and start. So the host may repeat both until they work.

The host decides who may have a function: it asks for one only when nobody else there has it. A function that is still
held for another claim is therefore taken from it (the host has lost its memory of that claim, or was made anew).

`services` are amounts that the administrator offers (storage controllers of SNAP, virtio-net devices). The agent counts
them, and runs the administrator's program for each, which sets them up; without a program they are only counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from msgspec.structs import replace

from fairlead.drivers.bluefield.agent.state import AgentState, ClaimState, StateFile
from fairlead.drivers.bluefield.functions import Granted, Wanted
from fairlead.drivers.bluefield.side import REFUSED, EswitchSide
from fairlead.hardware import HardwareError

Serve = Callable[[str, str, str, int], None]
"""`apply` or `release`, UID of a claim, name of a service, amount; HardwareError where it could not be done."""
Log = Callable[..., None]


class AgentCore:
    """What one agent does; one call at a time."""

    def __init__(self, side: EswitchSide, file: StateFile, offers: Mapping[str, int], serve: Serve, log: Log) -> None:
        """Touches nothing yet.

        Args:
            side: the e-switch.
            file: what is held.
            offers: how many of each service there are.
            serve: sets services up.
            log: is told what happens: an event's name, and fields.
        """
        self._side: Final = side
        self._file: Final = file
        self.offers: Final = dict(offers)
        self._serve: Final = serve
        self._log: Final = log
        self._lock: Final = threading.Lock()

    def recover(self) -> list[str]:
        """Puts right what a crash or a start of the DPU left: half-way claims are undone, the others made whole.

        Returns:
            what could not be put right, a line each.

        Raises:
            StateError: the state cannot be used.
        """
        problems = []
        with self._lock:
            for uid, claim in self._file.read().claims.items():
                try:
                    if claim.state == "applied":
                        self._ensure(uid, claim)
                    else:
                        self._undo(uid, claim)
                        self._log("undone what was left half-way", claim=claim.name, uid=uid)
                except HardwareError as error:
                    problems.append(f"ResourceClaim {claim.name} (uid {uid}): {error}")
        return problems

    def claims(self) -> list[str]:
        """The UIDs of claims for which something is held. StateError where that is not known."""
        return sorted(self._file.read().claims)

    def apply(
        self, uid: str, name: str, wanted: list[Wanted], services: Mapping[str, int], dry_run: bool
    ) -> list[Granted]:
        """Makes a claim's functions and services ready; where they are, says the same again.

        Raises:
            HardwareError: it could not be done; what was begun has been undone, or will be.
            StateError: the state cannot be used.
        """
        claim = ClaimState("applying", name, wanted, dict(services))
        done = replace(claim, state="applied")
        with self._lock:
            state = self._file.read()
            before = state.claims.get(uid)
            self._check_services(state, uid, claim)
            if dry_run:
                held = {one.function for other in state.claims.values() for one in other.wanted}
                self._side.check(one for one in wanted if one.function not in held)
                return []
            if before is not None and before != done:
                self._undo(uid, before)
            self._take_over(uid, wanted)
            self._side.check(wanted)
            if before != done:
                self._file.write(self._file.read().having(uid, claim))
            try:
                granted = self._ensure(uid, claim)
            except HardwareError as error:
                self._log("not applied", claim=name, uid=uid, problem=str(error))
                try:
                    self._undo(uid, claim)
                except HardwareError as second:
                    raise HardwareError(
                        f"{error}; undoing it failed, too, and is tried again: {second}", error.code
                    ) from None
                raise
            self._file.write(self._file.read().having(uid, done))
            self._log("applied", claim=name, uid=uid, functions=[str(one.function) for one in wanted])
            return granted

    def release(self, uid: str) -> None:
        """Takes a claim's functions and services back; nothing happens where there are none.

        Raises:
            HardwareError: it could not be done; to be repeated.
            StateError: the state cannot be used.
        """
        with self._lock:
            claim = self._file.read().claims.get(uid)
            if claim is not None:
                self._undo(uid, claim)
                self._log("released", claim=claim.name, uid=uid)

    def _check_services(self, state: AgentState, uid: str, claim: ClaimState) -> None:
        for name, amount in claim.services.items():
            taken = sum(one.services.get(name, 0) for key, one in state.claims.items() if key != uid)
            offered = self.offers.get(name, 0)
            if taken + amount > offered:
                raise HardwareError(f"{name}: {amount} asked for, {offered - taken} of {offered} are free", REFUSED)

    def _take_over(self, uid: str, wanted: Iterable[Wanted]) -> None:
        functions = {one.function for one in wanted}
        for other, claim in self._file.read().claims.items():
            if other != uid and functions.intersection(one.function for one in claim.wanted):
                self._log("taken from a claim that the host has given up", claim=claim.name, uid=other)
                self._undo(other, claim)

    def _ensure(self, uid: str, claim: ClaimState) -> list[Granted]:
        granted = [self._side.ensure(one) for one in claim.wanted]
        for name, amount in claim.services.items():
            self._serve("apply", uid, name, amount)
        return granted

    def _undo(self, uid: str, claim: ClaimState) -> None:
        """Undoes all that can be, and forgets the claim where that was everything."""
        if claim.state != "releasing":
            self._file.write(self._file.read().having(uid, replace(claim, state="releasing")))
        first: HardwareError | None = None
        steps = [partial(self._serve, "release", uid, name, amount) for name, amount in claim.services.items()]
        steps += [partial(self._side.undo, one) for one in reversed(claim.wanted)]
        for step in steps:
            try:
                step()
            except HardwareError as error:
                first = first or error
        if first is not None:
            raise first
        self._file.write(self._file.read().without(uid))
