"""The nodes that a gang is placed on, grouped by where they are and kept so.

A domain is named by its path: equal ids under different wider domains are different domains. Where an id is unknown
(None or ""), the domain is taken to be just wide enough: it holds the sites that share the next narrower id that is
known, or if there is none the site alone. It is marked as not known, and a gang that limits its level does not use it.

Sites keep the order in which they were first put; of choices that are equally good, that order decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """A node: sites of one kind differ only in name and path.

    Attributes:
        path: domain ids, one for each level from the widest to the narrowest; None or "" where unknown.
        kind: what the keys of `Offer.kinds` are.
    """

    name: str
    path: tuple[str | None, ...]
    kind: int


class Domain:
    """Sites that share a path, down to one level (the root: all sites).

    Attributes:
        path: known ids from the widest level to this one.
        known: whether the id at this domain's own level is known (true for the root).
        order: where the first site of the domain stands among all sites.
        children: domains of the next level, empty for the narrowest.
        members: of a narrowest domain, its sites in order by their position.
    """

    __slots__ = ("children", "kinds_cache", "known", "members", "order", "path")

    def __init__(self, path: tuple[str, ...], known: bool, order: int) -> None:
        self.path = path
        self.known = known
        self.order = order
        self.children: dict[object, Domain] = {}
        self.members: dict[int, Site] = {}
        self.kinds_cache: tuple[int, ...] | None = None

    @property
    def kinds(self) -> tuple[int, ...]:
        """The kinds of a narrowest domain's sites, sorted, one entry for each site."""
        if self.kinds_cache is None:
            self.kinds_cache = tuple(sorted(site.kind for site in self.members.values()))
        return self.kinds_cache


class Sites:
    """Sites by domain; `put` and `remove` keep the grouping up to date, so that a decision need not make it again.

    Attributes:
        levels: names of the levels, from the widest to the narrowest; may be empty.
        root: the domain of all sites.
    """

    def __init__(self, levels: Sequence[str], sites: Iterable[Site] = ()) -> None:
        self.levels = tuple(levels)
        if len(set(self.levels)) < len(self.levels):
            raise ValueError("a level is named twice")
        self.root = Domain((), True, 0)
        self._places: dict[str, tuple[int, Site]] = {}
        self._count = 0
        for site in sites:
            self.put(site)

    def __len__(self) -> int:
        return len(self._places)

    def get(self, name: str) -> Site | None:
        """The site of that name."""
        place = self._places.get(name)
        return place[1] if place else None

    def put(self, site: Site) -> None:
        """Adds a site, or replaces the one of the same name, which keeps its position.

        Raises:
            ValueError: the path has not one id for each level.
        """
        if len(site.path) != len(self.levels):
            raise ValueError(f"site {site.name!r}: {len(site.path)} domain ids for {len(self.levels)} levels")
        place = self._places.get(site.name)
        if place is None:
            position = self._count
            self._count += 1
        else:
            position = place[0]
            if place[1] == site:
                return
            if place[1].path != site.path:
                self._take_out(position, place[1])
        self._places[site.name] = (position, site)
        domain = self.root
        for depth, key in enumerate(_keys(site)):
            child = domain.children.get(key)
            if child is None:
                known = bool(site.path[depth])
                child = Domain(tuple(part for part in site.path[: depth + 1] if part), known, position)
                domain.children[key] = child
            child.order = min(child.order, position)
            domain = child
        domain.members[position] = site
        domain.kinds_cache = None

    def remove(self, name: str) -> None:
        """Takes a site out; a name that is not there is no error."""
        place = self._places.pop(name, None)
        if place is not None:
            self._take_out(*place)

    def _take_out(self, position: int, site: Site) -> None:
        trail: list[tuple[Domain, object]] = []
        domain = self.root
        for key in _keys(site):
            trail.append((domain, key))
            domain = domain.children[key]
        del domain.members[position]
        domain.kinds_cache = None
        if not domain.members:
            for parent, key in reversed(trail):
                child = parent.children[key]
                if child.children or child.members:
                    break
                del parent.children[key]


def _keys(site: Site) -> list[object]:
    """What tells the domain at each level from its siblings."""
    keys: list[object] = []
    stand_in: object = (0, site.name)
    for part in reversed(site.path):
        if part:
            keys.append(part)
            stand_in = (1, part)
        else:
            keys.append(stand_in)
    keys.reverse()
    return keys
