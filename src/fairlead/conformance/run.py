"""Runs checks one after another on one bench, and says what came of each."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fairlead.conformance.apiserver import ApiServer, Store
from fairlead.conformance.check import CATALOGUE, Check
from fairlead.conformance.checks import ORDER
from fairlead.conformance.claims import NoDeviceError
from fairlead.conformance.kubelet import CallError
from fairlead.conformance.lab import Lab
from fairlead.conformance.options import Options
from fairlead.conformance.outcomes import Failure, Skip
from fairlead.conformance.wire import WireError

__all__ = ["Report", "Result", "Verdict", "catalogue", "run"]

Verdict = Literal["pass", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check."""

    check: Check
    verdict: Verdict
    seen: str
    seconds: float
    bad: bool = False
    """Whether what it is about is broken: it failed, or was skipped since what it builds on is broken."""
    lost: bool = False
    """Whether it failed because there is no driver; checks after it are skipped."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all."""

    driver: str
    """Its name; empty where none registered."""
    devices: int
    results: tuple[Result, ...]
    seconds: float

    def count(self, verdict: Verdict) -> int:
        """How many checks came out so."""
        return sum(one.verdict == verdict for one in self.results)


def catalogue() -> tuple[Check, ...]:
    """All checks, in the order in which they are run."""
    return tuple(sorted(CATALOGUE.values(), key=lambda one: ORDER.index(one.group)))


class _Moot(Skip):
    """What the check builds on is broken."""


async def run(
    options: Options,
    wanted: Sequence[Check],
    tell: Callable[[Result], None] = lambda result: None,
    port: int = 0,
    ready: Callable[[Lab], None] = lambda lab: None,
) -> Report:
    """Runs checks.

    Args:
        options: what is tried, and where.
        wanted: the checks, in their order; checks that they come after are not added.
        tell: is given each result as it is there.
        port: of the API server; any free one for 0.
        ready: is called when the API server answers and the driver may start.

    Raises:
        OSError: the folders cannot be made, or the port is in use.
    """
    begun = time.monotonic()
    results: list[Result] = []
    async with ApiServer(Store(), port) as api:
        lab = Lab(options, api.store, api)
        lab.furnish()
        ready(lab)
        try:
            missing = await _first_start(lab)
            for one in wanted:
                result = await _run_one(lab, one, results, missing)
                results.append(result)
                tell(result)
                if lab.baseline or not missing:
                    there = missing == "" and (one.group in ("attributes", "overall") or await lab.tidy())
                    missing = "" if there else missing or "the driver does not start any more"
        finally:
            name = lab.claims.driver
            await lab.end()
    return Report(name, len(lab.baseline), tuple(results), time.monotonic() - begun)


async def _first_start(lab: Lab) -> str:
    """Starts the driver and waits for its slices; why there is no driver, where there is none."""
    try:
        lab.launch_beside()
        await lab.start()
    except Failure as failed:
        return str(failed)
    lab.add_namesake()
    if await lab.until(lambda: bool(lab.slices())):
        await lab.until(lab.whole, min(lab.options.patience, 5.0))
        await lab.until(lambda: False, lab.options.settle)  # there may come more slices than were announced
    lab.baseline, lab.started_whole = lab.devices(), lab.whole()
    lab.kept_away = lab.tainted()
    return ""


async def _run_one(lab: Lab, one: Check, results: Sequence[Result], missing: str) -> Result:
    begun = time.monotonic()
    seen, bad, lost = "", False, False
    verdict: Verdict = "pass"
    failed = [result.check.id for result in results if result.bad and result.check.id in one.after]
    try:
        if missing:
            if not any(result.lost for result in results):
                lost = True
                raise Failure(missing)
            raise Skip("no driver is running")
        if failed:
            raise _Moot(f"{failed[0]} did not pass")
        if one.restarts and not lab.options.command:
            raise Skip("the kit did not start the driver, and cannot start it again: give its command")
        seen = await one.run(lab) or ""
    except Skip as skipped:
        verdict, seen, bad = "skip", str(skipped), isinstance(skipped, _Moot)
    except NoDeviceError as error:
        verdict, seen = "skip", str(error)
    except (Failure, CallError, WireError) as error:
        verdict, seen, bad = "fail", str(error), True
    except Exception as error:  # whatever a driver sends that nobody thought of must not end the run
        where = traceback.extract_tb(error.__traceback__)[-1]
        verdict, bad = "fail", True
        seen = f"the kit failed: {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
    if verdict == "fail" and lab.process is not None and lab.process.status is not None and not one.restarts:
        seen += f"; the driver ended with status {lab.process.status}: {lab.last_words()}"
    if verdict == "fail":
        seen = "; ".join([seen, *lab.ended_beside()])
    return Result(one, verdict, seen, time.monotonic() - begun, bad, lost)
