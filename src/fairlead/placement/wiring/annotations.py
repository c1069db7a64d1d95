"""What a pod asks for in annotations: a device policy, and constraints across its claims. `docs/annotations.md`.

* `fairlead.dev/devices` on a pod, or on its claims: the name of a device policy. The pod's own goes before that of
  its claims, and claims must not disagree.
* `fairlead.dev/constraints` on a pod: a list, in JSON or YAML, of conditions on devices of several claims, each with
  one of `matchAttribute`, `distinctAttribute`, `matchTopology`, `distinctTopology`, and `requests` as
  `pod-claim-name/request-name`; without `requests` it is about all requests of all claims.

What is wrong with them is said as the API server says it of the fields that they stand for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from fairlead.placement.wiring.policies import DEVICE_POLICIES, DevicePolicy
from fairlead.resource import PlannedPod, PodClaim, Problem, TextError, parse_yaml
from fairlead.resource.problem import (
    duplicate,
    forbidden,
    invalid,
    object_label,
    required,
    too_many,
    unknown_field,
    unsupported,
)
from fairlead.resource.validation.names import fully_qualified_reasons

DEVICES: Final = "fairlead.dev/devices"
CONSTRAINTS: Final = "fairlead.dev/constraints"
TOPOLOGY: Final = ("numa", "switch", "root", "rail", "nvlink")
"""Facts of a device's location that a constraint may compare."""
MOST: Final = 32
"""Constraints of a pod, and requests of a constraint: as many as a claim may have."""
_KINDS: Final = ("matchAttribute", "distinctAttribute", "matchTopology", "distinctTopology")
_ONE_KIND: Final = f"exactly one of {', '.join(_KINDS[:-1])} or {_KINDS[-1]} is required"
_REQUEST: Final = "must be the name that the pod has for a claim and the name of a request in it, separated by '/'"

_Faults = list[tuple[str, str]]
"""Field path below the annotation, and reason."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A condition on devices of several claims of a pod."""

    number: int
    """Its place in the list."""
    kind: str
    name: str
    """The attribute, with its domain; or the fact of a location."""
    requests: tuple[tuple[str, str], ...]
    """What the pod calls the claim, and the request in it; none: all."""

    @property
    def distinct(self) -> bool:
        """Whether devices must differ."""
        return self.kind.startswith("distinct")

    @property
    def topology(self) -> bool:
        """Whether it compares where devices sit, not an attribute."""
        return self.kind.endswith("Topology")

    def __str__(self) -> str:
        return f"annotation {CONSTRAINTS}[{self.number}] ({self.kind} {self.name})"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the annotations of a pod and its claims ask for."""

    policy: DevicePolicy | None = None
    """None where nothing is said."""
    constraints: tuple[Constraint, ...] = ()


class WishError(ValueError):
    """Annotations that ask for something that cannot be; `problems` has everything that is wrong."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


_NOTHING: Final = Wishes()


def wishes(pod: PlannedPod) -> Wishes:
    """Reads the annotations of a pod and its claims.

    Raises:
        WishError: with everything that is wrong.
    """
    annotations = pod.pod.metadata.annotations
    if not any(name in annotations for name in (CONSTRAINTS, DEVICES)) and not any(
        DEVICES in used.claim.metadata.annotations for used in pod.claims
    ):
        return _NOTHING
    problems: list[Problem] = []
    label = object_label("Pod", pod.pod.namespace, pod.pod.name)
    policy = _policy(annotations, label, problems)
    of_claims = _policy_of_claims(pod, problems)
    constraints: tuple[Constraint, ...] = ()
    if CONSTRAINTS in annotations:
        constraints, unreadable = _constraints(annotations[CONSTRAINTS])
        faults = [*unreadable, *_references(constraints, pod)]
        path = f"metadata.annotations[{CONSTRAINTS}]"
        problems += [Problem(label, f"{path}{below}", reason) for below, reason in faults]
    if problems:
        raise WishError(problems)
    return Wishes(policy or of_claims, constraints)


def _policy(annotations: Mapping[str, str], label: str, problems: list[Problem]) -> DevicePolicy | None:
    name = annotations.get(DEVICES)
    if name is None:
        return None
    policy = DEVICE_POLICIES.get(name)
    if policy is None:
        problems.append(Problem(label, f"metadata.annotations[{DEVICES}]", unsupported(name, DEVICE_POLICIES)))
    return policy


