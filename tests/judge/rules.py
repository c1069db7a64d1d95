"""The little languages inside a case that the judge must read: quantities, device selectors and node selectors.

Selectors are not parsed as CEL: each of the few shapes that cases use is a regular expression with its meaning beside
it, joined by `&&`. Everything else counts as an expression that does not compile.
"""

import functools
import math
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

Json = dict[str, Any]


class RefusedError(Exception):
    """The pod cannot be scheduled, with an error."""


class ExhaustedError(Exception):
    """The case takes more steps than the caller wants to wait for."""


COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SUFFIXES = {"": 0, "n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
KINDS = ("int", "bool", "string", "version")


@functools.cache
def quantity(text: str | int) -> tuple[Fraction, str]:
    """The exact value and the format, which counts where a request is compared with the default of a policy."""
    number, suffix = re.fullmatch(r"([+-]?[0-9.]+)(.*)", str(text)).groups()
    if suffix in ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"):
        return Fraction(number) * 1024 ** (1 + "KMGTPE".index(suffix[0])), "binary"
    if re.fullmatch(r"[eE][+-]?\d+", suffix):
        return Fraction(number + suffix), "exponent"
    return Fraction(number) * Fraction(10) ** SUFFIXES[suffix], "decimal"


def typed(attribute: Json, lists: bool = True) -> tuple[str, Any] | None:
    """The kind and the value of an attribute, a tuple for a list; lists first, as Kubernetes looks at them."""
    for kind in KINDS:
        if lists and attribute.get(kind + "s"):
            return kind, tuple(attribute[kind + "s"])
    return next(((kind, attribute[kind]) for kind in KINDS if attribute.get(kind) is not None), None)


Facts = Json
"""What a selector sees of a device: driver, attributes, capacity, shared."""


def _member(facts: Facts, table: str, match: re.Match[str]) -> Json:
    """`device.<table>[domain].name`; a name without a domain belongs to the driver's. KeyError is "no such key"."""
    domain = facts["driver"] if match[1] == "device.driver" else match[1].strip('"')
    qualified = {(key if "/" in key else f"{facts['driver']}/{key}"): value for key, value in facts[table].items()}
    name = match[2].strip('.[]"')
    return qualified[f"{domain}/{name}"]


def _value(facts: Facts, match: re.Match[str]) -> tuple[str, Any]:
    return typed(_member(facts, "attributes", match))


def _truth(value: tuple[str, Any]) -> bool:
    if not isinstance(value[1], bool):
        raise TypeError("the result of a selector must be a bool")
    return value[1]


def _starts(value: tuple[str, Any], start: str) -> bool:
    if value[0] != "string":
        raise TypeError("startsWith is for strings")
    return value[1].startswith(start)


def _literal(text: str) -> tuple[str, Any]:
    if text.startswith('"'):
        return "string", text.strip('"')
    return ("bool", text == "true") if text in ("true", "false") else ("int", int(text))


_WHERE = r'\[(device\.driver|"[^"]*")\](\.\w+|\["[^"]*"\])'
_ATTRIBUTE = rf"device\.attributes{_WHERE}"
_CAPACITY = rf'device\.capacity{_WHERE}\.compareTo\(quantity\("([^"]*)"\)\) ?(==|!=|<=|>=|<|>) ?0'
_SHAPES: dict[str, Callable[[Facts, re.Match[str]], bool]] = {
    r"true": lambda facts, m: True,
    r'device\.driver ?== ?"([^"]*)"': lambda facts, m: facts["driver"] == m[1],
    r"device\.allowMultipleAllocations": lambda facts, m: facts["shared"],
    r"device\.allowMultipleAllocations ?== ?(true|false)": lambda facts, m: facts["shared"] is (m[1] == "true"),
    _ATTRIBUTE: lambda facts, m: _truth(_value(facts, m)),
    rf'{_ATTRIBUTE} ?(==|!=) ?("[^"]*"|-?\d+|true|false)': lambda facts, m: COMPARE[m[3]](
        _value(facts, m), _literal(m[4])
    ),
    rf'{_ATTRIBUTE}\.startsWith\("([^"]*)"\)': lambda facts, m: _starts(_value(facts, m), m[3]),
    _CAPACITY: lambda facts, m: COMPARE[m[4]](quantity(_member(facts, "capacity", m)["value"])[0], quantity(m[3])[0]),
}
SHAPES = [(re.compile(shape), meaning) for shape, meaning in _SHAPES.items()]


@functools.cache
def compiled(expression: str) -> list[Callable[[Facts], bool]]:
    """The parts of an `&&`. An expression of unknown shape, or with an unknown quantity, does not compile."""
    parts = []
    for part in expression.split("&&"):
        found = next(((m, meaning) for shape, meaning in SHAPES if (m := shape.fullmatch(part.strip()))), None)
        if found is None:
            raise RefusedError(f"compile error: {part}")
        parts.append(functools.partial(lambda match, meaning, facts: meaning(facts, match), *found))
    return parts


def selected(expression: str, facts: Facts) -> bool:
    """Whether a device matches. An `&&` is false when one part is false, even when another part fails."""
    parts = compiled(expression)
    if any(typed(attribute) is None for attribute in facts["attributes"].values()):
        raise RefusedError("unsupported attribute value")
    results = set()
    for part in parts:
        try:
            results.add(part(facts))
        except (KeyError, TypeError):
            results.add(None)
    if None in results and False not in results:
        raise RefusedError(f"runtime error: {expression}")
    return False not in results


def _holds(rule: Json, values: dict[str, str], allowed: dict[str, bool]) -> bool:
    """One requirement of a node selector; an operator with the wrong number of values cannot be parsed."""
    key, operation, wanted = rule["key"], rule["operator"], rule.get("values") or []
    if not allowed.get(operation):
        raise RefusedError("node selector")
    if operation in ("Gt", "Lt"):
        if not re.fullmatch(r"[+-]?\d+", wanted[0]):
            raise RefusedError("node selector")
        if not re.fullmatch(r"[+-]?\d+", values.get(key, "")):
            return False
        return COMPARE[">" if operation == "Gt" else "<"](int(values[key]), int(wanted[0]))
    among = key in values and (values[key] in wanted if operation in ("In", "NotIn") else True)
    return among if operation in ("In", "Exists") else not among


def reaches(spec: Json, node: Json) -> bool:
    """Whether what a slice or a device says about nodes includes this one: name before all before selector."""
    name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
    if spec.get("nodeName"):
        return spec["nodeName"] == name
    if spec.get("allNodes"):
        return True
    verdicts = []
    for term in (spec.get("nodeSelector") or {}).get("nodeSelectorTerms") or []:
        rules = []
        for rule in term.get("matchExpressions") or []:
            size = len(rule.get("values") or [])
            allowed = {"In": size > 0, "NotIn": size > 0, "Exists": size == 0, "DoesNotExist": size == 0}
            rules.append(_holds(rule, labels, allowed | {"Gt": size == 1, "Lt": size == 1}))
        for rule in term.get("matchFields") or []:
            size = len(rule.get("values") or [])
            rules.append(_holds(rule, {"metadata.name": name}, {"In": size == 1, "NotIn": size == 1}))
        verdicts.append(bool(rules) and all(rules))
    return any(verdicts)


def consumption(device: Json, request: Json) -> dict[str, Fraction] | None:
    """What a request takes of each capacity of a device by the device's policies, None where they forbid it."""
    asked = (request.get("capacity") or {}).get("requests") or {}
    capacities = device.get("capacity") or {}
    if not asked.keys() <= capacities.keys():
        return None
    result = {}
    for name, capacity in capacities.items():
        policy = capacity.get("requestPolicy") or {}
        limits, values = policy.get("validRange") or {}, policy.get("validValues") or []
        low, high, step = ((quantity(limits[k])[0] if k in limits else None) for k in ("min", "max", "step"))
        amount = quantity(asked[name] if name in asked else policy.get("default", capacity["value"]))
        if name in asked and low is not None:
            if amount[0] < low:
                amount = quantity(limits["min"])
            elif step is not None:
                steps = -((math.ceil(low) - math.ceil(amount[0])) // math.ceil(step))
                amount = Fraction(math.ceil(low) + steps * math.ceil(step)), quantity(limits["step"])[1]
        elif name in asked and values:
            amount = next((quantity(v) for v in values if quantity(v)[0] >= amount[0]), amount)
        if "default" not in policy or amount != quantity(policy["default"]):
            if limits and high is not None and amount[0] > high:
                return None
            if limits and step is not None and (math.ceil(amount[0]) - math.ceil(low)) % math.ceil(step):
                return None
            if not limits and values and amount[0] not in [quantity(v)[0] for v in values]:
                return None
        result[name] = amount[0]
    return result


def satisfied(constraint: Json, devices: list[Json], lists: bool) -> bool:
    """Whether the last device goes with those before it, which went together."""
    wanted, values = constraint.get("matchAttribute") or constraint["distinctAttribute"], []
    for device in devices:
        attributes, (domain, _, name) = device.get("attributes") or {}, wanted.partition("/")
        attribute = attributes.get(wanted, attributes.get(name) if domain == device["pool"]["driver"] else None)
        if attribute is None:
            return False
        kind, value = typed(attribute, lists) or (None, ())
        values.append({(kind, v) for v in (value if isinstance(value, tuple) else (value,))})
    *before, last = values
    if not last:  # of unknown kind: not even alone with lists, and without lists only first
        return not lists and not before
    if constraint.get("matchAttribute"):
        return bool(set.intersection(*values))
    return all(last.isdisjoint(other) for other in before)


def tolerated(taint: Json, tolerations: list[Json]) -> bool:
    """Whether a taint keeps nobody away, or not who has these tolerations."""
    return taint.get("effect") not in ("NoSchedule", "NoExecute") or any(
        (not t.get("effect") or t["effect"] == taint["effect"])
        and (not t.get("key") or t["key"] == taint["key"])
        and (
            t.get("operator") == "Exists"
            or (t.get("operator") in (None, "", "Equal") and t.get("value", "") == taint.get("value", ""))
        )
        for t in tolerations
    )


def state(case: Json) -> tuple[set[str], set[str], dict[tuple[str, str], Fraction]]:
    """What other claims hold: devices of their own, devices they share, and the sum of each capacity they share."""

    def name(d: Json | str) -> str:
        return d if isinstance(d, str) else f"{d['driver']}/{d['pool']}/{d['device']}"

    held = {name(d) for d in case.get("allocatedDevices") or []}
    shared = {name(d) for key in ("allocatedSharedDeviceIDs", "allocatedCapacity") for d in case.get(key) or []}
    amounts = [(name(d), d.get("consumed") or {}) for d in case.get("allocatedCapacity") or []]
    for claim in case.get("allocatedClaims") or []:
        for result in ((claim.get("status") or {}).get("allocation") or {}).get("devices", {}).get("results") or []:
            if result.get("adminAccess"):
                continue
            if result.get("shareID") and "ConsumableCapacity" in case["features"]:
                shared.add(name(result))
                amounts.append((name(result), result.get("consumedCapacity") or {}))
            else:
                held.add(name(result))
    account: dict[tuple[str, str], Fraction] = {}
    for device, consumed in amounts:
        for key, amount in consumed.items():
            account[device, key] = account.get((device, key), Fraction(0)) + quantity(amount)[0]
    return held, shared, account
