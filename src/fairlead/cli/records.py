"""The plan for programs: one record a pod, with the very `status` that the cluster would hold of its claims."""

from __future__ import annotations

import json
from math import inf
from typing import Any

import yaml

from fairlead.placement import Placement, Plan
from fairlead.placement.wiring import Choice, Score
from fairlead.resource import to_builtins


def to_json(plan: Plan) -> str:
    """The records as indented JSON."""
    return json.dumps([record(placement) for placement in plan], indent=2, ensure_ascii=False) + "\n"


def to_yaml(plan: Plan) -> str:
    """The records as YAML."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    records = [record(placement) for placement in plan]
    text: str = yaml.dump(records, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text


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
