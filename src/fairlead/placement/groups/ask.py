"""What a gang asks of where its pods go: the annotation `fairlead.dev/gang`.

The value is JSON on the pods of the gang (through the pod template); one pod that has it speaks for all:

    {"required": ["block"], "preferred": ["rack"], "slices": {"level": "rack", "size": 16, "balanced": true},
     "rails": "preferred", "match": [{"attribute": "gpu.example.com/model", "requests": ["gpus/gpu"]}]}

* `required`: levels of which all pods share one domain;
* `preferred`: the levels of which few domains are used, the most important first; absent: all, from the widest;
* `slices`: every domain of a level gets a multiple of `size` pods, `balanced`: and as many as the others that are used;
* `rails`: `required`, every pod has its GPUs on the same rails; `preferred` (the default); or `any`;
* `match`: all devices for the requests (`pod-claim-name/request-name`; absent: all) of all pods have one value of the
  attribute, which is written with its domain. This is `matchAttribute` across the claims of a gang.

What is not in this schema is refused, as the API server words it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from fairlead.resource import PlannedPod, Pod, Problem
from fairlead.resource.validation.names import fully_qualified_reasons

GANG: Final = "fairlead.dev/gang"


class SlicesAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`slices`."""

    level: str
    size: int
    balanced: bool = False


class MatchAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `match`."""

    attribute: str
    requests: tuple[str, ...] = ()


class GangAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The annotation as a value."""

    required: tuple[str, ...] = ()
    preferred: tuple[str, ...] | None = None
    slices: SlicesAsked | None = None
    rails: Literal["required", "preferred", "any"] = "preferred"
    match: tuple[MatchAsked, ...] = ()

    @property
    def levels(self) -> tuple[str, ...]:
        """Every level that is named."""
        named = (*self.required, *(self.preferred or ()), *((self.slices.level,) if self.slices else ()))
        return tuple(dict.fromkeys(named))


class AskError(ValueError):
    """The annotation of a pod cannot be used; the text is the reason."""

    def __init__(self, pod: Pod, reason: str) -> None:
        super().__init__(reason)
        self.pod = pod

    @property
    def problem(self) -> Problem:
        """Object, field path and reason."""
        return Problem(f'Pod "{self.pod.key}"', f"metadata.annotations[{GANG}]", str(self))


def ask_of(pods: Sequence[PlannedPod]) -> GangAsk:
    """What the pods of one gang ask for; the default where none says anything.

    Raises:
        AskError: an annotation cannot be read, or two pods contradict each other.
    """
    found: GangAsk | None = None
    texts: dict[str, GangAsk] = {}
    for planned in pods:
        text = planned.pod.metadata.annotations.get(GANG)
        if text is None:
            continue
        if text not in texts:
            texts[text] = _read(planned, text, len(pods))
        if found is not None and texts[text] != found:
            raise AskError(planned.pod, f"Invalid value: {text!r}: another pod of the gang asks for something else")
        found = texts[text]
    return found or GangAsk()


def ask_problems(pods: Iterable[PlannedPod]) -> list[Problem]:
    """What is wrong with the annotations of pods, gang by gang."""
    gangs: dict[str, list[PlannedPod]] = {}
    for pod in pods:
        gangs.setdefault(pod.group or f"pod {pod.pod.key}", []).append(pod)
    problems = []
    for members in gangs.values():
        try:
            ask_of(members)
        except AskError as error:
            problems.append(error.problem)
    return problems


def _read(planned: PlannedPod, text: str, size: int) -> GangAsk:
    pod = planned.pod
    try:
        ask = msgspec.json.decode(text, type=GangAsk)
    except msgspec.DecodeError as error:
        raise AskError(pod, f"Invalid value: {text!r}: {error}") from None
    for number, match in enumerate(ask.match):
        for reason in fully_qualified_reasons(match.attribute):
            raise AskError(pod, f"match[{number}].attribute: {reason}")
        known = {f"{used.name}/{one.name}" for used in planned.claims for one in used.claim.spec.devices.requests}
        for unknown in [name for name in match.requests if name not in known]:
            listed = ", ".join(sorted(known)) or "none"
            raise AskError(pod, f"match[{number}].requests: Invalid value: {unknown!r}: the pod has: {listed}")
    if ask.slices is not None and ask.slices.size < 1:
        raise AskError(pod, f"Invalid value: {ask.slices.size}: slices.size must be at least 1")
    if ask.slices is not None and size % ask.slices.size:
        raise AskError(pod, f"Invalid value: {ask.slices.size}: the gang's {size} pods are no multiple of slices.size")
    return ask
