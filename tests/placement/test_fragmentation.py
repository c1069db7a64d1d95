"""The fragmentation measure against its definition, written down once more without masks and without anything kept."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import claim, cluster, container, gpus, node, planned, pod

import builders
from fairlead.allocator import Allocator
from fairlead.inventory import Features, Inventory
from fairlead.placement import Planner
from fairlead.placement.packing import UNIT, Fragmentation, Left, TypicalPod, left_of, shapes_of, typical_pods
from fairlead.resource import DeviceClass, ResourceClaim

SHARE = f"{builders.DRIVER}/share"
CPU = 10**9


def shared_devices(model: str, *names: str, share: str = "100") -> list[dict[str, object]]:
    """GPUs that can be shared by the hundredth."""
    capacity = {SHARE: share}
    return [builders.device(n, {"model": model}, capacity=capacity, allowMultipleAllocations=True) for n in names]


def shared_gpus(node_name: str, count: int, model: str = "Falcon", share: str = "100") -> dict[str, object]:
    """A slice of such GPUs of a node."""
    devices = shared_devices(model, *[f"gpu-{n}" for n in range(count)], share=share)
    return builders.slice_(devices, pool=node_name, nodeName=node_name)


def parts(count: int, share: int, *selectors: str) -> dict[str, object]:
    """A request for `count` GPUs, so much of each."""
    return builders.request("gpu", count, *selectors, capacity={SHARE: str(share)})


Want = tuple[int, int, int, str, int]
"""CPU, number of devices, hundredths of each (0 devices: none), model or "", weight before all sum up to 1."""

Part = tuple[int, str]
"""Hundredths of a device that are free, and its model."""

models = st.sampled_from(["Falcon", "Swift"])
wants = st.lists(
    st.tuples(
        st.integers(0, 8),
        st.integers(0, 4),
        st.sampled_from([10, 25, 50, 99, 100]),
        st.just("") | models,
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=6,
)
hundredths = st.sampled_from([0, 5, 10, 24, 25, 50, 75, 90, 99, 100])
parts_free = st.lists(st.tuples(hundredths, models), min_size=1, max_size=5)


def by_definition(cpu: int, free: list[Part], wanted: list[Want]) -> Fraction:
    """F of a node with so much CPU and so much of each GPU left, in GPUs."""
    total = sum(weight for *_, weight in wanted)
    idle = sum(part for part, _ in free)
    stuck = Fraction(0)
    for need_cpu, count, share, wish, weight in wanted:
        of_use = [part for part, model in free if part >= share and wish in ("", model)] if count else []
        hosted = count > 0 and need_cpu <= cpu and len(of_use) >= count
        stuck += Fraction(weight, total) * Fraction(idle - sum(of_use) if hosted else idle, 100)
    return stuck


def wished(name: str, count: int, share: int, model: str) -> tuple[ResourceClaim, ...]:
    selectors = [f'device.attributes["{builders.DRIVER}"].model == "{model}"'] if model else []
    return (claim(name, parts(count, share, *selectors)),) if count else ()


@settings(max_examples=200, deadline=None)
@given(cpu=st.integers(0, 9), free=parts_free, wanted=wants)
def test_it_is_what_its_definition_says(cpu: int, free: list[Part], wanted: list[Want]) -> None:
    devices = [device for n, (_, model) in enumerate(free) for device in shared_devices(model, f"gpu-{n}")]
    made = cluster([node("node-1")], [builders.slice_(devices)])
    inventory = Inventory(made.slices, features=Features())
    allocator = Allocator(made.classes, Features())
    total = sum(weight for *_, weight in wanted)
    typical = [
        TypicalPod(need * CPU, 0, wished(f"c{n}", count, share, model), weight / total)
        for n, (need, count, share, model, weight) in enumerate(wanted)
    ]
    measure = Fragmentation(shapes_of(typical, allocator), allocator)
    hardware = measure.hardware(inventory.view("node-1"))
    left = Left(cpu * CPU, 0, tuple(part * UNIT // 100 for part, _ in free))
    for _ in ("computed", "kept"):
        assert hardware.fragmentation(left) == pytest.approx(float(by_definition(cpu, free, wanted)), abs=1e-9)


def free_after(*placed: object, slices: list[dict[str, object]]) -> list[float]:
    """What is free of the devices of node-1, in devices, once pods with these requests have come."""
    planner = Planner(cluster([node("node-1")], slices))
    for number, asked in enumerate(placed):
        assert planner.place(planned(pod(f"p{number}"), claim(f"c{number}", asked))).placed  # type: ignore[arg-type]
    site = planner.site
    return [part / UNIT for part in left_of(site.nodes["node-1"], site.view("node-1")).free]


def test_a_whole_device_is_free_or_not() -> None:
    assert free_after(builders.request("gpu"), slices=[gpus("node-1", "a b c")]) == [0, 1, 1]


def test_of_a_shared_device_counts_the_capacity_that_is_used_most() -> None:
    shared = builders.device("gpu", capacity={"memory": "80Gi", "slots": "4"}, allowMultipleAllocations=True)
    asked = builders.request("gpu", capacity={"memory": "20Gi", "slots": "3"})
    assert free_after(asked, slices=[builders.slice_([shared])]) == [0.25]


def test_a_partition_is_free_while_its_counters_can_pay() -> None:
    whole = builders.device("whole", uses={"card": {"slices": "7"}})
    halves = [builders.device(name, uses={"card": {"slices": "3"}}) for name in ("half-0", "half-1")]
    devices = builders.slice_([*halves, whole], count=2)
    sets = builders.slice_([], name="sets", count=2, sharedCounters=builders.counters(card={"slices": "7"}))
    assert free_after(slices=[devices, sets]) == [1, 1, 1]
    assert free_after(builders.request("gpu"), slices=[devices, sets]) == [0, 1, 0]


def test_devices_that_selectors_leave_out_are_of_no_use() -> None:
    made = cluster(
        [node("node-1"), node("node-2")], [shared_gpus("node-1", 2, "Falcon"), shared_gpus("node-2", 2, "Swift")]
    )
    inventory = Inventory(made.slices, features=Features())
    allocator = Allocator(made.classes, Features())
    falcon = claim("c", parts(1, 100, f'device.attributes["{builders.DRIVER}"].model == "Falcon"'))
    anything = claim("d", parts(1, 100))
    typical = [TypicalPod(0, 0, (falcon,), 0.75), TypicalPod(0, 0, (anything,), 0.25)]
    measure = Fragmentation(shapes_of(typical, allocator), allocator)
    free = Left(0, 0, (UNIT, UNIT))
    found = [measure.hardware(inventory.view(name)).fragmentation(free) for name in ("node-1", "node-2")]
    assert found == pytest.approx([0, 1.5])


def test_a_pod_that_needs_two_kinds_of_devices_needs_both() -> None:
    nic = builders.slice_("nic-0", driver="nic.example.com", name="nics")
    made = cluster([node("node-1")], [shared_gpus("node-1", 1), nic])
    inventory = Inventory(made.slices, features=Features())
    allocator = Allocator(made.classes, Features())
    both = claim("c", parts(1, 100), builders.request("nic", 1, device_class="nic"))
    measure = Fragmentation(shapes_of([TypicalPod(0, 0, (both,), 1.0)], allocator), allocator)
    hardware = measure.hardware(inventory.view("node-1"))
    assert hardware.fragmentation(Left(0, 0, (UNIT, UNIT))) == 0
    assert hardware.fragmentation(Left(0, 0, (UNIT, 0))) == 1
    assert hardware.fragmentation(Left(0, 0, (0, UNIT))) == 1


def test_typical_pods_are_the_most_frequent_until_they_are_enough() -> None:
    small, large = claim("s", parts(1, 50)), claim("l", parts(4, 100))
    pods = [planned(pod(f"a{n}", container(cpu="1", memory=f"{n + 1}Gi")), small) for n in range(6)]
    pods += [planned(pod(f"b{n}", container(cpu="2")), large) for n in range(3)]
    pods += [planned(pod("c", container(cpu="3")))]
    typical = typical_pods(pods, share=0.9)
    assert [(one.cpu // CPU, one.memory // 2**30 // CPU) for one in typical] == [(1, 1), (2, 0)]
    assert [one.weight for one in typical] == pytest.approx([6 / 9, 3 / 9])
    assert [len(one.claims) for one in typical] == [1, 1]
    assert len(typical_pods(pods, share=1.0)) == 3
    assert typical_pods(pods, memory=False)[0].memory == 0
    assert typical_pods([]) == []


def test_a_typical_pod_that_the_allocator_refuses_is_left_out() -> None:
    allocator = Allocator([builders.convert(DeviceClass, one) for one in builders.CLASSES], Features())
    refused = claim("c", builders.request("gpu", device_class="unknown"))
    shapes = shapes_of([TypicalPod(1, 0, (refused,), 0.5), TypicalPod(2, 0, (), 0.5)], allocator)
    assert [(shape.cpu, shape.weight) for shape in shapes] == [(2, 1.0)]
