"""The way of a pod, step by step, against the model of an API server."""

from __future__ import annotations

import copy

import pytest
from play import Play

from fairlead.controller import Refused


def test_a_pod_alone_takes_two_writes_when_its_claim_has_the_finalizer() -> None:
    play = Play()
    play.node("node-1", 2)
    play.pod("a", 1)
    claim = play.api.objects["ResourceClaim"]["ml/a-c0"]
    play.api.update(
        "ResourceClaim",
        {**claim, "metadata": {**claim["metadata"], "finalizers": ["resource.kubernetes.io/delete-protection"]}},
    )
    play.settle()
    assert play.bound() == {"a": "node-1"}
    assert dict(play.api.writes) == {"allocate": 1, "open": 1}


def test_without_the_finalizer_it_is_one_write_more() -> None:
    play = Play()
    play.node("node-1", 2)
    play.pod("a", 1)
    play.settle()
    assert dict(play.api.writes) == {"finalizer": 1, "allocate": 1, "open": 1}


def test_gates_are_opened_when_the_watch_shows_all_writes_of_the_group() -> None:
    play = Play()
    play.node("node-1", 2)
    for name in "ab":
        play.pod(name, 1, group="g", size=2)
    while play.deliver():
        pass
    for _ in range(3):
        play.decide()
        while play.outbox:
            play.do()
        while play.answers:
            play.answer()
    assert play.api.writes["allocate"] == 2
    play.wait(1)
    play.decide()
    assert not play.outbox, "the answers alone are not enough: kube-scheduler may not know yet"
    while play.deliver():
        pass
    play.decide()
    assert not play.outbox
    play.wait(1)
    play.decide()
    assert [write.purpose for write in play.outbox] == ["open", "open"]


def test_a_gang_waits_until_it_is_complete_and_says_so() -> None:
    play = Play()
    play.node("node-1", 4)
    play.pod("a", 1, group="g", size=2)
    play.settle()
    assert play.bound() == {}
    assert play.told("a") == ["group ml/g has 1 of 2 pods, and is placed whole or not at all"]
    play.pod("b", 1, group="g", size=2)
    play.settle()
    assert set(play.bound()) == {"a", "b"}


def test_a_gang_without_room_takes_nothing_and_a_smaller_pod_goes_ahead() -> None:
    play = Play()
    play.node("node-1", 2)
    for name in ("a", "b", "c"):
        play.pod(name, 1, group="g", size=3)
    play.pod("small", 1)
    play.settle()
    assert set(play.bound()) == {"small"}
    assert len(play.api.held()) == 1
    assert "all 3 pods" in play.told("a")[0]


def test_a_pod_that_waits_is_told_what_would_help_and_goes_when_room_appears() -> None:
    play = Play()
    play.node("node-1", 2)
    play.pod("first", 2)
    play.settle()
    play.pod("second", 2)
    play.settle()
    (told,) = play.told("second")
    assert "held by claim ml/first-c0" in told
    assert "It would fit if claim ml/first-c0 released" in told
    play.finish()
    play.settle()
    assert play.bound() == {"first": "node-1", "second": "node-1"}


def test_a_claim_of_several_pods_is_allocated_once_and_reserved_for_each() -> None:
    play = Play()
    play.node("node-1", 2)
    play.claim("shared", 2)
    for name in "ab":
        play.pod(name, shared=["shared"])
    play.settle()
    assert set(play.bound()) == {"a", "b"}
    reserved = play.api.objects["ResourceClaim"]["ml/shared"]["status"]["reservedFor"]
    assert [one["name"] for one in reserved] == ["a", "b"]


def test_a_pod_without_claims_is_opened_and_tied_to_nothing() -> None:
    play = Play()
    play.node("node-1", 0)
    pod = play.pod("a")
    play.settle()
    assert "affinity" not in play.api.objects["Pod"]["ml/a"]["spec"]
    assert play.bound() == {"a": "node-1"}
    assert pod["spec"]["schedulingGates"]


def test_node_affinity_is_added_to_every_term_and_keeps_what_is_there() -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in "ab"]
    play = Play()
    play.node("node-1", 1, {"zone": "a"})
    play.node("node-2", 1, {"zone": "b"})
    affinity = {"nodeAffinity": {required: {"nodeSelectorTerms": terms}}, "podAntiAffinity": {required: []}}
    play.pod("a", 1, affinity=affinity)
    play.settle()
    spec = play.api.objects["Pod"]["ml/a"]["spec"]["affinity"]
    assert spec["podAntiAffinity"] == {required: []}
    for term, before in zip(spec["nodeAffinity"][required]["nodeSelectorTerms"], terms, strict=True):
        assert term["matchExpressions"] == before["matchExpressions"]
        assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]


