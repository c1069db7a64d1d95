"""Which of the nodes that could take a pod takes it.

A policy sees the nodes that pass everything but devices, in order of name, and may ask each for the allocator's
decision. Nodes are checked and decisions made when they are asked for: a policy that stops early costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from fairlead.allocator import Decision
from fairlead.placement.node import NodeState
from fairlead.placement.reasons import Finding
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


class FirstFit:
    """The first node that fits, in order of name."""

    def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
        """The first candidate that fits."""
        return next((candidate for candidate in candidates if candidate.fits), None)
