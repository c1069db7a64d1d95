"""What others have of this node's devices: device plugins (kubelet says so), pools that many nodes reach, and drivers
that go before ours.

What was known stays where it cannot be asked for; it is told when that begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from fairlead.driver.api import Api, ApiError
from fairlead.driver.coexistence import Offer
from fairlead.driver.neighbours import Neighbours, read_taken, ready
from fairlead.driver.podresources import PodResourcesError, offers
from fairlead.driver.shared import Shared, read_shared
from fairlead.driver.steps import Log

_SHARED: Final = ("not known what many nodes reach", "known again what many nodes reach")
_TAKEN: Final = ("not known what other drivers have", "known again what other drivers have")
"""The events of the beginning and of the end of what cannot be asked for."""


class Others:
    """What one driver knows of the others."""

    def __init__(
        self,
        api: Api,
        node: str,
        first: Sequence[str],
        neighbours: Neighbours,
        pod_resources: Path,
        shared_pools: bool,
        log: Log,
    ) -> None:
        """Args:
        api: the way to the API server.
        node: the node's name.
        first: the drivers that this one gives way to.
        neighbours: the drivers of this process.
        pod_resources: kubelet's socket that says what device plugins offer.
        shared_pools: whether this driver itself publishes the pools that many nodes reach.
        log: is told what cannot be asked for.
        """
        self.offers: frozenset[Offer] = frozenset()
        self.shared: Shared | None = None
        """What is published of pools that many nodes reach; None as long as that is not known."""
        self.taken: Mapping[str, str] = {}
        """The hardware of this node that drivers before this one show, with the driver's name."""
        self._taken_known = not first
        self._api = api
        self._node: Final = node
        self._first: Final = first
        self._neighbours: Final = neighbours
        self._pod_resources: Final = pod_resources
        self._shared_pools: Final = shared_pools
        self._log = log
        self._not_said = ""
        self._unknown: Final[set[tuple[str, str]]] = set()

    @property
    def known(self) -> bool:
        """Whether a driver may publish: what many nodes reach, or a driver before it has, must not be shown twice."""
        return self._shared_pools or (self.shared is not None and self._taken_known)

    async def ask(self) -> None:
        """Learns what there is now."""
        await self.ask_kubelet()
        if self._shared_pools:
            return
        try:
            self.shared = await read_shared(self._api)
            self._tell_again(_SHARED)
        except (ApiError, msgspec.MsgspecError) as error:
            self._tell(_SHARED, error)
        if not self._first:
            return
        try:
            self.taken = await read_taken(self._api, self._node, self._first, self._neighbours)
            self._taken_known = self._taken_known or ready(self._first, self.taken, self._neighbours)
            self._tell_again(_TAKEN)
        except (ApiError, msgspec.MsgspecError) as error:
            self._tell(_TAKEN, error)

    def _tell(self, what: tuple[str, str], error: Exception) -> None:
        self._unknown.add(what)
        self._log(what[0], problem=str(error))

    def _tell_again(self, what: tuple[str, str]) -> None:
        if what in self._unknown:
            self._unknown.discard(what)
            self._log(what[1])

    async def ask_kubelet(self) -> bool:
        """Learns what device plugins offer; whether that is news."""
        before, problem = self.offers, ""
        try:
            self.offers = await offers(self._pod_resources)
        except PodResourcesError as error:
            problem = str(error)
        if problem and problem != self._not_said:
            self._log("kubelet does not say what device plugins offer", problem=problem)
        self._not_said = problem
        return self.offers != before
