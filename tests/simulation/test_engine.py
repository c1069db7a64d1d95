"""A simulated day: nothing is held twice, nothing is lost, nobody waits for nothing, and it is the same every time."""

from __future__ import annotations

from itertools import combinations
from random import Random
from typing import Any

import pytest

from fairlead.placement import Placement, Planner
from fairlead.resource import Objects
from fairlead.simulation.engine import Day, Engine
from fairlead.simulation.fleet import BookingError, Fleet
from fairlead.simulation.ideal import Ideal, best_set
from fairlead.simulation.jobs import Arrival, Shape, default_mix, draw
from fairlead.simulation.spec import as_cluster, build, parse_line
from fairlead.simulation.workloads import pods_of
from fairlead.topology import default_rules


def day(line: str, arrivals: list[Arrival], hours: float = 24) -> tuple[Day, Fleet]:
    objects = build(parse_line(line))
    fleet = Fleet(objects, default_rules())
    planner = Planner(as_cluster(objects))
    return Engine(planner, fleet, Ideal(fleet)).run(arrivals, hours), fleet


def job(name: str, at: float, duration: float, pods: int, gpus: int, nics: int = 0, kind: str = "training") -> Arrival:
    return Arrival(name, at, duration, Shape(kind, pods, gpus, nics))


def starts(run: Day) -> dict[str, float | None]:
    return {record.arrival.name: record.start for record in run.jobs}


def drawn(objects: Objects, seed: int, hours: float = 24, load: float = 1.2) -> list[Arrival]:
    fleet = Fleet(objects, default_rules())
    mix = default_mix(fleet.node_gpus, fleet.node_nics, fleet.gpus)
    return draw(mix, fleet.gpus, hours, load, Random(seed))


class Watched(Planner):
    """A planner whose claims are counted by another than the engine, at every step."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(as_cluster(objects))
        self.held: dict[tuple[str, str, str], str] = {}
        self.steps = 0

    def place(self, pod, reasons=True):  # type: ignore[no-untyped-def]
        placement = super().place(pod, reasons)
        for key, claim in self._results(placement):
            assert key not in self.held, f"{key} of {claim} is held by {self.held[key]}"
            self.held[key] = claim
        self.steps += 1
        return placement

    def remove(self, pod):  # type: ignore[no-untyped-def]
        super().remove(pod)
        keys = {used.claim.key for used in pod.claims}
        self.held = {key: claim for key, claim in self.held.items() if claim not in keys}

    def _results(self, placement: Placement) -> list[tuple[tuple[str, str, str], str]]:
        return [
            ((result.driver, result.pool, result.device), used.claim.key)
            for used in placement.claims
            if used.claim.status.allocation is not None
            for result in used.claim.status.allocation.devices.results
        ]


@pytest.mark.parametrize("line", ["h100:nodes=6", "gb200:racks=2,trays=5,missing=1", "mi300x:nodes=4"])
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_held_twice_and_in_the_end_all_is_free(line: str, seed: int) -> None:
    objects = build(parse_line(line))
    fleet = Fleet(objects, default_rules())
    planner = Watched(objects)
    run = Engine(planner, fleet, Ideal(fleet)).run(drawn(objects, seed), 24)
    assert planner.steps > 100
    assert planner.held == {}
    assert fleet.free_gpus == fleet.gpus
    assert all(record.start is not None for record in run.jobs)
    # Whoever comes now gets what the first on a fresh cluster gets, so node resources are free again too.
    for shape in (Shape("training", len(fleet.nodes), fleet.node_gpus, fleet.node_nics), Shape("small", 1, 1, 1)):
        pods = pods_of(Arrival("last", 0, 1, shape), fleet.classes)
        fresh = Planner(as_cluster(objects))
        placed = [planner.place(pod) for pod in pods]
        assert placed == [fresh.place(pod) for pod in pods]
        assert all(one.placed for one in placed)
        for pod in pods:
            planner.remove(pod)


def test_the_same_seed_gives_the_same_day() -> None:
    arrivals = drawn(build(parse_line("h100:nodes=4")), 5)
    assert day("h100:nodes=4", arrivals)[0] == day("h100:nodes=4", arrivals)[0]


def test_a_job_starts_when_it_comes_or_when_others_leave() -> None:
    run, _ = day("h100:nodes=2", [job("a", 0, 100, 2, 8), job("b", 10, 50, 1, 8), job("c", 20, 50, 1, 8)])
    assert starts(run) == {"a": 0, "b": 100, "c": 100}
    assert [record.wait for record in run.jobs] == [0, 90, 80]


def test_a_gang_starts_whole_or_not_at_all() -> None:
    run, _ = day("h100:nodes=3", [job("a", 0, 100, 1, 8), job("gang", 1, 10, 3, 8), job("b", 2, 10, 1, 8)])
    assert starts(run) == {"a": 0, "gang": 100, "b": 2}, "the gang holds nothing while it waits"


def test_what_leaves_in_time_may_pass_by_the_first_that_waits() -> None:
    run, _ = day(
        "h100:nodes=2",
        [
            job("a", 0, 100, 1, 8),
            job("large", 10, 10, 2, 8),
            job("short", 20, 80, 1, 8),
            job("late", 21, 80, 1, 8),
            job("last", 22, 200, 1, 8),
        ],
    )
    assert starts(run) == {"a": 0, "large": 100, "short": 20, "late": 110, "last": 110}


@pytest.mark.parametrize("line", ["h100:nodes=6", "gb200:racks=2,trays=4"])
@pytest.mark.parametrize("seed", range(3))
def test_the_first_that_waits_starts_when_it_was_told(line: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pass by it meanwhile."""
    told: dict[str, float] = {}
    original = Engine._first_starts

    def first_starts(self: Engine, waiting: Any) -> float:
        return told.setdefault(waiting.arrival.name, original(self, waiting))

    monkeypatch.setattr(Engine, "_first_starts", first_starts)
    run, _ = day(line, drawn(build(parse_line(line)), seed))
    started = starts(run)
    late = {name: (started[name], at) for name, at in told.items() if (started[name] or 0) > at + 1e-6}
    assert len(told) > 3
    assert late == {}


