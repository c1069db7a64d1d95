"""What holds of every allocation, whatever the case: laws between two answers, and a checker for one.

`World` and `Pod` are small values that hypothesis makes and shrinks; `faults` says in plain Python what is wrong with
an answer. It shares no code with the allocator: selectors are pairs of CEL and a Python function.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from builders import DRIVER, claim, convert, counters, device, distinct, match, request, slice_
from fairlead.allocator import Allocator
from fairlead.cli.cases import parse_case, run_case
from fairlead.inventory import Features, Inventory
from fairlead.resource import DeviceClass, ResourceClaim, ResourceSlice

NIC = "nic.example.com"
ROOT = "x.example.com/root"
Id = tuple[str, str, str]
Json = dict[str, Any]
Rename = Callable[[str], str]

law = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@dataclass(frozen=True)
class Device:
    """A device: what selectors see, the counter it uses, and its bandwidth where it can be shared."""

    name: str
    big: bool = False
    index: int = 0
    root: str = ""
    uses: int = 0
    bandwidth: int = 0
    tainted: bool = False


@dataclass(frozen=True)
class Pool:
    """Devices of one driver that share a counter."""

    driver: str
    name: str
    devices: tuple[Device, ...]
    total: int = 0

    def ids(self) -> dict[Id, Device]:
        return {(self.driver, self.name, one.name): one for one in self.devices}


@dataclass(frozen=True)
class World:
    """Pools, and devices that somebody else holds."""

    pools: tuple[Pool, ...]
    held: frozenset[Id] = frozenset()

    def devices(self) -> dict[Id, Device]:
        return {id_: one for pool in self.pools for id_, one in pool.ids().items()}


@dataclass(frozen=True)
class Request:
    """A request for `count` devices, or for all; `selector` is an index into SELECTORS."""

    name: str
    driver: str = DRIVER
    count: int | str = 1
    selector: int = 0
    tolerates: bool = False
    bandwidth: int = 0


@dataclass(frozen=True)
class Rule:
    """A constraint on ROOT over some requests; none named: over all."""

    equal: bool
    requests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """Requests and what ties them together."""

    requests: tuple[Request, ...]
    rules: tuple[Rule, ...] = ()


Pod = tuple[Claim, ...]

SELECTORS: tuple[tuple[str, Callable[[Device], bool]], ...] = (
    ("true", lambda one: True),
    ("device.attributes[device.driver].big", lambda one: one.big),
    ("!device.attributes[device.driver].big", lambda one: not one.big),
    ("device.attributes[device.driver].index >= 1", lambda one: one.index >= 1),
    (f'"root" in device.attributes["{ROOT.split("/")[0]}"]', lambda one: bool(one.root)),
)


def as_json(pool: Pool, rename: Rename = str) -> list[Json]:
    """The slices of a pool; names go through `rename`."""
    members = []
    for one in pool.devices:
        attributes: Json = {"big": one.big, "index": one.index} | ({ROOT: one.root} if one.root else {})
        fields: Json = {"uses": {"set": {"slots": str(one.uses)}}} if one.uses else {}
        if one.bandwidth:
            policy = {"default": "1", "validRange": {"min": "1"}}
            fields["capacity"] = {"bandwidth": {"value": str(one.bandwidth), "requestPolicy": policy}}
            fields["allowMultipleAllocations"] = True
        if one.tainted:
            fields["taints"] = [{"key": "sick", "effect": "NoSchedule"}]
        members.append(device(rename(one.name), attributes, **fields))
    place = {"driver": rename(pool.driver), "pool": rename(pool.name), "count": 2, "nodeName": "node-1"}
    return [
        slice_(members, name=f"{pool.driver}-{pool.name}-1", **place),
        slice_(
            [], name=f"{pool.driver}-{pool.name}-2", sharedCounters=counters(set={"slots": str(pool.total)}), **place
        ),
    ]


def claim_as_json(wanted: Claim, name: str) -> Json:
    asked = []
    for one in wanted.requests:
        fields: Json = {"capacity": {"bandwidth": str(one.bandwidth)}} if one.bandwidth else {}
        if one.tolerates:
            fields["tolerations"] = [{"key": "sick", "operator": "Exists"}]
        asked.append(request(one.name, one.count, SELECTORS[one.selector][0], device_class=one.driver, **fields))
    rules = [(match if rule.equal else distinct)(ROOT, *rule.requests) for rule in wanted.rules]
    return claim(*asked, constraints=rules, name=name)


def classes(rename: Rename = str) -> list[Json]:
    return [
        {"metadata": {"name": name}, "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{driver}"'}}]}}
        for name, driver in ((name, rename(name)) for name in (DRIVER, NIC))
    ]


Answer = list[list[Json]] | None


def solve(world: World, pod: Pod, rename: Rename = str) -> Answer:
    """The results of each claim; None where they do not fit."""
    case = {
        "slices": [one for pool in world.pools for one in as_json(pool, rename)],
        "classes": classes(rename),
        "claims": [claim_as_json(one, f"c{number}") for number, one in enumerate(pod)],
        "allocatedDevices": ["/".join(map(rename, id_)) for id_ in sorted(world.held)],
        "node": {"metadata": {"name": "node-1"}},
    }
    outcome = run_case(parse_case(json.dumps(case).encode()))
    if outcome.error is not None:
        assert _may_fail(pod), outcome.error
        return None
    if outcome.allocations is None:
        assert outcome.reasons, "a reason for every no"
        return None
    return [(one.get("devices") or {}).get("results") or [] for one in outcome.allocations]


def _may_fail(pod: Pod) -> bool:
    """Whether an answer may be an error: Kubernetes says so where a constraint excludes one of all devices."""
    return any(wanted.rules and any(one.count == "All" for one in wanted.requests) for wanted in pod)


def id_of(result: Json) -> Id:
    return result["driver"], result["pool"], result["device"]


def faults(world: World, answers: Iterable[tuple[Pod, Sequence[Sequence[Json]]]]) -> list[str]:
    """What is wrong with the allocations of some pods, taken together."""
    found: list[str] = []
    devices = world.devices()
    everything: list[Json] = []
    for pod, results in answers:
        for wanted, given_ in zip(pod, results, strict=True):
            everything += given_
            found += _faults_of_claim(devices, world, wanted, given_)
    exclusive = Counter(id_of(one) for one in everything if not devices[id_of(one)].bandwidth)
    found += [f"{id_} given {times} times" for id_, times in exclusive.items() if times > 1]
    found += [f"{id_} is held" for id_ in exclusive if id_ in world.held]
    for pool in world.pools:
        used = sum(one.uses for id_, one in pool.ids().items() if id_ in exclusive or id_ in world.held)
        if used > pool.total and any(one.uses for id_, one in pool.ids().items() if id_ in exclusive):
            found.append(f"{used} of {pool.total} slots used")
    consumed: Counter[Id] = Counter()
    for one in everything:
        consumed[id_of(one)] += int((one.get("consumedCapacity") or {}).get("bandwidth", 0))
    found += [f"{id_} overdrawn" for id_, amount in consumed.items() if amount > devices[id_].bandwidth]
    return found


def _faults_of_claim(devices: dict[Id, Device], world: World, wanted: Claim, given_: Sequence[Json]) -> list[str]:
    found: list[str] = []
    for one in wanted.requests:
        mine = [result for result in given_ if result["request"] == one.name]
        suits = {
            id_
            for id_, it in devices.items()
            if id_[0] == one.driver
            and SELECTORS[one.selector][1](it)
            and (one.tolerates or not it.tainted)
            and it.bandwidth >= one.bandwidth
        }
        if one.count == "All":
            if {id_of(result) for result in mine} != suits or not mine:
                found.append(f"{one.name}: not all")
        elif len(mine) != one.count:
            found.append(f"{one.name}: {len(mine)} instead of {one.count}")
        for result in mine:
            if id_of(result) not in suits:
                found.append(f"{one.name}: {id_of(result)} does not suit")
            shared = devices[id_of(result)].bandwidth
            if shared and int(result["consumedCapacity"]["bandwidth"]) != (one.bandwidth or 1):
                found.append(f"{one.name}: {id_of(result)} gives another amount")
    if len(given_) != sum(result["request"] in {one.name for one in wanted.requests} for result in given_):
        found.append("results of no request")
    for rule in wanted.rules:
        names = rule.requests or tuple(one.name for one in wanted.requests)
        roots = [devices[id_of(result)].root for result in given_ if result["request"] in names]
        if not all(roots) or len(set(roots)) != (min(len(roots), 1) if rule.equal else len(roots)):
            found.append(f"{rule}: {roots}")
    return found


def pools(count: int) -> st.SearchStrategy[tuple[Pool, ...]]:
    made = st.builds(
        Device,
        name=st.just(""),
        big=st.booleans(),
        index=st.integers(0, 2),
        root=st.sampled_from(["a", "b", "c", ""]),
        uses=st.sampled_from([0, 0, 1, 2]),
        tainted=st.sampled_from([False, False, False, True]),
    )
    shared = st.builds(Device, name=st.just(""), big=st.booleans(), bandwidth=st.integers(1, 4))
    members = st.lists(st.one_of(made, made, shared), max_size=count)

    @st.composite
    def one(draw: st.DrawFn, driver: str, name: str) -> Pool:
        devices = tuple(replace(it, name=f"d{number}") for number, it in enumerate(draw(members)))
        return Pool(driver, name, devices, draw(st.integers(0, 5)))

    return st.tuples(one(DRIVER, "node-1"), one(DRIVER, "node-1-b"), one(NIC, "node-1"))


@st.composite
def worlds(draw: st.DrawFn, count: int = 4) -> World:
    world = World(draw(pools(count)))
    exclusive = sorted(id_ for id_, one in world.devices().items() if not one.bandwidth)
    held = draw(st.lists(st.sampled_from(exclusive), max_size=2)) if exclusive else []
    return replace(world, held=frozenset(held))


@st.composite
def pods(draw: st.DrawFn, exact: bool = True, most: int = 3) -> Pod:
    counts: list[int | str] = [1, 1, 1, 2, 3] if exact else [1, 1, 2, "All"]
    made = []
    for _ in range(draw(st.integers(1, most - 1))):
        requests = []
        for number in range(draw(st.integers(1, most))):
            one = draw(
                st.builds(
                    Request,
                    name=st.just(f"r{number}"),
                    driver=st.sampled_from([DRIVER, DRIVER, NIC]),
                    count=st.sampled_from(counts),
                    selector=st.sampled_from([0, 0, *range(len(SELECTORS))]),
                    tolerates=st.booleans(),
                    bandwidth=st.sampled_from([0, 0, 0, 2]),
                )
            )
            requests.append(one)
        names = [one.name for one in requests]
        chosen = st.lists(st.sampled_from(names), unique=True, max_size=3).map(tuple)
        rules = draw(st.lists(st.builds(Rule, st.booleans(), chosen), max_size=1 if draw(st.booleans()) else 0))
        made.append(Claim(tuple(requests), tuple(rules)))
    return tuple(made)


@law
@given(worlds(), pods(exact=False))
def test_every_allocation_keeps_all_rules(world: World, pod: Pod) -> None:
    answer = solve(world, pod)
    if answer is not None:
        assert faults(world, [(pod, answer)]) == []


@law
@given(worlds(), pods(most=2), pools(2))
def test_more_devices_never_turn_a_yes_into_a_no(world: World, pod: Pod, more: tuple[Pool, ...]) -> None:
    answer = solve(world, pod)
    assume(answer is not None)
    assert answer is not None
    grown = tuple(
        replace(pool, devices=pool.devices + tuple(replace(one, name=f"new-{one.name}") for one in added.devices))
        for pool, added in zip(world.pools, more, strict=True)
    )
    bigger = replace(world, pools=grown)
    assert faults(bigger, [(pod, answer)]) == [], "what was right stays right"
    assert solve(bigger, pod) is not None


@law
@given(worlds(), pods(), st.sets(st.integers(0, 11)))
def test_fewer_free_devices_never_turn_a_no_into_a_yes(world: World, pod: Pod, gone: set[int]) -> None:
    assume(solve(world, pod) is None)
    free = sorted(id_ for id_ in world.devices() if id_ not in world.held)
    out = {id_ for number, id_ in enumerate(free) if number in gone}
    left = tuple(
        replace(pool, devices=tuple(one for id_, one in pool.ids().items() if id_ not in out)) for pool in world.pools
    )
    assert solve(replace(world, pools=left), pod) is None


def renamed(name: str) -> str:
    """Another name in the same order."""
    return f"m{name}"


@law
@given(worlds(), pods(exact=False))
def test_names_do_not_matter_but_for_their_order(world: World, pod: Pod) -> None:
    answer = solve(world, pod)
    other = solve(world, pod, renamed)
    if answer is None or other is None:
        assert answer is other
        return
    for one, twin in zip(answer, other, strict=True):
        expected = [{**result, **{key: renamed(result[key]) for key in ("driver", "pool", "device")}} for result in one]
        for result in (*expected, *twin):
            result.pop("shareID", None)
        assert twin == expected


class Cluster:
    """An inventory on which pods are allocated one after another."""

    def __init__(self, world: World) -> None:
        slices = [convert(ResourceSlice, one) for pool in world.pools for one in as_json(pool)]
        self.inventory = Inventory(slices, features=Features())
        self.allocator = Allocator([convert(DeviceClass, one) for one in classes()], Features())
        if world.held:
            results = [
                {"request": "r", "driver": driver, "pool": pool, "device": name}
                for driver, pool, name in sorted(world.held)
            ]
            holder = {**claim(name="holder"), "status": {"allocation": {"devices": {"results": results}}}}
            self.inventory.set_claim(convert(ResourceClaim, holder))

    def allocate(self, pod: Pod, name: str) -> list[ResourceClaim] | None:
        """Gives a pod its devices; its claims, allocated."""
        claims = [convert(ResourceClaim, claim_as_json(one, f"{name}-{n}")) for n, one in enumerate(pod)]
        view = self.inventory.view("node-1")
        decision = self.allocator.allocate(view, [self.allocator.wanted(one) for one in claims])
        assert not decision.error or _may_fail(pod)
        if not decision.fits:
            return None
        done = []
        for one, allocation in zip(claims, decision.allocations(), strict=True):
            status = msgspec.structs.replace(one.status, allocation=allocation)
            done.append(msgspec.structs.replace(one, status=status))
            self.inventory.set_claim(done[-1])
        return done


@law
@given(worlds(), pods(exact=False, most=2))
def test_allocate_and_release_leave_nothing_behind(world: World, pod: Pod) -> None:
    cluster = Cluster(world)
    view = cluster.inventory.view("node-1")
    before = view.occupancy
    first = cluster.allocate(pod, "pod")
    assume(first is not None)
    assert first is not None
    assert view.occupancy != before
    for one in first:
        cluster.inventory.remove_claim(one)
    assert view.occupancy == before
    assert cluster.inventory.view("node-1").occupancy == Cluster(world).inventory.view("node-1").occupancy
    again = cluster.allocate(pod, "pod")
    assert again is not None
    assert list(map(results_of, again)) == list(map(results_of, first))


def results_of(wanted: ResourceClaim) -> list[Json]:
    assert wanted.status.allocation is not None
    results: list[Json] = msgspec.to_builtins(wanted.status.allocation.devices.results, enc_hook=str)
    for result in results:
        result.pop("shareID", None)
    return results


@law
@given(worlds(), st.lists(pods(), min_size=2, max_size=4))
def test_pods_never_share_what_is_not_shared(world: World, wanted: list[Pod]) -> None:
    cluster = Cluster(world)
    answers = []
    for number, pod in enumerate(wanted):
        given_ = cluster.allocate(pod, f"pod{number}")
        if given_ is not None:
            answers.append((pod, [results_of(one) for one in given_]))
    assert faults(world, answers) == []
