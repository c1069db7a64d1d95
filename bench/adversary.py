"""Looks for the slowest input: mutates the worst cases found so far, within the API's limits.

    python bench/adversary.py [--seconds S] [--seed N] [--limit-seconds L] [--save FILE]

Starts from the families of tests/judge/families.py and from random cases, keeps the slowest, and changes them: other
counts, amounts and values, more and fewer devices, requests, constraints, alternatives and claims, devices taken. Time
is that of one decision on a prepared inventory. Prints every new worst; the last line is the worst of all. A case over
the limit is printed and saved as JSON, and ends the program with status 1.
"""

from __future__ import annotations

import argparse
import copy
import heapq
import json
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "judge"))

from families import hard_cases
from generate import random_case

from fairlead.cli.cases import CaseError, parse_case, run_case

Json = dict[str, Any]
KEPT = 60
"""How many of the worst cases are mutated further."""


class TooSlowError(Exception):
    """A decision went over the limit."""


def seconds_of(case: Json, limit: float) -> float:
    """How long one decision takes; 0 for cases that are refused before any search."""

    def stop(*_: object) -> None:
        raise TooSlowError

    line = json.dumps({key: value for key, value in case.items() if key != "expect"}).encode()
    try:
        parsed = parse_case(line)
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, limit)
        outcome = run_case(parsed, 2)
    except CaseError:
        return 0.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return 0.0 if outcome.error else outcome.micros / 1e6


def requests_of(case: Json) -> list[Json]:
    """Every request and alternative as the place where count and selectors stand."""
    found = []
    for claim in case["claims"]:
        for request in claim["spec"]["devices"]["requests"]:
            found += [request["exactly"]] if "exactly" in request else request["firstAvailable"]
    return found


def devices_of(case: Json) -> list[tuple[Json, Json]]:
    """Every device with its slice."""
    return [(slice_, device) for slice_ in case["slices"] for device in slice_["spec"].get("devices", [])]


def change_count(case: Json, dice: random.Random) -> None:
    """Another count for one request."""
    asked = dice.choice(requests_of(case))
    asked["allocationMode"] = "ExactCount"
    asked["count"] = max(1, asked.get("count", 1) + dice.choice([-2, -1, 1, 1, 2]))


def change_attribute(case: Json, dice: random.Random) -> None:
    """Another value for one attribute of one device: one that another device has."""
    _, device = dice.choice(devices_of(case))
    _, other = dice.choice(devices_of(case))
    if names := sorted(device.get("attributes", {}).keys() & other.get("attributes", {}).keys()):
        name = dice.choice(names)
        device["attributes"][name] = copy.deepcopy(other["attributes"][name])


def change_capacity(case: Json, dice: random.Random) -> None:
    """Another amount for one request or device."""
    asking = [asked for asked in requests_of(case) if asked.get("capacity")]
    having = [device for _, device in devices_of(case) if device.get("capacity")]
    if asking and dice.random() < 0.7:
        amounts = dice.choice(asking)["capacity"]["requests"]
        amounts[dice.choice(sorted(amounts))] = str(dice.randint(1, 60))
    elif having:
        capacity = dice.choice(having)["capacity"]
        capacity[dice.choice(sorted(capacity))]["value"] = str(dice.randint(50, 110))


def take_device(case: Json, dice: random.Random) -> None:
    """Takes a device, or gives one back."""
    slice_, device = dice.choice(devices_of(case))
    spec = slice_["spec"]
    name = f"{spec['driver']}/{spec['pool']['name']}/{device['name']}"
    taken = case.setdefault("allocatedDevices", [])
    taken.remove(name) if name in taken else taken.append(name)


def double_request(case: Json, dice: random.Random) -> None:
    """One request more, like one that is there."""
    claim = dice.choice(case["claims"])["spec"]["devices"]
    if len(claim["requests"]) < 32:
        more = copy.deepcopy(dice.choice(claim["requests"]))
        more["name"] = f"m{dice.randrange(10**6)}"
        claim["requests"].insert(dice.randint(0, len(claim["requests"])), more)
        for constraint in claim.get("constraints") or []:
            if constraint.get("requests") and dice.random() < 0.5:
                constraint["requests"].append(more["name"])


def drop_request(case: Json, dice: random.Random) -> None:
    """One request less."""
    claim = dice.choice(case["claims"])["spec"]["devices"]
    if len(claim["requests"]) > 1:
        claim["requests"].pop(dice.randrange(len(claim["requests"])))


