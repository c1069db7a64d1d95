"""Laws that hold however events, writes, answers and deaths of the controller interleave.

At no moment is a device held by two claims (`ApiModel.check` looks after every write), no pod is opened before its
claims are ready (`ApiModel.schedule` looks), and in the end every pod has a node or was told why not.
"""

from __future__ import annotations

import random

import pytest
from cluster_model import gated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from play import Play

ORDINARY = ("deliver", "deliver", "deliver", "deliver", "decide", "decide", "do", "do", "answer", "answer", "wait")
TROUBLE = (
    "repeat",
    "relist",
    "lose_answer",
    "lose_write",
    "kill",
    "schedule",
    "collect",
    "disturb",
    "finish",
    "delete",
    "block",
    "make_anew",
)

steps = st.lists(
    st.tuples(st.one_of(st.sampled_from(ORDINARY), st.sampled_from(TROUBLE)), st.integers(0, 63)), max_size=120
)
pods = st.lists(
    st.one_of(
        st.tuples(st.just("alone"), st.lists(st.integers(1, 3), min_size=0, max_size=2)),
        st.tuples(st.just("movable"), st.lists(st.integers(1, 3), min_size=1, max_size=2)),
        st.tuples(st.just("gang"), st.lists(st.integers(1, 2), min_size=2, max_size=4)),
        st.tuples(st.just("owned"), st.lists(st.integers(1, 2), min_size=2, max_size=3)),
        st.tuples(st.just("at least two"), st.lists(st.integers(1, 2), min_size=2, max_size=4)),
        st.tuples(st.just("sharing"), st.lists(st.integers(1, 2), min_size=1, max_size=3)),
    ),
    min_size=1,
    max_size=4,
)

MOST = {
    "alone": (0, 2),
    "movable": (1, 2),
    "gang": (2, 4),
    "sharing": (1, 3),
    "owned": (2, 3),
    "at least two": (2, 4),
}
"""The fewest and the most numbers of a kind."""


def cluster(nodes: list[int], groups: list[tuple[str, list[int]]]) -> Play:
    """Nodes with so many GPUs, and pods of some kinds; a gang's pods have one claim each."""
    play = Play()
    for number, gpus in enumerate(nodes):
        play.node(f"node-{number}", gpus)
    for number, (kind, counts) in enumerate(groups):
        name = f"{kind.replace(' ', '-')}-{number}"
        if kind in ("alone", "movable"):
            play.pod(name, *counts, annotations={"fairlead.dev/pin": "claim"} if kind == "movable" else None)
        elif kind == "owned":
            for member, count in enumerate(counts):
                play.pod(f"{name}-{member}", count, owner=f"ReplicaSet/{name}")
        elif kind == "at least two":
            play.pod_group(name, 2)
            for member, count in enumerate(counts):
                play.pod(f"{name}-{member}", count, schedulingGroup={"podGroupName": name})
        elif kind == "gang":
            for member, count in enumerate(counts):
                play.pod(f"{name}-{member}", count, group=name, size=len(counts))
        else:
            play.claim(name, counts[0])
            for member in range(len(counts)):
                play.pod(f"{name}-{member}", shared=[name])
    return play


def finished_well(play: Play) -> None:
    """What must hold at the end."""
    play.api.blocked.clear()
    play.settle()
    assert play.open_ends() == []
    assert play.pins() == [], "a pin is left"
    before = play.bound()
    play.kill()
    play.settle()
    assert play.bound() == before, "a controller that starts afresh finds room that the old one did not"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), pods, steps)
def test_whatever_happens_nothing_is_held_twice_and_nobody_is_forgotten(
    nodes: list[int], groups: list[tuple[str, list[int]]], story: list[tuple[str, int]]
) -> None:
    play = cluster(nodes, groups)
    for action, choice in story:
        getattr(play, action)(choice)
    finished_well(play)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_the_same_for_long_stories(seed: int) -> None:
    """Hypothesis prefers short lists; what is found late needs long ones."""
    chance = random.Random(seed)
    kinds = [chance.choice(tuple(MOST)) for _ in range(chance.randint(1, 5))]
    groups = [(kind, [chance.randint(1, 2) for _ in range(chance.randint(*MOST[kind]))]) for kind in kinds]
    play = cluster([chance.randint(1, 4) for _ in range(chance.randint(1, 3))], groups)
    for _ in range(chance.randint(0, 300)):
        action = chance.choice(ORDINARY if chance.random() < 0.8 else TROUBLE)
        getattr(play, action)(chance.randrange(64))
    finished_well(play)


@pytest.mark.parametrize("lost", [False, True])
def test_a_death_at_every_write_leaves_a_gang_whole(lost: bool) -> None:
    """The controller is killed at its first write, at its second, and so on; what it had sent is done or lost."""
    for death in range(1, 14):
        play = cluster([3, 4], [("gang", [2, 2]), ("alone", [1, 1]), ("sharing", [1, 1])])
        made = 0
        for _ in range(60):
            while play.deliver():
                pass
            play.decide()
            play.wait(1)
            while play.outbox and made < death:
                made += 1
                play.do() if made < death else play.kill(0 if lost else 255)
            while play.answers:
                play.answer()
        finished_well(play)
        members = [pod for name, pod in play.api.objects["Pod"].items() if "gang" in name]
        assert len({gated(pod) for pod in members}) == 1, "part of the gang was opened"
        assert len(play.bound()) == 5


def test_a_death_after_each_single_step_goes_on_where_it_was() -> None:
    """Killed again and again, with all that was sent done, the controller still comes to the end."""
    play = cluster([4], [("gang", [2, 2])])
    for _ in range(40):
        while play.deliver():
            pass
        play.decide()
        if play.outbox:
            play.do()
            play.kill()
        play.wait(1)
        play.decide()
    finished_well(play)
    assert len(play.bound()) == 2
    assert play.api.writes["clear"] == 0, "what was written was right and stays"
    assert play.api.writes["allocate"] == 2
