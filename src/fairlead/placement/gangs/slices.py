"""Pods in slices of a fixed size: which numbers of pods a domain at the level of the slices may have.

Numbers of slices that differ by at most one are q or q + 1 for some q, so a balanced placement is the best of one
search for each q. It uses at least total / (q + 1) domains, rounded up: the largest q come first and the search can
stop.
"""

from dataclasses import dataclass

from fairlead.placement.gangs.demand import Gang


@dataclass(frozen=True, slots=True)
class Cut:
    """Pods that a domain at `depth` may have: multiples of `size`; if `few` is set, that many slices or one more."""

    depth: int
    size: int
    few: int | None = None

    def allows(self, pods: int) -> bool:
        """Whether a domain that is used may have that many pods."""
        slices, rest = divmod(pods, self.size)
        return not rest and (self.few is None or slices - self.few in (0, 1))

    def domains(self, pods: int) -> int:
        """The fewest domains that a gang of that many pods uses."""
        return 1 if self.few is None else -(-pods // (self.size * (self.few + 1)))


def cuts(gang: Gang, depth: int | None, root: int) -> list[Cut | None]:
    """The searches to make under a domain at depth `root`, with the slices' level at `depth`.

    Where the whole gang stays in one domain of the level, its number of pods is a multiple and balanced.
    """
    if gang.slices is None or depth is None or root >= depth:
        return [None]
    size = gang.slices.size
    if not gang.slices.balanced:
        return [Cut(depth, size)]
    return [Cut(depth, size, few) for few in range(gang.size // size, 0, -1)]
