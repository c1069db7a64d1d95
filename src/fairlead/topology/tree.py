"""Which domains nodes share (zone, block, rack, NVLink domain), from their labels.

Levels come from the rules, as far as nodes have their labels, and from the user. Every level that is kept nests: each
of its domains lies in one domain of each wider level. What does not is named as a `TopologyProblem`, and the level is
left out, so that placement goes on with the others. A label that some nodes lack leaves them with the domain "" there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairlead.topology.order import looped, ordered, related
from fairlead.topology.problems import TopologyProblem, some
from fairlead.topology.rules import LevelRule, Rules


@dataclass(frozen=True, slots=True)
class Level:
    """A level of domains."""

    name: str
    label: str
    """The first of its labels that a node has."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The domains of nodes."""

    levels: tuple[Level, ...]
    """Widest first."""
    paths: Mapping[str, tuple[str, ...]]
    """Node -> its domain at each level; "" where the node has no label of the level."""
    problems: tuple[TopologyProblem, ...] = ()

    def domain(self, node: str, level: str) -> str:
        """The domain of a node at a level; "" where it is unknown, and for levels that the tree does not have."""
        path = self.paths.get(node)
        if path is not None:
            for at, one in enumerate(self.levels):
                if one.name == level:
                    return path[at]
        return ""


def build_tree(labels: Mapping[str, Mapping[str, str]], rules: Rules, extra: Sequence[str] = ()) -> Tree:
    """The tree of nodes.

    Args:
        labels: node -> its labels.
        rules: the levels and their order.
        extra: what the user names, widest first: a level of the rules, a label, or `NAME=LABEL`.
    """
    problems: list[TopologyProblem] = []
    levels, named = _levels(rules, extra, problems)
    chains = (*rules.hierarchies, named)
    domains: dict[str, dict[str, str]] = {}
    for name, rule in levels.items():
        found = _domains(rule, labels, problems)
        if found:
            domains[name] = found
        elif found is not None and (rule.named or name in named):
            text = f"no node has the label {' or '.join(rule.labels)}"
            problems.append(TopologyProblem("unknown-level", name, "", (), text))
    loop = looped(list(domains), chains)
    for name in sorted(loop):
        text = f"the order of levels puts it above itself, through {', '.join(sorted(loop - {name})) or 'itself'}"
        problems.append(TopologyProblem("cycle", name, "", (), text))
        del domains[name]
    order = ordered(list(domains), chains, lambda inner, outer: not _split(domains[inner], domains[outer]))
    below = related(order, chains)
    kept: list[str] = []
    for name in order:
        wrong = [p for outer in kept for p in _misfits(name, outer, domains, declared=name in below[outer])]
        problems.extend(wrong)
        if not wrong:
            kept.append(name)
    for name in kept:
        lacking = tuple(node for node in labels if node not in domains[name])
        if lacking:
            text = f"no label {' or '.join(levels[name].labels)} on {some(lacking)}, while other nodes have it"
            problems.append(TopologyProblem("missing-label", name, "", lacking, text))
    return Tree(
        tuple(Level(name, _found_label(levels[name], labels)) for name in kept),
        {node: tuple(domains[name].get(node, "") for name in kept) for node in labels},
        tuple(problems),
    )


def _levels(
    rules: Rules, extra: Sequence[str], problems: list[TopologyProblem]
) -> tuple[dict[str, LevelRule], tuple[str, ...]]:
    """All levels by name, and the names of those that the user gave, in that order."""
    levels = dict(rules.levels)
    by_label = {label: name for name, rule in levels.items() for label in rule.labels}
    named: list[str] = []
    for given in extra:
        left, equals, right = given.partition("=")
        label = right if equals else left
        name = label if label in levels else by_label.get(label, "")
        if name in named or (equals and name and name != left) or (equals and not name and left in levels):
            text = f"{given} is given twice, as the level {name or left} has that {'label' if name else 'name'} already"
            problems.append(TopologyProblem("given-twice", name or left, "", (), text))
            continue
        if not name:
            name = left
            levels[name] = LevelRule(name, (label,), named=True)
            by_label[label] = name
        named.append(name)
    return levels, tuple(named)


def _found_label(rule: LevelRule, labels: Mapping[str, Mapping[str, str]]) -> str:
    return next(label for label in rule.labels if any(given.get(label) for given in labels.values()))


def _domains(
    rule: LevelRule, labels: Mapping[str, Mapping[str, str]], problems: list[TopologyProblem]
) -> dict[str, str] | None:
    """Node -> domain from all labels of a level; None where two of them contradict each other.

    Labels of one level may call a domain differently. They contradict when they do not group the nodes alike.
    """
    first, *others = rule.labels
    domains = {node: given[first] for node, given in labels.items() if given.get(first)}
    for label in others:
        second = {node: given[label] for node, given in labels.items() if given.get(label)}
        if not second:
            continue
        split = _split(second, domains) or _split(domains, second)
        if split:
            domain, nodes = next(iter(split.items()))
            text = f"the labels {first} and {label} of {some(nodes)} name different domains ({domain})"
            problems.append(TopologyProblem("two-domains", rule.name, domain, nodes, text))
            return None
        names = {second[node]: domains[node] for node in second if node in domains}
        for node, value in second.items():
            if node not in domains:
                # A name that the first label gives to another domain is not used for this one too.
                domains[node] = names.get(value) or (f"{label}={value}" if value in names.values() else value)
    return domains


def _split(inner: Mapping[str, str], outer: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The inner domains that lie in two outer ones, with their nodes; nodes without one of the two do not count."""
    pairs = Counter((domain, outer[node]) for node, domain in inner.items() if node in outer)
    parents = Counter(domain for domain, _ in pairs)
    split = {domain for domain, count in parents.items() if count > 1}
    if not split:
        return {}
    return {one: tuple(n for n, domain in inner.items() if domain == one and n in outer) for one in sorted(split)}


def _misfits(
    name: str, outer: str, domains: Mapping[str, Mapping[str, str]], *, declared: bool
) -> list[TopologyProblem]:
    """The domains of a level that lie in two domains of a wider one."""
    kind = "two-parents" if declared else "crossing"
    found = []
    for domain, nodes in _split(domains[name], domains[outer]).items():
        parents = sorted({domains[outer][node] for node in nodes})
        text = f"{name} {domain} lies in {len(parents)} domains of {outer}: {some(parents)}; {name} is left out"
        found.append(TopologyProblem(kind, name, domain, nodes, text))
    return found
