"""Whether a state can be completed at all, decided in the order that decides fastest.

The search must try devices in the documented order, and so may meet the decisive request last. Here the order is free:
the demand with the least to spare goes first, one device of each kind of interchangeable ones is tried, and what failed
once is remembered for the whole decision. Demands that keep failing gain weight and go earlier; now and then the search
starts over, so that what was learned about weights counts from the top (the idea is that of dom/wdeg with restarts in
constraint solvers). A new beginning also looks for prices (`prices`) that prove the whole question dead; so does, for
the sake of others like it, a state that took long to turn out dead.

Where the answer is yes, what counts is where to look first: at what the way that led furthest had chosen (phase saving,
in terms of those solvers; from one question to the next most of a completion stays good), then at what costs least at
the prices last found, then at what fits tightly.

The answer guides the search: it never enters a branch that is known to be dead, and follows what was found as long as
that agrees with the documented order. Admin access is left out where it may choose devices that serve only once,
because which of those it may have depends on the order of claims; the answer may then be yes where the truth is no,
never the other way round. Of shared devices it takes shares like anybody else, so there nothing is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.allocator.amounts import Amounts
from fairlead.allocator.bounds import Bounds
from fairlead.allocator.dealing import deal
from fairlead.allocator.demand import Choice, Demand, Shortfall
from fairlead.allocator.dominance import Dominance
from fairlead.allocator.equivalence import Equivalence, merged
from fairlead.allocator.habits import Habits, neighbourhoods
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.packing import Packing
from fairlead.allocator.slot import Slot

_FIRST_PATIENCE = 32
"""Dead ends before the first new beginning; doubled each time."""

_ROUNDS = 4
"""Rounds of looking for prices at a new beginning, for each dead end before it."""

_WORTH_LEARNING = 6
"""States below a dead one from which on it pays to look for prices that prove it dead."""

_FEW_ROUNDS = 32
"""Rounds that are spent on that."""

_DECISIVE = 2
"""How much more a demand weighs that would settle the value of a matching rule."""

_FEW = 4
"""Demands that a dead end can be blamed on together."""

_STEPS_FOR_FAILURE = 150
"""Steps of an exact packing for each dead end that is met otherwise."""

_LEAST_EFFORT = 5
"""How often that is halved where it decides nothing."""

_FEW_FAILURES = 3
"""Dead ends before keeping most of an older completion is given up."""

_DEEPEST = 400
"""Choices of one completion; a stack of calls this deep is fine, and larger problems are left to the bounds."""


class _StartOverError(Exception):
    """Many dead ends were met since the search began; what they taught is worth a new beginning."""


class Completion:
    """Answers for one decision, with what was learned kept between questions."""

    def __init__(self, moves: Moves, bounds: Bounds, equivalence: Equivalence) -> None:
        self._moves = moves
        self._bounds = bounds
        self._amounts = Amounts(moves)
        self._equivalence = equivalence
        self._packing = Packing(moves)
        self._dominance = Dominance(moves)
        self._known: dict[object, bool] = {}
        self._weights: dict[int, int] = {}
        """By position: how often a demand was part of a proof that a state is dead."""
        self.found: dict[tuple[int, int], list[int]] = {}
        """By position and slot, devices of the completion behind the last yes."""
        self._shown = False
        """Whether all of it is to be there, so that what is known to have a completion is looked into again."""
        self._path: list[tuple[int, Slot, int]] = []
        """Position, slot and device of each choice that led to the state that is being looked into."""
        self._furthest = 0
        """How many choices the furthest way had since the search last began."""
        self._habits = Habits(moves)
        self._vain = 0
        """How much less effort an exact packing is worth, since it did not decide before."""
        self._adapting = False
        """Whether what is looked into is only a part of a question."""
        self._failures = 0
        self._states = 0
        """How many states were looked into."""
        self._learned = 0
        """How many there were when prices were last looked for."""
        self._patience = _FIRST_PATIENCE

    def possible(self, demands: list[Demand], state: State, restricted: int, shown: bool = False) -> bool:
        """Whether the demands can all be met, leaving out those that may observe what others have.

        Args:
            demands: what remains, already narrowed by the bounds.
            state: what is chosen.
            restricted: as in `Equivalence.key`.
            shown: whether all of a completion is to be in `found`; otherwise that it is known is enough.
        """
        self.found = {}
        self._shown = shown
        return self._possible(
            [demand for demand in demands if not demand.observes(self._moves.shared)], state, restricted
        )

    def _possible(self, demands: list[Demand], state: State, restricted: int) -> bool:
        if sum(max(choice.count for choice in demand.choices) for demand in demands) > _DEEPEST:
            return True
        # Joined demands stand for several requests of a claim, so what a claim has is counted before.
        joined = merged(demands, self._moves.shared, self._dominance)
        key = self._equivalence.key(joined, state, restricted)
        known = self._known.get(key)
        if known is False or (known and not self._shown):
            return known
        if self._adapted(joined, state, restricted):
            return True
        self._patience = _FIRST_PATIENCE
        packed = self._packed(joined, state, restricted)
        if packed is not None:
            self._known[key] = packed
            return packed
        while True:
            self._failures = 0
            self._path.clear()
            self._furthest = 0
            try:
                return self._solve([_copy(demand) for demand in joined], state, restricted)
            except _StartOverError:
                if self._bounds.prices.learn(joined, state, _ROUNDS * self._patience):
                    return False
                self._patience *= 2
                packed = self._packed(joined, state, restricted)
                if packed is not None:
                    self._known[key] = packed
                    return packed

    def _adapted(self, demands: list[Demand], state: State, restricted: int) -> bool:
        """Whether a completion is found that keeps most of an older one."""
        steps, lost, after = self._habits.keep(demands, 0, state)
        if not steps:
            return False
        self._adapting = True
        self._patience = _FEW_FAILURES
        self._furthest = _DEEPEST
        for loose in neighbourhoods(demands, lost):
            if loose:
                steps, lost, after = self._habits.keep(demands, loose, state)
            self._failures = 0
            self._path[:] = steps
            try:
                if self._solve(lost, after, restricted):
                    self._habits.adopt(self._path)
                    for position, slot, number in steps:
                        self.found.setdefault((position, slot.number), []).append(number)
                    self._adapting = False
                    return True
            except _StartOverError:
                pass
        self._adapting = False
        return False

    def _packed(self, demands: list[Demand], state: State, restricted: int) -> bool | None:
        """Whether there is room for all by exact packing, where that decides."""
        packed = self._packing.look(demands, state, _STEPS_FOR_FAILURE * self._patience >> self._vain)
        if packed is True:
            self._vain = min(self._vain + 1, _LEAST_EFFORT)
            return None
        self._vain = max(self._vain - 1, 0)
        if packed is None:
            return False
        self._habits.adopt(deal(packed, self._moves, state))
        patience = self._patience
        found = self._adapted(demands, state, restricted)
        self._patience = patience
        return found or None

    def impossible_claim(self, demands: list[Demand], state: State) -> tuple[int, ...]:
        """The requests of a claim that cannot even be met where it is the only one; empty where there is none."""
        self._shown = False
        for claim in dict.fromkeys(demand.claim for demand in demands):
            # Within a claim no device is given twice, with or without admin access, so here all can be looked at.
            own = [demand for demand in demands if demand.claim == claim]
            if not self._possible(own, state, 0):
                return tuple(demand.position for demand in own)
        return ()

    def _solve(self, demands: list[Demand], state: State, restricted: int) -> bool:
        if not demands:
            self._remember_way()
            return True
        key = self._equivalence.key(demands, state, restricted)
        known = self._known.get(key)
        if known is False or (known and not self._shown):
            return known
        shortfall = self._bounds.shortfall(demands, state)
        if shortfall is not None:
            self._known[key] = False
            self._blame(shortfall)
            return False
        began = self._states
        kept = [_copy(demand) for demand in demands]
        solved = self._known[key] = self._branch(demands, state, restricted)
        if not solved and not self._adapting and self._states - max(began, self._learned) > _WORTH_LEARNING:
            self._bounds.prices.learn(kept, state, _FEW_ROUNDS)
            self._learned = self._states
        return solved

    def _blame(self, shortfall: Shortfall) -> None:
        # Where amounts run short nobody in particular is to blame, and largest first is the order that finds it out.
        if shortfall.kind != "amount" and len(shortfall.requests) <= _FEW:
            for position in shortfall.requests:
                self._weights[position] = self._weights.get(position, 1) + 1
        self._failures += 1
        if self._failures > self._patience:
            raise _StartOverError

    def _remember_way(self) -> None:
        if len(self._path) > self._furthest:
            self._furthest = len(self._path)
            self._habits.adopt(self._path)

    def _branch(self, demands: list[Demand], state: State, restricted: int) -> bool:
        self._states += 1
        self._remember_way()
        hardest = min(demands, key=lambda demand: self._slack(demand, state))
        others = [demand for demand in demands if demand is not hardest]
        alike = [] if self._equivalence.limited else [other for other in others if _interchangeable(hardest, other)]
        for place in self._places(hardest):
            if self._try(place, hardest, others, alike, state, restricted):
                return True
            for other in alike:
                restricted |= 1 << other.position
        return False

    def _places(self, demand: Demand) -> Sequence[int]:
        """The places of the demand's choices, the most promising first."""
        places = range(len(demand.choices))
        if len(places) == 1:
            return places
        cost = self._bounds.prices.cost
        costs = [
            (not self._habits.of(demand.position, c.slot), cost(c.slot, c.candidates, c.count)) for c in demand.choices
        ]
        return sorted(places, key=costs.__getitem__)

    def _slack(self, demand: Demand, state: State) -> tuple[float, int]:
        """How many candidates it has to spare for its weight; among equals the one that takes most comes first."""
        slot = demand.choices[0].slot
        spare = sum([c.candidates.bit_count() - c.count for c in demand.choices])
        weight = self._weights.get(demand.position, 1)
        for number, rule in slot.constraints:
            if not rule.distinct and (values := state.rules[number]) & values - 1:
                # Which value it is to be (-1 is any) decides for all demands under the rule.
                weight *= _DECISIVE
                break
        return (spare + 1) / weight, -self._amounts.size(slot)

    def _try(
        self, place: int, demand: Demand, others: list[Demand], alike: list[Demand], state: State, restricted: int
    ) -> bool:
        moves = self._moves
        choice = demand.choices[place]
        candidates = choice.candidates
        narrowed = [c.candidates for d in others if restricted >> d.position & 1 for c in d.choices]
        kinds = self._equivalence.representatives(choice, state, narrowed)
        if len(kinds) > 1:
            habit = self._habits.of(demand.position, choice.slot)
            cost = self._bounds.prices.cost
            # Of the cheapest devices that first that leaves least behind: what fits tightly spoils least.
            kinds.sort(
                key=lambda kind: (
                    not kind[1] & habit,
                    cost(choice.slot, 1 << kind[0], 1),
                    self._amounts.spare(kind[0], state),
                )
            )
        restricted |= 1 << demand.position
        for number, same in kinds:
            if candidates.bit_count() < choice.count:
                return False
            after = moves.take(choice.slot, number, state)
            following = [Demand(d.position, d.claim, self._updated(d, after, 1 << number)) for d in others]
            if choice.count > 1:
                rest = Choice(choice.slot, candidates & ~(1 << number), choice.count - 1)
                rest.candidates &= moves.accepted(choice.slot, after)
                rest.candidates = moves.affordable(choice.slot, rest.candidates, after)
                following.append(Demand(demand.position, demand.claim, [rest]))
            self._path.append((demand.position, choice.slot, number))
            if self._solve(following, after, restricted):
                devices = self.found.setdefault((demand.position, choice.slot.number), [])
                devices.append(number)
                return True
            self._path.pop()
            # None of this kind can be among the devices of this demand, nor of one that could change places with it.
            candidates &= ~same
            for other in alike:
                other.choices[place].candidates &= ~same
                restricted |= 1 << other.position
        return False

    def _updated(self, demand: Demand, after: State, taken: int) -> list[Choice]:
        moves = self._moves
        taken &= ~moves.shared
        updated = []
        for choice in demand.choices:
            mask = choice.candidates & ~taken & moves.accepted(choice.slot, after)
            updated.append(Choice(choice.slot, moves.affordable(choice.slot, mask, after), choice.count))
        return updated


def _copy(demand: Demand) -> Demand:
    choices = [Choice(choice.slot, choice.candidates, choice.count) for choice in demand.choices]
    return Demand(demand.position, demand.claim, choices)


def _interchangeable(one: Demand, other: Demand) -> bool:
    """Whether what one demand gets the other could get instead; only known of demands without rules."""
    return len(one.choices) == len(other.choices) and all(
        mine.slot.tariff == theirs.slot.tariff
        and mine.candidates == theirs.candidates
        and mine.count == theirs.count
        and not mine.slot.rules
        and not theirs.slot.rules
        for mine, theirs in zip(one.choices, other.choices, strict=True)
    )
