"""The plan for programs: one record a pod, with the very `status` that the cluster would hold of its claims."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf, isfinite
from typing import Any, Final

import yaml

from fairlead.placement import GangOutcome, Placement, Plan
from fairlead.placement.wiring import Choice, Score
from fairlead.resource import to_builtins

_NOTHING: Final[Mapping[str, str]] = {}


def to_json(plan: Plan, why: Mapping[str, str] = _NOTHING) -> str:
    """The records as indented JSON; `why` says by `namespace/name` why a pod has its node."""
    return json.dumps(_records(plan, why), indent=2, ensure_ascii=False) + "\n"


def to_yaml(plan: Plan, why: Mapping[str, str] = _NOTHING) -> str:
    """The records as YAML."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(_records(plan, why), Dumper=dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text


def _records(plan: Plan, why: Mapping[str, str]) -> list[dict[str, Any]]:
    gangs = {outcome.name: gang_record(outcome) for outcome in plan.gangs}
    return [
        {
            **record(placement),
            "gang": gangs.get(placement.pod.group or ""),
            "nodeChoice": why.get(placement.pod.pod.key),
        }
        for placement in plan
    ]


def gang_record(outcome: GangOutcome) -> dict[str, Any]:
    """What became of a gang; the same in the records of all its pods."""
    objective = outcome.objective
    return {
        "placed": outcome.placed,
        "text": outcome.text,
        "domains": dict(zip(outcome.levels, objective.domains, strict=True)) if objective is not None else None,
        "nodes": objective.nodes if objective is not None else None,
        "rails": list(outcome.rails) if outcome.rails is not None else None,
        "proven": outcome.proven,
        "allReduceGBps": _finite(outcome.bandwidth.all_reduce) if outcome.bandwidth is not None else None,
        "reasons": list(outcome.reasons),
        "wouldFit": list(outcome.helps),
    }


def _finite(gbytes: float) -> float | None:
    """Rounded; None where there is nothing to exchange."""
    return round(gbytes, 1) if isfinite(gbytes) else None


def _devices(choice: Choice) -> dict[str, Any]:
    """Why these devices: what they are worth, and what the next best would have been."""
    runner_up = choice.runner_up
    return {
        "policy": choice.policy,
        "devices": list(choice.names),
        "score": _parts(choice.score),
        "limits": list(choice.limits),
        "proven": choice.proven,
        "bound": _plain(choice.bound) if choice.bound is not None else None,
        "runnerUp": {"devices": list(choice.runner_up_names), "score": _parts(runner_up)} if runner_up else None,
    }


def _parts(score: Score) -> list[dict[str, Any]]:
    return [{"name": part.name, "text": part.text, "key": _plain(part.key)} for part in score.parts]


def _plain(key: Any) -> Any:
    """A key as JSON has it: there is no infinity."""
    if isinstance(key, tuple):
        return [_plain(one) for one in key]
    return None if key in (inf, -inf) else key


def record(placement: Placement) -> dict[str, Any]:
    """One pod: where it goes, its claims with `status.allocation` and `status.reservedFor`, and the reasons."""
    planned = placement.pod
    return {
        "pod": planned.pod.name,
        "namespace": planned.pod.namespace,
        "owner": planned.owner or None,
        "group": planned.group or None,
        "node": placement.node or None,
        "claims": [
            {
                "podClaim": used.name,
                "name": used.claim.name,
                "namespace": used.claim.namespace,
                "status": to_builtins(used.claim).get("status", {}),
            }
            for used in placement.claims
        ],
        **({"devices": _devices(placement.choice)} if placement.choice is not None else {}),
        "reasons": [
            {
                "text": obstacle.text,
                "kind": obstacle.kind,
                "nodes": list(obstacle.nodes),
                "holders": list(obstacle.holders),
            }
            for obstacle in placement.obstacles
        ],
    }