def test_preferences_and_other_affinity_stay() -> None:
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    weights = [{"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}}]
    for affinity in ({"nodeAffinity": {preferred: weights}}, {"podAffinity": {preferred: []}}, {}):
        play = Play()
        play.node("node-1", 1)
        play.pod("a", 1, affinity=affinity)
        play.settle()
        after = play.api.objects["Pod"]["ml/a"]["spec"]["affinity"]
        assert play.bound() == {"a": "node-1"}
        assert after.get("podAffinity") == affinity.get("podAffinity")
        assert after["nodeAffinity"].get(preferred) == affinity.get("nodeAffinity", {}).get(preferred)


def test_pods_that_were_opened_count_on_their_node_before_they_are_bound() -> None:
    play = Play()
    play.node("node-1", 2, cpu="1", memory="8Gi", pods="10")
    wants = [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]
    play.pod("a", 1, containers=wants)
    play.pod("b", 1, containers=wants)
    play.settle()
    assert len(play.bound()) == 1
    (waiting,) = {"a", "b"} - set(play.bound())
    assert "too little cpu" in play.told(waiting)[0]


def test_a_pod_waits_for_the_gates_of_others() -> None:
    play = Play()
    play.node("node-1", 1)
    play.pod("a", 1, schedulingGates=[{"name": "queue.example.com/admission"}, {"name": "fairlead.dev/allocation"}])
    play.settle()
    assert play.api.held() == {}
    assert "queue.example.com/admission" in play.told("a")[0]


def test_bad_group_sizes_are_told() -> None:
    for size, text in (("two", "'two' is not a number of pods"), ("", "has fairlead.dev/group but not")):
        play = Play()
        play.node("node-1", 1)
        play.pod("a", 1, labels={"fairlead.dev/group": "g"} | ({"fairlead.dev/group-size": size} if size else {}))
        play.settle()
        assert text in play.told("a")[0]


def test_a_pod_group_is_a_gang_and_its_claim_is_reserved_for_it() -> None:
    play = Play()
    play.node("node-1", 1)
    spec = {"schedulingPolicy": {"gang": {"minCount": 2}}}
    api_version = "scheduling.k8s.io/v1beta1"
    group = play.api.create(
        "PodGroup",
        {"apiVersion": api_version, "kind": "PodGroup", "metadata": {"name": "g", "namespace": "ml"}, "spec": spec},
    )
    play.claim("shared", 1)
    claim = play.api.objects["ResourceClaim"]["ml/shared"]
    owner = {
        "apiVersion": api_version,
        "kind": "PodGroup",
        "name": "g",
        "uid": group["metadata"]["uid"],
        "controller": True,
    }
    claim["metadata"]["ownerReferences"] = [owner]
    play.api.update("ResourceClaim", claim)
    for name in "ab":
        play.pod(name, shared=["shared"], schedulingGroup={"podGroupName": "g"})
    play.api.collect = lambda: None  # type: ignore[method-assign]
    play.settle()
    assert set(play.bound()) == {"a", "b"}
    (reserved,) = play.api.objects["ResourceClaim"]["ml/shared"]["status"]["reservedFor"]
    assert (reserved["resource"], reserved["name"]) == ("podgroups", "g")


def test_a_write_that_is_on_its_way_counts_though_its_pod_is_gone() -> None:
    play = Play()
    play.node("node-1", 1)
    play.claim("kept", 1)
    play.pod("a", shared=["kept"])
    while play.deliver():
        pass
    for _ in range(2):
        play.decide()
        if play.outbox[0].purpose == "finalizer":
            play.do()
            play.answer()
    (late,) = play.outbox
    assert late.purpose == "allocate"
    play.outbox.clear()
    play.api.delete("Pod", "ml/a")
    play.pod("b", 1)
    while play.deliver():
        pass
    play.decide()
    assert [write.purpose for write in play.outbox] == ["say", "mark"]
    play.outbox.append(late)
    play.do(1)
    play.settle()
    assert play.bound() == {"b": "node-1"}, "the claim controller released what nobody uses"


def test_what_a_gang_holds_that_does_not_fit_any_more_is_given_back() -> None:
    play = Play()
    play.node("node-1", 2)
    play.node("node-2", 2)
    for name in "ab":
        play.pod(name, 2, group="g", size=2)
    while play.api.writes["allocate"] < 1:
        while play.deliver():
            pass
        play.decide()
        play.do()
        while play.answers:
            play.answer()
    assert len(play.api.held()) == 2
    play.kill()
    (held,) = {node for _, node, _ in play.api.held()}
    other = "node-1" if held == "node-2" else "node-2"
    play.api.delete("ResourceSlice", f"{other}-gpu.example.com")
    play.settle()
    assert play.api.held() == {}
    play.pod("single", 2)
    play.settle()
    assert play.bound() == {"single": held}


def test_a_conflict_that_no_change_explains_is_tried_again() -> None:
    for purpose in ("finalizer", "allocate", "open"):
        play = Play()
        play.node("node-1", 2)
        play.pod("a", 1)
        refused = 0
        for _ in range(20):
            while play.deliver():
                pass
            play.decide()
            while play.outbox:
                if play.outbox[0].purpose == purpose and not refused:
                    refused += 1
                    play.answers.append(Refused(play.outbox.pop(0), 409, "the object has been modified"))
                else:
                    play.do()
            while play.answers:
                play.answer()
            play.wait(1)
        assert (refused, play.bound()) == (1, {}), purpose
        play.settle()
        assert play.bound() == {"a": "node-1"}, purpose


def test_a_gate_that_may_still_be_opened_counts_as_open_though_others_write_to_the_pod() -> None:
    play = Play()
    play.node("node-1", 1)
    play.pod("a", 1)
    while not play.outbox or play.outbox[0].purpose != "open":
        play.do()
        while play.answers:
            play.answer()
        while play.deliver():
            pass
        play.wait(1)
        play.decide()
    (late,) = play.outbox
    play.lose_write()
    play.answer()
    pod = copy.deepcopy(play.api.objects["Pod"]["ml/a"])
    pod["metadata"]["labels"]["touched"] = "yes"
    play.api.update("Pod", pod)
    play.api.delete("Node", "node-1")
    while play.deliver():
        pass
    play.decide()
    assert [write.purpose for write in play.outbox] == []
    play.outbox.append(late)
    play.do()
    assert len(play.api.held()) == 1, "it was opened with its device"


def test_what_could_not_be_said_is_said_again_soon() -> None:
    play = Play()
    play.node("node-1", 1)
    play.pod("a", 2)
    while play.deliver():
        pass
    play.decide()
    assert [write.purpose for write in play.outbox] == ["say", "mark"]
    play.lose_write()
    play.answer()
    began = play.now
    play.settle()
    assert play.told("a")
    assert (play.now - began).total_seconds() <= 2


@pytest.mark.parametrize(("refusals", "told"), [(2, False), (4, True)])
def test_a_pod_is_told_of_refusals_that_go_on(refusals: int, told: bool) -> None:
    play = Play()
    play.node("node-1", 2)
    play.pod("a", 1)
    for _ in range(refusals):
        while not play.outbox:
            while play.deliver():
                pass
            play.now = max(play.now, play.core.wake or play.now)
            play.decide()
            for write in [one for one in play.outbox if one.purpose in ("say", "mark")]:
                play.outbox.remove(write)
                play.api.do(write)
        play.answers.append(Refused(play.outbox.pop(0), 403, "claims is forbidden"))
        play.answer()
    play.settle()
    assert play.bound() == {"a": "node-1"}
    assert bool(play.told("a")) is told


def test_a_pod_that_was_not_told_is_told_soon_though_the_reason_is_another_one_by_then() -> None:
    play = Play()
    play.node("node-1", 2)
    play.pod("large", 3)
    while play.deliver():
        pass
    play.decide()
    play.lose_write()
    play.answer()
    play.pod("small", 1)
    began = play.now
    play.settle()
    assert "held by claim ml/small-c0" in play.told("large")[0]
    assert (play.now - began).total_seconds() <= 5


def test_a_look_at_few_pods_is_light_and_one_at_a_group_or_with_a_first_planner_is_not() -> None:
    play = Play()
    play.node("node-1", 8)
    play.pod("first", 1)
    while play.deliver():
        pass
    assert not play.core.light(play.now), "the planner that knows the cluster is yet to be made"
    play.settle()
    play.pod("a", 1)
    while play.deliver():
        pass
    assert play.core.light(play.now)
    for name in "bc":
        play.pod(name, 1, group="g", size=2)
    while play.deliver():
        pass
    assert not play.core.light(play.now)
    play.settle()
    assert set(play.bound()) == {"first", "a", "b", "c"}
    assert play.core.light(play.now)


def test_what_waits_for_room_counts_as_work_when_there_may_be_more_room() -> None:
    play = Play()
    play.node("node-1", 1)
    for number in range(10):
        play.pod(f"p{number}", 2)
    play.settle()
    assert play.core.light(play.now)
    play.node("node-2", 1)
    while play.deliver():
        pass
    assert not play.core.light(play.now)
