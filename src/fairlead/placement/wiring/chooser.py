"""The devices of a node for a pod's claims under a policy: the best of all that the allocator accepts.

The chooser builds no allocation. It walks through sets of devices in the order of their score and asks the allocator
for the claims within each set; the first that is accepted is the best of all valid answers. Alternatives of
prioritized lists stay as the allocator's own decision has them, so it is asked about the claims with these alone.
Observers (admin access) take nothing and get what the allocator gives them.

Where there are too many sets (`order.SELECTIONS`, `order.STEPS`, `ASKED`) the best answer that was found stands, and
the choice says that it is not proven. With shared devices, sets in which one serves several requests are asked for
too, but the allocator may use fewer devices than such a set has; where a better set is left open by that, the choice
is not proven either.

Answers are kept by problem, wiring and what is taken: equal pods on equal nodes cost one search.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fairlead.allocator import Across, Allocator, ClaimShape, Decision, Problem, Request, Wanted, standing
from fairlead.inventory import NodeView
from fairlead.placement.wiring.demand import Demand
from fairlead.placement.wiring.order import Order, leaves_room
from fairlead.placement.wiring.parts import Scene, stock
from fairlead.placement.wiring.policies import DevicePolicy
from fairlead.placement.wiring.score import Choice, Key, Score, optimism
from fairlead.placement.wiring.setting import PLACES, Setting
from fairlead.topology import Rules

ASKED: Final = 1_000
"""Sets that the allocator is asked about, before the best answer so far is good enough."""
_FURTHER: Final = 2_000
"""Sets looked at after the best one, for the runner-up."""
_KEPT: Final = 10_000
Accept = Callable[[Decision], bool]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came out of a search: a set of devices, or none where the allocator's own decision is as good as any."""

    within: int
    apart: bool
    """Whether every request must get devices of its own, though they could be shared."""
    score: Score
    runner_up: Score | None
    proven: bool
    bound: tuple[Key, ...] | None


class Chooser:
    """Chooses for one allocator and one set of wiring rules."""

    def __init__(self, allocator: Allocator, rules: Rules, compare: bool = True) -> None:
        """A chooser without any answers yet.

        Args:
            allocator: decides.
            rules: what attributes of devices mean.
            compare: whether to look for the runner-up.
        """
        self._allocator = allocator
        self._rules = rules
        self._compare = compare
        self._answers: dict[Hashable, _Answer] = {}
        self._shapes: dict[tuple[ClaimShape, tuple[int, ...]], ClaimShape] = {}

    def choose(
        self,
        decision: Decision,
        policy: DevicePolicy,
        across: tuple[Across, ...] = (),
        accept: Accept | None = None,
        within: int = -1,
    ) -> tuple[Decision, Choice]:
        """The policy's decision in place of the allocator's.

        Args:
            decision: what the allocator gives; it fits.
            policy: what is better.
            across: conditions that join the claims, under which the decision was made.
            accept: whether a decision will do for reasons of the node; all do where nothing is given.
            within: the devices that may be given, as for the decision.

        Returns:
            A decision that fits, for the same claims; and why it was chosen.

        Raises:
            ValueError: the decision does not fit.
        """
        if decision.picks is None:
            raise ValueError("the claims do not fit, there is nothing to choose")
        view = decision.view
        setting = Setting.of(view, self._rules)
        scene = Scene(setting, view)
        if not policy.ranks:
            return decision, _chosen(policy, scene, policy.score(scene, given(decision)), None, True, None)
        claims = self._settled(decision)
        shapes = tuple([claim.shape for claim in claims])
        problem = self._allocator.problem(view, shapes, across)
        taken = standing(problem, view.occupancy)
        taken = taken._replace(free=taken.free & within)
        full = (1 << view.size) - 1
        key = (
            policy.name,
            id(problem),
            setting.kind,
            taken._replace(free=taken.free & full, payable=taken.payable & full),
            view.on_node & ~view.occupancy.held,  # a score looks at devices beyond those that may be given, too
            stock(view.occupancy),
        )
        question = _Question(self._allocator, view, claims, across, problem, accept)
        answer = self._answers.get(key) if accept is None else None
        if answer is None:
            demand = Demand(problem, taken, decision.picks, view, setting, unique=accept is not None)
            answer = _search(demand, question, policy, scene, decision, self._compare)
            if accept is None:
                if len(self._answers) >= _KEPT:
                    self._answers.clear()
                self._answers[key] = answer
        chosen = question.ask(answer.within, answer.apart) or decision
        return chosen, _chosen(policy, scene, answer.score, answer.runner_up, answer.proven, answer.bound)

    def _settled(self, decision: Decision) -> list[Wanted]:
        """The claims with the alternatives that the decision has, and no others."""
        assert decision.picks is not None
        alternatives = {(pick.claim, pick.request): pick.alternative for pick in decision.picks}
        settled: list[Wanted] = []
        for number, claim in enumerate(decision.claims):
            chosen = tuple([alternatives.get((number, place), 0) for place in range(len(claim.shape.requests))])
            if not any(len(request.units) > 1 for request in claim.shape.requests):
                settled.append(claim)
                continue
            shape = self._shapes.get((claim.shape, chosen))
            if shape is None:
                requests = tuple(
                    [
                        Request(request.name, (request.units[place],))
                        for request, place in zip(claim.shape.requests, chosen, strict=True)
                    ]
                )
                shape = self._shapes[claim.shape, chosen] = replace(claim.shape, requests=requests)
            settled.append(Wanted(claim.name, shape))
        return settled


def given(decision: Decision) -> int:
    """The devices that a decision gives away, as a mask; not those that are only observed."""
    mask = 0
    for pick in decision.picks or ():
        slot = decision.problem.claims[pick.claim].requests[pick.request][pick.alternative]
        if not slot.unit.admin_access:
            mask |= 1 << pick.number
    return mask


