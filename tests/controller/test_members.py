"""Pods that join a group of which others have their place, against the model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from play import Play

RACK = "cloud.provider.com/topology-rack"
BLOCK = "cloud.provider.com/topology-block"


def racks(gpus: int = 1, nodes: int = 2, names: str = "abcd") -> Play:
    """So many nodes a rack, two racks a block."""
    play = Play()
    for number, rack in enumerate(names):
        for node in range(nodes):
            play.node(f"{rack}{node}", gpus, {RACK: rack, BLOCK: f"block-{number // 2}"})
    return play


def asks(**ask: Any) -> dict[str, str]:
    return {"fairlead.dev/gang": json.dumps(ask)}


def member(play: Play, name: str, *counts: int, **how: Any) -> None:
    play.pod(name, *counts, schedulingGroup={"podGroupName": "g"}, **how)


def rack_of(play: Play, name: str) -> str:
    return play.bound()[name][0]


@pytest.mark.parametrize("required", [True, False])
def test_a_member_made_anew_goes_to_the_rack_of_the_others(required: bool) -> None:
    play = racks(nodes=3)
    ask = asks(required=["rack"]) if required else {}
    for name in ("one", "two"):
        play.pod(name, 1, group="g", size=2, annotations=ask, nodeSelector={BLOCK: "block-1"})
    play.settle()
    (rack,) = {rack_of(play, name) for name in ("one", "two")}
    play.api.delete("Pod", "ml/two")
    play.api.collect()
    play.pod("noise", 1, nodeSelector={RACK: "b"})
    play.settle()
    play.pod("two-again", 1, group="g", size=2, annotations=ask)
    play.settle()
    assert rack_of(play, "two-again") == rack, "not on the first node that is free"


def test_where_the_rack_is_full_a_required_one_is_waited_for_and_a_preferred_one_is_not() -> None:
    for required in (True, False):
        play = racks(nodes=2)
        ask = asks(required=["rack"]) if required else {}
        for name in ("one", "two"):
            play.pod(name, 1, group="g", size=2, annotations=ask)
        play.settle()
        rack = rack_of(play, "one")
        place = play.bound()["two"]
        play.api.delete("Pod", "ml/two")
        play.api.collect()
        play.pod("thief", 1, nodeSelector={RACK: rack})
        play.settle()
        assert play.bound()["thief"] == place
        play.pod("two-again", 1, group="g", size=2, annotations=ask)
        play.settle()
        if not required:
            near = {"a": "b", "b": "a", "c": "d", "d": "c"}[rack]
            assert rack_of(play, "two-again") == near, "the other rack of the block"
            continue
        assert "two-again" not in play.bound()
        (told,) = play.told("two-again")
        assert "not near its group" in told
        play.api.delete("Pod", "ml/thief")
        play.settle()
        assert rack_of(play, "two-again") == rack


def test_a_member_made_anew_completes_the_slice_that_lacks_it() -> None:
    play = racks(nodes=3)
    ask = asks(slices={"level": "rack", "size": 2})
    names = [f"p{number}" for number in range(4)]
    for name in names:
        play.pod(name, 1, group="g", size=4, annotations=ask)
    play.settle()
    before = {name: rack_of(play, name) for name in names}
    assert sorted(list(before.values()).count(rack) for rack in set(before.values())) == [2, 2]
    for name in names:
        play.api.delete("Pod", f"ml/{name}")
        play.api.collect()
        play.pod(f"{name}-again", 1, group="g", size=4, annotations=ask)
        play.settle()
        assert rack_of(play, f"{name}-again") == before[name]


def test_several_members_made_anew_come_together_or_not_at_all() -> None:
    play = racks(nodes=3, names="a")
    for name in ("one", "two", "three"):
        play.pod(name, 1, group="g", size=3)
    play.settle()
    for name in ("two", "three"):
        play.api.delete("Pod", f"ml/{name}")
    play.api.collect()
    play.pod("thief", 1)
    play.settle()
    for name in ("two-again", "three-again"):
        play.pod(name, 1, group="g", size=3)
    play.settle()
    assert set(play.bound()) == {"one", "thief"}
    assert len(play.api.held()) == 2
    play.api.delete("Pod", "ml/thief")
    play.settle()
    assert set(play.bound()) == {"one", "two-again", "three-again"}


def test_a_pod_group_starts_with_as_many_as_it_needs_and_the_others_join() -> None:
    play = racks(nodes=2, names="ac")
    play.pod_group("g", 2)
    member(play, "one", 1)
    play.settle()
    assert play.bound() == {}
    member(play, "two", 1)
    play.settle()
    assert set(play.bound()) == {"one", "two"}
    rack = rack_of(play, "one")
    for name in ("three", "four"):
        member(play, name, 1)
    play.settle()
    assert len(play.bound()) == 4
    assert rack_of(play, "two") == rack
    assert rack_of(play, "three") == rack_of(play, "four") != rack


def test_of_more_pods_than_fit_it_takes_those_that_it_needs_and_then_one_by_one() -> None:
    play = racks(nodes=3, names="a")
    play.pod_group("g", 2)
    for name in ("one", "two", "three", "four"):
        member(play, name, 1)
    play.settle()
    assert len(play.bound()) == 3
    (left,) = {"one", "two", "three", "four"} - set(play.bound())
    assert play.told(left)
    play.api.delete("Pod", "ml/one")
    play.settle()
    assert left in play.bound()


def test_a_pod_group_takes_none_where_fewer_fit_than_it_needs() -> None:
    play = racks(nodes=2, names="a")
    play.pod_group("g", 3)
    for name in ("one", "two", "three", "four"):
        member(play, name, 1)
    play.settle()
    assert play.bound() == {}
    assert play.api.held() == {}


def test_a_claim_that_the_group_names_is_reserved_for_the_group() -> None:
    play = racks(gpus=3, nodes=1, names="a")
    play.claim("kept", 1)
    play.pod_group("g", 2, resourceClaims=[{"name": "kept", "resourceClaimName": "kept"}])
    for name in ("one", "two"):
        member(play, name, 1, shared=["kept"])
    play.api.collect = lambda: None  # type: ignore[method-assign]
    play.settle()
    assert set(play.bound()) == {"one", "two"}
    (user,) = play.api.objects["ResourceClaim"]["ml/kept"]["status"]["reservedFor"]
    assert (user["apiGroup"], user["resource"], user["name"]) == ("scheduling.k8s.io", "podgroups", "g")
    assert user["uid"] == play.api.objects["PodGroup"]["ml/g"]["metadata"]["uid"]
