"""Makes sure that writes that were let pass have come or never will, by writing the claims ourselves.

The API server stores a write only in place of the version of the claim that it was made for. A patch of ours, which
changes nothing but an annotation, makes a later version: the server's answer shows whether the other write came first,
and afterwards it cannot come any more. This needs no waiting, and no assumption about how long a server may take.

Only where a policy of the cluster does not let us write a claim it is waited until no server can have the other write
still on its way, and then the claim is read from the storage.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Final

import aiohttp
import msgspec

from fairlead.controller.client import Client
from fairlead.controller.elector import clock
from fairlead.controller.events import UNKNOWN_OUTCOME, Refused, Write, version_of
from fairlead.controller.lock.index import Index
from fairlead.controller.lock.metrics import Cause, LockMetrics
from fairlead.kubernetes import AccessError, ServerError
from fairlead.resource import ResourceClaim, decode_hook

ANNOTATION: Final = "fairlead.dev/lock-settled"
"""Of claims: who wrote it last for this, and which time of his it was."""
_PATIENCE: Final = 10.0
"""Seconds after which a write that passed ought to have come: servers need milliseconds."""
_AT_ONCE: Final = 32
"""Requests on their way at one time."""
_AGAIN: Final = 1.0
"""Seconds until what failed is tried again."""
_RESOURCE: Final = "/apis/resource.k8s.io/v1"


class Settler:
    """Settles writes for one index."""

    def __init__(
        self,
        client: Client,
        index: Index,
        identity: str,
        window: float,
        log: Callable[..., None],
        metrics: LockMetrics,
    ) -> None:
        """Does nothing yet.

        Args:
            client: the API server.
            index: is told what comes out.
            identity: unlike that of anybody else, and of any before.
            window: seconds after which a write that passed has come or never will.
            log: takes an event's name and fields.
            metrics: counts what is settled.
        """
        self._client = client
        self._index = index
        self._identity = identity
        self._window = window
        self._log = log
        self._metrics = metrics
        self._numbers = itertools.count(1)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def begin(self, since: float) -> int:
        """Settles whatever was let pass by others, and returns how many claims that took.

        Args:
            since: when nobody else answered any more.
        """
        keys = self._index.unallocated()
        open_ = dict.fromkeys(keys, 0)
        while open_:
            for key in open_:
                known = self._index.claim(key)
                open_[key] = version_of(known) if known is not None else open_[key]
            await self._settle_all(open_, since, "taking over")
            if open_:
                self._log("not settled", claims=len(open_), first=next(iter(open_)))
                await asyncio.sleep(_AGAIN)
        return len(keys)

    async def look(self) -> None:
        """Settles what we let pass some time ago and what did not come."""
        overdue = dict(self._index.overdue(clock() - _PATIENCE))
        if overdue:
            self._log("settling", claims=sorted(overdue))
            await self._settle_all(overdue, None, "overdue")

    async def _settle_all(self, open_: dict[str, int], since: float | None, cause: Cause) -> None:
        """Removes those that could be settled."""
        asked = list(open_.items())
        done = await asyncio.gather(*[self._settle(key, base, since) for key, base in asked])
        for (key, _), settled in zip(asked, done, strict=True):
            if settled:
                del open_[key]
                self._metrics.settled(cause)

    async def _settle(self, key: str, base: int, since: float | None) -> bool:
        """Settles the writes for a version of a claim; returns whether that worked."""
        namespace, _, name = key.rpartition("/")
        if since is None and await self._came(key, namespace, name, base):
            return True  # only our watch is behind
        body = {"metadata": {"annotations": {ANNOTATION: f"{self._identity}/{next(self._numbers)}"}}}
        async with self._slots:
            answer = await self._client.send(Write("touch", "ResourceClaim", namespace, name, "", base, body))
        if not isinstance(answer, Refused):
            assert isinstance(answer.object, ResourceClaim)
            self._index.answered(answer.object, clock())
            return True
        if answer.status == 404:
            self._index.settled(key, base)
            return True
        if answer.status == UNKNOWN_OUTCOME:
            return False
        self._log("may not settle", claim=key, status=answer.status, problem=answer.message)
        since = self._index.passed_last(key) if since is None else since
        if clock() < since + self._window:
            return False
        return await self._read(key, namespace, name, base)

    async def _came(self, key: str, namespace: str, name: str, base: int) -> bool:
        """Whether the storage has a later version already, or the claim no more."""
        found = await self._get(namespace, name)
        if found is None:
            self._index.settled(key, base)
        elif isinstance(found, ResourceClaim) and version_of(found) > base:
            self._index.answered(found, clock())
        else:
            return False
        return True

    async def _read(self, key: str, namespace: str, name: str, base: int) -> bool:
        """Settles what is certain by now to have come or to come never."""
        found = await self._get(namespace, name)
        if isinstance(found, ResourceClaim):
            self._index.answered(found, clock())
        elif found is not None:
            return False
        self._index.settled(key, base)
        return True

    async def _get(self, namespace: str, name: str) -> ResourceClaim | Exception | None:
        """A claim as the storage has it, None where it has none, or why that is not known."""
        async with self._slots:
            try:
                answer = await self._client.request("GET", f"{_RESOURCE}/namespaces/{namespace}/resourceclaims/{name}")
                return msgspec.json.decode(answer, type=ResourceClaim, dec_hook=decode_hook)
            except ServerError as error:
                return None if error.status == 404 else error
            except (aiohttp.ClientError, TimeoutError, OSError, AccessError, msgspec.DecodeError) as error:
                return error
