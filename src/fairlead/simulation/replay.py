"""Arrivals one after another: the procedure of the FGD experiment, through the planner and the allocator.

Pods are sorted by name and shuffled. To ask for more than there is, pods drawn from the trace, with replacement, are
appended until one more would take the sum of what is asked for above `inflate` times the devices of the cluster. Nobody
leaves, and a pod that fits nowhere is dropped. Ties between nodes are broken by one random order of the nodes, the same
for a whole run: it decides more than a point of what is allocated, so every figure rests on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

from fairlead.placement import Planner
from fairlead.placement.packing import TypicalPod, node_policy, typical_pods
from fairlead.resource import PlannedPod
from fairlead.simulation.measures import Measures, measure
from fairlead.simulation.openb import WHOLE, NodeRow, PodMaker, PodRow, cluster

REPORT_EVERY = 200
"""Pods between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded cluster and the pods that came to it."""

    nodes: Sequence[NodeRow]
    pods: Sequence[PodRow]

    @property
    def gpu_milli(self) -> int:
        """All GPUs of the cluster, in thousandths."""
        return WHOLE * sum(node.gpus for node in self.nodes)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What one seed makes of a trace: the same for every policy."""

    pods: Sequence[PlannedPod]
    order: Sequence[str]
    """The nodes, first those that get a pod where scores are equal."""


@dataclass(frozen=True, slots=True)
class Run:
    """How one run ended."""

    measures: Measures
    arrived: int
    placed: int


def arrivals(trace: Trace, seed: int, inflate: float = 0.0) -> Arrivals:
    """The pods in the order of their arrival.

    Args:
        trace: the trace.
        seed: decides the order of pods and of nodes, and which pods are added.
        inflate: add pods until so many times the cluster's GPUs are asked for; what the trace asks for by itself is
            never cut, so that with 0 nothing is added.
    """
    rng = Random(seed)
    by_name = sorted(trace.pods, key=lambda pod: pod.name)
    maker = PodMaker()
    rows = list(by_name)
    rng.shuffle(rows)
    pods = [maker.pod(row) for row in rows]
    asked = sum(row.num_gpu * row.gpu_milli for row in rows)
    if any(row.num_gpu for row in by_name):
        copies = 0
        most = inflate * trace.gpu_milli
        while True:
            row = by_name[rng.randrange(len(by_name))]
            asked += row.num_gpu * row.gpu_milli
            if asked > most:
                break
            copies += 1
            pods.append(maker.pod(row, f"{row.name}-copy-{copies}"))
    order = [node.name for node in trace.nodes]
    rng.shuffle(order)
    return Arrivals(pods, order)


def typical(trace: Trace) -> list[TypicalPod]:
    """The typical pods of a trace as the experiment has them: 95 % of all, by CPU, GPUs and model, not by memory."""
    maker = PodMaker()
    rows = sorted(trace.pods, key=lambda pod: (pod.cpu_milli, pod.gpu_milli, pod.num_gpu, pod.models), reverse=True)
    return typical_pods([maker.pod(row) for row in rows], memory=False)


def replay(
    trace: Trace,
    policy: str,
    seed: int,
    inflate: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """Places all arrivals of a seed with a policy, and measures what came of it.

    Args:
        trace: the trace.
        policy: one of `NODE_POLICIES`.
        seed: as for `arrivals`; `random` draws from it too.
        inflate: as for `arrivals`.
        progress: is told how many pods came since it was last told.
    """
    coming = arrivals(trace, seed, inflate)
    expected = typical(trace)
    shares = count()
    chosen = node_policy(policy, typical=expected, order=coming.order, rng=Random(seed))
    planner = Planner(cluster(trace.nodes), chosen, share_id=lambda: f"share-{next(shares)}")
    placed = since = 0
    for pod in coming.pods:
        placed += planner.place(pod, reasons=False).placed
        since += 1
        if progress is not None and since == REPORT_EVERY:
            progress(since)
            since = 0
    if progress is not None:
        progress(since)
    return Run(measure(planner.site, expected), len(coming.pods), placed)
