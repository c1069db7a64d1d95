"""Names and order say nothing about wiring; and what cannot be looked at whole is said to be not proven."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wired import PCIE, Node, gpu, nic, slices

from builders import claim, request
from fairlead.placement.wiring import COMPACT, SPREAD, DevicePolicy, chooser, order

POLICIES = pytest.mark.parametrize("policy", [COMPACT, SPREAD], ids=lambda policy: policy.name)


def regular(shuffle: random.Random | None = None) -> Node:
    """Four roots on two NUMA nodes, each with a GPU and two NICs, in any order and under any names."""
    made = []
    for root in range(4):
        place = {"numa": root // 2, "root": f"pci{root}"}
        made.append(gpu(f"gpu-{root}", PCIE, **place))
        made += [nic(f"nic-{root}{port}", **place, bus=f"000{root}:0{port}:00.0") for port in range(2)]
    if shuffle is not None:
        shuffle.shuffle(made)
        for number, one in enumerate(made):
            one["name"] = f"{one['name'][:3]}-x{number}"
    return Node(slices(*made))


@POLICIES
@settings(max_examples=20, deadline=None)
@given(rng=st.randoms(use_true_random=False), gpus=st.integers(1, 4), nics=st.integers(1, 8))
def test_renamed_and_reordered(policy: DevicePolicy, rng: random.Random, gpus: int, nics: int) -> None:
    asked = claim(request("gpus", gpus, device_class="gpu"), request("nics", nics, device_class="nic"))
    _, one = regular().choose(policy, asked)
    _, other = regular(rng).choose(policy, asked)
    # What is left over is listed in the order of kinds of places, largest first, so names do not show in it either.
    assert one.score.merit == other.score.merit
    assert (one.runner_up and one.runner_up.merit) == (other.runner_up and other.runner_up.merit)


@POLICIES
def test_one_answer_for_equal_nodes(policy: DevicePolicy) -> None:
    node = regular()
    asked = claim(request("gpus", 2, device_class="gpu"), request("nics", 2, device_class="nic"))
    first = node.choose(policy, asked)
    second = node.choose(policy, asked)
    assert first[1] == second[1]
    assert first[0].picks == second[0].picks


@POLICIES
@pytest.mark.parametrize(("name", "limit"), [("SELECTIONS", 2), ("STEPS", 5)])
def test_limits_make_a_choice_unproven_and_never_wrong(
    policy: DevicePolicy, name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, name, limit)
    node = regular()
    asked = claim(request("gpus", 2, device_class="gpu"), request("nics", 3, device_class="nic"))
    decision, choice = node.choose(policy, asked)
    best = node.best(policy, decision)[0]
    assert decision.fits
    assert choice.score.merit <= best.merit
    assert not choice.proven or choice.score.merit == best.merit
    if name == "SELECTIONS":
        assert not choice.proven
    if choice.bound is not None:
        assert choice.bound[0] >= best.merit[0]


def test_a_limit_on_what_the_allocator_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chooser, "ASKED", 0)
    decision, choice = regular().choose(COMPACT, claim(request("gpus", 2, device_class="gpu")))
    assert decision.fits
    assert choice.proven  # the very first set is accepted


def test_many_devices_are_no_matter() -> None:
    made = []
    for root in range(16):
        place = {"numa": root // 8, "root": f"pci{root}"}
        made.append(gpu(f"gpu-{root}", **place))
        made += [nic(f"nic-{root}-{number}", **place, bus=f"00{root:02x}:00:00.{number}") for number in range(4)]
    asked = claim(request("gpus", 8, device_class="gpu"), request("nics", 8, device_class="nic"))
    _, choice = Node(slices(*made)).choose(COMPACT, asked)
    assert choice.proven
    assert choice.score.parts[1].key == (0, 8, 8)
