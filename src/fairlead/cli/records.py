"""The plan for programs: one record a pod, with the very `status` that the cluster would hold of its claims."""

from __future__ import annotations

import json
from typing import Any

import yaml

from fairlead.placement import Placement, Plan
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
