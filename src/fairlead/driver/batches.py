"""Calls that come while the driver's thread is busy, handed to it together when it is free.

A UID is in a batch once: a second call for it waits for the next batch, and then finds what the first one did. Calls
are answered one by one, as the work tells of them. A caller that gives up waiting stops nothing.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from fairlead.driver.author import PrepareError
from fairlead.driver.steps import Log
from fairlead.driver.store import StoreError

_MOST: Final = 100
"""Calls in a batch."""

Work = Callable[[Sequence[tuple[str, Any]], Callable[[str, Any], None]], None]
"""Takes UIDs with what belongs to them, and tells of each."""


class Batches:
    """One kind of work of one driver."""

    def __init__(self, thread: Executor, work: Work, log: Log) -> None:
        """Begins nothing yet.

        Args:
            thread: where the work is done.
            work: raises StoreError for all that it has not told of.
            log: is told of bugs.
        """
        self._thread: Final = thread
        self._work: Final = work
        self._log = log
        self._waiting: list[tuple[str, Any, asyncio.Future[Any]]] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, uid: str, value: Any) -> Any:
        """What the work tells of a UID, or the error that it raised."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((uid, value, answer))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(answer)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # calls that came at the same time go together
        while self._waiting:
            batch: dict[str, tuple[Any, asyncio.Future[Any]]] = {}
            rest = []
            for uid, value, answer in self._waiting:
                if uid in batch or len(batch) == _MOST:
                    rest.append((uid, value, answer))
                else:
                    batch[uid] = (value, answer)
            self._waiting = rest
            jobs = [(uid, value) for uid, (value, _) in batch.items()]

            def tell(uid: str, outcome: Any, batch: dict[str, tuple[Any, asyncio.Future[Any]]] = batch) -> None:
                loop.call_soon_threadsafe(_answer, batch[uid][1], outcome)

            outcome: Exception = PrepareError("the driver is stopping")
            try:
                await loop.run_in_executor(self._thread, self._work, jobs, tell)
            except StoreError as error:
                outcome = error
            except RuntimeError as error:
                # Of an executor that takes no more work; anything else is a bug, as below.
                self._log("not begun", problem=str(error))
            except Exception as error:
                self._log("a bug in the kit", problem=repr(error), trace=traceback.format_exc())
                outcome = PrepareError(f"{type(error).__name__}: {error}")
            for _, answer in batch.values():
                _answer(answer, outcome)


def _answer(waiting: asyncio.Future[Any], outcome: Any) -> None:
    if not waiting.done():
        waiting.set_result(outcome)
