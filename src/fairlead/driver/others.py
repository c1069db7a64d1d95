"""What others have of this node's devices: device plugins (kubelet says so), and pools that many nodes reach.

What was known stays where it cannot be asked for; it is told when that begins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from fairlead.driver.api import Api, ApiError
from fairlead.driver.coexistence import Offer
from fairlead.driver.podresources import PodResourcesError, offers
from fairlead.driver.shared import Shared, read_shared
from fairlead.driver.steps import Log


class Others:
    """What one driver knows of the others."""

    def __init__(self, api: Api, pod_resources: Path, shared_pools: bool, log: Log) -> None:
        """Args:
        api: the way to the API server.
        pod_resources: kubelet's socket that says what device plugins offer.
        shared_pools: whether this driver itself publishes the pools that many nodes reach.
        log: is told what cannot be asked for.
        """
        self.offers: frozenset[Offer] = frozenset()
        self.shared: Shared | None = None
        """What is published of pools that many nodes reach; None as long as that is not known."""
        self._api = api
        self._pod_resources: Final = pod_resources
        self._shared_pools: Final = shared_pools
        self._log = log
        self._not_said = ""

    @property
    def known(self) -> bool:
        """Whether a driver may publish: what many nodes reach must not be published by one of them, too."""
        return self._shared_pools or self.shared is not None

    async def ask(self) -> None:
        """Learns what there is now."""
        await self.ask_kubelet()
        if self._shared_pools:
            return
        try:
            self.shared = await read_shared(self._api)
        except (ApiError, msgspec.MsgspecError) as error:
            self._log("not known what many nodes reach", problem=str(error))

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