def double_claim(case: Json, dice: random.Random) -> None:
    """One claim more, like one that is there."""
    if len(case["claims"]) < 12:
        more = copy.deepcopy(dice.choice(case["claims"]))
        more["metadata"]["name"] = f"claim-{dice.randrange(10**6)}"
        case["claims"].append(more)


def double_device(case: Json, dice: random.Random) -> None:
    """One device more, like one that is there."""
    slice_, device = dice.choice(devices_of(case))
    if len(slice_["spec"]["devices"]) < 64:
        more = copy.deepcopy(device)
        more["name"] = f"x{dice.randrange(10**6)}"
        slice_["spec"]["devices"].append(more)


def drop_device(case: Json, dice: random.Random) -> None:
    """One device less."""
    slice_, device = dice.choice(devices_of(case))
    if len(slice_["spec"]["devices"]) > 1:
        slice_["spec"]["devices"].remove(device)


def constrain(case: Json, dice: random.Random) -> None:
    """One constraint more, less or with other requests."""
    claim = dice.choice(case["claims"])["spec"]["devices"]
    constraints = claim["constraints"] = claim.get("constraints") or []
    names = [request["name"] for request in claim["requests"]]
    attributes = sorted({name for _, device in devices_of(case) for name in device.get("attributes", {})})
    if constraints and dice.random() < 0.3:
        constraints.pop(dice.randrange(len(constraints)))
    elif attributes and len(constraints) < 32:
        slice_, _ = dice.choice(devices_of(case))
        name = dice.choice(attributes)
        name = name if "/" in name else f"{slice_['spec']['driver']}/{name}"
        chosen = dice.sample(names, dice.randint(1, len(names)))
        constraints.append({dice.choice(["matchAttribute", "distinctAttribute"]): name, "requests": chosen})


def make_alternatives(case: Json, dice: random.Random) -> None:
    """A request becomes a choice between fewer and fewer devices."""
    claim = dice.choice(case["claims"])["spec"]["devices"]
    request = dice.choice(claim["requests"])
    if "exactly" in request:
        asked = request.pop("exactly")
        asked.pop("adminAccess", None)
        count = asked.get("count", 1)
        request["firstAvailable"] = [
            {**copy.deepcopy(asked), "name": f"s{n}", "allocationMode": "ExactCount", "count": max(1, count + 2 - n)}
            for n in range(dice.randint(2, 5))
        ]


MUTATIONS: list[Callable[[Json, random.Random], None]] = [
    change_count,
    change_attribute,
    change_attribute,
    change_capacity,
    change_capacity,
    take_device,
    double_request,
    double_request,
    drop_request,
    double_claim,
    double_device,
    drop_device,
    constrain,
    constrain,
    make_alternatives,
]


def mutated(case: Json, dice: random.Random) -> Json:
    """A changed copy."""
    made = copy.deepcopy(case)
    made.pop("expect", None)
    for _ in range(dice.randint(1, 6)):
        dice.choice(MUTATIONS)(made, dice)
    return made


def main() -> int:
    """Searches until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-seconds", type=float, default=1.0, help="what no decision may take")
    parser.add_argument("--save", type=Path, help="where the worst case goes, as one JSON line")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    start = time.monotonic()
    worst: list[tuple[float, int, Json]] = []
    tried = 0
    seeds = [*hard_cases(), *(random_case(options.seed * 1000 + n) for n in range(200))]
    while time.monotonic() - start < options.seconds:
        case = seeds.pop() if seeds else mutated(dice.choice(worst)[2], dice)
        tried += 1
        try:
            took = seconds_of(case, 4 * options.limit_seconds)
        except TooSlowError:
            took = 4 * options.limit_seconds
        best = max((entry[0] for entry in worst), default=0.0)
        heapq.heappush(worst, (took, tried, case))
        if len(worst) > KEPT:
            heapq.heappop(worst)
        if took > best:
            print(f"{tried:8} cases: {took * 1000:9.2f} ms  {case.get('name', '')}", flush=True)
            if options.save:
                options.save.write_text(json.dumps(case) + "\n")
            if took > options.limit_seconds:
                print(json.dumps(case))
                return 1
    took, _, case = max(worst, key=lambda entry: entry[:2])
    passed = time.monotonic() - start
    print(f"{tried} cases in {passed:.0f} s; the worst takes {took * 1000:.2f} ms ({case.get('name', '')})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
