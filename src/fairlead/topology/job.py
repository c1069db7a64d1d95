"""What the GPUs of a job over several nodes can move: the least of what its nodes do inside and between each other.

Between nodes it is the fabric between GPUs when all of them are in one domain of it, as told by the devices or by a
label. Otherwise it is the network: the NICs of the node with the least, divided by how much its way is shared. That is
the greatest oversubscription from the narrowest level that all nodes share downward, and `cross_rail` when the nodes
use different rails. A hop between two nodes uses all NICs of the set, as collectives run several rings side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

from fairlead.topology.bandwidth import Bandwidth
from fairlead.topology.rules import Figure, Rules
from fairlead.topology.tree import Tree
from fairlead.topology.wiring import Wiring


class _Member(NamedTuple):
    node: str
    wiring: Wiring
    devices: frozenset[int]
    inside: Bandwidth

    @property
    def gpus(self) -> list[int]:
        return [device for device in self.devices if self.wiring.locations[device].kind == "gpu"]


def job_bandwidth(members: Sequence[tuple[str, Wiring, Iterable[int]]], tree: Tree, rules: Rules) -> Bandwidth:
    """The bandwidth of a gang.

    Args:
        members: node, its wiring, the devices there. Members on one node count together; those without GPUs do not
            count when others have some.
        tree: which domains the nodes share.
        rules: what levels and links carry.
    """
    joined = _joined(members)
    with_gpus = [member for member in joined if member.gpus]
    if not joined:
        return Bandwidth(inf, inf, 0.0, ())
    used = with_gpus or joined
    if len(used) == 1:
        return used[0].inside
    slowest = min(used, key=lambda member: (member.inside.all_reduce, member.inside.ring))
    parts = [f"{slowest.node}: {part}" for part in slowest.inside.parts[:1] if slowest.inside.ring < inf]
    least = min(used, key=lambda member: member.inside.network)
    factor, reasons = _sharing(used, tree, rules)
    network = least.inside.network / factor
    nvlink = _fabric(used, tree, rules) if with_gpus else None
    if nvlink is not None:
        between = nvlink.gbytes
        parts.append(f"between nodes: nvlink {between:g} GB/s ({nvlink.source})")
    else:
        between = network
        parts.append(f"between nodes: network of {least.node} {network:g} GB/s")
        parts += [*(f"{least.node}: {part}" for part in _network_parts(least)), *reasons]
    if not with_gpus:
        return Bandwidth(inf, inf, network, tuple(parts))
    ring = min(between, *(member.inside.ring for member in used))
    all_reduce = min(between, *(member.inside.all_reduce for member in used))
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


def _network_parts(member: _Member) -> tuple[str, ...]:
    return member.inside.parts if member.inside.ring == inf else member.inside.parts[1:]


def _fabric(members: Sequence[_Member], tree: Tree, rules: Rules) -> Figure | None:
    """The figure of the fabric that joins all GPUs of all members, None when none does."""
    names: set[str] = set()
    published: set[str] = set()
    for member in members:
        for gpu in member.gpus:
            model, location = member.wiring.models[gpu], member.wiring.locations[gpu]
            if model is None or model.fabric is None or not model.fabric.spans or location.part:
                return None
            names.add(model.fabric.figure)
            published.add(location.nvlink if location.spans else "")
    if len(names) > 1:
        return None
    labelled = any(
        rules.levels[level.name].nvlink and len(domains) == 1 and "" not in domains
        for level in tree.levels
        if level.name in rules.levels
        for domains in [{tree.domain(member.node, level.name) for member in members}]
    )
    if not labelled and (len(published) != 1 or "" in published):
        return None
    return rules.figures[names.pop()]


def _sharing(members: Sequence[_Member], tree: Tree, rules: Rules) -> tuple[float, list[str]]:
    """How many times less than its NICs a node has on the way to the others, and why."""
    paths = [tree.paths.get(member.node, ("",) * len(tree.levels)) for member in members]
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
    """The rails of the NICs of a member; None when one is unknown."""
    found = set()
    for device in member.devices:
        location = member.wiring.locations[device]
        if location.kind in ("nic", "dpu"):
            if location.rail is None:
                return None
            found.add(location.rail)
    return frozenset(found)
