"""Required pod affinity and anti-affinity: which pods must, and must not, share a node, rack or zone.

The rules are kube-scheduler's InterPodAffinity filter:

* a pod with an anti-affinity term goes nowhere where, on the same value of the term's topology key, a pod that the
  term matches runs already; and a pod goes nowhere where one that runs has a term against it;
* a pod with affinity terms goes only where, for each term, a pod that matches all of them runs; when there is no such
  pod anywhere and the pod matches its own terms, it is the first of its kind and may go where the keys are labels;
* a term without namespaces means the namespace of the pod that has it; one without label selector matches no pod.

Counts are kept by term and follow `add` and `remove`, so asking costs the pod's own terms and not the pods of the
cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from fairlead.placement.reasons import Finding
from fairlead.resource import LabelSelector, Pod, PodAffinityTerm

_TERMS_KEPT: Final = 1_000


class Term(NamedTuple):
    """An affinity term as a value that can be looked up: equal terms match the same pods."""

    key: str
    namespaces: frozenset[str]
    labels: tuple[tuple[str, str], ...]
    expressions: tuple[tuple[str, str, tuple[str, ...]], ...]
    selects: bool

    def matches(self, pod: Pod) -> bool:
        """Whether the term is about the pod."""
        if not self.selects or pod.namespace not in self.namespaces:
            return False
        labels = pod.metadata.labels
        return all(labels.get(name) == value for name, value in self.labels) and all(
            _holds(labels.get(name), operator, values) for name, operator, values in self.expressions
        )


def _holds(value: str | None, operator: str, values: tuple[str, ...]) -> bool:
    match operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Spread:
    """The conditions of one pod against the pods that are placed now."""

    away: tuple[tuple[str, Mapping[str, int], str], ...]
    """Topology key, the values on which the pod must not be (above zero), and the reason."""
    near: tuple[tuple[str, Mapping[str, int] | None], ...]
    """Topology key, and the values on which it must be; None accepts any value."""

    def refuses(self, labels: Mapping[str, str]) -> Finding | None:
        """Why the pod cannot be on a node with these labels, or None where it can."""
        for key, values, text in self.away:
            value = labels.get(key)
            if value is not None and values.get(value, 0) > 0:
                return Finding("apart", text)
        for key, wanted in self.near:
            value = labels.get(key)
            if value is None:
                return Finding("near", f"the pod's affinity needs a node with the label {key}")
            if wanted is not None and wanted.get(value, 0) <= 0:
                return Finding("near", f"no pod that the pod's affinity asks for is on the same {key}")
        return None


class Placed:
    """The pods that have a node, counted by the terms that anybody has asked about."""

    def __init__(self) -> None:
        self._pods: dict[int, tuple[Pod, Mapping[str, str]]] = {}
        """By identity: nothing keeps two pods of an input from having the same name."""
        self._matching: dict[tuple[Term, ...], dict[str, dict[str, int]]] = {}
        self._against: dict[Term, dict[str, int]] = {}

    def add(self, pod: Pod, node_labels: Mapping[str, str]) -> None:
        """Counts a pod on a node with these labels."""
        self._pods[id(pod)] = (pod, node_labels)
        self._change(pod, node_labels, 1)

    def remove(self, pod: Pod) -> None:
        """Forgets a pod that was added.

        Raises:
            KeyError: this very pod was not added.
        """
        _, node_labels = self._pods.pop(id(pod))
        self._change(pod, node_labels, -1)

    def _change(self, pod: Pod, node_labels: Mapping[str, str], by: int) -> None:
        for terms, counts in self._matching.items():
            _count(terms, counts, pod, node_labels, by)
        for term in terms_of(pod, away=True):
            value = node_labels.get(term.key)
            if value is not None:
                values = self._against.setdefault(term, {})
                values[value] = values.get(value, 0) + by
                if not any(values.values()):
                    del self._against[term]

    def spread(self, pod: Pod) -> Spread:
        """The conditions of a pod that is to be placed."""
        away = [
            (
                term.key,
                self._counts((term,))[term.key],
                f"the pod's anti-affinity keeps it away from a pod with the same {term.key}",
            )
            for term in terms_of(pod, away=True)
        ]
        away.extend(
            (term.key, values, f"the anti-affinity of a pod with the same {term.key} keeps it away")
            for term, values in sorted(self._against.items(), key=_topology_key)
            if term.matches(pod)
        )
        terms = terms_of(pod, away=False)
        counts = self._counts(terms) if terms else {}
        first = not any(any(values.values()) for values in counts.values()) and all(term.matches(pod) for term in terms)
        near = [(term.key, None if first else counts[term.key]) for term in terms]
        return Spread(tuple(away), tuple(near))

    def _counts(self, terms: tuple[Term, ...]) -> dict[str, dict[str, int]]:
        """How many pods that match all the terms have each value of each topology key."""
        known = self._matching.get(terms)
        if known is None:
            if len(self._matching) >= _TERMS_KEPT:
                self._matching.clear()
            known = self._matching[terms] = {term.key: {} for term in terms}
            for pod, labels in self._pods.values():
                _count(terms, known, pod, labels)
        return known


def _topology_key(item: tuple[Term, object]) -> str:
    return item[0].key


def _count(
    terms: tuple[Term, ...],
    counts: dict[str, dict[str, int]],
    pod: Pod,
    node_labels: Mapping[str, str],
    by: int = 1,
) -> None:
    if all(term.matches(pod) for term in terms):
        for key, values in counts.items():
            value = node_labels.get(key)
            if value is not None:
                values[value] = values.get(value, 0) + by


def terms_of(pod: Pod, *, away: bool) -> tuple[Term, ...]:
    """The required terms of a pod: those of its anti-affinity, or those of its affinity."""
    affinity = pod.spec.affinity
    given = affinity.pod_anti_affinity if away else affinity.pod_affinity
    return _as_terms(given.required, pod.namespace) if given is not None else ()


def _as_terms(terms: Sequence[PodAffinityTerm], namespace: str) -> tuple[Term, ...]:
    made = []
    for term in terms:
        selector = term.label_selector or LabelSelector()
        made.append(
            Term(
                term.topology_key,
                frozenset(term.namespaces or [namespace]),
                tuple(sorted(selector.match_labels.items())),
                tuple((e.key, e.operator, tuple(e.values)) for e in selector.match_expressions),
                term.label_selector is not None,
            )
        )
    return tuple(made)
