"""Hard inputs: families of cases on which a search without bounds takes exponential time.

`FAMILIES` maps a name to a function of one size and to the sizes worth running. Letters and numbers are those of the
description of Kubernetes' allocator where the family comes from there: x (one device too few), y (feasible, but only
the last request says where the others must not be), c (groups), b (pairs), d (MIG partitions), e (capacities), f (large
pools); z are our own. Each case carries `expect`: "fits" or "no fit".
"""

from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

FEATURES = [
    "AdminAccess",
    "ConsumableCapacity",
    "DeviceBindingAndStatus",
    "DeviceTaints",
    "PartitionableDevices",
    "PrioritizedList",
]
GPU, NIC = 'device.driver=="gpu.x"', 'device.driver=="nic.x"'


def request(name: str, count: int = 1, *selectors: str, **more: Any) -> Json:
    """A request of an exact count."""
    return {"name": name, "exactly": option(count, *selectors, **more)}


def option(count: int, *selectors: str, **more: Any) -> Json:
    """What is asked for, by a request or by one of its alternatives."""
    asked: Json = {"deviceClassName": "c", "allocationMode": "ExactCount", "count": count, **more}
    if selectors:
        asked["selectors"] = [{"cel": {"expression": selector}} for selector in selectors]
    return asked


def claim(requests: list[Json], constraints: list[Json] | None = None, name: str = "claim") -> Json:
    """A claim."""
    devices: Json = {"requests": requests, **({"constraints": constraints} if constraints else {})}
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": {"devices": devices}}


def match(attribute: str, *requests: str, kind: str = "matchAttribute") -> Json:
    """A constraint; without requests it is about all of them."""
    return {kind: attribute, **({"requests": list(requests)} if requests else {})}


def distinct(attribute: str, *requests: str) -> Json:
    """The opposite constraint."""
    return match(attribute, *requests, kind="distinctAttribute")


def device(name: str, **attributes: str | int) -> Json:
    """A device with attributes."""
    typed = {key: {"int" if isinstance(value, int) else "string": value} for key, value in attributes.items()}
    return {"name": name, "attributes": typed}


def pool(devices: list[Json], driver: str = "d.x", name: str = "p", counters: list[Json] | None = None) -> list[Json]:
    """A pool of the node, in slices no larger than the API allows."""
    size, parts = (64 if counters else 128), []
    for start in range(0, len(counters or []), 8):
        parts.append({"sharedCounters": (counters or [])[start : start + 8]})
    parts += [{"devices": devices[start : start + size]} for start in range(0, len(devices), size)]
    header = {"driver": driver, "pool": {"name": name, "generation": 1, "resourceSliceCount": len(parts)}}
    return [
        {"metadata": {"name": f"{driver}-{name}-{n:03}"}, "spec": {**header, "nodeName": "node-1", **part}}
        for n, part in enumerate(parts)
    ]


def case(slices: list[Json], claims: list[Json], fits: bool, held: list[str] | None = None) -> Json:
    """The whole case, still without a name."""
    return {
        "features": FEATURES,
        "slices": slices,
        "classes": [{"metadata": {"name": "c"}, "spec": {}}],
        "claims": claims,
        "allocatedDevices": held or [],
        "allocatedSharedDeviceIDs": [],
        "allocatedCapacity": [],
        "node": {"metadata": {"name": "node-1", "labels": {}}},
        "expect": "fits" if fits else "no fit",
    }


def plain(size: int) -> list[Json]:
    """Equal devices that only differ in their number."""
    return pool([device(f"d{n:03}", i=n) for n in range(size)])


def x1(size: int) -> Json:
    """One request for one device more than there are."""
    return case(plain(size), [claim([request("r", size + 1)])], False)


def x2(size: int) -> Json:
    """One request of one device more than there are devices."""
    return case(plain(size), [claim([request(f"r{n}") for n in range(size + 1)])], False)


def x3(size: int) -> Json:
    """One claim of one device more than there are devices."""
    return case(plain(size), [claim([request("r")], name=f"c{n}") for n in range(size + 1)], False)


