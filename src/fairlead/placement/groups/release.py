"""Which running work would make room for a gang by ending: `3 nodes of rack r7 free when Job team-b/train-2 ends`.

Only whole workloads are looked at, one at a time: all claims whose pods have one owner. What counts is on how many more
nodes one pod of the gang would fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.allocator import decide
from fairlead.allocator.moves import standing
from fairlead.allocator.slot import bits
from fairlead.placement.gangs import Shortage
from fairlead.placement.groups.roles import PodRole
from fairlead.placement.planner import Planner
from fairlead.topology import Tree

_MOST_NODES = 2_000
_SHOWN = 3


def releases(planner: Planner, roles: Sequence[PodRole], shortage: Shortage, tree: Tree) -> tuple[str, ...]:
    """What would become free where the gang nearly fits, the workload that frees most first."""
    role = max(roles, key=lambda role: len(role.pods))
    wanted = [planner.wanted(claim) for claim in role.claims if planner.claims.present(claim).status.allocation is None]
    short = shortage.shortfalls[-1] if shortage.shortfalls else None
    if short is None or not wanted:
        return ()
    refuses = planner.refusals(role.first)
    freed: dict[str, list[str]] = {}
    for name in _nodes(tree, short.level, short.domains)[:_MOST_NODES]:
        view = planner.view(name)
        if view is None or refuses(name) is not None or planner.site.allocator.allocate(view, wanted).fits:
            continue
        problem = planner.site.allocator.problem(view, tuple([claim.shape for claim in wanted]))
        owners: dict[str, set[str]] = {}
        for number in bits(view.occupancy.held | view.occupancy.started):
            for claim in view.holders(number):
                owners.setdefault(planner.claims.owner_of(claim), set()).add(claim)
        for owner, held in owners.items():
            if decide(problem, view, standing(problem, view.occupancy_without(held)), wanted).fits:
                freed.setdefault(owner, []).append(name)
    order = sorted(freed.items(), key=lambda item: (-len(item[1]), item[0]))
    missing = short.wanted - short.held
    texts = []
    for owner, names in order[:_SHOWN]:
        where = f" of {short.level} {short.domains[0][-1]}" if short.level and short.domains else ""
        count = f"{len(names)} more {'node' if len(names) == 1 else 'nodes'}{where} would have room"
        enough = "" if len(names) >= missing else f", {missing} pods are without a place"
        texts.append(f"when {owner} ends: {count}{enough}")
    return tuple(texts)


def _nodes(tree: Tree, level: str | None, domains: Sequence[tuple[str, ...]]) -> list[str]:
    """The nodes of the domains; all where none are named."""
    if level is None or not domains:
        return list(tree.paths)
    depth = next((at for at, one in enumerate(tree.levels) if one.name == level), len(tree.levels) - 1)
    among = set(domains)
    return [name for name, path in tree.paths.items() if tuple([part for part in path[: depth + 1] if part]) in among]
