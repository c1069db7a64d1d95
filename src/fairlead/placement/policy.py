"""Which of the nodes that could take a pod takes it.

A policy sees the nodes that pass everything but devices, in order of name, and may ask each for the allocator's
decision. Nodes are checked and decisions made when they are asked for: a policy that stops early costs little.

A `Ranking` knows the whole site, and says itself in which order nodes are looked at and with which devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from fairlead.allocator import Decision, Wanted
from fairlead.placement.node import NodeState, PodNeeds
from fairlead.placement.reasons import Finding
from fairlead.placement.site import Site
from fairlead.resource import PlannedPod


class Candidate:
    """A node for a pod, with the decision on the pod's claims made on demand, once."""

    __slots__ = ("_asked", "_check", "_checked", "_decide", "_decision", "_lack", "node")

    def __init__(
        self,
        node: NodeState,
        decide: Callable[[], Decision | None],
        check: Callable[[Decision | None], Finding | None] | None = None,
    ) -> None:
        """A candidate.

        Args:
            node: the node.
            decide: what the allocator says of the pod's claims; None where there is nothing to decide.
            check: what the node lacks for the pod with the devices of such a decision.
        """
        self.node = node
        self._decide = decide
        self._check = check
        self._checked = check is None
        self._lack: Finding | None = None
        self._asked = False
        self._decision: Decision | None = None

    @property
    def decision(self) -> Decision | None:
        """What the allocator says; None where the pod needs no device here that it does not have."""
        if not self._asked:
            self._decision = self._decide()
            self._asked = True
        return self._decision

    @property
    def lack(self) -> Finding | None:
        """What the node has too little of for the devices that the pod would get; None where they do not fit either."""
        decision = self.decision
        if not self._checked and (decision is None or decision.fits):
            assert self._check is not None
            self._lack = self._check(decision)
            self._checked = True
        return self._lack

    def accepts(self, decision: Decision) -> bool:
        """Whether the node has what the devices of another decision on the same claims take of it."""
        return self._check is None or self._check(decision) is None

    @property
    def fits(self) -> bool:
        """Whether every claim of the pod can be served here, and the node has what the devices take of it."""
        decision = self.decision
        return (decision is None or decision.fits) and self.lack is None


class Policy(Protocol):
    """The choice among candidates."""

    def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
        """One candidate that fits; None only when none of them all does."""


class Proposal(NamedTuple):
    """A node for a pod, and the devices there that it is to get: a mask over the node's view, -1 for any."""

    node: str
    within: int


@runtime_checkable
class Ranking(Policy, Protocol):
    """A policy that brings its own order of nodes; `choose` then gets the candidates in that order."""

    def attach(self, site: Site) -> None:
        """Begins to work on a site, or begins anew where nodes came, went or look different.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """

    def catch_up(self) -> None:
        """Takes note of what changed of nodes and in the inventory.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """

    def propose(self, needs: PodNeeds, wanted: Sequence[Wanted]) -> Iterator[Proposal]:
        """The nodes that may hold a pod, best first; a node that is left out cannot hold it.

        Args:
            needs: what the pod asks of a node.
            wanted: its claims that need devices.
        """


def ranking_of(policy: Policy) -> Ranking | None:
    """The order of nodes that a policy brings, or that the one brings which it is made around."""
    if isinstance(policy, Ranking):
        return policy
    around = getattr(policy, "ranking", None)
    return around if isinstance(around, Ranking) else None


class FirstFit:
    """The first node that fits, in order of name."""

    def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
        """The first candidate that fits."""
        return next((candidate for candidate in candidates if candidate.fits), None)