def _policy_of_claims(pod: PlannedPod, problems: list[Problem]) -> DevicePolicy | None:
    chosen: tuple[DevicePolicy, PodClaim] | None = None
    for used in pod.claims:
        meta = used.claim.metadata
        label = object_label("ResourceClaim", meta.namespace, meta.name)
        policy = _policy(meta.annotations, label, problems)
        if policy is None:
            continue
        if chosen is not None and chosen[0] is not policy and DEVICES not in pod.pod.metadata.annotations:
            detail = f'claim "{chosen[1].claim.name}" of the same pod asks for {chosen[0].name}'
            problems.append(Problem(label, f"metadata.annotations[{DEVICES}]", invalid(policy.name, detail)))
        chosen = chosen or (policy, used)
    return chosen[0] if chosen is not None else None


@lru_cache(maxsize=1024)
def _constraints(text: str) -> tuple[tuple[Constraint, ...], tuple[tuple[str, str], ...]]:
    """The constraints of an annotation, and what is wrong with them."""
    try:
        documents = parse_yaml(f"list:\n{textwrap.indent(text, ' ')}", -1)
    except TextError as error:
        return (), (("", invalid(text, f"must be a list in JSON or YAML: {error}")),)
    given = documents[0].get("list") if len(documents) == 1 and isinstance(documents[0], dict) else None
    if not isinstance(given, list) or len(documents[0]) > 1:
        return (), (("", invalid(text, "must be a list of constraints")),)
    if len(given) > MOST:
        return (), (("", too_many(len(given), MOST)),)
    faults: _Faults = []
    found = [_constraint(number, one, faults) for number, one in enumerate(given)]
    return tuple([one for one in found if one is not None]), tuple(faults)


def _constraint(number: int, given: Any, faults: _Faults) -> Constraint | None:
    path = f"[{number}]"
    if not isinstance(given, dict):
        faults.append((path, invalid(given, "must be an object")))
        return None
    before = len(faults)
    faults += [(path, unknown_field(key)) for key in given if key not in (*_KINDS, "requests")]
    kinds = [kind for kind in _KINDS if given.get(kind) is not None]
    if not kinds:
        faults.append((path, required(_ONE_KIND)))
    elif len(kinds) > 1:
        shown = {kind: given[kind] for kind in kinds}
        faults.append((path, invalid(shown, f"{_ONE_KIND}, but multiple fields are set")))
    for kind in kinds:
        faults += [(f"{path}.{kind}", reason) for reason in _name_faults(kind, given[kind])]
    requests = tuple(_requests(given.get("requests"), f"{path}.requests", faults))
    if len(faults) > before:
        return None
    return Constraint(number, kinds[0], given[kinds[0]], requests)


def _name_faults(kind: str, name: Any) -> Iterator[str]:
    if not isinstance(name, str):
        yield invalid(name, "must be a string")
    elif kind.endswith("Topology"):
        if name not in TOPOLOGY:
            yield unsupported(name, TOPOLOGY)
    else:
        yield from fully_qualified_reasons(name)


def _requests(given: Any, path: str, faults: _Faults) -> Iterator[tuple[str, str]]:
    if given is None:
        return
    if not isinstance(given, list):
        faults.append((path, invalid(given, "must be a list of strings")))
        return
    if len(given) > MOST:
        faults.append((path, too_many(len(given), MOST)))
        return
    seen: set[str] = set()
    for number, name in enumerate(given):
        claim, slash, request = name.partition("/") if isinstance(name, str) else ("", "", "")
        if not claim or not slash or not request or "/" in request:
            faults.append((f"{path}[{number}]", invalid(name, _REQUEST)))
        elif name in seen:
            faults.append((f"{path}[{number}]", duplicate(name)))
        else:
            seen.add(name)
            yield claim, request


def _references(constraints: tuple[Constraint, ...], pod: PlannedPod) -> Iterator[tuple[str, str]]:
    """References to what the pod does not have, or to what no device is taken for."""
    claims = {used.name: used.claim for used in pod.claims}
    for constraint in constraints:
        for number, (name, request) in enumerate(constraint.requests):
            path = f"[{constraint.number}].requests[{number}]"
            claim = claims.get(name)
            if claim is None:
                known = ", ".join(sorted(claims)) or "none"
                yield path, invalid(f"{name}/{request}", f"{_REQUEST}; the pod has no claim {name}, it has: {known}")
                continue
            asked = {one.name: one for one in claim.spec.devices.requests}
            if request not in asked:
                known = ", ".join(sorted(asked)) or "none"
                yield path, invalid(f"{name}/{request}", f"{_REQUEST}; claim {name} has the requests: {known}")
                continue
            exactly = asked[request].exactly
            if exactly is not None and exactly.admin_access:
                yield path, forbidden("a request with admin access takes no devices")
