"""Fairlead's allocator gives the judge's answer, device by device."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from families import case, claim, device, hard_cases, pool, request
from generate import random_case
from hypothesis import given, settings
from hypothesis import strategies as st
from rules import ExhaustedError

from judge import judge

adapter = pytest.importorskip("adapter", reason="the allocator's command is not there", exc_type=ImportError)

SEEDED = 2_000
STEPS = 20_000
LIMIT_SECONDS = 60
"""What a hard case may take at most, on a busy machine too; one that explodes takes hours."""


def same(case: dict) -> bool:
    """Whether both answer the same; what the judge cannot finish is left out."""
    try:
        return adapter.solve(case) == judge(case, STEPS)
    except ExhaustedError:
        return True


def test_the_same_cases_every_time() -> None:
    assert [f"random_case({n})" for n in range(SEEDED) if not same(random_case(n))] == []


@settings(max_examples=300, deadline=None)
@given(st.integers(min_value=SEEDED, max_value=2**40))
def test_other_cases_every_time(seed: int) -> None:
    assert same(random_case(seed))


@contextmanager
def time_limit() -> Iterator[None]:
    """Fails instead of going on for hours."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"no answer after {LIMIT_SECONDS} s")

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


@pytest.mark.parametrize("case", list(hard_cases()), ids=lambda case: case["name"])
def test_hard_cases(case: dict) -> None:
    with time_limit():
        answer = adapter.solve(case)
    assert ("no fit" if answer["devices"] is None else "fits") == case["expect"]
    try:
        right = judge(case, STEPS)
    except ExhaustedError:
        return
    assert answer == right


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 0, 1, 2, 3), (3, 4, 0, 1, 2), (4, 3, 0, 1, 2)])
def test_observers_leave_a_device_that_is_not_shared_to_each_other(order: tuple[int, ...]) -> None:
    """Three observers of either device, one request for the shared one and one for the other."""
    devices = [
        {**device("d0", k="s"), "allowMultipleAllocations": True, "capacity": {"bw": {"value": "4"}}},
        {
            **device("d1", k="x"),
            "capacity": {"bw": {"value": "8"}},
            "consumesCounters": [{"counterSet": "set", "counters": {"m": {"value": "1"}}}],
        },
    ]
    bandwidth = {"capacity": {"requests": {"bw": "4"}}}
    claims = [claim([request("r", 1, adminAccess=True, **bandwidth)], name=f"o{n}") for n in range(3)]
    claims += [claim([request("r", 1, f'device.attributes["d.x"].k=="{k}"', **bandwidth)], name=k) for k in "sx"]
    counters = [{"name": "set", "counters": {"m": {"value": "8"}}}]
    made = case(pool(devices, counters=counters), [claims[place] for place in order], True)
    assert same({"name": "observers", **made})
