"""The exact form of an expression: evaluates as CEL does, errors absorbed and every step charged.

Mirrors cel-go ``interpreter/{planner,interpretable,attributes,decorators,runtimecost}.go`` as Kubernetes configures
them. A program is a tree of ``Plan`` objects; ``run`` returns a value, which may be a ``Failure``. What costs what
follows from how cel-go groups steps: a variable with the selections and indexes behind it is one *attribute*,
charged one unit and one more for each *qualifier*; a branch of ``?:`` that is an attribute is resolved without
being charged for itself; literals of constants are constants and cost nothing.

Invariants: a plan is immutable and shared between threads; all state of an evaluation is in its ``Frame``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from fairlead.cel.charges import Charge
from fairlead.cel.errors import EvaluationError
from fairlead.cel.estimates import LIST_BASE, MAP_BASE
from fairlead.cel.runtime import (
    GO_NAMES,
    KEY_ERROR,
    NO_OVERLOAD,
    equal,
    find,
    iterate,
    iterate_pairs,
    lookup,
    same,
    show,
    type_name,
)
from fairlead.cel.values import KEY_TYPES, NONE, Failure, Optional, Value, to_key

UNSET: Final = object()


class CostExceededError(Exception):
    """The budget of an evaluation is spent."""


class Frame:
    """One evaluation: the device, what the local variables hold, the cost so far."""

    __slots__ = ("cost", "device", "limit", "slots")

    def __init__(self, device: Value, slots: int, limit: int) -> None:
        self.device = device
        self.slots: list[Value] = [UNSET] * slots
        self.cost = 0
        self.limit = limit

    def charge(self, cost: int) -> None:
        self.cost += cost
        if self.cost > self.limit:
            raise CostExceededError


class Plan(Protocol):
    def run(self, frame: Frame) -> Value: ...


class Constant:
    def __init__(self, value: Value) -> None:
        self.value = value

    def run(self, frame: Frame) -> Value:
        return self.value


# What an attribute starts from.


class DeviceBase:
    """The variable ``device``."""

    def resolve(self, frame: Frame) -> Value:
        return frame.device


class LocalBase:
    """A variable of a comprehension. Accumulators get their first value when they are first looked at."""

    def __init__(self, slot: int, init: Plan | None) -> None:
        self._slot = slot
        self._init = init

    def resolve(self, frame: Frame) -> Value:
        value = frame.slots[self._slot]
        if value is UNSET and self._init is not None:
            value = frame.slots[self._slot] = self._init.run(frame)
        return value


class RelativeBase:
    """The result of another step."""

    def __init__(self, operand: Plan) -> None:
        self._operand = operand

    def resolve(self, frame: Frame) -> Value:
        return self._operand.run(frame)


class ConditionalBase:
    """``condition ? a : b``: qualifiers apply to the branches, and the branches are not charged for themselves."""

    def __init__(self, condition: Plan, if_true: Attribute, if_false: Attribute) -> None:
        self.condition = condition
        self.branches = (if_false, if_true)

    def resolve(self, frame: Frame) -> Value:
        condition = self.condition.run(frame)
        if condition is True or condition is False:
            return self.branches[condition].resolve(frame)
        return condition if type(condition) is Failure else Failure(NO_OVERLOAD)


Base = DeviceBase | LocalBase | RelativeBase | ConditionalBase


class Qualifier:
    """``.name`` or ``[key]``; ``optional`` for ``.?name`` and ``[?key]``, ``test_only`` for ``has()``."""

    def __init__(self, key: Callable[[Frame], Value], optional: bool, test_only: bool) -> None:
        self._key = key
        self.optional = optional
        self._test_only = test_only

    def apply(self, frame: Frame, value: Value) -> Value:
        key = self._key(frame)
        frame.charge(1)
        if type(key) is Failure:
            return key
        if type(key) not in KEY_TYPES:
            return Failure(bad_key(key))
        try:
            return find(value, key)[0] if self._test_only else lookup(value, key)
        except EvaluationError as error:
            return Failure(str(error))

    def apply_if_present(self, frame: Frame, value: Value) -> tuple[bool, Value]:
        key = self._key(frame)
        if type(key) is Failure:
            return True, key
        if type(key) not in KEY_TYPES:
            return True, Failure(bad_key(key))
        try:
            present, found = find(value, key)
        except EvaluationError as error:
            return True, Failure(str(error))
        if present or self._test_only:
            frame.charge(1)
        return present, found


def bad_key(key: Value) -> str:
    return f"invalid qualifier type: {GO_NAMES.get(type(key), type_name(key))}"


class Attribute:
    """A base with qualifiers, resolved as one."""

    def __init__(self, base: Base, test_only: bool = False) -> None:
        self._base = base
        self._qualifiers: list[Qualifier] = []
        self._test_only = test_only
        self._cost = (0 if isinstance(base, ConditionalBase) else 1) - test_only

    def qualified(self, qualifier: Qualifier, test_only: bool = False) -> Attribute:
        base = self._base
        if isinstance(base, ConditionalBase):
            if_false, if_true = (branch.qualified(qualifier) for branch in base.branches)
            return Attribute(ConditionalBase(base.condition, if_true, if_false), test_only)
        extended = Attribute(base, test_only)
        extended._qualifiers = [*self._qualifiers, qualifier]
        return extended

    def run(self, frame: Frame) -> Value:
        value = self.resolve(frame)
        frame.charge(self._cost)
        if self._test_only and type(value) is Optional:
            return value.present
        return value

    def resolve(self, frame: Frame) -> Value:
        value = self._base.resolve(frame)
        if type(value) is Failure:
            return value
        optional = type(value) is Optional and bool(self._qualifiers)
        if optional:
            if not value.present:
                return value
            value = value.value
        for qualifier in self._qualifiers:
            optional = optional or qualifier.optional
            if optional:
                present, value = qualifier.apply_if_present(frame, value)
                if not present:
                    return NONE
            else:
                value = qualifier.apply(frame, value)
            if type(value) is Failure:
                return value
        return Optional(True, value) if optional else value


class And:
    def __init__(self, left: Plan, right: Plan) -> None:
        self._terms = (left, right)

    def run(self, frame: Frame) -> Value:
        return _logic(self._terms, frame, absorbing=False)


class Or:
    def __init__(self, left: Plan, right: Plan) -> None:
        self._terms = (left, right)

    def run(self, frame: Frame) -> Value:
        return _logic(self._terms, frame, absorbing=True)


def _logic(terms: tuple[Plan, Plan], frame: Frame, absorbing: bool) -> Value:
    """One absorbing value decides even when the other term fails."""
    failure: Failure | None = None
    for term in terms:
        value = term.run(frame)
        if value is absorbing:
            return absorbing
        if value is not (not absorbing) and failure is None:
            failure = value if type(value) is Failure else Failure(NO_OVERLOAD)
    return not absorbing if failure is None else failure


class Equals:
    def __init__(self, left: Plan, right: Plan, negated: bool, charge: Charge) -> None:
        self._left = left
        self._right = right
        self._negated = negated
        self._charge = charge

    def run(self, frame: Frame) -> Value:
        left, right = self._left.run(frame), self._right.run(frame)
        result = self._compare(left, right)
        frame.charge(self._charge((left, right), result))
        return result

    def _compare(self, left: Value, right: Value) -> Value:
        for side in (left, right):
            if type(side) is Failure:
                return side
        if self._negated:
            return not same(left, right)
        try:
            return equal(left, right)
        except EvaluationError as error:
            return Failure(str(error))


class Call:
    """A strict function: a failed argument is its result.

    ``eager`` functions evaluate all arguments first; the others stop at the first failure, and are not charged then
    unless it was the last argument.
    """

    def __init__(self, function: Callable[..., Value], args: list[Plan], charge: Charge | None, eager: bool) -> None:
        self._function = function
        self._args = args
        self._charge = charge
        self._eager = eager

    def run(self, frame: Frame) -> Value:
        values: list[Value] = []
        failure: Failure | None = None
        for arg in self._args:
            value = arg.run(frame)
            values.append(value)
            if type(value) is Failure and failure is None:
                failure = value
                if not self._eager:
                    break
        result = self._call(values) if failure is None else failure
        if len(values) == len(self._args):
            frame.charge(1 if self._charge is None else self._charge(values, result))
        return result

    def _call(self, values: list[Value]) -> Value:
        try:
            return self._function(*values)
        except EvaluationError as error:
            return Failure(str(error))


class NotStrictlyFalse:
    """The condition of ``all`` and ``exists``: go on unless the result is known."""

    def __init__(self, operand: Plan) -> None:
        self._operand = operand

    def run(self, frame: Frame) -> Value:
        value = self._operand.run(frame)
        frame.charge(1)
        return True if type(value) is Failure else value


class Membership:
    """``in`` a list of constants, which costs nothing."""

    def __init__(self, item: Plan, values: list[Value]) -> None:
        self._item = item
        self._values = values

    def run(self, frame: Frame) -> Value:
        item = self._item.run(frame)
        if type(item) is Failure:
            return item
        return any(same(value, item) for value in self._values)


class OptionalOr:
    """``or`` and ``orValue``: the argument is only evaluated when needed."""

    def __init__(self, optional: Plan, alternative: Plan, unwrap: bool) -> None:
        self._optional = optional
        self._alternative = alternative
        self._unwrap = unwrap

    def run(self, frame: Frame) -> Value:
        optional = self._optional.run(frame)
        if type(optional) is Failure:
            return optional
        if type(optional) is not Optional:
            return Failure(NO_OVERLOAD)
        if optional.present:
            return optional.value if self._unwrap else optional
        return self._alternative.run(frame)


class NewList:
    def __init__(self, elements: list[Plan], optional: frozenset[int]) -> None:
        self._elements = elements
        self._optional = optional

    def run(self, frame: Frame) -> Value:
        result = self._build(frame)
        frame.charge(LIST_BASE)
        return result

    def _build(self, frame: Frame) -> Value:
        values: list[Value] = []
        for index, element in enumerate(self._elements):
            value = element.run(frame)
            if type(value) is Failure:
                return value
            if index in self._optional:
                if type(value) is not Optional:
                    message = "cannot initialize optional list element from non-optional value"
                    return Failure(f"{message} {show(value)}")
                if not value.present:
                    continue
                value = value.value
            values.append(value)
        return values


class NewMap:
    def __init__(self, entries: list[tuple[Plan, Plan, bool]]) -> None:
        self._entries = entries

    def run(self, frame: Frame) -> Value:
        result = self._build(frame)
        frame.charge(MAP_BASE)
        return result

    def _build(self, frame: Frame) -> Value:
        values: dict[Value, Value] = {}
        for key_plan, value_plan, optional in self._entries:
            key = key_plan.run(frame)
            if type(key) is Failure:
                return key
            value = value_plan.run(frame)
            if type(value) is Failure:
                return value
            if optional:
                if type(value) is not Optional:
                    message = f"cannot initialize optional entry '{show(key)}' from non-optional value"
                    return Failure(f"{message} {show(value)}")
                if not value.present:
                    values.pop(to_key(key), None)
                    continue
                value = value.value
            try:
                values[to_key(key)] = value
            except TypeError:
                return Failure(KEY_ERROR)
        return values


class Append:
    """``accumulator + [element]``: extends the list in place, since nobody else can see it."""

    def __init__(self, accumulator: Plan, element: Plan) -> None:
        self._accumulator = accumulator
        self._element = element

    def run(self, frame: Frame) -> Value:
        accumulator = self._accumulator.run(frame)
        element = self._element.run(frame)
        frame.charge(1)
        if type(accumulator) is Failure:
            return accumulator
        if type(element) is Failure:
            return element
        accumulator.extend(element)
        return accumulator


class Fold:
    """A comprehension: ``slots`` are those of the accumulator and of one or two loop variables."""

    def __init__(self, slots: tuple[int, ...], over: Plan, condition: Plan, step: Plan, result: Plan) -> None:
        self._accumulator = slots[0]
        self._variables = slots[1:]
        self._over = over
        self._condition = condition
        self._step = step
        self._result = result

    def run(self, frame: Frame) -> Value:
        over = self._over.run(frame)
        if type(over) is Failure:
            return over
        slots = frame.slots
        slots[self._accumulator] = UNSET
        try:
            if len(self._variables) == 1:
                (variable,) = self._variables
                for item in iterate(over):
                    slots[variable] = item
                    if not self._advance(frame):
                        break
            else:
                first, second = self._variables
                for key, item in iterate_pairs(over):
                    slots[first], slots[second] = key, item
                    if not self._advance(frame):
                        break
        except EvaluationError as error:
            return Failure(str(error))
        return self._result.run(frame)

    def _advance(self, frame: Frame) -> bool:
        if self._condition.run(frame) is False:
            return False
        frame.slots[self._accumulator] = self._step.run(frame)
        return True
