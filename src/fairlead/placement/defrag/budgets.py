"""How many pods PodDisruptionBudgets let move.

Where the disruption controller has written `status.disruptionsAllowed`, that counts. Otherwise it is counted as the
controller does, with the pods that have a node: percentages of the pods that the budget selects are rounded up, for
`minAvailable` and for `maxUnavailable` alike; a pod is there when it runs and is not being deleted. A budget that says
neither allows none. The eviction API refuses a pod that several budgets select, so such a pod does not move either.

Source: `k8s.io/kubernetes` pkg/controller/disruption and pkg/registry/core/pod/storage/eviction.go, 1.37.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fairlead.placement.spread import Term
from fairlead.resource import LabelSelector, Pod, PodDisruptionBudget


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget with what it allows now."""

    name: str
    """`namespace/name`."""
    allowed: int
    pods: frozenset[str]
    """The running pods that it selects, `namespace/name`."""


class Budgets:
    """The budgets of a cluster, by pod."""

    def __init__(self, budgets: Iterable[PodDisruptionBudget], pods: Sequence[Pod]) -> None:
        """Counts.

        Args:
            budgets: all budgets.
            pods: all pods that have a node and have not ended.
        """
        self._of: dict[str, list[Budget]] = {}
        for budget in budgets:
            term = _selected(budget)
            selected = [pod for pod in pods if term.matches(pod)]
            made = Budget(budget.key, _allowed(budget, selected), frozenset(pod.key for pod in selected))
            for pod in selected:
                self._of.setdefault(pod.key, []).append(made)

    def of(self, pod: str) -> Sequence[Budget]:
        """The budgets that select a pod (`namespace/name`)."""
        return self._of.get(pod, ())

    def broken(self, pods: Iterable[str]) -> list[Budget]:
        """The budgets that do not let all these pods be away at once."""
        away = Counter(budget for pod in pods for budget in self.of(pod))
        return [budget for budget, count in away.items() if count > budget.allowed]


def _selected(budget: PodDisruptionBudget) -> Term:
    selector = budget.spec.selector or LabelSelector()
    return Term(
        "",
        frozenset((budget.namespace,)),
        tuple(sorted(selector.match_labels.items())),
        tuple((one.key, one.operator, tuple(one.values)) for one in selector.match_expressions),
        budget.spec.selector is not None,
    )


def _allowed(budget: PodDisruptionBudget, pods: Sequence[Pod]) -> int:
    if budget.status.disruptions_allowed is not None:
        return max(0, budget.status.disruptions_allowed)
    healthy = sum(pod.status.phase in ("", "Running") and not pod.metadata.deletion_timestamp for pod in pods)
    if budget.spec.max_unavailable is not None:
        wanted = max(0, len(pods) - _scaled(budget.spec.max_unavailable, len(pods)))
    elif budget.spec.min_available is not None:
        wanted = _scaled(budget.spec.min_available, len(pods))
    else:
        return 0
    return max(0, healthy - wanted)


def _scaled(amount: int | str, total: int) -> int:
    """The number itself, or the percentage of the total, rounded up."""
    if isinstance(amount, int):
        return amount
    return -(-int(amount.removesuffix("%")) * total // 100)
