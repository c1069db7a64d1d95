"""What is said of slices that do not make up a pool."""

from __future__ import annotations

from typing import Any

from fairlead.resource import (
    Counter,
    CounterSet,
    Device,
    DeviceCounterConsumption,
    ObjectMeta,
    Quantity,
    ResourcePool,
    ResourceSlice,
    ResourceSliceSpec,
    validate_pools,
)

ONE = Counter(Quantity.parse("1"))


def make(name: str, count: int = 2, generation: int = 1, driver: str = "d", **spec: Any) -> ResourceSlice:
    pool = ResourcePool("pool", generation, count)
    return ResourceSlice(metadata=ObjectMeta(name=name), spec=ResourceSliceSpec(driver, pool, node_name="n", **spec))


def said(*slices: ResourceSlice) -> list[tuple[str, str]]:
    return [(problem.field, problem.reason) for problem in validate_pools(slices)]


def test_a_whole_pool() -> None:
    consumed = [DeviceCounterConsumption("set", {"memory": ONE})]
    counters = make("a", shared_counters=[CounterSet("set", {"memory": ONE})])
    assert said(counters, make("b", devices=[Device("x", consumes_counters=consumed)])) == []


def test_only_the_newest_generation_counts() -> None:
    old = make("a", count=5, generation=1, devices=[Device("x")])
    assert said(old, make("b", count=1, generation=2, devices=[Device("x")])) == []


def test_pools_of_two_drivers_do_not_meet() -> None:
    assert said(make("a", 1, devices=[Device("x")]), make("b", 1, driver="e", devices=[Device("x")])) == []


def test_missing_slices() -> None:
    ((field, reason),) = said(make("a", count=3), make("b", count=3))
    assert field == "spec.pool.resourceSliceCount"
    assert "has 2 of 3 slices in generation 1: it is incomplete" in reason


def test_surplus_slices() -> None:
    ((_, reason),) = said(make("a", count=1), make("b", count=1))
    assert "has 2 of 1 slices in generation 1: it is invalid" in reason


def test_slices_that_announce_different_numbers() -> None:
    ((_, reason),) = said(make("a", count=2), make("b", count=3))
    assert reason == 'Invalid value: 3: slice "a" of the same pool and generation announces 2'


def test_a_device_in_two_slices() -> None:
    ((field, reason),) = said(make("a", devices=[Device("x")]), make("b", devices=[Device("y"), Device("x")]))
    assert field == "spec.devices[1].name"
    assert reason == 'Duplicate value: "x": slice "a" of pool "pool" has it, too'


def test_counters_that_are_nowhere() -> None:
    counters = make("a", shared_counters=[CounterSet("set", {"memory": ONE})])
    consumed = [DeviceCounterConsumption("set", {"cores": ONE}), DeviceCounterConsumption("other", {"memory": ONE})]
    first, second = said(counters, make("b", devices=[Device("x", consumes_counters=consumed)]))
    assert first == (
        "spec.devices[0].consumesCounters[0].counters[cores]",
        'Not found: "cores": counter set "set" has no such counter',
    )
    assert second == (
        "spec.devices[0].consumesCounters[1].counterSet",
        'Not found: "other": no slice of pool "pool" has this counter set',
    )


def test_a_counter_set_in_two_slices() -> None:
    counters = [CounterSet("set", {"memory": ONE})]
    ((field, _),) = said(make("a", shared_counters=counters), make("b", shared_counters=counters))
    assert field == "spec.sharedCounters[0].name"
