"""Tells of what is held more than once: in the log, and by an Event on each claim and pod concerned.

Each is told once by a leader; the Event's name follows from what it says, so the server itself refuses it when it was
told before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from fairlead.controller.client import Client
from fairlead.controller.events import Refused
from fairlead.controller.lock.duplicates import Duplicate
from fairlead.controller.lock.index import Index
from fairlead.controller.lock.standing import Standing
from fairlead.controller.patches import About, event

REASON: Final = "HeldTwice"
_MOST: Final = 100
"""Events in one turn."""


class Teller:
    """Looks at what changed in an index."""

    def __init__(self, client: Client, index: Index, log: Callable[..., None]) -> None:
        """Has told nothing yet.

        Args:
            client: the API server.
            index: who holds what.
            log: takes an event's name and fields.
        """
        self._client = client
        self._index = index
        self._log = log
        self._standing = Standing(index)
        self._told: set[Duplicate] = set()

    @property
    def count(self) -> int:
        """How many devices, capacities and counters are held too often, as of the last turn."""
        return len(self._standing.found)

    async def tell(self) -> None:
        """Tells what was not told yet; looks at what changed since the last time only."""
        left = _MOST
        for one in self._standing.look():
            if one in self._told:
                continue
            self._told.add(one)
            self._log("held twice", kind=one.kind, what=one.what, holders=[holder.claim for holder in one.holders])
            left -= await self._events(one) if left > 0 else 0

    async def _events(self, one: Duplicate) -> int:
        """An Event on each claim and each of their pods; returns how many."""
        text = f"{one}. Evict one of the pods first: docs/lock.md says how."
        about = []
        for holder in one.holders:
            claim = self._index.claim(holder.claim)
            if claim is None:
                continue
            about.append(About("resource.k8s.io/v1", "ResourceClaim", claim.namespace, claim.name, claim.metadata.uid))
            about += [
                About("v1", "Pod", claim.namespace, user.name, user.uid)
                for user in claim.status.reserved_for
                if user.resource == "pods"
            ]
        for target in about:
            answer = await self._client.send(event(target, REASON, text, datetime.now(UTC)))
            if isinstance(answer, Refused) and answer.status != 409:
                self._log("not told", object=f"{target.kind} {target.namespace}/{target.name}", problem=answer.message)
        return len(about)
