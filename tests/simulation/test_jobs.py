"""Arrivals: drawn or read, the same for the same seed, and real objects in the end."""

from __future__ import annotations

from random import Random

import pytest

from fairlead.simulation.jobs import (
    HOUR,
    Arrival,
    JobsError,
    Shape,
    default_mix,
    draw,
    read_jobs,
    write_jobs,
)
from fairlead.simulation.workloads import Classes, objects_of, pods_of

CLASSES = Classes("gpu.nvidia.com", "dranet.net")
HEADER = "name,arrival_s,duration_s,kind,pods,gpus,nics\n"


def faults(text: str) -> list[tuple[str, str]]:
    with pytest.raises(JobsError) as caught:
        read_jobs(text, "t.csv")
    return [(problem.object, problem.field) for problem in caught.value.problems]


def test_the_same_seed_draws_the_same_jobs() -> None:
    mix = default_mix(8, 8, 512)
    assert draw(mix, 512, 24, 0.9, Random(1)) == draw(mix, 512, 24, 0.9, Random(1))
    assert draw(mix, 512, 24, 0.9, Random(1)) != draw(mix, 512, 24, 0.9, Random(2))


def test_jobs_come_in_order_and_in_time() -> None:
    drawn = draw(default_mix(8, 8, 512), 512, 24, 0.9, Random(1))
    assert [one.at for one in drawn] == sorted(one.at for one in drawn)
    assert all(0 <= one.at < 24 * HOUR and one.duration > 0 for one in drawn)
    assert len({one.name for one in drawn}) == len(drawn)


def test_the_load_is_what_was_asked_for() -> None:
    """Over many days, so that chance evens out; durations are cut at three days, which takes a little."""
    mix, capacity = default_mix(8, 8, 512), 512
    drawn = draw(mix, capacity, 24 * 100, 0.8, Random(3))
    work = sum(one.duration * one.shape.total for one in drawn)
    assert work / (capacity * 24 * 100 * HOUR) == pytest.approx(0.8, rel=0.1)


def test_more_jobs_come_by_day_than_by_night() -> None:
    drawn = draw(default_mix(8, 8, 512), 512, 24 * 20, 0.9, Random(1))
    hours = [one.at / HOUR % 24 for one in drawn]
    assert sum(11 <= hour < 17 for hour in hours) > 2 * sum(hour < 5 or hour >= 23 for hour in hours)


def test_no_job_asks_for_more_than_half_of_the_cluster() -> None:
    for capacity in (8, 64, 512, 4096):
        assert max(share.shape.total for share in default_mix(8, 8, capacity)) <= capacity // 2
    assert 64 in {share.shape.pods for share in default_mix(8, 8, 1024)}


def test_on_small_nodes_jobs_take_more_nodes() -> None:
    shapes = {share.shape for share in default_mix(4, 8, 1024)}
    assert max(shape.gpus for shape in shapes) == 4
    assert Shape("training", 2, 4, 8) in shapes


def test_jobs_before_the_beginning_are_those_of_the_hours_before() -> None:
    drawn = draw(default_mix(8, 8, 512), 512, 2, 0.9, Random(1), before=24)
    assert drawn[0].at < -22 * HOUR
    assert 0 < drawn[-1].at < 2 * HOUR


def test_nothing_comes_without_load_or_shapes() -> None:
    assert draw([], 8, 24, 1, Random(1)) == []
    assert draw(default_mix(8, 8, 64), 64, 24, 0, Random(1)) == []


def test_a_gang_is_a_job_whose_pods_run_together() -> None:
    pods = pods_of(Arrival("train", 0, 1, Shape("training", 3, 4, 2)), CLASSES)
    assert [pod.pod.name for pod in pods] == ["train-0", "train-1", "train-2"]
    assert {pod.group for pod in pods} == {"Job simulated/train"}
    (used,) = pods[0].claims
    asked = [(r.exactly.device_class_name, r.exactly.count) for r in used.claim.spec.devices.requests if r.exactly]
    assert asked == [("gpu.nvidia.com", 4), ("dranet.net", 2)]
    assert len({pod.claims[0].claim.name for pod in pods}) == 3


@pytest.mark.parametrize(
    ("shape", "owner"),
    [
        (Shape("small", 1, 1, 1), "Pod simulated/x"),
        (Shape("inference", 2, 1, 0), "Deployment simulated/x"),
        (Shape("training", 1, 8, 8), "Pod simulated/x"),
    ],
)
def test_other_jobs_are_no_gangs(shape: Shape, owner: str) -> None:
    pods = pods_of(Arrival("x", 0, 1, shape), CLASSES)
    assert [(pod.group, pod.owner) for pod in pods] == [(None, owner)] * shape.pods


def test_no_nics_are_asked_for_where_there_are_none() -> None:
    (pod,) = pods_of(Arrival("x", 0, 1, Shape("small", 1, 1, 1)), Classes("gpu.amd.com"))
    assert [request.name for request in pod.claims[0].claim.spec.devices.requests] == ["gpu"]
    assert objects_of(Arrival("x", 0, 1, Shape("small", 1, 1, 1)), CLASSES).templates[0].name == "gpus-1-nics-1"


def test_a_trace_reads_back() -> None:
    drawn = draw(default_mix(8, 8, 64), 64, 24, 0.9, Random(1))
    assert read_jobs(write_jobs(drawn), "t.csv") == drawn


def test_a_trace_is_sorted_by_arrival() -> None:
    text = HEADER + "b,60,10,small,1,1,0\n\na,5,10,training,2,8,8\n"
    assert [one.name for one in read_jobs(text, "t.csv")] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [("line 1", "")]),
        ("name,arrival_s\n", [("line 1", "")]),
        (HEADER.replace("nics", "gpus"), [("line 1", "")]),
        (HEADER, [("", "")]),
        (HEADER + "a,1,1,small,1,1\n", [("line 2", "")]),
        (HEADER + "A b,1,1,small,1,1,0\n", [("line 2", "name")]),
        (HEADER + "a,-1,1,small,1,1,0\n", [("line 2", "arrival_s")]),
        (HEADER + "a,nan,1,small,1,1,0\n", [("line 2", "arrival_s")]),
        (HEADER + "a,1,0,small,1,1,0\n", [("line 2", "duration_s")]),
        (HEADER + "a,1,inf,small,1,1,0\n", [("line 2", "duration_s")]),
        (HEADER + "a,1,1,huge,1,1,0\n", [("line 2", "kind")]),
        (HEADER + "a,1,1,small,0,0,-1\n", [("line 2", "pods"), ("line 2", "gpus"), ("line 2", "nics")]),
        (HEADER + "a,1,1,small,1,1,0\na,1,1,small,1,1,0\n", [("line 3", "name")]),
        (HEADER + 'a,1,1,small,1,1,"0\n', [("line 2", "")]),
    ],
)
def test_what_is_wrong_in_a_trace_is_named(text: str, found: list[tuple[str, str]]) -> None:
    assert faults(text) == found
