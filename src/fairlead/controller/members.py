"""Pods that join a group of which others have their place: members made anew, and those beyond the least number.

They are placed as near to the others as there is room, domain by domain from the narrowest level up, and never outside
the domains that the group's annotation requires. Where it asks for slices, they go to the domains in which a slice is
incomplete. What the group asks of rails and matching attributes holds among those who are placed together.

Of a group that may run with fewer pods than there are, all are placed if there is room, else as many as it needs.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from fairlead.placement import GANG, AskError, GangAsk, ask_of
from fairlead.resource import PlannedPod, Pod
from fairlead.topology import Tree

_ALONE: Final = 8
"""Pods that are tried alone, where not all of those that could join fit."""


def ask_of_group(pods: Sequence[Pod]) -> GangAsk:
    """What a group asks of where its pods go; nothing where that cannot be read, which planning tells."""
    try:
        return ask_of([PlannedPod(pod, "", None, ()) for pod in pods])
    except AskError:
        return GangAsk()


def without_slices(pod: PlannedPod, ask: GangAsk) -> PlannedPod:
    """The pod with what its group asks but for slices, of which those that join are only a part."""
    if ask.slices is None or GANG not in pod.pod.metadata.annotations:
        return pod
    text = msgspec.json.encode(replace(ask, slices=None)).decode()
    meta = pod.pod.metadata
    meta = replace(meta, annotations={**meta.annotations, GANG: text})
    return dataclasses.replace(pod, pod=replace(pod.pod, metadata=meta))


def choices(pods: Sequence[PlannedPod], missing: int) -> Iterator[Sequence[PlannedPod]]:
    """Which pods of a group to place together: all, else those that it cannot do without, else any of them.

    Args:
        pods: those that wait.
        missing: how many of them the group needs at least.
    """
    yield pods
    by_age = sorted(pods, key=lambda one: (one.pod.metadata.creation_timestamp or "", one.pod.name))
    if 0 < missing < len(pods):
        yield by_age[:missing]
    elif missing <= 0 and len(pods) > 1:
        for pod in by_age[:_ALONE]:
            yield [pod]


def regions(tree: Tree, ask: GangAsk, homes: Sequence[str]) -> Iterator[frozenset[str] | None]:
    """Where pods may go that join others: sets of nodes, the nearest first; None for all nodes.

    Args:
        tree: the levels of the cluster, with those that the group names.
        ask: what the group asks.
        homes: the node of each pod that has its place.
    """
    allowed: frozenset[str] | None = None
    labels = {level.label: level.name for level in tree.levels}
    for level in ask.required:
        allowed = _within(allowed, _around(tree, labels.get(level, level), set(homes)))
    if ask.slices is not None:
        allowed = _within(allowed, _incomplete(tree, labels.get(ask.slices.level, ask.slices.level), ask, homes))
    tried: set[frozenset[str]] = set()
    for one in reversed(tree.levels):
        near = _within(allowed, _around(tree, one.name, set(homes)))
        if near and near not in tried:
            tried.add(near)
            yield near
    if allowed is None or allowed not in tried:
        yield allowed


def _around(tree: Tree, level: str, homes: set[str]) -> frozenset[str] | None:
    """The nodes in the domains of the others; None where the level is not known."""
    domains = {tree.domain(node, level) for node in homes} - {""}
    if not domains:
        return None
    return frozenset(node for node in tree.paths if tree.domain(node, level) in domains)


def _incomplete(tree: Tree, level: str, ask: GangAsk, homes: Sequence[str]) -> frozenset[str] | None:
    """The nodes in the domains that have part of a slice; None where every slice is whole."""
    assert ask.slices is not None
    counts = Counter(tree.domain(node, level) for node in homes)
    domains = {domain for domain, count in counts.items() if domain and count % ask.slices.size}
    return frozenset(node for node in tree.paths if tree.domain(node, level) in domains) if domains else None


def _within(allowed: frozenset[str] | None, nodes: frozenset[str] | None) -> frozenset[str] | None:
    if allowed is None or nodes is None:
        return nodes if allowed is None else allowed
    return allowed & nodes
