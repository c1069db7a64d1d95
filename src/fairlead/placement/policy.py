"""Which of the nodes that could take a pod takes it.

A policy sees the nodes that pass everything but devices, in order of name, and may ask each for the allocator's
decision. Nodes are checked and decisions made when they are asked for: a policy that stops early costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from fairlead.allocator import Decision
from fairlead.placement.node import NodeState
from fairlead.resource import PlannedPod


class Candidate:
    """A node for a pod, with the decision on the pod's claims made on demand, once."""

    __slots__ = ("_asked", "_decide", "_decision", "node")

    def __init__(self, node: NodeState, decide: Callable[[], Decision | None]) -> None:
        self.node = node
        self._decide = decide
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
    def fits(self) -> bool:
        """Whether every claim of the pod can be served here."""
        decision = self.decision
        return decision is None or decision.fits


class Policy(Protocol):
    """The choice among candidates."""

    def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
        """One candidate that fits; None only when none of them all does."""


class FirstFit:
    """The first node that fits, in order of name."""

    def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
        """The first candidate that fits."""
        return next((candidate for candidate in candidates if candidate.fits), None)