def x4(size: int) -> Json:
    """Prioritized lists of 4, 3 or 2 of eight devices, asked once too often."""
    requests = [
        {"name": f"r{n}", "firstAvailable": [{"name": f"s{k}", **option(4 - k)} for k in range(3)]} for n in range(size)
    ]
    return case(plain(2 * size - 2), [claim(requests)], False)


def y1(size: int) -> Json:
    """All but one device for the first request, and the second can only have the first device."""
    return case(
        plain(size), [claim([request("r0", size - 1), request("r1", 1, 'device.attributes["d.x"].i==0')])], True
    )


def y2(size: int) -> Json:
    """The same with a request a device."""
    last = request("rz", 1, 'device.attributes["d.x"].i==0')
    return case(plain(size), [claim([*(request(f"r{n}") for n in range(size - 1)), last])], True)


def y3(size: int) -> Json:
    """The same with a claim a device."""
    claims = [claim([request("r")], name=f"c{n}") for n in range(size - 1)]
    last = claim([request("r", 1, 'device.attributes["d.x"].i==0')], name="cz")
    return case(plain(size), [*claims, last], True)


def c1(size: int) -> Json:
    """Sixteen devices under one root, but every root has fewer."""
    devices = [device(f"d{n:03}", root=f"r{n // size:02}") for n in range(64)]
    return case(pool(devices), [claim([request("r", 16)], [match("d.x/root")])], size >= 16)


