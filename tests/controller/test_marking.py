"""The condition of pods that wait: what it says and when, and that no write of it is needed or lost for good."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from cluster_model import condition
from play import Play

from fairlead.controller import Refused


def shown(play: Play, name: str) -> tuple[str, str, str]:
    """Status, reason and message of a pod's condition; empty where it has none."""
    found = condition(play.api.objects["Pod"][f"ml/{name}"])
    return (found["status"], found["reason"], found["message"]) if found else ("", "", "")


def waiting() -> Play:
    """A pod that waits for the device of another one."""
    play = Play()
    play.node("node-1", 1)
    play.pod("first", 1)
    play.settle()
    play.pod("second", 1)
    return play


def end(play: Play, name: str) -> None:
    pod = copy.deepcopy(play.api.objects["Pod"][f"ml/{name}"])
    pod.setdefault("status", {})["phase"] = "Succeeded"
    play.api.update("Pod", pod)
    play.api.collect()


def decide(play: Play) -> None:
    while play.deliver():
        pass
    play.decide()


def test_a_pod_shows_why_it_waits_and_then_that_it_has_its_devices() -> None:
    play = waiting()
    play.settle()
    status, reason, message = shown(play, "second")
    assert (status, reason, [message]) == ("False", "NoAllocation", play.told("second"))
    assert "held by claim ml/first-c0" in message
    end(play, "first")
    play.settle()
    assert play.bound()["second"] == "node-1"
    assert shown(play, "second") == ("True", "Allocated", "on node node-1")
    assert play.api.writes["mark"] == 2


def test_a_pod_that_does_not_wait_costs_no_write() -> None:
    play = Play()
    play.node("node-1", 2)
    for name in "ab":
        play.pod(name, 1)
    play.settle()
    assert set(play.bound()) == {"a", "b"}
    assert play.api.writes["mark"] == 0


def test_members_of_a_group_that_is_not_complete_show_how_many_are_missing() -> None:
    play = Play()
    play.node("node-1", 2)
    play.pod("a", 1, group="g", size=2)
    play.run(20)
    assert shown(play, "a") == (
        "False",
        "WaitingForGroup",
        "group ml/g has 1 of 2 pods, and is placed whole or not at all",
    )
    play.pod("b", 1, group="g", size=2)
    play.settle()
    assert shown(play, "a") == ("True", "Allocated", "on node node-1")
    assert shown(play, "b") == ("", "", ""), "it did not wait"


def test_the_time_is_that_of_the_last_change_of_the_status() -> None:
    play = waiting()
    play.settle()
    since = condition(play.api.objects["Pod"]["ml/second"])
    assert since is not None
    play.run(100)
    play.api.delete("ResourceSlice", "node-1-gpu.example.com")
    play.settle()
    now = condition(play.api.objects["Pod"]["ml/second"])
    assert now is not None
    assert now["message"] != since["message"]
    assert now["lastTransitionTime"] == since["lastTransitionTime"]


def test_what_others_say_of_the_pod_stays() -> None:
    play = waiting()
    other = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    pod = copy.deepcopy(play.api.objects["Pod"]["ml/second"])
    pod["status"]["conditions"] = [other]
    play.api.update("Pod", pod)
    play.settle()
    assert other in play.api.objects["Pod"]["ml/second"]["status"]["conditions"]
    assert shown(play, "second")[0] == "False"


