"""Elections: single rules, and stories with wrong clocks, lost and late answers, deaths and long pauses."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.controller.election import Election, Lease, Proposal, Record, Timing, from_object, to_body

TIMING = Timing()


def lease(holder: str, version: int = 1, renewed: str = "r1", seconds: int = 15, transitions: int = 0) -> Lease:
    return Lease(Record(holder, seconds, "a", renewed, transitions), "uid", str(version))


def leader(now: float = 100.0) -> Election:
    """Has the lead since `now`."""
    election = Election("me", TIMING)
    election.read(None, now)
    proposal = election.proposal(now, "r1")
    assert proposal is not None
    assert proposal.base is None
    election.written(Lease(proposal.record, "uid", "1"), now, now)
    assert election.leads(now)
    return election


# Rules


def test_nothing_is_proposed_before_the_lease_was_read() -> None:
    assert Election("me", TIMING).proposal(0, "r") is None


def test_a_lease_is_left_alone_until_it_has_not_changed_for_its_duration() -> None:
    election = Election("me", TIMING)
    election.read(lease("other"), 100)
    assert election.proposal(100, "r") is None
    election.read(lease("other", 2, "r2"), 110)
    assert election.proposal(124.9, "r") is None
    proposal = election.proposal(125, "r")
    assert proposal is not None
    assert proposal.record == Record("me", 15, "r", "r", 1)
    assert proposal.base == lease("other", 2, "r2")
    assert election.expired_holder == "other"


def test_a_change_of_labels_is_no_renewal() -> None:
    election = Election("me", TIMING)
    election.read(lease("other", 1), 100)
    election.read(lease("other", 2), 110)
    proposal = election.proposal(115, "r")
    assert proposal is not None
    assert proposal.base is not None
    assert proposal.base.version == "2"


def test_a_released_lease_is_taken_at_once() -> None:
    election = Election("me", TIMING)
    election.read(lease("", transitions=4), 100)
    proposal = election.proposal(100, "r")
    assert proposal is not None
    assert proposal.record.transitions == 5
    assert election.expired_holder == ""


def test_a_deleted_lease_counts_until_it_would_have_run_out() -> None:
    election = Election("me", TIMING)
    election.read(lease("other"), 100)
    election.read(None, 105)
    assert election.proposal(114.9, "r") is None
    proposal = election.proposal(115, "r")
    assert proposal is not None
    assert proposal.base is None


def test_a_lead_lasts_from_the_moment_before_it_was_asked_for() -> None:
    election = leader(100)
    proposal = election.proposal(102, "r2")
    assert proposal is not None
    assert proposal.record == Record("me", 15, "r1", "r2", 0), "no transition, and acquired when it was"
    election.written(Lease(proposal.record, "uid", "2"), 102, 106)
    assert election.leads(111.9)
    assert not election.leads(112)


def test_a_write_ends_before_anybody_can_lead_who_saw_the_last_renewal() -> None:
    election = leader(100)
    assert election.write_limit(100) == 14
    assert election.write_limit(109) == 5
    assert election.write_limit(110) == 0, "none may be begun"
    assert TIMING.renew + TIMING.write < TIMING.lease


def test_an_answer_after_the_end_of_a_lead_does_not_revive_it() -> None:
    election = leader(100)
    election.proposal(109, "r2")
    election.written(lease("me", 2, "r2"), 109, 110.5)
    assert not election.leads(110.5)
    assert election.lost(110.5)


def test_an_answer_that_comes_too_late_wins_nothing_but_the_next_one_may() -> None:
    election = Election("me", TIMING)
    election.read(None, 100)
    election.proposal(100, "r1")
    election.written(lease("me"), 100, 111)
    assert not election.leads(111)
    assert not election.lost(111)
    election.look()
    election.read(lease("me"), 112)
    assert election.proposal(112, "r2") is not None


def test_after_a_lost_answer_the_lease_is_read_and_renewed() -> None:
    election = leader(100)
    election.failed()
    assert election.must_read
    assert election.leads(104), "the lead is not shortened"
    election.read(lease("me", 2, "r2"), 104)
    proposal = election.proposal(104, "r3")
    assert proposal is not None
    assert proposal.base is not None
    assert proposal.base.version == "2"


def test_another_holder_ends_the_lead_at_once_and_for_good() -> None:
    election = leader(100)
    election.failed()
    election.read(lease("other", 2), 103)
    assert not election.leads(103)
    assert election.write_limit(103) == 0
    election.read(lease("me", 3), 104)
    assert election.proposal(200, "r") is None


def test_a_leader_gives_the_lease_back() -> None:
    proposal = leader(100).release("r9")
    assert proposal is not None
    assert proposal.record == Record("", 1, "r9", "r9", 0)
    assert Election("me", TIMING).release("r9") is None


def test_a_patch_names_the_version_and_nothing_that_it_does_not_change() -> None:
    proposal = leader(100).release("r9")
    assert proposal is not None
    body = to_body(proposal, "ns", "n")
    assert body["metadata"] == {"uid": "uid", "resourceVersion": "1"}
    assert body["spec"]["holderIdentity"] is None


def test_a_created_lease_reads_back_as_it_was_proposed() -> None:
    election = Election("me", TIMING)
    election.read(None, 0)
    proposal = election.proposal(0, "now")
    assert proposal is not None
    assert from_object(to_body(proposal, "ns", "n"), TIMING).record == proposal.record


def test_timings_in_which_a_write_outlives_the_lease_are_refused() -> None:
    with pytest.raises(ValueError, match="must end before its lease"):
        Timing(lease=15, renew=12, write=4)


# Stories

Request = tuple[str, Proposal | None]
_GIVE_UP = 5.0
_LIMIT = 300.0


class Story:
    """Real time, a server, and candidates whose clocks are wrong and whose messages are lost or late."""

    def __init__(self, chance: random.Random, rates: list[float], loss: float, slow: float) -> None:
        self.chance = chance
        self.loss = loss
        self.slow = slow
        self.now = 0.0
        self.stored: Lease | None = None
        self.versions = itertools.count(1)
        self.names = itertools.count(1)
        self.order = itertools.count()
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.candidates = [Candidate(self, rate, chance.uniform(0, 1e6)) for rate in rates]
        self.leads = 0

    def at(self, delay: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (self.now + delay, next(self.order), what))

    def delay(self) -> float:
        """How long a message takes: mostly little, sometimes longer than anybody waits."""
        return self.chance.uniform(0, 30) if self.chance.random() < self.slow else self.chance.uniform(0, 0.3)

    def serve(self, request: Request) -> tuple[str, Lease | None]:
        what, proposal = request
        if what == "read" or proposal is None:
            return ("there", self.stored) if self.stored is not None else ("absent", None)
        known = self.stored
        fits = known is None if proposal.base is None else known is not None and known.version == proposal.base.version
        if not fits:
            return "conflict", None
        self.stored = Lease(proposal.record, "uid", str(next(self.versions)))
        return "there", self.stored

    def play(self) -> None:
        for candidate in self.candidates:
            self.at(self.chance.uniform(0, 3), candidate.start)
        while self.agenda and self.now < _LIMIT:
            upto, _, what = heapq.heappop(self.agenda)
            self.look_until(upto)
            self.now = upto
            what()

    def look_until(self, upto: float) -> None:
        """Nobody leads while somebody else does, or while a write of somebody else may be on its way."""
        for moment in (self.now, (self.now + upto) / 2, upto - 1e-6):
            leading = [one.election.identity for one in self.candidates if one.election.leads(one.clock(moment))]
            writing = [name for one in self.candidates for name in one.may_be_writing(moment)]
            assert len({*leading, *writing}) <= 1 or not leading, f"two at {moment}"
            self.leads += len(leading)


class Candidate:
    """Does what the shell does, in the time of its own clock."""

    def __init__(self, story: Story, rate: float, offset: float) -> None:
        self.story, self.rate, self.offset = story, rate, offset
        self.writes: dict[str, float] = {}
        """Until when, on its clock, a write of each of its identities may be on its way."""
        self.life = 0
        self.election = Election("nobody", TIMING)

    def clock(self, moment: float) -> float:
        return self.offset + moment * self.rate

    @property
    def now(self) -> float:
        return self.clock(self.story.now)

    def may_be_writing(self, moment: float) -> list[str]:
        return [name for name, until in self.writes.items() if self.clock(moment) < until]

    def start(self) -> None:
        """A process begins; it knows nothing of the one before."""
        self.life += 1
        self.election = Election(f"n{next(self.story.names)}", TIMING)
        self.proceed(self.turns(), self.life, None)

    def turns(self) -> Generator[Request | float, Any, None]:
        chance = self.story.chance
        while True:
            election = self.election
            election.look()
            if election.must_read:
                yield from self.read()
            sent = self.now
            proposal = election.proposal(sent, f"{self.story.now}")
            if proposal is not None:
                if chance.random() < 0.05:
                    yield chance.uniform(0, 20)  # paused after it made up its mind
                answer, lease_ = yield ("write", proposal)
                if answer == "there":
                    election.written(lease_, sent, self.now)
                else:
                    election.failed()
            if election.leads(self.now):
                self.writes[election.identity] = self.now + election.write_limit(self.now)
            if election.lost(self.now):
                self.election = Election(f"n{next(self.story.names)}", TIMING, election.seen)
            elif chance.random() < 0.02 and (given_back := election.release("r")) is not None:
                self.writes.pop(election.identity, None)  # all are answered
                self.election = Election(f"n{next(self.story.names)}", TIMING)
                yield ("write", given_back)
            yield chance.uniform(0.5, 1.0) * TIMING.retry + (20 if chance.random() < 0.01 else 0)

    def read(self) -> Generator[Request | float, Any, None]:
        answer, lease_ = yield ("read", None)
        if answer != "failed":
            self.election.read(lease_, self.now)

    def proceed(self, turns: Generator[Request | float, Any, None], life: int, answer: Any) -> None:
        """Goes on to the next request or pause, unless the process is dead."""
        if life != self.life:
            return
        story = self.story
        if story.chance.random() < 0.01:
            self.life += 1  # killed; what it has sent is not
            self.election = Election("nobody", TIMING)
            story.at(story.chance.uniform(0, 10), self.start)
            return
        step = turns.send(answer)
        if isinstance(step, float):
            story.at(step / self.rate, lambda: self.proceed(turns, life, None))
            return
        request = step
        done = False

        def answered(what: Any) -> None:
            nonlocal done
            if not done:
                done = True
                self.proceed(turns, life, what)

        def arrived() -> None:
            result = story.serve(request)
            if story.chance.random() >= story.loss:
                story.at(story.delay(), lambda: answered(result))

        if story.chance.random() >= story.loss:
            story.at(story.delay(), arrived)
        story.at(_GIVE_UP / self.rate, lambda: answered(("failed", None)))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rates=st.lists(st.floats(0.98, 1.02), min_size=2, max_size=3),
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    slow=st.sampled_from([0.0, 0.05, 0.3]),
)
def test_never_two_lead_and_no_write_outlives_its_lead(seed: int, rates: list[float], loss: float, slow: float) -> None:
    story = Story(random.Random(seed), rates, loss, slow)
    story.play()
    if not loss and not slow:
        assert story.leads, "somebody leads where the network works"


def test_the_stories_find_what_they_look_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a lead that outlasts the Lease they see two leaders."""
    wrong = Timing()
    object.__setattr__(wrong, "renew", 25.0)
    monkeypatch.setitem(globals(), "TIMING", wrong)

    def many() -> None:
        for seed in range(60):
            Story(random.Random(seed), [1.0, 1.0], 0.05, 0.3).play()

    with pytest.raises(AssertionError, match="two at"):
        many()
