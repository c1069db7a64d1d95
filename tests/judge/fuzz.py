"""Compares Fairlead's allocator with the judge on random cases, and shrinks the first difference.

    python tests/judge/fuzz.py --cases 100000 --seed 0 --processes 2

Case number n of seed s is `random_case(s + n)`. Exit status 1 when a case differs; the smallest such case that was
found is then printed as JSON, with what each side answers.
"""

import argparse
import copy
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

from adapter import solve
from generate import Json, random_case
from rules import ExhaustedError

from judge import judge

STEPS = 300_000
"""What the judge may spend on a case; those that need more are counted and left out."""
CHUNK = 200
REPORT_SECONDS = 10


def difference(case: Json) -> tuple[Json, Json] | None:
    """What the judge and the allocator say, where they differ."""
    right = judge(case, STEPS)
    try:
        ours = solve(case)
    except Exception as error:  # whatever it is, it is a finding
        ours = {"crash": repr(error)}
    return None if ours == right else (right, ours)


def smaller(case: Json) -> Iterator[Json]:
    """The case with one thing left out, big things first."""
    lists: list[Callable[[Json], list[list[Json]]]] = [
        lambda c: [c["claims"]],
        lambda c: [c["slices"]],
        lambda c: [claim["spec"]["devices"]["requests"] for claim in c["claims"]],
        lambda c: [claim["spec"]["devices"].get("constraints") or [] for claim in c["claims"]],
        lambda c: [
            r.get("firstAvailable") or [] for claim in c["claims"] for r in claim["spec"]["devices"]["requests"]
        ],
        lambda c: [piece["spec"].get("devices") or [] for piece in c["slices"]],
        lambda c: [c.get(key) or [] for key in ("allocatedDevices", "allocatedSharedDeviceIDs", "allocatedCapacity")],
        lambda c: [c.get("allocatedClaims") or [], c["classes"]],
        lambda c: [d.get("consumesCounters") or [] for p in c["slices"] for d in p["spec"].get("devices") or []],
        lambda c: [entry["spec"].get("selectors") or [] for entry in c["classes"]],
    ]
    for find in lists:
        for number, entries in enumerate(find(case)):
            for place in range(len(entries)):
                candidate = copy.deepcopy(case)
                found = find(candidate)[number]
                removed = found.pop(place)
                header = removed.get("spec", {}).get("pool") if isinstance(removed, dict) else None
                if header:  # the pool stays as complete as it was
                    for piece in candidate["slices"]:
                        if piece["spec"]["driver"] == removed["spec"]["driver"] and piece["spec"]["pool"] == header:
                            piece["spec"]["pool"] = {**header, "resourceSliceCount": header["resourceSliceCount"] - 1}
                if all(
                    r.get("firstAvailable") != [] for c in candidate["claims"] for r in c["spec"]["devices"]["requests"]
                ):
                    yield candidate
    optional = ("attributes", "capacity", "taints", "tolerations", "selectors", "bindingConditions", "requestPolicy")
    optional += ("requests", "allowMultipleAllocations", "consumesCounters", "bindsToNode", "bindingFailureConditions")
    for path in list(paths(case)):
        if path[-1] in optional or (len(path) > 1 and path[-2] in ("attributes", "capacity")):
            candidate = copy.deepcopy(case)
            inner = candidate
            for key in path[:-1]:
                inner = inner[key]
            if isinstance(inner.get(path[-1]), list) and path[-1] == "requests" and path[-2] == "devices":
                continue
            del inner[path[-1]]
            yield candidate
    for path in list(paths(case)):
        if path[-1] == "count" and _get(case, path) > 1:
            candidate = copy.deepcopy(case)
            _get(candidate, path[:-1])["count"] -= 1
            yield candidate


def _get(value: Json, path: tuple[str | int, ...]):
    for key in path:
        value = value[key]
    return value


def paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where each key of each object is."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from paths(inner, (*path, number))


def shrink(case: Json) -> Json:
    """A case that still differs and from which nothing more can be left out."""
    case = {key: value for key, value in case.items() if key != "expect"}
    kind = _kind(difference(case))
    while True:
        for candidate in smaller(case):
            try:
                if _kind(difference(candidate)) == kind:
                    case = candidate
                    break
            except (ExhaustedError, KeyError):
                continue
        else:
            return case


def _kind(found: tuple[Json, Json] | None) -> tuple[str, ...] | None:
    """A finding keeps its kind while it shrinks: a crash must not turn into a refusal of invalid input."""
    if found is None:
        return None
    return tuple("null" if side == {"devices": None} else next(iter(side)) for side in found)


def run(start: int) -> tuple[Counter[str], list[int]]:
    """One chunk of cases: how they end, and the numbers of those that differ."""
    ends: Counter[str] = Counter()
    different = []
    for number in range(start, start + CHUNK):
        case = random_case(number)
        try:
            right = judge(case, STEPS)
            ends["refused" if "error" in right else "fits" if right["devices"] is not None else "does not fit"] += 1
            if difference(case) is not None:
                different.append(number)
        except ExhaustedError:
            ends["left out"] += 1
    return ends, different


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--keep-going", action="store_true", help="count all differences, then shrink the first")
    options = parser.parse_args()
    begin = reported = time.monotonic()
    ends: Counter[str] = Counter()
    different: list[int] = []
    starts = range(options.seed, options.seed + options.cases, CHUNK)
    with multiprocessing.Pool(options.processes) as pool:
        for found, numbers in pool.imap(run, starts):
            ends += found
            different += numbers
            if numbers and not options.keep_going:
                break
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                print(f"{ends.total()} cases, {len(different)} differ", file=sys.stderr, flush=True)
    summary = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
    print(f"{ends.total()} cases ({summary}), {len(different)} differ, {time.monotonic() - begin:.0f} s")
    if not different:
        return 0
    if options.keep_going:
        print("different:", *different[:50])
    case = shrink(random_case(different[0]))
    right, ours = difference(case) or ({}, {})
    print(f"random_case({different[0]}) differs; what is left of it:\n{json.dumps(case)}")
    print(f"judge:    {json.dumps(right)}\nfairlead: {json.dumps(ours)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
