"""Pods that were opened and cannot be bound, against the model: kube-scheduler refuses nodes for reasons of its own."""

from __future__ import annotations

from datetime import timedelta

from play import START, Play


def play_on(*nodes: tuple[str, int], blocked: str = "") -> Play:
    play = Play()
    for name, gpus in nodes:
        play.node(name, gpus)
    if blocked:
        play.api.blocked = {blocked}
    return play


def test_a_pod_that_its_controller_makes_anew_is_evicted_and_goes_elsewhere() -> None:
    play = play_on(("node-1", 1), ("node-2", 1), blocked="node-1")
    play.pod("web", 1, owner="ReplicaSet/web")
    play.settle()
    assert play.bound() == {"web+1": "node-2"}
    assert play.api.writes["evict"] == 1
    assert play.now >= START + timedelta(seconds=30), "kube-scheduler gets time"
    (told,) = play.told("web")
    assert told == (
        "evicted, so that ReplicaSet web makes it anew: it cannot be bound on node node-1: 0/2 nodes are available."
    )
    assert len(play.api.held()) == 1


def test_where_no_other_node_has_room_it_waits_without_devices_and_goes_back_after_a_while() -> None:
    play = play_on(("node-1", 1), blocked="node-1")
    play.pod("web", 1, owner="ReplicaSet/web")
    for _ in range(40):
        play.run(10)
    assert play.bound() == {}
    assert play.api.writes["evict"] == 2, "after 30 s, and after the 2 min for which the node was left alone"
    waiting = list(play.api.objects["Pod"])
    (told,) = {play.told(name.partition("/")[2])[0] for name in waiting}
    assert "node node-1 is left alone for some minutes, since pod web+1 could not be bound there" in told
    assert play.api.held() == {}, "meanwhile others can use the devices"
    play.api.blocked.clear()
    play.settle()
    assert list(play.bound().values()) == ["node-1"]


def test_tries_become_rare() -> None:
    play = play_on(("node-1", 1), blocked="node-1")
    play.pod("web", 1, owner="ReplicaSet/web")
    for _ in range(6 * 60 * 4):
        play.run(10)
    assert 5 <= play.api.writes["evict"] <= 9, "in four hours"


def test_a_pod_without_a_controller_is_told_and_stays() -> None:
    play = play_on(("node-1", 1), ("node-2", 1), blocked="node-1")
    play.pod("alone", 1)
    for _ in range(30):
        play.run(10)
    assert play.api.writes["evict"] == 0
    (told,) = play.told("alone")
    assert "cannot be bound on node node-1" in told
    assert "delete the pod and create it again" in told
    play.api.blocked.clear()
    play.settle()
    assert play.bound() == {"alone": "node-1"}


def test_a_pod_that_forbids_it_and_one_that_belongs_to_its_node_are_told_only() -> None:
    for owner, marks, text in (
        ("ReplicaSet/web", {"fairlead.dev/eviction": "never"}, "must not be evicted"),
        ("DaemonSet/agent", {}, "for the same node"),
        ("Job/train", {}, "may count an eviction as a failure"),
    ):
        play = play_on(("node-1", 1), ("node-2", 1), blocked="node-1")
        play.pod("a", 1, owner=owner, annotations=marks)
        for _ in range(10):
            play.run(10)
        assert play.api.writes["evict"] == 0
        assert text in play.told("a")[0]


def test_a_pod_that_we_did_not_open_is_not_ours() -> None:
    play = play_on(("node-1", 1), blocked="node-1")
    play.pod("other", owner="ReplicaSet/web", schedulingGates=[], nodeSelector={})
    for _ in range(10):
        play.run(10)
    assert play.api.writes["evict"] == 0
    assert play.told("other") == []


def test_a_pod_for_which_room_is_being_made_is_left_alone() -> None:
    play = play_on(("node-1", 1), blocked="node-1")
    play.pod("web", 1, owner="ReplicaSet/web")
    play.run(1)
    pod = play.api.objects["Pod"]["ml/web"]
    play.api.update("Pod", {**pod, "status": {**pod["status"], "nominatedNodeName": "node-1"}})
    for _ in range(10):
        play.run(10)
    assert play.api.writes["evict"] == 0


def test_of_a_gang_those_that_cannot_be_bound_are_evicted_together_and_those_that_run_stay() -> None:
    play = play_on(("node-1", 2), ("node-2", 2), ("node-3", 2), blocked="node-1")
    for name in "abcd":
        play.pod(name, 1, group="g", size=4, owner="MPIJob/train")
    play.settle()
    assert set(play.bound().values()) == {"node-2", "node-3"}
    assert play.api.writes["evict"] == 2
    assert len(play.bound()) == 4
    assert {name.partition("+")[0] for name in play.bound()} == set("abcd")


def test_a_fresh_controller_goes_on_and_waits_again() -> None:
    play = play_on(("node-1", 1), ("node-2", 1), blocked="node-1")
    play.pod("web", 1, owner="ReplicaSet/web")
    for _ in range(2):
        play.run(10)
    play.kill()
    for _ in range(2):
        play.run(10)
    assert play.api.writes["evict"] == 0
    play.settle()
    assert play.bound() == {"web+1": "node-2"}
