"""Gangs of pods on small random clusters, against all ways to put their pods on nodes."""

from __future__ import annotations

import json
import random
from itertools import combinations_with_replacement, product
from typing import Any

import pytest
from msgspec.structs import replace
from places import allocation, claim, cluster, container, gpus, node, planned, pod

import builders
from fairlead.placement import plan
from fairlead.placement.groups import GANG
from fairlead.resource import PlannedPod

RACK, BLOCK = "cloud.provider.com/topology-rack", "cloud.provider.com/topology-block"


def draw(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, int]], dict[str, Any]]:
    """Nodes with their free GPUs and CPUs, roles with what a pod asks for, and what the gang asks."""
    dice = random.Random(seed)
    nodes = [
        {
            "name": f"n{number}",
            "rack": dice.choice("rst"),
            "gpus": dice.randint(1, 4),
            "held": dice.randint(0, 2),
            "cpu": dice.randint(1, 4),
        }
        for number in range(dice.randint(2, 5))
    ]
    roles = [
        {"pods": dice.randint(1, 3), "gpus": dice.randint(0, 2), "cpu": dice.randint(0, 2)}
        for _ in range(dice.randint(1, 2))
    ]
    if sum(role["pods"] for role in roles) == 1:
        roles[0]["pods"] = 2
    ask = dice.choice([{}, {"required": ["rack"]}, {"preferred": ["rack"]}, {"required": ["block"]}])
    return nodes, roles, ask


def block_of(rack: str) -> str:
    """Two racks are in one block, the third is in another."""
    return "x" if rack in "rs" else "y"


def best(nodes: list[dict[str, Any]], roles: list[dict[str, int]], ask: dict[str, Any]) -> tuple[int, ...] | None:
    """The fewest blocks, racks and nodes, in the order that the gang asks for; None where it does not fit."""
    found: tuple[int, ...] | None = None
    choices = [list(combinations_with_replacement(range(len(nodes)), role["pods"])) for role in roles]
    for chosen in product(*choices):
        used: dict[int, list[int]] = {}
        for role, places in zip(roles, chosen, strict=True):
            for place in places:
                have = used.setdefault(place, [0, 0])
                have[0] += role["gpus"]
                have[1] += role["cpu"]
        if any(
            taken[0] > max(0, nodes[place]["gpus"] - nodes[place]["held"]) or taken[1] > nodes[place]["cpu"]
            for place, taken in used.items()
        ):
            continue
        racks = {nodes[place]["rack"] for place in used}
        blocks = {block_of(rack) for rack in racks}
        if (ask.get("required") == ["rack"] and len(racks) > 1) or (
            ask.get("required") == ["block"] and len(blocks) > 1
        ):
            continue
        levels = (len(racks),) if "preferred" in ask else (len(blocks), len(racks))
        score = (*levels, len(used))
        if found is None or score < found:
            found = score
    return found


def made(nodes: list[dict[str, Any]], roles: list[dict[str, int]], ask: dict[str, Any]) -> Any:
    """The same as objects, planned."""
    objects, slices, claims = [], [], []
    for one in nodes:
        labels = {RACK: one["rack"], BLOCK: block_of(one["rack"])}
        objects.append(node(one["name"], labels, cpu=str(one["cpu"])))
        slices.append(gpus(one["name"], " ".join(f"gpu-{n}" for n in range(one["gpus"]))))
        held = min(one["held"], one["gpus"])
        if held:
            devices = [f"gpu-{n}" for n in range(held)]
            status = allocation(*devices, node_name=one["name"])
            claims.append(claim(f"held-{one['name']}", builders.request("gpu", held), status=status))
    members = []
    for number, role in enumerate(roles):
        for index in range(role["pods"]):
            name = f"role-{number}-{index}"
            asked = {"cpu": str(role["cpu"])} if role["cpu"] else {}
            one = pod(name, container(**asked), labels={"role": str(number)})
            one = replace(one, metadata=replace(one.metadata, annotations={GANG: json.dumps(ask)}))
            own = [claim(name, builders.request("gpu", role["gpus"]))] if role["gpus"] else []
            ready = planned(one, *own)
            members.append(PlannedPod(ready.pod, "Job ml/g", "Job ml/g", ready.claims))
    return plan(cluster(objects, slices, claims=claims), members)


@pytest.mark.parametrize("seed", range(250))
def test_no_way_is_better(seed: int) -> None:
    nodes, roles, ask = draw(seed)
    expected = best(nodes, roles, ask)
    result = made(nodes, roles, ask)
    (outcome,) = result.gangs
    assert outcome.placed == (expected is not None), (outcome, nodes, roles, ask)
    assert result.complete == outcome.placed
    if expected is not None:
        assert outcome.proven
        assert (*outcome.objective.domains, outcome.objective.nodes) == expected
        racks = {one["name"]: one["rack"] for one in nodes}
        used = {placement.node for placement in result}
        assert len(used) == expected[-1]
        assert len({racks[name] for name in used}) == expected[-2]
