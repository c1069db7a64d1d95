"""What would help a pod that fits nowhere: the changes that would make it fit, summed over nodes.

`Advisor` is a policy around another one. It sees every decision that the planner makes, so when a pod has no node it
can ask what would have helped on the very state on which the pod was tried.

The planner gives the same decision for a node as long as nothing changes there, so what was found for a decision is
kept, and a pod that is tried again costs a look at the nodes that changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fairlead.allocator import Allocator, Decision, Relaxation, Relaxations, Relaxer
from fairlead.placement.cluster import Cluster
from fairlead.placement.policy import Candidate, FirstFit, Policy, Ranking
from fairlead.resource import DeviceClass, PlannedPod

_NODES: Final = 200
"""On how many nodes an advisor looks for what would help."""
_DECISIONS: Final = 2_000
"""How many decisions it makes for a pod."""
_SEARCHES: Final = 50
"""For how many pods, pods in the very same situation counted once: a plan that mostly fails must not take long."""
_EFFORT: Final = 100
"""How many of them on one node, for single changes."""
_LOOKS_KEPT: Final = 2_000
_OF_CLAIM: Final = re.compile(r" of claim (\S+)")


@dataclass(frozen=True, slots=True)
class Help:
    """A change after which the pod would fit, and the nodes where it would."""

    relaxation: Relaxation
    nodes: tuple[str, ...]


def sum_up(by_node: Mapping[str, Sequence[Relaxation]]) -> tuple[Help, ...]:
    """The changes of all nodes, smallest first; of equal ones, that which helps on most nodes.

    Of counts of one request that would fit here and there only the greatest is kept.
    """
    nodes: dict[str, list[str]] = {}
    firsts: dict[str, Relaxation] = {}
    for node, found in by_node.items():
        for relaxation in found:
            firsts.setdefault(relaxation.text, relaxation)
            nodes.setdefault(relaxation.text, []).append(node)
    most: dict[tuple[str, tuple[str, ...]], int] = {}
    for one in firsts.values():
        if one.kind == "lower-count":
            key = (one.claim, one.requests)
            most[key] = max(most.get(key, 0), one.count)
    kept = [one for one in firsts.values() if one.kind != "lower-count" or one.count == most[one.claim, one.requests]]
    kept.sort(key=lambda one: (*one.order[:2], -len(nodes[one.text]), one.text))
    return tuple(Help(one, tuple(nodes[one.text])) for one in kept)


class Search:
    """Looks for changes on the nodes on which a pod was tried, as long as its decisions last."""

    def __init__(self, cluster: Cluster) -> None:
        self._features = cluster.features
        self._classes = tuple(cluster.classes)
        self._looked: dict[tuple[int, frozenset[str]], tuple[Decision, Relaxations]] = {}
        """By decision, and the claims that the pod has: what was found."""
        self._forget()

    def set_classes(self, classes: Iterable[DeviceClass]) -> None:
        """Replaces all device classes."""
        self._classes = tuple(classes)
        self._forget()

    def _forget(self) -> None:
        self._looked.clear()
        # An allocator of its own: nothing that is tried here is kept by the planner's.
        self._relaxer = Relaxer(Allocator(self._classes, self._features))

    def look(
        self, pod: PlannedPod, decisions: Iterable[Decision], *, nodes: int, total: int, effort: int
    ) -> dict[str, Relaxations]:
        """What would help on each node, by its name.

        Args:
            pod: the pod.
            decisions: that its claims do not fit, one a node; on the state that is to be asked about.
            nodes: on how many of the nodes to look; nodes of every kind of hardware are among them.
            total: decisions for all of them; nodes beyond are left out.
            effort: decisions for single changes on one node.
        """
        alike: dict[int, int] = {}
        order: list[tuple[int, int, Decision]] = []
        for position, decision in enumerate(decisions):
            rank = alike[id(decision.problem)] = alike.get(id(decision.problem), -1) + 1
            order.append((rank, position, decision))
        order.sort(key=lambda item: item[:2])
        keep = frozenset(used.claim.key for used in pod.claims if used.claim.status.allocation is not None)
        own = _open_claims(pod)
        if len(self._looked) >= _LOOKS_KEPT:
            self._forget()
        found: dict[str, Relaxations] = {}
        for _, _, decision in order[:nodes]:
            if total <= 0:
                break
            known = self._looked.get((id(decision), keep))
            if known is None:
                across = decision.problem.across
                looked = self._relaxer.look(
                    decision.view, decision.claims, keep=keep, effort=min(effort, total), across=across
                )
                known = self._looked[id(decision), keep] = (decision, looked)
                total -= looked.decisions
            found[decision.view.name] = _addressed(known[1], [claim.name for claim in decision.claims], own)
        return found


class Advisor:
    """A policy that chooses as another one does, and keeps the best advice for each pod that gets no node."""

    def __init__(self, cluster: Cluster, policy: Policy | None = None) -> None:
        self._policy = policy or FirstFit()
        self.ranking = self._policy if isinstance(self._policy, Ranking) else None
        """The order of nodes that the other policy brings."""
        self._search = Search(cluster)
        self._known: dict[tuple[object, ...], tuple[Sequence[Decision], list[str], Help | None]] = {}
        self._fruitless: dict[int, tuple[object, Sequence[Decision]]] = {}
        """By candidates that come as a whole, the decisions on them: what fitted nothing is not looked at again."""
        self._searches = 0
        self.advice: dict[str, Help] = {}
        """By `namespace/name` of pods without a node: the smallest change that would have given it one."""

    def set_classes(self, classes: Iterable[DeviceClass]) -> None:
        """Takes note of other device classes."""
        self._search.set_classes(classes)
        self._known.clear()

    def begin(self) -> None:
        """Begins with other pods: no advice is there, and as many searches may be made as in the beginning."""
        self.advice.clear()
        self._fruitless.clear()
        self._searches = 0

    def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
        """The other policy's choice."""
        known = self._fruitless.get(id(candidates))
        if known is not None:
            self._advise(pod, known[1])
            return None
        tried: list[Candidate] = []

        def noted() -> Iterator[Candidate]:
            for candidate in candidates:
                tried.append(candidate)
                yield candidate

        chosen = self._policy.choose(pod, noted())
        if chosen is None:
            decisions = [c.decision for c in tried if c.decision is not None and not c.decision.fits]
            if isinstance(candidates, tuple):
                self._fruitless[id(candidates)] = candidates, decisions
            self._advise(pod, decisions)
        return chosen

    def _advise(self, pod: PlannedPod, decisions: Sequence[Decision]) -> None:
        best = self._best(pod, decisions)
        if best is not None:
            self.advice[pod.pod.key] = best

    def _best(self, pod: PlannedPod, decisions: Sequence[Decision]) -> Help | None:
        held = tuple(used.claim.key for used in pod.claims if used.claim.status.allocation is not None)
        key = (held, *map(id, decisions))
        known = self._known.get(key)
        if known is None:
            if self._searches >= _SEARCHES:
                return None
            self._searches += 1
            if len(self._known) >= _SEARCHES:
                del self._known[next(iter(self._known))]
            found = self._search.look(pod, decisions, nodes=_NODES, total=_DECISIONS, effort=_EFFORT)
            helps = sum_up({name: looked.found for name, looked in found.items()})
            known = self._known[key] = (decisions, _open_claims(pod), helps[0] if helps else None)
        _, names, best = known
        if best is None:
            return None
        return Help(_called(best.relaxation, names, _open_claims(pod)), best.nodes)


def _open_claims(pod: PlannedPod) -> list[str]:
    return list(dict.fromkeys(used.claim.key for used in pod.claims if used.claim.status.allocation is None))


def _addressed(looked: Relaxations, names: Sequence[str], own: Sequence[str]) -> Relaxations:
    """What was found for another pod of the same shape, with the names of the pod's own claims."""
    if names == own:
        return looked
    return replace(looked, found=tuple(_called(one, names, own) for one in looked.found))


def _called(one: Relaxation, names: Sequence[str], own: Sequence[str]) -> Relaxation:
    if names == own or len(names) != len(own):
        return one
    called = dict(zip(names, own, strict=True))
    text = _OF_CLAIM.sub(lambda match: f" of claim {called.get(match[1], match[1])}", one.text)
    return replace(one, text=text, claim=called.get(one.claim, one.claim))
