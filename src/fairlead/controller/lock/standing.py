"""What is held too often at the moment, as an index shows it; looks only where something may have changed."""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.controller.lock.duplicates import Duplicate, duplicates, pools_of
from fairlead.controller.lock.index import Index
from fairlead.inventory import PoolId


class Standing:
    """The duplicates of one index."""

    def __init__(self, index: Index) -> None:
        """Has not looked yet."""
        self._index = index
        self._everything = True
        self._pools: set[PoolId] = set()
        """Where something is held too often."""
        self.found: Sequence[Duplicate] = ()
        """As of the last look."""

    def look(self) -> Sequence[Duplicate]:
        """Looks at what changed since the last time, and returns all that is held too often."""
        touched = self._index.touched()
        if not touched and not self._everything:
            return self.found
        # A claim that gave something back does not say any more where: what was found is looked at again.
        pools = None if self._everything else self._pools_of(touched) | self._pools
        self._everything = False
        self.found = duplicates(self._index.inventory, pools, self._index.waiting)
        self._pools = self._pools_of({holder.claim for one in self.found for holder in one.holders})
        return self.found

    def _pools_of(self, claims: set[str]) -> set[PoolId]:
        known = [self._index.claim(key) for key in claims]
        return {pool for claim in known if claim is not None for pool in pools_of(claim)}
