"""The choice is the best of all valid answers: compared with a look at every subset of a node's devices."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wired import CX7, PCIE, ROOT, SXM, Node, gpu, nic, slices

from builders import claim, distinct, either, match, request
from fairlead.placement.wiring import COMPACT, SPREAD, DevicePolicy
from fairlead.placement.wiring import given as devices_of

POLICIES = pytest.mark.parametrize("policy", [COMPACT, SPREAD], ids=lambda policy: policy.name)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def random_place(rng: random.Random) -> dict[str, Any]:
    numa = rng.choice([0, 1])
    place: dict[str, Any] = {}
    if rng.random() < 0.9:
        place["numa"] = numa
    if rng.random() < 0.8:
        root = place["root"] = f"pci000{numa}:{rng.choice('12')}0"
        if rng.random() < 0.5:
            place["switch"] = f"{root}-{rng.choice('ab')}"
    return place


def random_node(rng: random.Random, shared: bool = False, partitions: bool = False) -> tuple[Node, list[str]]:
    """A node with up to five GPUs and five NICs, some of which are held."""
    model = rng.choice([SXM, PCIE])
    devices = []
    sets = {}
    for number in range(rng.randint(2, 5)):
        place = random_place(rng)
        if partitions:
            sets[f"set-{number}"] = {"memory": "4Gi"}
            for part in range(2):
                bus = f"0000:0{number}:00.0"
                uses = {f"set-{number}": {"memory": rng.choice(["1Gi", "2Gi", "4Gi"])}}
                devices.append(gpu(f"gpu-{number}-{part}", model, bus=bus, uses=uses, **place))
                devices[-1]["attributes"]["type"] = {"string": "mig"}
        else:
            made = model if rng.random() < 0.8 else rng.choice([SXM, PCIE])
            devices.append(gpu(f"gpu-{number}", made, **place))
    for number in range(rng.randint(0, 4 if shared else 5)):
        fields: dict[str, Any] = {"allowMultipleAllocations": True} if shared and rng.random() < 0.7 else {}
        bus = f"0000:{rng.choice(['a0', 'b0'])}:00.{number}"
        devices.append(nic(f"nic-{number}", CX7, bus=bus, **random_place(rng), **fields))
    names = [one["name"] for one in devices]
    rng.shuffle(devices)
    held = [name for name in names if rng.random() < 0.15 and not shared and not partitions]
    return Node(slices(*devices, sets=sets), held), names


def random_claims(rng: random.Random, constrained: bool = True) -> list[dict[str, Any]]:
    """One or two claims for GPUs and NICs, with everything that the API has."""
    gpus = request("gpus", rng.randint(1, 3), device_class="gpu")
    if rng.random() < 0.15:
        gpus = either("gpus", request("four", 4, device_class="gpu"), request("few", 2, device_class="gpu"))
    nics = request("nics", rng.choice([1, 1, 2, 3, "All"]), device_class="nic")
    asked = [gpus, nics] if rng.random() < 0.8 else [rng.choice([gpus, nics])]
    if rng.random() < 0.15:
        asked.append(request("watch", 1, device_class="gpu", adminAccess=True))
    if rng.random() < 0.15:
        asked.append(request("whatever", 1, device_class="any"))
    constraints = []
    if constrained and rng.random() < 0.4:
        names = [one["name"] for one in asked if one["name"] in ("gpus", "nics")]
        constraints.append(rng.choice([match, distinct])(ROOT, *rng.choice([names, names[:1]])))
    if len(asked) > 1 and not constraints and rng.random() < 0.4:
        return [claim(asked[0], name="one"), claim(*asked[1:], name="two")]
    return [claim(*asked, constraints=constraints)]


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
    node, _ = random_node(rng)
    check(node, policy, random_claims(rng))


@POLICIES
@QUICK
@given(rng=st.randoms(use_true_random=False))
def test_shared_devices(policy: DevicePolicy, rng: random.Random) -> None:
    node, _ = random_node(rng, shared=True)
    check(node, policy, random_claims(rng, constrained=False), exact=False)


@POLICIES
@QUICK
@given(rng=st.randoms(use_true_random=False))
def test_partitions(policy: DevicePolicy, rng: random.Random) -> None:
    node, _ = random_node(rng, partitions=True)
    check(node, policy, random_claims(rng))
