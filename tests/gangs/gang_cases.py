"""Random small gangs over all features: what the brute force can still try."""

import random
from dataclasses import dataclass

from fairlead.placement.gangs import Costs, Gang, Offer, Role, Site, Slices


@dataclass(frozen=True)
class Case:
    levels: tuple[str, ...]
    sites: list[Site]
    gang: Gang
    offers: list[Offer]


def random_case(seed: int) -> Case:
    rng = random.Random(seed)
    levels = ("zone", "block", "rack")[3 - rng.randint(1, 3) :]
    roles = tuple(Role(name, rng.randint(1, 4)) for name in ("worker", "leader")[: rng.choice((1, 1, 2))])
    if len(roles) == 1:
        roles = (Role("worker", rng.randint(1, 6)),)
    single = rng.random() < 0.4
    sites = [
        Site(f"n{place}", tuple(_id(rng, level) for level in levels), rng.randrange(3))
        for place in range(rng.randint(2, 6 if single else 5))
    ]
    size = sum(role.count for role in roles)
    slices = None
    if rng.random() < 0.4:
        sizes = [each for each in range(1, size + 1) if size % each == 0]
        slices = Slices(rng.choice(levels), rng.choice(sizes), balanced=rng.random() < 0.5)
    prefer = None
    if rng.random() < 0.4:
        prefer = tuple(rng.sample(levels, rng.randint(0, len(levels))))
    gang = Gang(
        roles=roles,
        limits={level: rng.choice((1, 1, 2)) for level in levels if rng.random() < 0.3},
        slices=slices,
        prefer=prefer,
        aligned=rng.random() < 0.2,
    )
    offers = [
        Offer(f"offer {place}", rng.choice((0, 0, 1)), {kind: _costs(rng, roles, single) for kind in range(3)})
        for place in range(rng.randint(1, 3))
    ]
    return Case(levels, sites, gang, offers)


def _id(rng: random.Random, level: str) -> str | None:
    return rng.choice((None, "")) if rng.random() < 0.1 else f"{level}{rng.randrange(2)}"


def _costs(rng: random.Random, roles: tuple[Role, ...], single: bool) -> Costs:
    if rng.random() < 0.1:
        return ()
    if single and len(roles) == 1:
        return (rng.randrange(6),)
    if len(roles) == 1:
        return tuple(None if rng.random() < 0.1 else rng.randrange(8) for _ in range(rng.randint(1, 3)))
    vectors = [(workers, leaders) for workers in range(3) for leaders in range(2) if workers + leaders]
    return {vector: rng.randrange(8) for vector in vectors if rng.random() < 0.8}
