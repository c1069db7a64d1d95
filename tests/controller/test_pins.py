"""Pods that their claims hold, not node affinity: pins, moves, and what is left behind, against the model."""

from __future__ import annotations

import pytest
from cluster_model import gated
from play import Play

from fairlead.controller import FINALIZER

MOVABLE = {"fairlead.dev/pin": "claim"}


def play_on(**gpus: int) -> Play:
    play = Play()
    for name, count in gpus.items():
        play.node(name.replace("_", "-"), count)
    return play


def test_it_is_bound_without_node_affinity_and_its_pin_goes() -> None:
    play = play_on(node_1=1, node_2=1)
    play.pod("a", 1, annotations=MOVABLE)
    play.settle()
    assert play.bound() == {"a": "node-1"}
    spec = play.api.objects["Pod"]["ml/a"]["spec"]
    assert "affinity" not in spec
    assert play.pins() == []
    assert dict(play.api.writes) == {"finalizer": 1, "allocate": 1, "open": 1, "unpin": 1}
    (user,) = play.api.objects["ResourceClaim"]["ml/a-c0"]["status"]["reservedFor"]
    assert user["name"] == "a"


def test_a_pod_that_cannot_be_bound_is_given_other_devices() -> None:
    play = play_on(node_1=1, node_2=1)
    play.api.blocked = {"node-1"}
    play.pod("a", 1, annotations=MOVABLE)
    play.settle()
    assert play.bound() == {"a": "node-2"}
    assert play.api.writes["evict"] == 0
    assert play.api.writes["clear"] == 1
    assert play.pins() == []
    assert len(play.api.held()) == 1


def test_kube_scheduler_may_be_first_to_give_it_devices() -> None:
    play = play_on(node_1=2, node_2=2, node_3=2)
    play.api.blocked = {"node-1", "node-2"}
    play.api.eager = True
    play.pod("a", 2, annotations=MOVABLE)
    play.settle()
    assert play.bound() == {"a": "node-3"}, "it knows where the pod can be bound"
    assert play.pins() == []


def test_while_a_pod_is_moved_nobody_else_is_given_anything() -> None:
    play = play_on(node_1=1, node_2=2)
    play.api.blocked = {"node-1"}
    play.pod("a", 1, annotations=MOVABLE)
    play.run(29)
    play.pod("b", 1)
    play.pod("c", 1)
    play.run(0.5)
    assert set(play.bound()) == {"b", "c"}
    play.finish()
    play.run(1)
    assert play.core.busy
    play.pod("d", 1)
    play.run(0.2)
    assert gated(play.api.objects["Pod"]["ml/d"]), "a is being moved"
    play.settle()
    assert {"a", "b", "c"} <= set(play.bound())


def test_where_it_can_go_nowhere_it_keeps_what_it_has_and_is_told() -> None:
    play = play_on(node_1=1)
    play.api.blocked = {"node-1"}
    play.pod("a", 1, annotations=MOVABLE)
    for _ in range(10):
        play.run(10)
    assert play.api.writes["clear"] == 0
    assert "It has no other place: " in play.told("a")[0]
    play.api.blocked.clear()
    play.settle()
    assert play.bound() == {"a": "node-1"}


def test_a_claim_that_others_use_too_stays() -> None:
    play = play_on(node_1=1, node_2=1)
    play.claim("shared", 1)
    for name in "ab":
        play.pod(name, shared=["shared"], annotations=MOVABLE)
    play.api.blocked = {"node-1"}
    for _ in range(10):
        play.run(10)
    assert play.api.writes["clear"] == 0
    assert play.pins() == ["ml/shared"]
    play.api.blocked.clear()
    play.settle()
    assert set(play.bound()) == {"a", "b"}
    assert play.pins() == []


def test_pods_that_must_be_spread_are_held_by_their_claims() -> None:
    play = play_on(node_1=1)
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    play.pod("a", 1, topologySpreadConstraints=[constraint])
    play.settle()
    assert "affinity" not in play.api.objects["Pod"]["ml/a"]["spec"], "it would hide other zones from the constraint"
    assert play.bound() == {"a": "node-1"}
    assert play.pins() == []


