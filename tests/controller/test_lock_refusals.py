"""What the controller makes of the lock's refusals: soon another device, and no word of it unless it goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from play import Play

from fairlead.controller import UNKNOWN_OUTCOME, Refused
from fairlead.controller.wire import at_admission

DENIED = (
    'admission webhook "lock.fairlead.dev" denied the request: '
    "claim ml/a-c0: device gpu.example.com/node-1/gpu-0 is held by claim ml/other"
)
UNREACHED = 'Internal error occurred: failed calling webhook "lock.fairlead.dev": failed to call webhook: EOF'


def refused(play: Play, status: int, message: str) -> None:
    """The write that is next on its way is refused."""
    write = play.outbox.pop()
    assert write.purpose == "allocate"
    play.core.handle(Refused(write, status, message), play.now)


def to_the_allocation(play: Play) -> None:
    """Up to where the claim of pod a is to get its devices."""
    play.node("node-1", 2)
    play.pod("a", 1)
    for _ in range(2):
        while play.deliver():
            pass
        play.decide()
        if play.outbox[0].purpose == "finalizer":
            play.do()
            play.answer()
    assert [write.purpose for write in play.outbox] == ["allocate"]


@pytest.mark.parametrize(("status", "message"), [(403, DENIED), (503, DENIED), (500, UNREACHED)])
def test_after_a_refusal_by_the_lock_it_plans_again_within_a_tenth_of_a_second(status: int, message: str) -> None:
    play = Play()
    to_the_allocation(play)
    refused(play, status, message)
    play.decide()
    assert not play.outbox, "nothing is said, and nothing tried at once"
    assert play.core.wake is not None
    assert play.core.wake - play.now <= timedelta(milliseconds=100)
    play.now = play.core.wake
    play.decide()
    assert [write.purpose for write in play.outbox] == ["allocate"]


def test_a_refusal_that_goes_on_is_told_and_tried_every_few_seconds() -> None:
    play = Play()
    to_the_allocation(play)
    for _ in range(12):
        refused(play, 403, DENIED)
        play.decide()
        while play.outbox and play.outbox[0].purpose in ("say", "mark"):
            play.do()
            play.answer()
        assert play.core.wake is not None
        assert play.core.wake - play.now <= timedelta(seconds=5)
        play.now = play.core.wake
        play.decide()
    assert "is held by claim ml/other" in play.told("a")[0]


def test_other_refusals_keep_their_longer_pauses() -> None:
    play = Play()
    to_the_allocation(play)
    refused(play, 403, "claims are forbidden")
    play.decide()
    assert play.outbox == [], "nothing is said of a first refusal, nor is it tried again at once"
    assert play.core.wake is not None
    assert play.core.wake - play.now >= timedelta(seconds=1)


def test_a_write_whose_answer_was_lost_is_given_up_when_it_is_refused_after_no_server_can_have_it() -> None:
    play = Play()
    to_the_allocation(play)
    refused(play, UNKNOWN_OUTCOME, "connection reset")
    tries = 0
    for _ in range(60):
        play.decide()
        if play.outbox:
            tries += 1
            refused(play, 403, DENIED)
        elif play.core.wake is not None:
            play.now = max(play.now, play.core.wake)
        if not play.core.busy:
            break
    assert tries > 3
    play.settle()
    assert play.bound() == {"a": "node-1"}


def test_admission_comes_before_the_storage() -> None:
    assert at_admission(DENIED)
    assert at_admission(UNREACHED)
    assert not at_admission("etcdserver: request timed out")
