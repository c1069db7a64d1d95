"""One simulated day with one setup: a node policy and a device policy on a cluster, with the jobs of one seed.

Everything follows from the arguments: the same setup, cluster and seed give the same day in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

from fairlead.placement import GangPlanner, Planner
from fairlead.placement.packing import node_policy, typical_pods
from fairlead.placement.wiring import DEVICE_POLICIES
from fairlead.resource import Objects, PlannedPod
from fairlead.simulation.engine import Day, Engine
from fairlead.simulation.fleet import Fleet
from fairlead.simulation.ideal import Ideal
from fairlead.simulation.jobs import Arrival, Shape, default_mix, draw
from fairlead.simulation.spec import as_cluster
from fairlead.simulation.workloads import pods_of
from fairlead.topology import Rules


@dataclass(frozen=True, slots=True)
class Setup:
    """What is compared: which node takes a pod, and which devices there."""

    policy: str
    devices: str

    @property
    def gangs(self) -> bool:
        """Whether gangs are placed whole, nodes and devices together; else pod by pod, as Kubernetes places them."""
        return DEVICE_POLICIES[self.devices].ranks

    @property
    def name(self) -> str:
        """`pack / compact`."""
        return f"{self.policy} / {self.devices}"


def drawn_jobs(
    objects: Objects, rules: Rules, hours: float, load: float, seed: int, before: float = 0.0
) -> list[Arrival]:
    """The jobs of a seed for a cluster, from the default mix; arguments as for `draw`."""
    fleet = Fleet(objects, rules)
    if not fleet.gpus:
        return []
    mix = default_mix(fleet.node_gpus, fleet.node_nics, fleet.gpus)
    return draw(mix, fleet.gpus, hours, load, Random(seed), before)


def play(
    objects: Objects,
    rules: Rules,
    setup: Setup,
    arrivals: Sequence[Arrival],
    hours: float,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> Day:
    """Plays the jobs on the cluster.

    Args:
        objects: the cluster.
        rules: how its wiring is read.
        setup: names of a node and a device policy.
        arrivals: the jobs in order of arrival.
        hours: how long samples are taken.
        seed: what the node policy `random` draws from.
        progress: is told the time now and then.
    """
    fleet = Fleet(objects, rules)
    first: dict[Shape, list[PlannedPod]] = {}  # pods of one shape ask for the same
    for arrival in arrivals:
        if arrival.shape not in first:
            first[arrival.shape] = pods_of(arrival, fleet.classes)
    typical = typical_pods(pod for arrival in arrivals for pod in first[arrival.shape])
    policy = node_policy(setup.policy, typical=typical, rng=Random(f"{seed}/{setup.policy}"))
    shares = count()
    planner = Planner(
        as_cluster(objects),
        policy,
        share_id=lambda: f"share-{next(shares)}",
        devices=DEVICE_POLICIES[setup.devices],
        rules=rules,
    )
    gangs = GangPlanner(planner) if setup.gangs else None
    return Engine(planner, fleet, Ideal(fleet), gangs).run(arrivals, hours, progress)