@pytest.mark.parametrize("lost", ["lose_write", "lose_answer"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_lost_write_is_made_again(lost: str, number: int) -> None:
    play = waiting()
    seen = 0

    def pass_on() -> None:
        nonlocal seen
        while play.outbox:
            mark = play.outbox[0].purpose == "mark"
            seen += mark
            getattr(play, lost if mark and seen == number else "do")()
        while play.answers:
            play.answer()
        play.api.schedule()

    for _ in range(3):
        decide(play)
        pass_on()
    end(play, "first")
    for _ in range(12):
        decide(play)
        pass_on()
        play.now = max(play.now, play.core.wake or play.now)
    assert seen >= number
    assert play.bound()["second"] == "node-1"
    assert shown(play, "second") == ("True", "Allocated", "on node node-1")


def test_no_gate_waits_for_a_condition() -> None:
    play = waiting()
    decide(play)
    assert [one.purpose for one in play.outbox] == ["say", "mark"]
    late = play.outbox.pop()
    play.do()
    play.answer()
    end(play, "first")
    for _ in range(6):
        decide(play)
        while play.outbox:
            assert play.outbox[0].purpose != "mark", "one is on its way"
            play.do()
        while play.answers:
            play.answer()
        play.api.schedule()
        play.wait(1)
    assert play.bound()["second"] == "node-1"
    play.outbox.append(late)
    play.do()
    assert shown(play, "second")[0] == "False", "it came late"
    play.settle()
    assert shown(play, "second")[0] == "True"


def test_the_second_write_to_a_pod_is_made_when_the_first_was_answered() -> None:
    play = waiting()
    decide(play)
    (mark,) = [one for one in play.outbox if one.purpose == "mark"]
    play.outbox.clear()
    answer = play.api.do(mark)
    end(play, "first")
    for _ in range(6):
        decide(play)
        assert "mark" not in [one.purpose for one in play.outbox]
        while play.outbox:
            play.do()
        while play.answers:
            play.answer()
        play.api.schedule()
        play.wait(1)
    assert play.bound()["second"] == "node-1"
    play.answers.append(answer)
    play.answer()
    play.settle()
    assert shown(play, "second")[0] == "True"


def test_a_watch_that_is_behind_is_no_reason_to_write_again() -> None:
    play = waiting()
    play.settle()
    end(play, "first")
    while "mark" not in [one.purpose for one in play.outbox]:
        while play.outbox:
            play.do()
        while play.answers:
            play.answer()
        play.wait(1)
        decide(play)
    play.api.schedule()
    play.do()
    play.answer()
    assert play.watch.behind("Pod")
    while play.deliver():
        play.decide()
        assert play.outbox == []
    assert play.api.writes["mark"] == 2


def test_a_controller_that_starts_anew_goes_by_what_the_pods_show() -> None:
    play = waiting()
    play.settle()
    play.kill()
    play.settle()
    assert play.api.writes["mark"] == 1, "it shows that already"
    end(play, "first")
    while not play.bound().get("second"):
        decide(play)
        play.outbox = [one for one in play.outbox if one.purpose != "mark"]
        while play.outbox:
            play.do()
        while play.answers:
            play.answer()
        play.api.schedule()
        play.wait(1)
    play.kill()
    play.settle()
    assert shown(play, "second") == ("True", "Allocated", "on node node-1")


def test_without_the_right_pods_are_served_and_the_server_is_left_alone() -> None:
    play = waiting()
    done, tries = play.api.do, 0

    def refuse(write: Any) -> Any:
        nonlocal tries
        if write.purpose != "mark":
            return done(write)
        tries += 1
        return Refused(write, 403, "pods/status is forbidden")

    play.api.do = refuse  # type: ignore[method-assign]
    play.run(3600)
    assert 5 < tries < 20
    end(play, "first")
    before = tries
    play.settle()
    assert tries == before, "it waits no longer"
    assert play.bound()["second"] == "node-1"
    assert shown(play, "second") == ("", "", "")


def test_another_pod_of_the_same_name_does_not_get_the_condition() -> None:
    play = waiting()
    decide(play)
    (mark,) = [one for one in play.outbox if one.purpose == "mark"]
    play.outbox.clear()
    play.api.delete("Pod", "ml/second")
    play.api.collect()
    play.pod("second", 0)
    answer = play.api.do(mark)
    assert isinstance(answer, Refused)
    assert answer.status == 422
    assert shown(play, "second") == ("", "", "")


def test_a_pod_that_was_moved_shows_where_it_went() -> None:
    play = Play()
    for node in ("node-1", "node-2"):
        play.node(node, 1)
        play.pod(f"on-{node}", 1)
    play.settle()
    play.pod("moved", 1, annotations={"fairlead.dev/pin": "claim"})
    play.settle()
    (first,) = [name for name, node in play.bound().items() if node == "node-1"]
    play.api.blocked.add("node-1")
    end(play, first)
    play.run(5)
    assert shown(play, "moved") == ("True", "Allocated", "on node node-1")
    (other,) = [name for name, node in play.bound().items() if node == "node-2"]
    end(play, other)
    play.run(120)
    assert play.bound()["moved"] == "node-2"
    assert shown(play, "moved") == ("True", "Allocated", "on node node-2")
