"""Fairlead's allocator as the judge sees it: a case in, the picks of each claim out."""

import json
from typing import Any

from fairlead.cli.cases import parse_case, run_case

Json = dict[str, Any]


def solve(case: Json) -> Json:
    """The answer of policy first-fit, in the judge's form: `{"devices": ...}` or `{"error": True}`."""
    outcome = run_case(parse_case(json.dumps(case).encode()))
    if outcome.error is not None:
        return {"error": True}
    if outcome.allocations is None:
        return {"devices": None}
    picks = []
    for allocation in outcome.allocations:
        results = (allocation.get("devices") or {}).get("results") or []
        picks.append([[r["request"], f"{r['driver']}/{r['pool']}/{r['device']}"] for r in results])
    return {"devices": picks}
