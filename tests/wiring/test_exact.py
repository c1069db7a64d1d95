"""The choice is the best of all valid answers: compared with a look at every subset of a node's devices."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from randomly import random_claims, random_node
from wired import Node

from fairlead.placement.wiring import COMPACT, SPREAD, DevicePolicy
from fairlead.placement.wiring import given as devices_of

POLICIES = pytest.mark.parametrize("policy", [COMPACT, SPREAD], ids=lambda policy: policy.name)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(node: Node, policy: DevicePolicy, claims: list[dict[str, Any]], exact: bool = True) -> None:
    first = node.first(*claims)
    if not first.fits:
        return
    decision, choice = node.chooser.choose(first, policy)
    assert decision.fits
    assert devices_of(decision) == sum(1 << number for number in choice.score.devices)
    assert choice.score == policy.score(node.scene, devices_of(decision))
    scores = node.best(policy, decision)
    assert choice.score.key in [score.key for score in scores]
    assert scores[0].merit >= choice.score.merit
    if choice.proven:
        assert choice.score.merit == scores[0].merit
    elif choice.bound is not None:
        assert all(
            not bound or bound >= part for bound, part in zip(choice.bound[:1], scores[0].merit[:1], strict=True)
        )
    assert choice.proven or not exact
    worse = [score for score in scores if score.merit < scores[0].merit]
    if exact:
        assert (choice.runner_up.merit if choice.runner_up else None) == (worse[0].merit if worse else None)
    # What the policy gives is an answer of the allocator, so every rule of the API holds; and it is asked the same way.
    again, second = node.chooser.choose(node.first(*claims), policy)
    assert (again.picks, second) == (decision.picks, choice)


@POLICIES
@QUICK
@given(rng=st.randoms(use_true_random=False))
def test_best_of_all_subsets(policy: DevicePolicy, rng: random.Random) -> None:
    node = random_node(rng)
    check(node, policy, random_claims(rng))


@POLICIES
@QUICK
@given(rng=st.randoms(use_true_random=False))
def test_shared_devices(policy: DevicePolicy, rng: random.Random) -> None:
    node = random_node(rng, shared=True)
    check(node, policy, random_claims(rng, constrained=False), exact=False)


@POLICIES
@QUICK
@given(rng=st.randoms(use_true_random=False))
def test_partitions(policy: DevicePolicy, rng: random.Random) -> None:
    node = random_node(rng, partitions=True)
    check(node, policy, random_claims(rng))
