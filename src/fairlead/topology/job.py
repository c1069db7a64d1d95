"""What the GPUs of a job over several nodes can move: the least of what they do together and apart.

Nodes whose GPUs all are in one domain of a fabric that spans nodes (told by a label, or by the devices) are a group,
and move what the fabric carries; any other node is a group alone. Between groups it is the network: the NICs of the
group that has the least, divided by how much the way is shared. That is the greatest oversubscription from the
narrowest level that all nodes share downward, and `cross_rail` when nodes use different rails. A hop between groups
uses all NICs of the set, as collectives run several rings side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from fairlead.topology.bandwidth import Bandwidth
from fairlead.topology.rules import Figure, Rules
from fairlead.topology.tree import Tree
from fairlead.topology.wiring import Wiring


@dataclass(frozen=True, slots=True)
class _Member:
    """All devices of the job on one node."""

    node: str
    wiring: Wiring
    devices: frozenset[int]
    inside: Bandwidth

    @property
    def gpus(self) -> list[int]:
        return [device for device in self.devices if self.wiring.locations[device].kind == "gpu"]


@dataclass(frozen=True, slots=True)
class _Group:
    """Members that need no network between each other."""

    members: tuple[_Member, ...]
    fabric: Figure | None

    @property
    def network(self) -> float:
        return sum(member.inside.network for member in self.members)

    @property
    def name(self) -> str:
        first = self.members[0].node
        return first if len(self.members) == 1 else f"{first} and {len(self.members) - 1} more in one NVLink domain"


def job_bandwidth(members: Sequence[tuple[str, Wiring, Iterable[int]]], tree: Tree, rules: Rules) -> Bandwidth:
    """The bandwidth of a gang.

    Args:
        members: node, its wiring, the devices there. Members on one node count together; those without GPUs do not
            count when others have some.
        tree: which domains the nodes share.
        rules: what levels and links carry.

    Returns:
        The `network` of several nodes is that of the group with the least, as far as the way carries it.
    """
    joined = _joined(members)
    used = [member for member in joined if member.gpus] or joined
    if not used:
        return Bandwidth(inf, inf, 0.0, ())
    if len(used) == 1:
        return used[0].inside
    groups = _groups(used, tree, rules)
    ring = min(member.inside.ring for member in used)
    all_reduce = min(member.inside.all_reduce for member in used)
    parts: list[str] = []
    if ring < inf:
        slowest = min(used, key=lambda member: (member.inside.all_reduce, member.inside.ring))
        parts.append(f"{slowest.node}: {slowest.inside.parts[0]}")
    for figure in dict.fromkeys(group.fabric for group in groups if group.fabric is not None):
        ring, all_reduce = min(ring, figure.gbytes), min(all_reduce, figure.gbytes)
        parts.append(f"between nodes of one domain: nvlink {figure.gbytes:g} GB/s ({figure.source})")
    least = min(groups, key=lambda group: group.network)
    factor, reasons = _sharing(used, tree, rules)
    network = least.network / factor
    if len(groups) > 1:
        parts += [f"between nodes: network of {least.name} {network:g} GB/s", *_network_parts(least), *reasons]
        if used[0].gpus:
            ring, all_reduce = min(ring, network), min(all_reduce, network)
    return Bandwidth(ring, all_reduce, network, tuple(parts))


def _joined(members: Sequence[tuple[str, Wiring, Iterable[int]]]) -> list[_Member]:
    wirings: dict[str, Wiring] = {}
    devices: dict[str, set[int]] = {}
    for node, wiring, given in members:
        wirings.setdefault(node, wiring)
        devices.setdefault(node, set()).update(given)
    # Nodes of one kind mostly give the same devices.
    known: dict[tuple[int, frozenset[int]], Bandwidth] = {}
    joined = []
    for node, wiring in wirings.items():
        chosen = frozenset(devices[node])
        key = (id(wiring), chosen)
        if key not in known:
            known[key] = wiring.bandwidth(chosen)
        joined.append(_Member(node, wiring, chosen, known[key]))
    return joined


def _groups(members: Sequence[_Member], tree: Tree, rules: Rules) -> list[_Group]:
    levels = [one.name for one in tree.levels if one.name in rules.levels and rules.levels[one.name].nvlink]
    found: dict[tuple[str, str], list[_Member]] = {}
    for member in members:
        figure, published = _fabric(member)
        domain = next((named for level in levels if (named := tree.domain(member.node, level))), published)
        key = (figure, f"domain {domain}") if figure and domain else ("", f"node {member.node}")
        found.setdefault(key, []).append(member)
    return [
        _Group(tuple(together), rules.figures[figure] if figure and len(together) > 1 else None)
        for (figure, _), together in found.items()
    ]


def _fabric(member: _Member) -> tuple[str, str]:
    """The fabric that spans nodes and joins all GPUs of a member, and its domain; "" where there is none."""
    figures: set[str] = set()
    domains: set[str] = set()
    for gpu in member.gpus:
        model, location = member.wiring.models[gpu], member.wiring.locations[gpu]
        spans = model is not None and model.fabric is not None and model.fabric.spans and not location.part
        figures.add(model.fabric.figure if spans and model is not None and model.fabric is not None else "")
        domains.add(location.nvlink if location.spans else "")
    return figures.pop() if len(figures) == 1 else "", domains.pop() if len(domains) == 1 else ""


def _network_parts(group: _Group) -> list[str]:
    if len(group.members) > 1:
        return []
    member = group.members[0]
    parts = member.inside.parts[1:] if member.inside.ring < inf else member.inside.parts
    if not member.inside.network:
        parts = (*parts, "no NIC of known speed in the set; the pod network is not counted")
    return [f"{member.node}: {part}" for part in parts]


def _sharing(members: Sequence[_Member], tree: Tree, rules: Rules) -> tuple[float, list[str]]:
    """How many times less than its NICs a node has on the way to the others, and why."""
    nowhere = ("",) * len(tree.levels)
    paths = [tree.paths.get(member.node, nowhere) for member in members]
    shared = -1
    for at in range(len(tree.levels)):
        domains = {path[at] for path in paths}
        if len(domains) == 1 and "" not in domains:
            shared = at
    passed = tree.levels[max(shared, 0) :]
    factor = max((rules.levels[one.name].oversubscription for one in passed if one.name in rules.levels), default=1.0)
    level = f"the nodes share a {tree.levels[shared].name}" if shared >= 0 else "the nodes share no level"
    reasons = [level + (f": the way between them is shared {factor:g} times" if factor > 1 else "")]
    rails = {_rails(member) for member in members}
    if None in rails:
        reasons.append("rails are unknown")
    elif len(rails) > 1:
        cross = rules.defaults.cross_rail
        factor *= cross
        reasons.append("the nodes use different rails" + (f": {cross:g} times less" if cross > 1 else ""))
    return factor, reasons


def _rails(member: _Member) -> frozenset[int] | None:
    """The rails of the NICs that count of a member; None when one is unknown."""
    found = set()
    for device in member.devices:
        model, location = member.wiring.models[device], member.wiring.locations[device]
        if location.kind in ("nic", "dpu") and model is not None and model.network:
            rail = location.rail
            if rail is None:
                return None
            found.add(rail)
    return frozenset(found)
