"""The law of a planner that follows changes: it is the one that would begin with the cluster as it is now.

Whatever came, changed or went, and whatever was placed, removed or kept in between, the next pod gets the same node,
devices and reasons from both, and what both say of the cluster is the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import claim, cluster, container, node, planned, pod, read

import builders
from fairlead.placement import Cluster, GangPlanner, Planner
from fairlead.placement.packing import node_policy, typical_pods
from fairlead.placement.wiring import COMPACT
from fairlead.resource import DeviceClass, DeviceTaintRule, Node, PlannedPod, Pod, ResourceClaim, ResourceSlice
from states import got, same

NAMES = [f"node-{number}" for number in range(5)]
ANY_POD = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}}


@dataclass
class Model:
    """A cluster as plain objects, in the order in which they came."""

    chance: random.Random
    nodes: dict[str, Node] = field(default_factory=dict)
    slices: dict[str, ResourceSlice] = field(default_factory=dict)
    claims: dict[str, ResourceClaim] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    rules: dict[str, DeviceTaintRule] = field(default_factory=dict)
    classes: list[DeviceClass] = field(default_factory=lambda: list(cluster().classes))
    made: int = 0

    def value(self) -> Cluster:
        return Cluster(
            list(self.nodes.values()),
            list(self.slices.values()),
            self.classes,
            list(self.claims.values()),
            list(self.rules.values()),
            list(self.pods.values()),
        )

    def new(self, kind: str) -> str:
        self.made += 1
        return f"{kind}-{self.made}"

    # Objects out of chance

    def a_node(self, name: str) -> Node:
        chance = self.chance
        amounts = {"cpu": str(chance.randint(2, 8)), "pods": "6"} if chance.random() < 0.7 else {}
        labels = {"zone": f"z{chance.randrange(2)}", "topology.kubernetes.io/rack": f"r{chance.randrange(3)}"}
        taints = ["dedicated=x:NoSchedule"] if chance.random() < 0.1 else []
        return node(name, labels, cordoned=chance.random() < 0.1, taints=taints, **amounts)

    def a_slice(self, name: str) -> ResourceSlice:
        chance = self.chance
        count = chance.randint(0, 4)
        kind = chance.choice(("plain", "plain", "shared", "parts", "costly"))
        attributes = [{"index": n, builders.ROOT: f"pci{n % 2}", "model": chance.choice("AB")} for n in range(count)]
        fields: dict[str, Any] = {}
        if kind == "shared":
            fields = {"capacity": {"memory": "4", "links": "2"}, "allowMultipleAllocations": True}
        if kind == "parts":
            fields = {"uses": {"set": {"memory": "2"}}}
        if kind == "costly" and self.chance.random() < 0.3:
            fields = {"nodeAllocatableResources": {"cpu": {"mapping": {"deviceMultiplier": "1"}}}}
        members = [builders.device(f"gpu-{n}", attributes[n], **fields) for n in range(count)]
        generation = chance.randint(1, 2)
        reached: dict[str, Any] = {"nodeName": name}
        if name.startswith("fabric"):
            reached = {"nodeSelector": builders.labelled("zone", f"z{chance.randrange(2)}")}
        if kind == "parts" and chance.random() < 0.8:
            # Devices and their counters are in two slices of one pool.
            sets = builders.counters(set={"memory": str(chance.randint(1, 6))})
            other = builders.slice_(
                [], pool=name, name=f"{name}-sets", count=2, generation=1, sharedCounters=sets, **reached
            )
            self.slices[f"{name}-sets"] = read(ResourceSlice, other)
            return read(ResourceSlice, builders.slice_(members, pool=name, name=f"{name}-gpu", count=2, **reached))
        made = builders.slice_(members, pool=name, name=f"{name}-gpu", generation=generation, **reached)
        return read(ResourceSlice, made)

    def a_wish(self) -> PlannedPod:
        chance = self.chance
        name = self.new("pod")
        asked: list[ResourceClaim] = []
        for number in range(chance.choice((0, 1, 1, 1, 2))):
            kind = chance.choice(("one", "one", "some", "alike", "model", "share", "all"))
            constraints = []
            request = builders.request("gpu", 1)
            if kind in ("some", "alike"):
                request = builders.request("gpu", chance.randint(1, 3))
            if kind == "alike":
                constraints = [builders.match(builders.ROOT)]
            if kind == "model":
                request = builders.request("gpu", 1, 'device.attributes["gpu.example.com"].model == "A"')
            if kind == "share":
                request = builders.request("gpu", 1, capacity={"memory": str(chance.randint(1, 3))})
            if kind == "all":
                request = builders.request("gpu", "All")
            asked.append(claim(f"{name}-c{number}", request, constraints=constraints))
        fields: dict[str, Any] = {}
        needs = {"cpu": str(chance.randint(1, 3))} if chance.random() < 0.5 else {}
        if chance.random() < 0.15:
            needs["port"] = 80  # type: ignore[assignment]
        if chance.random() < 0.2:
            kind = chance.choice(("podAffinity", "podAntiAffinity"))
            fields["affinity"] = {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [ANY_POD]}}
        labels = {"app": chance.choice("ab")}
        return planned(pod(name, container(**needs), labels=labels, **fields), *asked)


class Follower:
    """A planner that follows a model, and what happens to both."""

    def __init__(self, seed: int, policy: str) -> None:
        self.chance = random.Random(seed)
        self.model = Model(self.chance)
        for name in NAMES[: self.chance.randint(1, 4)]:
            self.model.nodes[name] = self.model.a_node(name)
            self.model.slices[f"{name}-gpu"] = self.model.a_slice(name)
        self.typical = typical_pods([self.model.a_wish() for _ in range(6)])
        self.policy = policy
        self.planner = self.anew()
        self.gangs = GangPlanner(self.planner)
        self.placed: list[PlannedPod] = []
        """Placed by the planner and not kept: the model knows nothing of them."""

    def anew(self) -> Planner:
        chosen = node_policy(self.policy, typical=self.typical) if self.policy else None
        return Planner(self.model.value(), chosen, lambda: f"share-{self.model.new('s')}", COMPACT)

    def check(self) -> None:
        same(self.planner.state, self.anew().state)

    # What can happen

    def ask(self) -> None:
        wish = self.model.a_wish()
        self.free()
        expected = self.anew().place(wish)
        answer = self.planner.place(wish)
        assert got([answer]) == got([expected])
        if answer.placed:
            self.placed.append(wish)

    def ask_a_gang(self) -> None:
        first = self.model.a_wish()
        if len(first.claims) != 1:
            return
        wishes = []
        for number in range(self.chance.randint(2, 4)):
            name = f"{first.pod.name}-{number}"
            of_pod = msgspec.structs.replace(first.pod, metadata=msgspec.structs.replace(first.pod.metadata, name=name))
            own = first.claims[0].claim
            own = msgspec.structs.replace(own, metadata=msgspec.structs.replace(own.metadata, name=f"{name}-c"))
            wishes.append(replace(planned(of_pod, own), group="gang"))
        self.free()
        fresh = self.anew()
        expected, expected_outcome = GangPlanner(fresh).place(wishes)
        answer, outcome = self.gangs.place(wishes)
        assert got(answer) == got(expected)
        assert outcome == expected_outcome
        self.placed += [one for one, placement in zip(wishes, answer, strict=True) if placement.placed]

    def free(self) -> None:
        """What was placed is removed or becomes part of the cluster."""
        for wish in self.placed:
            if self.chance.random() < 0.5:
                self.planner.remove(wish)
                continue
            taken = self.planner.state._taken[wish.pod.key]
            bound = msgspec.structs.replace(wish.pod.spec, node_name=taken.node.name)
            self.model.pods[wish.pod.key] = msgspec.structs.replace(wish.pod, spec=bound)
            for used in wish.claims:
                held = self.planner.claims.get(used.claim.key)
                assert held is not None
                self.model.claims[held.key] = held
            self.planner.state.keep(wish.pod.key)
        self.placed.clear()
        self.check()

    def node_comes_or_changes(self) -> None:
        name = self.chance.choice(NAMES)
        self.model.nodes[name] = self.model.a_node(name)
        self.planner.state.set_nodes([self.model.nodes[name]])

    def node_goes(self) -> None:
        name = self.chance.choice(NAMES)
        self.model.nodes.pop(name, None)
        self.planner.state.set_nodes([], [name])

    def slice_comes_or_changes(self) -> None:
        name = self.chance.choice([*NAMES, "fabric-1", "fabric-2"])
        before = dict(self.model.slices)
        made = self.model.a_slice(name)
        self.model.slices[made.name] = made
        for key, slice_ in self.model.slices.items():
            if before.get(key) is not slice_:
                self.planner.state.set_slice(slice_)

    def slice_goes(self) -> None:
        if self.model.slices:
            name = self.chance.choice(list(self.model.slices))
            del self.model.slices[name]
            self.planner.state.remove_slice(name)

    def pod_goes(self) -> None:
        if self.model.pods:
            key = self.chance.choice(list(self.model.pods))
            del self.model.pods[key]
            self.planner.state.remove_pod(key)

    def pod_changes(self) -> None:
        if self.model.pods:
            key = self.chance.choice(list(self.model.pods))
            known = self.model.pods[key]
            fields: dict[str, Any] = {"spec": known.spec, "metadata": known.metadata}
            if self.chance.random() < 0.5:
                fields["spec"] = msgspec.structs.replace(known.spec, node_name=self.chance.choice(NAMES))
            if self.chance.random() < 0.5:
                labels = {"app": self.chance.choice("ab")}
                fields["metadata"] = msgspec.structs.replace(known.metadata, labels=labels)
            self.model.pods[key] = msgspec.structs.replace(known, **fields)
            self.planner.state.set_pod(self.model.pods[key])

    def claim_goes_or_is_freed(self) -> None:
        if self.model.claims:
            key = self.chance.choice(list(self.model.claims))
            known = self.model.claims.pop(key)
            if self.chance.random() < 0.5:
                self.model.claims[key] = ResourceClaim(metadata=known.metadata, spec=known.spec)
                self.planner.state.set_claim(self.model.claims[key])
            else:
                self.planner.state.remove_claim(key)

    def claim_takes_what_another_has(self) -> None:
        """Two claims hold the same devices: it must not happen, but where it does neither frees the other's."""
        held = [one for one in self.model.claims.values() if one.status.allocation is not None]
        if held:
            one = self.chance.choice(held)
            name = self.model.new("double")
            double = msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, name=name))
            results = one.status.allocation.devices.results if one.status.allocation is not None else []
            if not any(result.share_id for result in results):
                self.model.claims[double.key] = double
                self.planner.state.set_claim(double)

    def taint_rule_comes_or_goes(self) -> None:
        if self.model.rules and self.chance.random() < 0.5:
            self.model.rules.clear()
        else:
            selector = {"pool": self.chance.choice(NAMES)}
            spec = {"deviceSelector": selector, "taint": {"key": "broken", "effect": "NoSchedule"}}
            self.model.rules["rule"] = read(DeviceTaintRule, {"metadata": {"name": "rule"}, "spec": spec})
        self.planner.state.set_taint_rules(list(self.model.rules.values()))

    def class_changes(self) -> None:
        least = self.chance.randrange(3)
        text = f'device.driver == "{builders.DRIVER}"'
        if least:
            text += f' && device.attributes["{builders.DRIVER}"].index >= {least}'
        selectors = [{"cel": {"expression": text}}]
        self.model.classes[0] = read(DeviceClass, {"metadata": {"name": "gpu"}, "spec": {"selectors": selectors}})
        self.planner.state.set_classes(self.model.classes)


EVENTS = [name for name in vars(Follower) if not name.startswith("_") and name not in ("anew", "check", "free")]
OFTEN = ["ask", "ask", "ask", "ask_a_gang", "pod_goes", "claim_goes_or_is_freed", "slice_comes_or_changes"]


def story(seed: int, policy: str = "", steps: int = 40) -> None:
    """Things happen, by chance."""
    follower = Follower(seed, policy)
    for _ in range(steps):
        getattr(follower, follower.chance.choice([*EVENTS, *OFTEN]))()
    follower.free()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_the_planner_that_follows_answers_as_a_new_one(seed: int) -> None:
    story(seed)


@pytest.mark.parametrize("policy", ["first-fit", "best-fit", "pack"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_with_a_ranking_of_nodes_too(policy: str, seed: int) -> None:
    story(seed, policy)
