"""The conformance cases: the same answers as Kubernetes' allocator gives, where it is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli.cases import Outcome, parse_case, run_case


def requirements(selector: Any) -> list[Any]:
    """A node selector with the order of terms, requirements and values left out."""
    return sorted(
        (
            [
                sorted((r["key"], r["operator"], sorted(r.get("values", []))) for r in term.get(kind, []))
                for kind in ("matchFields", "matchExpressions")
            ]
            for term in (selector or {}).get("nodeSelectorTerms", [])
        ),
    )


def plain(result: dict[str, Any]) -> str:
    """A result without empty fields and with all share ids alike, because they are random."""
    kept = {key: given for key, given in result.items() if given not in (None, [], {})}
    if "shareID" in kept:
        kept["shareID"] = "share"
    return json.dumps(kept, sort_keys=True)


def differs(expect: Any, outcome: Outcome) -> str:
    """What is wrong with the outcome; empty where nothing is."""
    got = outcome.allocations
    if isinstance(expect, str):
        return "" if (expect == "fits") == (got is not None) and not outcome.error else f"expected {expect}"
    if "error" in expect:
        return "" if outcome.error is not None and expect["error"] in outcome.error else f"error: {outcome.error}"
    if outcome.error:
        return f"unexpected error: {outcome.error}"
    if "devices" in expect:
        found = got and [
            [[r["request"], f"{r['driver']}/{r['pool']}/{r['device']}"] for r in a["devices"]["results"]] for a in got
        ]
        return "" if (found or got) == expect["devices"] else f"devices: {found}"
    wanted = expect["allocations"]
    if not wanted:
        return "" if not got else "expected no allocation"
    if got is None or len(got) != len(wanted):
        return "expected an allocation"
    for want, have in zip(wanted, got, strict=True):
        exact = want["kind"] == "exact"
        source = want["allocation"]["devices"] if exact else want
        selector = want["allocation"].get("nodeSelector") if exact else want["nodeSelector"]
        results = [plain(r) for r in source.get("results") or []]
        found_results = [plain(r) for r in have["devices"].get("results", [])]
        if (results, found_results) != (results, results if found_results == results else None) and (
            exact or sorted(results) != sorted(found_results)
        ):
            return f"results: {found_results}"
        if [plain(c) for c in source.get("config") or []] != [plain(c) for c in have["devices"].get("config", [])]:
            return f"config: {have['devices'].get('config')}"
        if requirements(selector) != requirements(have.get("nodeSelector")):
            return f"nodeSelector: {have.get('nodeSelector')}"
    return ""


@pytest.mark.parametrize("file", ["allocator-table", "allocator-traps", "allocator-random", "allocator-speed"])
def test_every_case_agrees(shared: Path, file: str) -> None:
    lines = (shared / "conformance" / f"{file}.jsonl").read_bytes().splitlines()
    wrong = {}
    for line in lines:
        if difference := differs(json.loads(line)["expect"], run_case(parse_case(line))):
            wrong[json.loads(line)["name"]] = difference
    assert not wrong, f"{len(wrong)} of {len(lines)} differ"
