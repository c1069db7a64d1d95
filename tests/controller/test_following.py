"""The law of the planner that follows: before every unit it knows what one made from the snapshot would know.

Whatever happened before, it gives the unit the same nodes and devices, or the same reason, and afterwards its state is
that of the other one, occupancy of every node included. `snapshot` says what counts.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from play import Play
from test_interleavings import ORDINARY, TROUBLE

import builders
from fairlead.controller import Core, Placing
from fairlead.controller.rounds import Answer, PlannedRound
from fairlead.controller.snapshot import counted_claims, snapshot
from fairlead.controller.unit import Unit, UnitPlan
from fairlead.placement.wiring import COMPACT
from fairlead.resource import PlannedPod, ResourceClaim
from states import got, same

HARDWARE = ("heartbeat", "label", "resize", "cordon", "lose_node", "gain_node", "devices", "fabric", "taint", "classes")


PLAIN = Placing()


class Followed(Play):
    """A play that asks a new planner, too, whenever the core's own is asked."""

    asked = 0

    def __init__(self, placing: Placing) -> None:
        self.placing = placing
        super().__init__()

    def _begin(self) -> None:
        super()._begin()
        numbers = itertools.count()
        core = self.core = Core(self.placing.rounds(lambda: f"share-{self.kills}-{next(numbers)}"))
        place = core._following.place

        def both(unit: Unit, pods: Sequence[PlannedPod], released: Collection[str], reasons: bool) -> Answer:
            made = self.placing.rounds(lambda: "share")(snapshot(core._store, core._plans(), released))
            expected = made.place(pods)
            answer = place(unit, pods, released, reasons)
            self.asked += 1
            assert got(answer.placements) == got(expected.placements)
            if reasons:
                assert answer.reason == expected.reason, (answer.reason, expected.reason)
            assert core._following._round is not None
            same(core._following._round.state, made.state)
            return answer

        core._following.place = both  # type: ignore[method-assign]

    # What else can happen

    def _node(self, choice: int) -> dict[str, Any] | None:
        nodes = list(self.api.objects["Node"].values())
        return copy.deepcopy(nodes[choice % len(nodes)]) if nodes else None

    def heartbeat(self, choice: int = 0) -> None:
        """A node says that it is alive."""
        if (node := self._node(choice)) is not None:
            node["metadata"].setdefault("annotations", {})["beat"] = str(self.api.version)
            self.api.update("Node", node)

    def label(self, choice: int = 0) -> None:
        """A node gets another zone and rack."""
        if (node := self._node(choice)) is not None:
            zone, rack = divmod(choice // 4 % 8, 4)
            labels = {"zone": f"z{zone}", "topology.kubernetes.io/zone": f"z{zone}"}
            node["metadata"]["labels"] = labels | {"topology.kubernetes.io/rack": f"r{zone}{rack}"}
            self.api.update("Node", node)

    def resize(self, choice: int = 0) -> None:
        """A node has more or less CPU."""
        if (node := self._node(choice)) is not None:
            node["status"]["allocatable"] = {"cpu": str(choice % 5), "pods": "3"} if choice % 2 else {}
            self.api.update("Node", node)

    def cordon(self, choice: int = 0) -> None:
        """A node is cordoned, or taken into use again."""
        if (node := self._node(choice)) is not None:
            node["spec"] = {"unschedulable": bool(choice % 2)}
            self.api.update("Node", node)

    def lose_node(self, choice: int = 0) -> None:
        """A node goes; its slice may stay."""
        node = self._node(choice)
        if node is not None and len(self.api.objects["Node"]) > 1:
            self.api.delete("Node", node["metadata"]["name"])
            key = f"{node['metadata']['name']}-{builders.DRIVER}"
            if choice % 2 and key in self.api.objects["ResourceSlice"]:
                self.api.delete("ResourceSlice", key)

    def gain_node(self, choice: int = 0) -> None:
        """A node comes, or comes back."""
        name = f"node-{choice % 5}"
        if name not in self.api.objects["Node"]:
            self.api.create("Node", {"metadata": {"name": name, "labels": {}}, "spec": {}, "status": {}})
            if f"{name}-{builders.DRIVER}" not in self.api.objects["ResourceSlice"]:
                self.devices(choice, name)

    def devices(self, choice: int = 0, name: str = "") -> None:
        """A driver publishes other devices: more, fewer, shared ones, tainted ones, or a newer generation."""
        name = name or f"node-{choice % 4}"
        fields: dict[str, Any] = {}
        if choice % 3 == 1:
            fields = {"capacity": {"memory": "4"}, "allowMultipleAllocations": True}
        if choice % 5 == 1:
            fields["taints"] = [{"key": "broken", "effect": "NoSchedule"}]
        members = [builders.device(f"gpu-{number}", {"index": number}, **fields) for number in range(choice // 4 % 5)]
        self._publish(builders.slice_(members, pool=name, nodeName=name, generation=1 + choice % 2))

    def fabric(self, choice: int = 0) -> None:
        """Devices that all nodes of a zone reach come, change or go."""
        members = [builders.device(f"far-{number}", {"index": number}) for number in range(choice % 4)]
        pool = f"fabric-{choice // 4 % 2}"
        made = builders.slice_(members, pool=pool, nodeSelector=builders.labelled("zone", f"z{choice // 8 % 2}"))
        if choice % 3 or made["metadata"]["name"] not in self.api.objects["ResourceSlice"]:
            self._publish(made)
        else:
            self.api.delete("ResourceSlice", made["metadata"]["name"])

    def _publish(self, made: dict[str, Any]) -> None:
        known = self.api.objects["ResourceSlice"].get(made["metadata"]["name"])
        if known is None:
            self.api.create("ResourceSlice", made)
        else:
            self.api.update("ResourceSlice", {**known, "spec": made["spec"]})

    def taint(self, choice: int = 0) -> None:
        """Somebody taints the devices of a pool, or takes the taint away."""
        name = f"rule-{choice % 2}"
        if name in self.api.objects["DeviceTaintRule"]:
            self.api.delete("DeviceTaintRule", name)
        else:
            taint = {"key": "maintenance", "effect": "NoSchedule"}
            spec = {"deviceSelector": {"pool": f"node-{choice // 2 % 4}"}, "taint": taint}
            self.api.create("DeviceTaintRule", {"metadata": {"name": name}, "spec": spec})

    def classes(self, choice: int = 0) -> None:
        """A device class accepts other devices."""
        made = copy.deepcopy(self.api.objects["DeviceClass"]["gpu"])
        least = f' && device.attributes["{builders.DRIVER}"].index >= {choice % 3}' if choice % 4 else ""
        made["spec"]["selectors"][0]["cel"]["expression"] = f'device.driver == "{builders.DRIVER}"{least}'
        self.api.update("DeviceClass", made)

    def odd_pod(self, choice: int = 0) -> None:
        """A pod that looks at CPU, ports or other pods comes."""
        name = f"odd-{choice % 4}"
        if f"ml/{name}" in self.api.objects["Pod"] or f"ml/{name}-c0" in self.api.objects["ResourceClaim"]:
            return
        term = {"topologyKey": ("zone", "kubernetes.io/hostname")[choice // 4 % 2], "labelSelector": {}}
        kind = ("podAffinity", "podAntiAffinity")[choice // 8 % 2]
        affinity = {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
        container = {"name": "main", "resources": {"requests": {"cpu": "1"}}}
        if choice // 16 % 2:
            container["ports"] = [{"containerPort": 80, "hostPort": 80}]
        fields = affinity if choice // 32 % 2 else {}
        self.pod(name, 1 + choice % 2, containers=[container], **fields)


def play_of(chance: random.Random, placing: Placing) -> Followed:
    """Some nodes, and pods of every kind."""
    play = Followed(placing)
    for number in range(chance.randint(1, 3)):
        play.node(f"node-{number}", chance.randint(1, 4), {"zone": f"z{number % 2}"})
    for number in range(chance.randint(1, 5)):
        kind = chance.choice(("alone", "gang", "sharing"))
        if kind == "alone":
            play.pod(f"alone-{number}", *[chance.randint(1, 2) for _ in range(chance.randint(0, 2))])
            continue
        members = chance.randint(2, 4)
        if kind == "sharing":
            play.claim(f"shared-{number}", chance.randint(1, 2))
        for member in range(members):
            if kind == "gang":
                play.pod(f"gang-{number}-{member}", chance.randint(1, 2), group=f"g{number}", size=members)
            else:
                play.pod(f"sharing-{number}-{member}", shared=[f"shared-{number}"])
    return play


def story(seed: int, steps: int = 250, placing: Placing = PLAIN) -> Followed:
    """A long story out of a seed."""
    chance = random.Random(seed)
    play = play_of(chance, placing)
    for _ in range(chance.randint(0, steps)):
        kind = chance.random()
        actions = ORDINARY if kind < 0.75 else TROUBLE if kind < 0.88 else (*HARDWARE, "odd_pod")
        getattr(play, chance.choice(actions))(chance.randrange(64))
    return play


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_the_planner_that_follows_answers_as_a_new_one(seed: int) -> None:
    play = story(seed)
    for _ in range(40):
        play.deliver()
    play.decide()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_with_policies_for_nodes_and_devices_too(seed: int) -> None:
    play = story(seed, placing=Placing("best-fit", COMPACT))
    play.decide()


def test_the_stories_ask_the_planner_often() -> None:
    """So that the law above says something."""
    assert sum(story(seed).asked for seed in range(20)) > 100


@pytest.mark.parametrize("lost", [False, True])
def test_a_plan_that_is_given_up_leaves_nothing(lost: bool) -> None:
    play = Followed(PLAIN)
    play.node("node-0", 2)
    play.pod("a", 2)
    while play.deliver():
        pass
    play.decide()
    if lost:
        play.lose_write()
        play.answer()
    play.api.delete("Pod", "ml/a")
    play.pod("b", 2)
    play.settle()
    assert play.bound() == {"b": "node-0"}


def test_where_plans_of_one_claim_contradict_each_other_all_that_they_name_is_taken() -> None:
    def planned(pod: str, *devices: str) -> UnitPlan:
        results = [{"request": "gpu", "driver": builders.DRIVER, "pool": "p", "device": name} for name in devices]
        status = {"allocation": {"devices": {"results": results}}, "reservedFor": [{"resource": "pods", "uid": pod}]}
        made = builders.convert(ResourceClaim, {**builders.claim(builders.request("gpu"), name="c"), "status": status})
        return UnitPlan({pod: pod}, {pod: "node-0"}, {"ml/c": made}, {})

    free = builders.convert(ResourceClaim, builders.claim(builders.request("gpu"), name="c"))
    counted = counted_claims(free, [planned("a", "gpu-0"), planned("b", "gpu-1"), planned("c", "gpu-0")], ())
    taken = [one.status.allocation.devices.results[0].device for one in counted if one.status.allocation is not None]
    assert sorted(taken) == ["gpu-0", "gpu-1"]
    assert len({one.key for one in counted}) == 2


def test_a_policy_that_keeps_room_for_typical_pods_learns_them_from_those_that_run() -> None:
    play = Play()
    play.core = Core(Placing("pack").rounds(lambda: "share"))
    for number in range(4):
        play.node(f"node-{number}", 4)
    for number in range(3):
        play.pod(f"early-{number}", 2)
        play.settle()
    round_ = play.core._following._round
    assert isinstance(round_, PlannedRound)
    policy = round_._policy
    assert policy is not None
    assert [len(one.claims) for one in policy._typical] == [1]
    play.pod("late", 4)
    play.settle()
    assert set(play.bound()) == {"early-0", "early-1", "early-2", "late"}
