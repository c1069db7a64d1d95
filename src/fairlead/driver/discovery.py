"""One look at the hardware: what the author's code finds, without what others offer, checked before anybody sees it.

What could not be read, and what others have, is told when it begins and when it ends, not at every look.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from fairlead.driver.author import Driver, Pool
from fairlead.driver.coexistence import Offer, withhold, withhold_shared, withhold_taken
from fairlead.driver.inventory import DiscoveryError, Inventory, make_inventory
from fairlead.driver.shared import Shared
from fairlead.driver.sifting import sift
from fairlead.driver.slices import Publication
from fairlead.driver.steps import Log


class Discovery:
    """The looks of one driver at its hardware, in the driver's own thread."""

    def __init__(self, driver: Driver, of: Publication, log: Log) -> None:
        """Args:
        driver: the author's code.
        of: whose slices these will be.
        log: is told what could not be read.
        """
        self._driver: Final = driver
        self._of: Final = of
        self._log: Final = log
        self._unread: set[str] = set()
        self._withheld: set[str] = set()
        """What others have, which is no trouble: a device of a fabric, or one that a device plugin offers."""

    def look(
        self, offers: Collection[Offer], shared: Shared | None = None, taken: Mapping[str, str] | None = None
    ) -> Inventory:
        """What is there now and may be published.

        Args:
            offers: what device plugins of the node offer.
            shared: what is published of pools that many nodes reach; None where it is not known, or where these pools
                are discovered to be published.
            taken: the hardware of the node that drivers before this one show, with the driver's name.

        Raises:
            DiscoveryError: the driver failed, or what it found cannot be published.
        """
        try:
            if self._driver.known_from_slices and shared is not None:
                found: Pool | Iterable[Pool] = shared.pools(self._driver.name)
            else:
                found = self._driver.discover()
            seen = [found] if isinstance(found, Pool) else list(found)
            unread = _problems(seen)
            pools = withhold(seen, offers, self._driver.plugin_resources)
            if shared is not None:
                pools = withhold_shared(pools, shared.identities(self._driver.name))
            if taken:
                pools = withhold_taken(pools, taken)
            inventory = make_inventory(pools, self._of.node)
            withheld = _problems(inventory.pools) - unread
            left, refused = sift(self._of, inventory.pools)
            if left is not inventory.pools:
                inventory = make_inventory(left, self._of.node)
        except DiscoveryError:
            raise
        except OSError as error:  # the machine's doing, not a bug of the author
            raise DiscoveryError(f"{type(error).__name__}: {error}") from error
        except Exception as error:  # whatever the author's code raises
            self._log("the driver failed", problem=repr(error), trace=traceback.format_exc())
            raise DiscoveryError(f"{type(error).__name__}: {error}") from error
        if refused:
            raise DiscoveryError("; ".join(map(str, refused[:5])))
        unread = _problems(inventory.pools) - withheld
        self._tell(unread, self._unread, "could not be discovered", "can be discovered again")
        self._tell(withheld, self._withheld, "left to others", "not left to others any more")
        self._unread, self._withheld = unread, withheld
        return inventory

    def _tell(self, now: set[str], before: set[str], begins: str, ends: str) -> None:
        for problem in sorted(now - before):
            self._log(begins, problem=problem)
        for problem in sorted(before - now):
            self._log(ends, problem=problem)


def _problems(pools: Iterable[Pool]) -> set[str]:
    return {problem for pool in pools for problem in pool.problems}