def _members(problem: Problem) -> tuple[tuple[int, int], ...]:
    """Claim and request of all that give devices away."""
    return tuple(
        [
            place
            for place, slots in zip(problem.positions, problem.alternatives, strict=True)
            if not slots[0].unit.admin_access
        ]
    )


class _Question:
    """What the allocator is asked again and again, within one set after another."""

    def __init__(
        self,
        allocator: Allocator,
        view: NodeView,
        claims: Sequence[Wanted],
        across: tuple[Across, ...],
        problem: Problem,
        accept: Accept | None,
    ) -> None:
        self.members = _members(problem)
        self.asked = 0
        self._allocator = allocator
        self._view = view
        self._claims = claims
        self._across = across
        self._accept = accept

    def ask(self, within: int, apart: bool) -> Decision | None:
        """The allocator's decision within a set, or None where the claims do not fit in it."""
        self.asked += 1
        across = self._across
        if apart:
            each = tuple([1 << number for number in range(self._view.size)])
            across = (*across, Across("devices of their own", True, self.members, each))
        decision = self._allocator.allocate(self._view, self._claims, within, across)
        if not decision.fits or (self._accept is not None and not self._accept(decision)):
            return None
        return decision


def _search(
    demand: Demand, question: _Question, policy: DevicePolicy, scene: Scene, first: Decision, compare: bool
) -> _Answer:
    order = Order(demand, policy, scene)
    best: tuple[Score, bool] | None = None
    runner_up: Score | None = None
    further = 0
    open_: list[tuple[Key, ...]] = []
    """What sets are worth of which it is not known whether they can be had."""
    others = [(policy.score(scene, given(first)), False)]
    for score in order.sets():
        if best is not None:
            further += 1
            if not compare or further > _FURTHER or question.asked > ASKED:
                break
            if score.merit == best[0].merit:
                continue
        elif question.asked > ASKED:
            open_.append(_turned(score.merit))
            break
        devices = mask_of(score.devices)
        apart = demand.sharing and (devices & ~demand.forced).bit_count() == demand.total
        decision = question.ask(devices, apart)
        if decision is None:
            continue
        if given(decision) != devices:
            # What came back can be had; the whole set perhaps.
            if best is None:
                open_.append(_turned(score.merit))
            others.append((policy.score(scene, given(decision)), False))
        elif best is None:
            best = (score, apart)
        else:
            runner_up = score
            break
    if best is not None:
        others.append(best)
    elif open_ or order.bound is not None or not order.bounded:
        others += _groups(question, policy, scene)
        others += _greedy(demand, question, policy, scene)
    winner, apart = max(others, key=lambda one: one[0].key)
    bound = min([*open_, *([order.bound] if order.bound is not None else [])], default=None)
    proven = order.bounded and (bound is None or not leaves_room(bound, winner))
    if runner_up is not None and runner_up.merit >= winner.merit:
        runner_up = None
    shown = _turned(bound) if bound is not None and not proven and order.bounded else None
    return _Answer(mask_of(winner.devices), apart, winner, runner_up, proven, shown)


def _turned(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    return tuple([optimism(key) for key in keys])


def _groups(question: _Question, policy: DevicePolicy, scene: Scene) -> Iterator[tuple[Score, bool]]:
    """Answers within devices that share a place, for where not all sets can be looked at."""
    setting = scene.setting
    for place in PLACES:
        others = (1 << setting.size) - 1
        for group in setting.places[place]:
            others &= ~group
        for group in setting.places[place]:
            for within in (group, group | others, group | ~setting.compute):
                decision = question.ask(within, False)
                if decision is not None:
                    yield policy.score(scene, given(decision)), False
                    break


def _greedy(demand: Demand, question: _Question, policy: DevicePolicy, scene: Scene) -> Iterator[tuple[Score, bool]]:
    """The answer within talking devices that were chosen one by one, each the best addition to those before."""
    talking = (demand.candidates | demand.forced) & scene.setting.compute or demand.candidates | demand.forced
    wanted = demand.fixed(talking)
    if wanted is None:
        return
    measure = policy.respects[0].measure
    chosen = demand.forced & talking
    counts: tuple[tuple[int, int], ...] = ()
    while chosen.bit_count() < wanted:
        best: tuple[Key, int, int] | None = None
        for one in demand.classes:
            number = next((number for number in one.numbers if not chosen >> number & 1), None)
            if number is None or not talking >> number & 1:
                continue
            larger = chosen | 1 << number
            if demand.room((*counts, (one.serves, 1))) and demand.affordable(larger):
                key = measure(scene, larger)
                if best is None or key > best[0]:
                    best = (key, number, one.serves)
        if best is None:
            return
        chosen |= 1 << best[1]
        counts = (*counts, (best[2], 1))
    decision = question.ask(chosen | ~talking, False)
    if decision is not None:
        yield policy.score(scene, given(decision)), False


def _chosen(
    policy: DevicePolicy,
    scene: Scene,
    score: Score,
    runner_up: Score | None,
    proven: bool,
    bound: tuple[Key, ...] | None,
) -> Choice:
    names = scene.setting.names
    return Choice(
        policy=policy.name,
        names=tuple([names[number] for number in score.devices]),
        score=score,
        limits=scene.setting.limits(mask_of(score.devices)),
        runner_up=runner_up,
        runner_up_names=tuple([names[number] for number in runner_up.devices]) if runner_up is not None else (),
        proven=proven,
        bound=bound,
    )


def mask_of(devices: Sequence[int]) -> int:
    """Device numbers as a mask."""
    return sum(1 << number for number in devices)