def test_what_fits_nowhere_never_starts_and_holds_up_nobody_for_ever() -> None:
    run, _ = day("h100:nodes=2", [job("huge", 0, 10, 3, 8), job("a", 1, 10, 1, 8)], 1)
    assert starts(run) == {"huge": None, "a": 1}


def test_cpu_counts_too() -> None:
    objects = build(parse_line("h100:nodes=1"))
    for node in objects.nodes:
        node.status.allocatable["cpu"] = type(node.status.allocatable["cpu"]).parse("20")
    fleet = Fleet(objects, default_rules())
    run = Engine(Planner(as_cluster(objects)), fleet, Ideal(fleet)).run(
        [job(f"j{n}", n, 100, 1, 1) for n in range(3)], 1
    )
    assert starts(run) == {"j0": 0, "j1": 1, "j2": 100}


def test_what_comes_before_the_beginning_is_played_but_not_counted() -> None:
    run, _ = day("h100:nodes=1", [job("before", -50, 100, 1, 8), job("a", 10, 10, 1, 8)], 1)
    assert starts(run) == {"a": 50}
    assert run.samples[0].allocated == 1.0
    assert run.samples[0].at == 0


def test_samples_say_what_is_taken() -> None:
    run, _ = day("h100:nodes=2", [job("a", 0, 1800, 1, 4), job("b", 0, 3600, 1, 8), job("c", 1, 10, 2, 8)], 1)
    middle = run.samples[len(run.samples) // 4]
    assert middle.allocated == 12 / 16
    assert middle.waiting == 1
    assert middle.startable == (4, 4, 4, 0)
    assert middle.fragmented == 1.0
    late = run.samples[len(run.samples) * 3 // 4]
    assert (late.allocated, late.fragmented, late.startable) == (0.5, 0.0, (8, 8, 8, 8))


def test_of_several_kinds_of_gpus_jobs_ask_for_the_most_frequent() -> None:
    fleet = Fleet(build(parse_line("h100:nodes=2;mi300x:nodes=3")), default_rules())
    assert (fleet.classes.gpu, fleet.gpus, fleet.free_gpus) == ("gpu.amd.com", 24, 24)
    run, _ = day("h100:nodes=2;mi300x:nodes=3", [job("a", 0, 10, 3, 8, 8), job("b", 1, 10, 1, 1)], 1)
    assert starts(run) == {"a": 0, "b": 10}


def test_a_fleet_refuses_what_is_booked_twice() -> None:
    objects = build(parse_line("h100:nodes=1"))
    fleet = Fleet(objects, default_rules())
    (pod,) = pods_of(job("a", 0, 1, 1, 2), fleet.classes)
    placement = Planner(as_cluster(objects)).place(pod)
    with pytest.raises(BookingError, match="gpu-0 was not held"):
        fleet.give_back([placement])
    fleet.take([placement])
    with pytest.raises(BookingError, match="gpu-0 is held twice"):
        fleet.take([placement])


@pytest.mark.parametrize(
    "line", ["h100:nodes=1", "h100:nodes=1,gpu-order=probe", "gb200:racks=1,trays=1", "mi300x:nodes=1"]
)
@pytest.mark.parametrize(("gpus", "nics"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)])
def test_the_best_set_is_the_best_of_all_sets(line: str, gpus: int, nics: int) -> None:
    node = next(iter(Fleet(build(parse_line(line)), default_rules()).nodes.values()))
    found = node.wiring.bandwidth(best_set(node, gpus, nics))
    every = [
        node.wiring.bandwidth((*chosen, *cards))
        for chosen in combinations(sorted(node.gpus), gpus)
        for cards in combinations(sorted(node.nics), nics)
    ]
    assert (found.all_reduce, found.network) == max((one.all_reduce, one.network) for one in every)


def test_the_best_of_a_job_is_in_one_domain_if_it_can_be() -> None:
    fleet = Fleet(build(parse_line("gb200:racks=2,trays=4")), default_rules())
    ideal = Ideal(fleet)
    assert ideal.best(Shape("training", 4, 4, 8)).all_reduce == 900
    assert ideal.best(Shape("training", 5, 4, 8)).all_reduce < 900
    assert ideal.best(Shape("training", 9, 4, 8)).all_reduce == 0


@pytest.mark.parametrize("line", ["h100:nodes=8,per-leaf=4", "gb200:racks=2,trays=4", "mi300x:nodes=4"])
@pytest.mark.parametrize("seed", range(3))
def test_no_job_has_more_than_the_best(line: str, seed: int) -> None:
    arrivals = drawn(build(parse_line(line)), seed)
    run, _ = day(line, arrivals)
    compared = 0
    for record in run.jobs:
        if record.got is None or record.best is None or record.best_there is None:
            continue
        compared += 1
        assert record.got.all_reduce <= record.best_there.all_reduce * 1.000001
        assert record.best_there.all_reduce <= record.best.all_reduce * 1.000001
        if record.nodes == 1:
            assert record.got.network <= record.best.network * 1.000001
    assert compared > 20
