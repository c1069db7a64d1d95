"""The sentences of reasons: right for no device, one and many, and the same wherever the same is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from builders import DRIVER, claim, counters, decide, device, devices, distinct, held, match, request, slice_

BIG = f'device.attributes["{DRIVER}"].big'
TAINT = [{"key": "sick", "effect": "NoSchedule"}]
Case = tuple[Sequence[Mapping[str, Any]], Mapping[str, Any], list[str], str]


def mixed(count: int, good: int = 0, **bad: Any) -> list[dict[str, Any]]:
    """Devices of which all but the first `good` have something in the way."""
    return [device(f"g{i}", {"big": i < good}, **(bad if i >= good else {})) for i in range(count)]


def memory(*amounts: str) -> list[dict[str, Any]]:
    return [
        device(f"g{i}", capacity={"memory": amount}, allowMultipleAllocations=True) for i, amount in enumerate(amounts)
    ]


def partitions(count: int, each: str, total: str) -> list[dict[str, Any]]:
    members = [device(f"g{i}", uses={"set": {"slots": each}}) for i in range(count)]
    pool = slice_([], name="counters", count=2, sharedCounters=counters(set={"slots": total}))
    return [slice_(members, name="members", count=2), pool]


def asks(count: int | str = 1, *selectors: str, **fields: Any) -> dict[str, Any]:
    return claim(request("r", count, *selectors, **fields))


def shares(count: int = 1) -> dict[str, Any]:
    return asks(count, capacity={"memory": "40Gi"})


CASES: dict[str, Case] = {
    "nothing": ([], asks(), [], "no device reaches the node, 1 of class gpu wanted"),
    "nothing for all": ([], asks("All"), [], "no device reaches the node, all of class gpu wanted"),
    "class 0": ([slice_("g", driver="x.example.com")], asks(), [], "no device of class gpu, 1 wanted"),
    "class 1": ([slice_("g")], asks(2), [], "only 1 device of class gpu, 2 wanted"),
    "class 2": ([slice_("g h")], asks(3), [], "only 2 devices of class gpu, 3 wanted"),
    "selector 0 of 1": (
        [slice_(mixed(1))],
        asks(1, BIG),
        [],
        f"the only device of class gpu does not match {BIG}, 1 wanted",
    ),
    "selector 0": ([slice_(mixed(3))], asks(1, BIG), [], f"none of 3 devices of class gpu matches {BIG}, 1 wanted"),
    "selector 1": ([slice_(mixed(3, 1))], asks(2, BIG), [], f"1 of 3 devices of class gpu matches {BIG}, 2 wanted"),
    "selector 2": ([slice_(mixed(3, 2))], asks(3, BIG), [], f"2 of 3 devices of class gpu match {BIG}, 3 wanted"),
    "held 0 of 1": ([slice_("g")], asks(), held("g"), "the only device of class gpu is held, 1 wanted"),
    "held 0 of 2": ([slice_("g h")], asks(), held("g", "h"), "both devices of class gpu are held, 1 wanted"),
    "held 0 of 3": ([slice_("f g h")], asks(), held("f", "g", "h"), "all 3 devices of class gpu are held, 1 wanted"),
    "held 1": ([slice_("f g")], asks(2), held("f"), "1 of 2 devices of class gpu free, 2 wanted"),
    "held 2": ([slice_("f g h")], asks(3), held("f"), "2 of 3 devices of class gpu free, 3 wanted"),
    "held for all": ([slice_("f g h")], asks("All"), held("f"), "2 of 3 devices of class gpu free, all wanted"),
    "held, matching": (
        [slice_(mixed(3, 2))],
        asks(2, BIG),
        held("g0"),
        "1 of 2 matching devices of class gpu free, 2 wanted",
    ),
    "taint 0 of 1": (
        [slice_(mixed(1, taints=TAINT))],
        asks(),
        [],
        "the only device of class gpu has a taint that it does not tolerate (sick:NoSchedule), 1 wanted",
    ),
    "taint 0": (
        [slice_(mixed(3, taints=TAINT))],
        asks(),
        [],
        "all 3 devices of class gpu have a taint that it does not tolerate (sick:NoSchedule), 1 wanted",
    ),
    "taint 2": (
        [slice_(mixed(3, 2, taints=TAINT))],
        asks(3),
        [],
        "2 of 3 devices of class gpu free of taints that it does not tolerate (sick:NoSchedule), 3 wanted",
    ),
    "node 0 of 1": (
        [
            slice_(
                [device("f", {"big": False}, nodeName="node-1"), device("g", {"big": True}, nodeName="other")],
                perDeviceNodeSelection=True,
            )
        ],
        asks(1, BIG),
        [],
        "the only matching device of class gpu is for another node, 1 wanted",
    ),
    "node 1": (
        [slice_([device("f", nodeName="node-1"), *mixed(1, nodeName="other")], perDeviceNodeSelection=True)],
        asks(2),
        [],
        "1 of 2 devices of class gpu is for this node, 2 wanted",
    ),
    "capacity 0 of 1": (
        [slice_(memory("20Gi"))],
        shares(),
        [],
        "the only device of class gpu has no room for memory 40Gi, 1 wanted",
    ),
    "capacity 0": (
        [slice_(memory("20Gi", "30Gi"))],
        shares(),
        [],
        "none of 2 devices of class gpu has room for memory 40Gi, 1 wanted",
    ),
    "capacity 2": (
        [slice_(memory("20Gi", "80Gi", "80Gi"))],
        shares(3),
        [],
        "2 of 3 devices of class gpu have room for memory 40Gi, 3 wanted",
    ),
    "counter 0 of 1": (
        partitions(1, "3", "2"),
        asks(),
        [],
        "the only device of class gpu needs more than its counter sets have, 1 wanted",
    ),
    "counter 0": (
        partitions(2, "3", "2"),
        asks(),
        [],
        "none of 2 devices of class gpu fits in all of their counter sets, 1 wanted",
    ),
    "counter in use": (
        partitions(3, "2", "3"),
        asks(),
        held("g0"),
        "none of 2 devices of class gpu fits in what is left of their counter sets, 1 wanted",
    ),
    "counter in use, the last": (
        partitions(2, "2", "3"),
        asks(),
        held("g0"),
        "the only device of class gpu does not fit in what its counter sets have left, 1 wanted",
    ),
    "match 1": (
        [slice_([device("f", {"x/root": "a"}), device("g", {"x/root": "b"})])],
        claim(request("r", 2), constraints=[match("x/root")]),
        [],
        "2 devices with the same x/root wanted, at most 1 is free",
    ),
    "match 2": (
        [slice_([device(n, {"x/root": n[0]}) for n in ("a1", "a2", "b1")])],
        claim(request("r", 3), constraints=[match("x/root")]),
        [],
        "3 devices with the same x/root wanted, at most 2 are free",
    ),
    "distinct 1": (
        [slice_(devices("f g", **{"x/root": "a"}))],
        claim(request("r", 2), constraints=[distinct("x/root")]),
        [],
        "2 different values of x/root wanted, only 1 is free",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_texts(name: str) -> None:
    slices, wanted, taken, text = CASES[name]
    outcome = decide(slices, wanted, allocatedDevices=taken)
    assert outcome.error is None
    [reason] = outcome.reasons
    assert reason["text"] == f"request r: {text}"


def test_several_requests_together() -> None:
    outcome = decide([slice_("f")], claim(request("a"), request("b")))
    assert [reason["text"] for reason in outcome.reasons] == [
        "requests a, b: 2 devices wanted together, 1 can serve them"
    ]


def test_who_shares_a_device_is_no_part_of_the_text() -> None:
    """Else the same shortage on two nodes would be two reasons."""
    member = device("g", capacity={"memory": "50Gi"}, allowMultipleAllocations=True)
    result = {
        "request": "r",
        "driver": DRIVER,
        "pool": "node-1",
        "device": "g",
        "shareID": "a671734a-e8e5-11e4-8fde-42010af09327",
        "consumedCapacity": {"memory": "40Gi"},
    }
    holder = claim(request("r"), name="holder") | {"status": {"allocation": {"devices": {"results": [result]}}}}
    [reason] = decide([slice_([member])], shares(), allocatedClaims=[holder]).reasons
    assert reason["text"] == "request r: the only device of class gpu has no room for memory 40Gi, 1 wanted"
    assert list(reason["holders"]) == ["ml/holder"]