def c2(size: int) -> Json:
    """GPUs and NICs of one root; each root has one free NIC too few."""
    gpus = pool([device(f"g{n:03}", root=f"r{n // size:02}") for n in range(32)], "gpu.x")
    nics = pool([device(f"n{n:03}", root=f"r{n // size:02}") for n in range(32)], "nic.x")
    for piece in gpus + nics:
        for one in piece["spec"]["devices"]:
            one["attributes"]["h.x/root"] = one["attributes"].pop("root")
    held = [f"nic.x/p/n{n:03}" for n in range(0, 32, size)]
    requests = [request("g", size // 2, GPU), request("n", size, NIC)]
    return case(gpus + nics, [claim(requests, [match("h.x/root")])], False, held)


def c3(size: int) -> Json:
    """One device too few of 64, most of which are taken."""
    held = [f"d.x/p/d{n:03}" for n in range(64 - size + 1)]
    return case(plain(64), [claim([request("r", size)])], False, held)


def c4(size: int) -> Json:
    """As many requests, all of different values, as there are values plus one."""
    devices = [device(f"d{n:03}", a=f"v{n % (size - 1)}") for n in range(64)]
    return case(pool(devices), [claim([request(f"r{n}") for n in range(size)], [distinct("d.x/a")])], False)


def pairs(size: int, free: int, asked: int, interleaved: bool) -> Json:
    """GPU and NIC of the same root, root by root; only the last roots have a free NIC."""
    slices = []
    for driver, letter in (("gpu.x", "g"), ("nic.x", "n")):
        devices = [{"name": f"{letter}{n}", "attributes": {"h.x/root": {"string": f"r{n}"}}} for n in range(size)]
        slices += pool(devices, driver)
    gpus, nics = ([request(f"{c}{n}", 1, s) for n in range(asked)] for c, s in (("g", GPU), ("n", NIC)))
    requests = [r for both in zip(gpus, nics, strict=True) for r in both] if interleaved else gpus + nics
    constraints = [match("h.x/root", f"g{n}", f"n{n}") for n in range(asked)]
    held = [f"nic.x/p/n{n}" for n in range(size - free)]
    return case(slices, [claim(requests, constraints)], asked <= free, held)


def mig(gpus: int) -> list[Json]:
    """GPUs in 7 slices of memory that can be cut into partitions of 1, 2, 3 slices or the whole."""
    counters, devices = [], []
    for gpu in range(gpus):
        slots = {f"m{n}": {"value": "1"} for n in range(7)}
        counters.append({"name": f"gpu-{gpu}", "counters": slots})
        for profile, places, width in (("1g", range(7), 1), ("2g", (0, 2, 4), 2), ("3g", (0, 4), 3), ("full", (0,), 7)):
            for place in places:
                used = {f"m{n}": {"value": "1"} for n in range(place, place + width)}
                one = device(f"gpu-{gpu}-{profile}-{place}", profile=profile, gpu=f"gpu-{gpu}")
                devices.append({**one, "consumesCounters": [{"counterSet": f"gpu-{gpu}", "counters": used}]})
    return pool(devices, counters=counters)


def profile(name: str) -> str:
    """The selector of a partition profile."""
    return f'device.attributes["d.x"].profile=="{name}"'


def d6(size: int) -> Json:
    """One 1g partition more than the GPUs have slices; also d5, with one GPU."""
    return case(mig(size), [claim([request("r", 7 * size + 1, profile("1g"))])], False)


def d9(size: int) -> Json:
    """Two 3g partitions a GPU, then one 1g more than the slices left between them."""
    requests = [request("a", 2 * size, profile("3g")), request("b", size + 1, profile("1g"))]
    return case(mig(size), [claim(requests)], False)


def d10(size: int) -> Json:
    """Any partition, one more than there are slices."""
    return case(mig(size), [claim([request("r", 7 * size + 1)])], False)


def d7(size: int) -> Json:
    """Placements on several GPUs, one slot too few, spread over requests and claims."""
    kinds = (("a", 1, "3g"), ("b", 1, "2g"), ("d", 2, "1g"))
    claims = [claim([request(name, n, profile(kind)) for name, n, kind in kinds], name=f"c{k}") for k in range(size)]
    return case(mig(size), [*claims, claim([request("r", 1, profile("1g"))], name="one-too-many")], False)


def nics(count: int, gigabits: int = 100) -> list[Json]:
    """Shared network cards."""
    bandwidth = {"bw": {"value": f"{gigabits}G"}}
    return pool([{**device(f"n{n}"), "allowMultipleAllocations": True, "capacity": bandwidth} for n in range(count)])


def share(name: str, gigabits: int) -> Json:
    """A request for a part of a card."""
    return request(name, 1, capacity={"requests": {"bw": f"{gigabits}G"}})


def e3(size: int) -> Json:
    """Shares of 30 of 100, one more than three a card."""
    return case(nics(size), [claim([share(f"r{n}", 30) for n in range(3 * size + 1)])], False)


def e4(size: int) -> Json:
    """Large and small shares of which no two large ones, and no large and small one, share a card; one too many."""
    large = (3 * size) // 4
    small = 2 * (size - large) + 1
    return case(nics(size), [claim([share(f"r{n}", 70 if n < large else 40) for n in range(large + small)])], False)


def e5(size: int) -> Json:
    """Bin packing: 60 + 40 and 50 + 50 fill every card, and one share of 10 is too many."""
    sizes = [60, 50] * (size // 2) + [50, 40] * (size // 2) + [10]
    return case(nics(2 * (size // 2)), [claim([share(f"r{n}", part) for n, part in enumerate(sizes)])], False)


def e6(size: int) -> Json:
    """Bin packing that fits, but not the way the first choices go: 34, 34 and 32 fill a card, three 34 do not fit."""
    sizes = [34] * (2 * size) + [32] * size
    return case(nics(size), [claim([share(f"r{n}", part) for n, part in enumerate(sizes)])], True)


def e7(size: int) -> Json:
    """Feasible with two small shares beside each large one only, but the small ones come first and would fill cards."""
    sizes = [20] * (2 * size) + [60] * size
    return case(nics(size), [claim([share(f"r{n}", part) for n, part in enumerate(sizes)])], True)


def f6(size: int) -> Json:
    """Two devices with the same value of an attribute that is different everywhere."""
    return case(
        pool([device(f"d{n:04}", a=f"v{n}") for n in range(size)]), [claim([request("r", 2)], [match("d.x/a")])], False
    )


def grid(size: int, missing: bool) -> Iterator[Json]:
    for root in range(size):
        for rail in range(size):
            if not (missing and rail == (root * 2) % size):
                yield device(f"d{root}-{rail}", root=f"r{root}", rail=f"l{rail}")


def z1(size: int) -> Json:
    """Crossing constraints, root by rail: a row and a column without holes, but each has one."""
    requests = [request("row", size), request("column", size)]
    constraints = [match("d.x/root", "row"), match("d.x/rail", "column")]
    return case(pool(list(grid(size, True))), [claim(requests, constraints)], False)


def z2(size: int) -> Json:
    """Devices in different roots and on different rails: as many as rails left, plus one."""
    devices = [one for one in grid(size, False) if one["attributes"]["rail"]["string"] != "l0"]
    return case(
        pool(devices),
        [claim([request(f"r{n}") for n in range(size)], [distinct("d.x/root"), distinct("d.x/rail")])],
        False,
    )


def z3(size: int) -> Json:
    """Pairs under one root, all pairs under different roots, of two kinds; the roots have only one kind each."""
    devices = [device(f"d{root}-{n}", root=f"r{root}", kind="xy"[root % 2]) for root in range(size) for n in range(2)]
    requests, constraints = [], []
    for n in range(size):
        kind = "x" if n <= size // 2 else "y"
        requests.append(request(f"r{n}", 2, f'device.attributes["d.x"].kind=="{kind}"'))
        constraints.append(match("d.x/root", f"r{n}"))
    return case(pool(devices), [claim(requests, constraints)], False)


def z4(size: int) -> Json:
    """Prioritized lists whose first alternatives cannot all be had, so that nearly all fall to the last one."""
    requests = []
    for n in range(size):
        alternatives = [option(3), option(2), option(1)]
        requests.append(
            {"name": f"r{n}", "firstAvailable": [{"name": f"s{k}", **a} for k, a in enumerate(alternatives)]}
        )
    return case(plain(size), [claim(requests)], True)


def z5(size: int) -> Json:
    """Many claims of a matched pair each; one root too few."""
    devices = [device(f"d{n:03}", root=f"r{n // 3}") for n in range(3 * (size - 1))]
    return case(pool(devices), [claim([request("r", 2)], [match("d.x/root")], f"c{n}") for n in range(size)], False)


def z6(size: int) -> Json:
    """Requests with overlapping choices (Hall): the first half of the devices is asked for by one request too many."""
    half = size // 2
    first = [request(f"a{n}", 1, 'device.attributes["d.x"].half=="l"') for n in range(half + 1)]
    rest = [request(f"b{n}") for n in range(size - half - 1)]
    devices = [device(f"d{n:03}", half="l" if n < half else "h") for n in range(size)]
    return case(pool(devices), [claim(rest + first)], False)


def z7(size: int) -> Json:
    """Many pairs that fit, then a claim that wants its two devices alike and apart."""
    devices = [device(f"d{n:03}", root=f"r{n // 3}") for n in range(3 * size)]
    pairs_ = [claim([request("r", 2)], [match("d.x/root")], f"c{n}") for n in range(size - 1)]
    torn = claim([request("r", 2)], [match("d.x/root"), distinct("d.x/root")], "torn")
    return case(pool(devices), [*pairs_, torn], False)


def z8(size: int) -> Json:
    """Prioritized lists, then a selector that fails on a device that is held, so never, and matches none."""
    devices = [device("d000")] + [device(f"d{n:03}", kind="x") for n in range(1, 2 * size + 2)]
    last = request("last", 1, 'device.attributes["d.x"].kind=="y"')
    lists = [
        {"name": f"r{n}", "firstAvailable": [{"name": f"s{k}", **option(2 - k)} for k in range(2)]} for n in range(size)
    ]
    return case(pool(devices), [claim(lists, name="lists"), claim([last], name="last")], False, ["d.x/p/d000"])


def z9(size: int) -> Json:
    """Partitions that fill every GPU but one, on which a slot in the middle is held; the last claims have lists."""
    kinds = (("a", 1, "3g"), ("b", 1, "2g"), ("d", 2, "1g"))
    claims = [claim([request("a", 1, profile("3g")), request("b", 1, profile("2g"))], name="c0")]
    for number in range(1, size):
        requests = [request(name, n, profile(kind)) for name, n, kind in kinds]
        if number > size - 3:
            counts = (3, 2, 1, 1, 1)
            alternatives = [{"name": f"s{k}", **option(n, profile("3g"))} for k, n in enumerate(counts)]
            requests[0] = {"name": "a", "firstAvailable": alternatives}
        claims.append(claim(requests, name=f"c{number}"))
    claims.append(claim([request("r", 1, profile("1g"))], name="last"))
    return case(mig(size), claims, True, [f"d.x/p/gpu-{size // 2}-1g-3"])


def z10(size: int) -> Json:
    """Shares that fill all cards but one, and a few bytes on six cards, each of which costs a share."""
    lists = [{"name": f"s{k}", **option(n, capacity={"requests": {"bw": "20G"}})} for k, n in enumerate((3, 2, 1))]
    requests = [{"name": "r", "firstAvailable": lists}]
    requests += [share(f"small{n}", 20) for n in range(2 * size - 3)]
    requests += [share(f"large{n}", 60) for n in range(size - 1)]
    requests.append(request("dust", 6, capacity={"requests": {"bw": "28"}}))
    return case(nics(size), [claim(requests)], False)


def z11(size: int) -> Json:
    """Prioritized lists that use up cards, then an observer of all cards under a rule that some of them break."""
    devices = []
    for n in range(8):
        bandwidth = {"value": "1" if n > 4 else "4", "requestPolicy": {"default": "1"}}
        one = {**device(f"d{n}", i=int(n > 4)), "allowMultipleAllocations": True, "capacity": {"bw": bandwidth}}
        devices.append(one)
    amounts = [option(1, capacity={"requests": {"bw": f"{bw}"}}) for bw in (3, 2)]
    requests: list[Json] = [
        {"name": f"r{n}", "firstAvailable": [{"name": f"s{k}", **one} for k, one in enumerate(amounts)]}
        for n in range(size)
    ]
    observer: Json = {"deviceClassName": "c", "allocationMode": "All", "adminAccess": True}
    requests.append({"name": "all", "exactly": observer})
    return case(pool(devices), [claim(requests, [match("d.x/i")])], False)


def z12(size: int) -> Json:
    """The same for two claims, with one card that has room for all: the first observer leaves the second none."""
    devices = []
    for n in range(9):
        bandwidth = {"value": "77" if n == 1 else "1" if n > 4 else "4", "requestPolicy": {"default": "1"}}
        one = {**device(f"d{n}", i=int(n in (5, 6))), "allowMultipleAllocations": True, "capacity": {"bw": bandwidth}}
        devices.append(one)
    amounts = [option(1, capacity={"requests": {"bw": f"{bw}"}}) for bw in (3, 2)]
    observer: Json = {"deviceClassName": "c", "allocationMode": "All", "adminAccess": True}
    requests: list[Json] = [
        {"name": f"r{n}", "firstAvailable": [{"name": f"s{k}", **one} for k, one in enumerate(amounts)]}
        for n in range(size)
    ]
    requests.append({"name": "all", "exactly": observer})
    return case(pool(devices), [claim(requests, name="c0"), claim(requests, [match("d.x/i")], name="c1")], False)


def z13(size: int) -> Json:
    """As z9, with two slots held, two partitions smaller than others of their kind, and lists in the middle."""
    claims = z9(size)["claims"]
    lists = {
        (1, 1): ((3, 2, 2), "2g"),
        (size // 2, 2): ((4, 3, 2), "1g"),
        (size - 3, 1): ((3, 2, 1, 1, 1), "2g"),
    }
    for (number, place), (counts, kind) in lists.items():
        requests = claims[number]["spec"]["devices"]["requests"]
        alternatives = [{"name": f"s{k}", **option(n, profile(kind))} for k, n in enumerate(counts)]
        requests[place] = {"name": requests[place]["name"], "firstAvailable": alternatives}
    claims[1]["spec"]["devices"]["constraints"] = [distinct("d.x/gpu")]
    slices = mig(size)
    for one in [one for part in slices for one in part["spec"].get("devices", [])]:
        if one["name"] in ("gpu-3-1g-0", "gpu-3-1g-1"):
            one["attributes"]["profile"] = {"string": "3g" if one["name"].endswith("0") else "2g"}
    return case(slices, claims, True, [f"d.x/p/gpu-{size // 2}-1g-{place}" for place in (1, 3)])


def z14(size: int) -> Json:
    """Few cards whose shares cost differently on each, and claims with lists: what is short is only seen all in all."""
    policies: list[tuple[str, int, Json]] = [
        ("8", 0, {"default": "2", "validValues": ["2", "4", "5"]}),
        ("9", 0, {}),
        ("4", 0, {"default": "2"}),
        ("0", 0, {}),
        ("8", 0, {"default": "2", "validValues": ["2"]}),
        ("9", 2, {}),
    ]
    devices = []
    for n, (total, value, policy) in enumerate(policies):
        one = {**device(f"d{n}", i=value, t=n % 2), "allowMultipleAllocations": True}
        if total != "0":
            one["capacity"] = {"bw": {"value": total, **({"requestPolicy": policy} if policy else {})}}
        devices.append(one)
    counts = [{"name": f"s{k}", **option(n)} for k, n in enumerate((5, 4, 3, 2))]
    alike = [{"name": "m0", "firstAvailable": counts}, request("r0", 3), {"name": "m1", "firstAvailable": counts}]
    amounts = [
        {"name": f"s{k}", **option(n, capacity={"requests": {"bw": bw}})}
        for k, (n, bw) in enumerate(((3, "4"), (1, "3"), (2, "1")))
    ]
    lists = [request("r0", 2), {"name": "r1", "firstAvailable": amounts}]
    claims = [claim(alike, [match("d.x/i")], name="c0"), claim(lists, [match("d.x/t")], name="c1")]
    claims += [claim(lists, name=f"c{number}") for number in range(2, size)]
    return case(pool(devices), claims, size < 7)


FAMILIES: dict[str, tuple[Callable[[int], Json], tuple[int, ...]]] = {
    "x1": (x1, (8, 14, 18, 22, 31)),
    "x2": (x2, (7, 8, 16, 31)),
    "x3": (x3, (7, 8, 16, 31)),
    "x4": (x4, (4, 5, 8, 12)),
    "y1": (y1, (8, 14, 18, 22, 31)),
    "y2": (y2, (7, 8, 10, 16, 31)),
    "y3": (y3, (7, 8, 10, 16, 31)),
    "c1": (c1, (4, 8, 12, 15)),
    "c2": (c2, (4, 8, 16)),
    "c3": (c3, (8, 16, 32)),
    "c4": (c4, (6, 8, 16, 32)),
    "b5": (lambda n: pairs(2 * n, n, n, False), (4, 6, 8, 16)),
    "b5i": (lambda n: pairs(2 * n, n, n, True), (4, 6, 8, 16)),
    "b6": (lambda n: pairs(2 * n, n - 1, n, False), (4, 6, 8, 16)),
    "b6i": (lambda n: pairs(2 * n, n - 1, n, True), (4, 6, 8, 16)),
    "b7": (lambda n: pairs(n, n - 1, n, False), (6, 8, 12, 16)),
    "d6": (d6, (1, 2, 3, 4)),
    "d7": (d7, (1, 2, 4, 8)),
    "d9": (d9, (1, 2, 4, 8)),
    "d10": (d10, (1, 2, 4)),
    "e3": (e3, (1, 2, 3, 4, 8)),
    "e4": (e4, (4, 8, 16)),
    "e5": (e5, (2, 4, 6, 12)),
    "e6": (e6, (2, 4, 8)),
    "e7": (e7, (2, 3, 4, 8, 10)),
    "f6": (f6, (100, 1000)),
    "z1": (z1, (4, 6, 8, 11)),
    "z2": (z2, (4, 6, 8, 11)),
    "z3": (z3, (4, 8, 12, 16)),
    "z4": (z4, (4, 8, 16, 31)),
    "z5": (z5, (4, 6, 8, 16)),
    "z6": (z6, (6, 10, 16, 32)),
    "z7": (z7, (4, 8, 16)),
    "z8": (z8, (2, 4, 8, 16)),
    "z9": (z9, (2, 4, 7, 8)),
    "z10": (z10, (6, 8, 9)),
    "z11": (z11, (6, 7, 8)),
    "z12": (z12, (2, 5, 7)),
    "z13": (z13, (8,)),
    "z14": (z14, (3, 5, 6, 7)),
}


def hard_case(family: str, size: int) -> Json:
    """One case of a family."""
    return {"name": f"{family}-{size}", **FAMILIES[family][0](size)}


def hard_cases() -> Iterator[Json]:
    """Every family in every size."""
    for family, (_, sizes) in FAMILIES.items():
        for size in sizes:
            yield hard_case(family, size)