def test_a_pod_deleted_while_pinned_leaves_nothing_behind() -> None:
    for shared in (False, True):
        play = play_on(node_1=1)
        play.api.blocked = {"node-1"}
        if shared:
            play.claim("kept", 1)
            play.pod("a", shared=["kept"], annotations=MOVABLE)
        else:
            play.pod("a", 1, annotations=MOVABLE)
        play.run(5)
        assert len(play.pins()) == 1
        play.api.delete("Pod", "ml/a")
        play.settle()
        assert play.api.held() == {}
        claims = play.api.objects["ResourceClaim"]
        if not shared:
            assert claims == {}, "it does not hang in its deletion"
        else:
            (claim,) = claims.values()
            assert FINALIZER not in claim["metadata"].get("finalizers", ())
            assert not claim["status"].get("reservedFor")


def test_a_value_that_is_not_known_is_told() -> None:
    play = play_on(node_1=1)
    play.pod("a", 1, annotations={"fairlead.dev/pin": "rack"})
    play.settle()
    assert "'rack' is neither node nor claim" in play.told("a")[0]


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("eager", [False, True])
def test_a_death_at_every_write_leaves_no_pin_and_no_device_held(eager: bool, lost: bool, deleted: bool) -> None:
    """The pod cannot be bound where it was planned; the controller is killed at its first write, its second, and on."""
    for death in range(1, 12):
        play = play_on(node_1=1, node_2=1)
        play.api.blocked = {"node-1"}
        play.api.eager = eager
        play.claim("kept", 1)
        play.pod("a", shared=["kept"], annotations=MOVABLE)
        made = 0
        for _ in range(120):
            play.api.collect()
            while play.deliver():
                pass
            play.decide()
            play.api.schedule()
            while play.outbox and made < death:
                made += 1
                play.do() if made < death else play.kill(0 if lost else 255)
            while play.answers:
                play.answer()
            play.wait(2 if made < death else 3)
            if made >= death:
                break
        if deleted and "ml/a" in play.api.objects["Pod"]:
            play.api.delete("Pod", "ml/a")
        play.settle()
        assert play.pins() == []
        if deleted:
            assert play.api.held() == {}
        else:
            assert play.bound() == {"a": "node-2"}
            assert len(play.api.held()) == 1


def test_a_claim_that_kube_scheduler_left_without_users_is_released_when_its_pod_goes() -> None:
    play = play_on(node_1=1)
    play.api.blocked = {"node-1"}
    play.claim("kept", 1)
    play.pod("a", shared=["kept"])
    play.run(1)
    claim = play.api.objects["ResourceClaim"]["ml/kept"]
    play.api.update("ResourceClaim", {**claim, "status": {**claim["status"], "reservedFor": []}})
    play.run(1)
    assert len(play.api.held()) == 1, "the pod can still be bound"
    play.api.delete("Pod", "ml/a")
    play.settle()
    assert play.api.held() == {}
    assert play.api.objects["ResourceClaim"]["ml/kept"]["metadata"].get("finalizers") == []


def test_a_claim_that_lost_its_user_keeps_its_pin_while_the_pod_has_to_be_bound() -> None:
    play = play_on(node_1=1, node_2=1)
    play.api.blocked = {"node-1"}
    play.pod("a", 1, annotations=MOVABLE)
    play.run(1)
    claim = play.api.objects["ResourceClaim"]["ml/a-c0"]
    kept = [one for one in claim["status"]["reservedFor"] if one["resource"] != "pods"]
    play.api.update("ResourceClaim", {**claim, "status": {**claim["status"], "reservedFor": kept}})
    play.run(1)
    assert play.api.writes["clear"] == 0
    play.settle()
    assert play.bound() == {"a": "node-2"}
    assert play.pins() == []
