"""The number of moves against all sets of movers and all places, on clusters small enough for that.

The judge knows nodes, numbers of free GPUs and CPU only; devices of a node are alike, so numbers decide.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

import pytest
from clusters import RACK, Running, budget, moved, plan_for, waiting
from msgspec.structs import replace
from places import gpus, node, planned

from fairlead.placement import Cluster
from fairlead.placement.defrag import Defragmentation
from fairlead.resource import PlannedPod

SEEDS = range(400)


class Runner(NamedTuple):
    """A running pod as the judge sees it."""

    name: str
    node: int
    gpus: int
    cpu: int
    movable: bool
    app: str


class Case(NamedTuple):
    """A small cluster, and the workload: pods that need so many GPUs and CPUs each, in one rack if `rack`."""

    racks: list[str]
    size: int
    cpu: int
    runners: list[Runner]
    wanted: list[tuple[int, int]]
    rack: bool
    budget: int | None


def random_case(rng: random.Random) -> Case:
    size, cpu = rng.choice((2, 3, 4)), rng.choice((6, 8))
    racks = [rng.choice("aab") for _ in range(rng.randint(3, 5))]
    runners: list[Runner] = []
    for number in range(len(racks)):
        left, idle = size, cpu
        for _ in range(rng.choice((1, 1, 2, 2, 3))):
            taken, busy = rng.randint(0, min(left, 2)), rng.randint(0, min(idle, 2))
            movable = rng.random() < 0.93
            if len(runners) < 8 and taken + busy:
                runners.append(Runner(f"r{len(runners)}", number, taken, busy, movable, rng.choice("xyz")))
                left, idle = left - taken, idle - busy
    allowed = rng.choice((None, None, 1, 2))
    wanted = (rng.randint(max(1, size - 1), size), rng.randint(0, cpu))
    members = [wanted] * rng.randint(1, 3)
    if rng.random() < 0.4:
        members.append((rng.randint(0, 2), rng.randint(0, 2)))  # a leader that is not like the others
    return Case(racks, size, cpu, runners, members, rng.random() < 0.5, allowed)


def as_cluster(case: Case) -> Cluster:
    running = Running()
    free = [[f"gpu-{device}" for device in range(case.size)] for _ in case.racks]
    for one in case.runners:
        devices = [free[one.node].pop(0) for _ in range(one.gpus)]
        owner = f"ReplicaSet/{one.app}" if one.movable else ""
        running.add(one.name, f"n{one.node}", *devices, owner=owner, cpu=str(one.cpu), labels={"app": one.app})
    nodes = [node(f"n{number}", {RACK: rack}, cpu=str(case.cpu)) for number, rack in enumerate(case.racks)]
    names = " ".join(f"gpu-{device}" for device in range(case.size))
    slices = [gpus(one.name, names) for one in nodes]
    budgets = [budget("x", {"app": "x"}, allowed=case.budget)] if case.budget is not None else []
    return running.on(nodes, slices, budgets=budgets)


def best(case: Case) -> tuple[int, int] | None:
    """The least number of pods whose moving makes everything fit, and of their workloads; None where none does."""
    movable = [one for one in case.runners if one.movable]
    for number in range(len(movable) + 1):
        disrupted = [
            len({one.app for one in chosen})
            for chosen in combinations(movable, number)
            if (case.budget is None or sum(one.app == "x" for one in chosen) <= case.budget) and possible(case, chosen)
        ]
        if disrupted:
            return number, min(disrupted)
    return None


def possible(case: Case, chosen: Sequence[Runner]) -> bool:
    room = [[case.size, case.cpu] for _ in case.racks]
    for one in case.runners:
        if one not in chosen:
            room[one.node][0] -= one.gpus
            room[one.node][1] -= one.cpu
    parts = [(one.gpus, one.cpu) for one in chosen]
    racks: list[set[str]] = (
        [{rack} for rack in set(case.racks)] if case.rack and len(case.wanted) > 1 else [set(case.racks)]
    )
    return any(
        packs(rest, parts)
        for inside in racks
        for rest in spread(room, case.wanted, [rack in inside for rack in case.racks])
    )


def spread(room: list[list[int]], parts: Sequence[tuple[int, int]], open_: Sequence[bool]) -> Iterator[list[list[int]]]:
    """What is left, for each way to put the parts on open nodes."""
    if not parts:
        yield room
        return
    gpus_, cpu = parts[0]
    for number, (free, idle) in enumerate(room):
        if open_[number] and free >= gpus_ and idle >= cpu:
            less = [list(one) for one in room]
            less[number] = [free - gpus_, idle - cpu]
            yield from spread(less, parts[1:], open_)


def packs(room: list[list[int]], parts: Sequence[tuple[int, int]]) -> bool:
    return next(spread(room, parts, [True] * len(room)), None) is not None


def workload(wanted: Sequence[tuple[int, int]], ask: str | None) -> list[list[PlannedPod]]:
    """A gang of these pods."""
    members = []
    for number, (gpus_, cpu) in enumerate(wanted):
        ((one, *_),) = waiting(2, gpus_, cpu=str(cpu), gang=ask)
        named = replace(one.pod, metadata=replace(one.pod.metadata, name=f"train-{number}"))
        claims = [replace(c.claim, metadata=replace(c.claim.metadata, name=f"train-{number}")) for c in one.claims]
        members.append(PlannedPod(named, one.owner, one.group, planned(named, *claims).claims))
    return [members]


@cache
def planned_for(seed: int) -> Defragmentation:
    case = random_case(random.Random(seed))
    gang = '{"required": ["rack"]}' if case.rack and len(case.wanted) > 1 else None
    return plan_for(as_cluster(case), workload(case.wanted, gang))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_set_of_movers_is_smaller(seed: int) -> None:
    case = random_case(random.Random(seed))
    found = planned_for(seed)
    least = best(case)
    if found.moves is None:
        assert least is None
        return
    assert least == (len(moved(found)), len(found.disrupted))
    assert found.at_least <= least[0]


def test_the_cases_say_something() -> None:
    found = [planned_for(seed) for seed in SEEDS]
    numbers = [len(one.moves) for one in found if one.moves is not None]
    assert sum(number == 1 for number in numbers) > 40
    assert sum(number >= 2 for number in numbers) > 20
    assert sum(one.moves is None for one in found) > 100
    assert sum(one.proven for one in found) > 0.9 * len(numbers)
