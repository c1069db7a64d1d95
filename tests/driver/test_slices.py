"""The plan of ResourceSlices: limits, names, generations, and that it leads there from anywhere."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.driver.author import Pool
from fairlead.driver.inventory import DiscoveryError, make_inventory
from fairlead.driver.slices import Publication, SliceWrite, dropped_fields, plan, slice_name
from fairlead.resource import (
    Counter,
    CounterSet,
    Device,
    DeviceAttribute,
    DeviceCounterConsumption,
    DeviceTaint,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    ObjectMeta,
    Quantity,
    ResourceSlice,
    validate,
    validate_pools,
)

OF = Publication("gpu.example.com", "node-1", "node-uid", False)
LOST = DeviceTaint(key="gpu.example.com/lost", effect="NoSchedule")


class Server:
    """Stores slices as the API server does: versions, times of taints, and fields that it drops."""

    def __init__(self) -> None:
        self.items: dict[str, ResourceSlice] = {}
        self.version = 0
        self.drops_taints = False
        self.remembered: dict[str, object] = {}

    def apply(self, write: SliceWrite) -> None:
        item, name = write.item, write.item.name
        if write.verb == "delete":
            del self.items[name]
            return
        assert (write.verb == "create") == (name not in self.items), write
        assert write.verb == "create" or item.metadata.resource_version == self.items[name].metadata.resource_version
        self.version += 1
        devices = [self._stored(device) for device in item.spec.devices]
        metadata = replace(item.metadata, resource_version=str(self.version), uid=f"uid-{name}")
        stored = replace(item, api_version="resource.k8s.io/v1", kind="ResourceSlice", metadata=metadata)
        self.items[name] = replace(stored, spec=replace(item.spec, devices=devices))
        if self.items[name].spec != item.spec and self.drops_taints:
            self.remembered[name] = (item.spec, self.items[name].spec)

    def _stored(self, device: Device) -> Device:
        if self.drops_taints:
            return replace(device, taints=[])
        times = [replace(one, time_added=one.time_added or f"t{self.version}") for one in device.taints]
        return replace(device, taints=times)

    def publish(self, *pools: Pool, of: Publication = OF, most: int = 1000) -> list[str]:
        """The verbs of the writes, of which at most that many are made."""
        writes = plan(of, pools, list(self.items.values()), self.remembered)  # type: ignore[arg-type]
        for write in writes[:most]:
            self.apply(write)
        return [write.verb for write in writes]

    def pool(self, name: str = "p") -> list[ResourceSlice]:
        return [item for _, item in sorted(self.items.items()) if item.spec.pool.name == name]

    def generations(self) -> list[int]:
        return [item.spec.pool.generation for item in self.pool()]

    def check(self) -> None:
        """What the API server's own rules say of the slices, alone and as pools."""
        for item in self.items.values():
            assert validate(item) == []
        assert validate_pools(list(self.items.values())) == []


def devices(*numbers: int, **more: object) -> list[Device]:
    return [Device(name=f"d{number}", **more) for number in numbers]  # type: ignore[arg-type]


def counter_sets(count: int) -> list[CounterSet]:
    return [CounterSet(name=f"c{i}", counters={"m": Counter(Quantity.parse("1"))}) for i in range(count)]


def test_a_pool_of_one_slice() -> None:
    server = Server()
    assert server.publish(Pool(devices(0, 1), name="p")) == ["create"]
    server.check()
    (item,) = server.pool()
    assert item.name == slice_name(OF, "p", 0)
    assert item.name.startswith("00000-gpu.example.com-node-1-")
    assert (item.spec.node_name, item.spec.pool.generation, item.spec.pool.resource_slice_count) == ("node-1", 1, 1)
    (owner,) = item.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid, owner.controller) == ("Node", "node-1", "node-uid", True)
    assert server.publish(Pool(devices(0, 1), name="p")) == []


@pytest.mark.parametrize(
    ("count", "of", "more", "sizes"),
    [
        (128, OF, {}, [128]),
        (129, OF, {}, [128, 1]),
        (129, Publication("gpu.example.com", "node-1", "node-uid", True), {}, [64, 64, 1]),
        (65, OF, {"taints": [LOST]}, [64, 1]),
        (65, OF, {"attributes": {"a": DeviceAttribute(ints=[1])}}, [64, 1]),
        (0, OF, {}, [0]),
    ],
)
def test_devices_a_slice(count: int, of: Publication, more: dict[str, object], sizes: list[int]) -> None:
    server = Server()
    server.publish(Pool(devices(*range(count), **more), name="p"), of=of)
    server.check()
    assert [len(item.spec.devices) for item in server.pool()] == sizes
    assert [device.name for item in server.pool() for device in item.spec.devices] == [f"d{i}" for i in range(count)]


def test_counters_have_slices_of_their_own_before_the_devices() -> None:
    server = Server()
    uses = [DeviceCounterConsumption("c0", {"m": Counter(Quantity.parse("1"))})]
    server.publish(Pool(devices(*range(70), consumes_counters=uses), counter_sets(9), name="p"))
    server.check()
    shown = [(len(item.spec.shared_counters), len(item.spec.devices)) for item in server.pool()]
    assert shown == [(8, 0), (1, 0), (0, 64), (0, 6)]


def test_one_change_keeps_the_generation_and_more_take_the_next() -> None:
    server = Server()
    many = devices(*range(200))
    server.publish(Pool(many, name="p"))
    assert server.publish(
        Pool([replace(many[0], all_nodes=None, attributes={"a": DeviceAttribute(int_=1)}), *many[1:]], name="p")
    ) == ["update"]
    assert server.generations() == [1, 1]
    assert server.publish(Pool(many[1:], name="p")) == ["update", "update"]
    assert server.generations() == [2, 2]
    assert server.publish(Pool(many[:100], name="p")) == ["update", "delete"]
    assert server.generations() == [3]


def test_an_empty_pool_keeps_a_slice_and_a_pool_that_has_gone_keeps_none() -> None:
    server = Server()
    server.publish(Pool(devices(0), name="p"), Pool(devices(0), name="q"))
    assert server.publish(Pool([], name="p")) == ["update", "delete"]
    assert [len(item.spec.devices) for item in server.items.values()] == [0]


def test_the_time_of_a_taint_stays() -> None:
    server = Server()
    server.publish(Pool(devices(0, 1, taints=[LOST]), name="p"))
    times = [device.taints[0].time_added for device in server.pool()[0].spec.devices]
    assert server.publish(Pool(devices(0, 1, taints=[LOST]), name="p")) == []
    assert server.publish(Pool(devices(1, 0, 2, taints=[LOST]), name="p")) == ["update"]
    after = [device.taints[0].time_added for device in server.pool()[0].spec.devices]
    assert after[:2] == times
    assert after[2] not in times


def test_foreign_edits_are_repaired() -> None:
    server = Server()
    wanted = Pool(devices(0, 1), name="p")
    server.publish(wanted)
    (item,) = server.pool()
    for spec in (
        replace(item.spec, devices=[]),
        replace(item.spec, pool=replace(item.spec.pool, generation=9)),
        replace(item.spec, pool=replace(item.spec.pool, resource_slice_count=2)),
    ):
        server.items[item.name] = replace(server.items[item.name], spec=spec)
        server.publish(wanted)
        assert server.publish(wanted) == []
        server.check()
    server.items[item.name] = replace(item, metadata=replace(item.metadata, owner_references=[]))
    assert server.publish(wanted) == ["update"]
    foreign = replace(item, metadata=ObjectMeta(name="somebody-elses"))
    server.items[foreign.name] = foreign
    assert server.publish(wanted) == ["delete"]
    assert list(server.items) == [item.name]


def test_dropped_fields_are_named_and_not_sent_for_ever() -> None:
    server = Server()
    server.drops_taints = True
    wanted = Pool(devices(0, taints=[LOST]), name="p")
    (write,) = plan(OF, [wanted], [], {})
    server.apply(write)
    assert dropped_fields(write.item, server.pool()[0]) == ["spec.devices[].taints"]
    assert server.publish(wanted) == []
    assert server.publish(Pool(devices(0, 1, taints=[LOST]), name="p")) == ["update"]


def test_long_names_of_nodes() -> None:
    of = Publication("a" * 51 + ".example.com", "n" * 180 + "." + "m" * 60, "u", False)
    name = slice_name(of, "p", 0)
    assert len(name) <= 253
    server = Server()
    server.publish(Pool(devices(0), name="p"), of=of)
    server.check()


@pytest.mark.parametrize("seed", range(100))
def test_from_anywhere_and_through_interruptions(seed: int) -> None:
    """Whatever is there, whatever was asked for before, and wherever the writes were cut off: the end is right."""
    rng = random.Random(seed)
    server = Server()
    for _ in range(12):
        numbers = rng.sample(range(400), rng.choice([0, 1, 60, 130, 300]))
        more: dict[str, object] = {"taints": [LOST]} if rng.random() < 0.3 else {}
        wanted = [Pool(devices(*numbers, **more), counter_sets(rng.choice([0, 0, 3, 12])), name="p")]
        if rng.random() < 0.5:
            wanted.append(Pool(devices(*range(rng.randrange(5))), name="q"))
        while rng.random() < 0.5:
            server.publish(*wanted, most=rng.randrange(4))
            if server.items and rng.random() < 0.4:  # somebody removes or changes a slice
                name = rng.choice(sorted(server.items))
                item = server.items.pop(name)
                if rng.random() < 0.5:
                    pool = replace(
                        item.spec.pool, generation=rng.randrange(1, 9), resource_slice_count=rng.randrange(1, 4)
                    )
                    server.items[name] = replace(
                        item, spec=replace(item.spec, pool=pool, devices=item.spec.devices[:3])
                    )
        server.publish(*wanted)
        assert server.publish(*wanted) == []
        server.check()
        assert {item.spec.pool.name for item in server.items.values()} == {pool.name for pool in wanted}
        assert [one.name for item in server.pool() for one in item.spec.devices] == [f"d{i}" for i in numbers]
        assert len(set(server.generations())) == 1


RACK = NodeSelectorRequirement(key="example.com/rack", operator="In", values=["r1"])


@pytest.mark.parametrize(
    "reach",
    ["all nodes", NodeSelector(node_selector_terms=[NodeSelectorTerm(match_expressions=[RACK])])],
    ids=["all nodes", "some nodes"],
)
def test_a_pool_that_many_nodes_reach_belongs_to_none(reach: Any) -> None:
    pool = Pool([Device(name="d")], name="rack/fabric", reach=reach)
    (write,) = plan(Publication("gpu.example.com", "", "", False), [pool], [], {})
    assert validate(write.item) == []
    assert write.item.metadata.owner_references == []
    assert write.item.name.startswith("00000-gpu.example.com-rack.fabric-")
    spec = write.item.spec
    assert (spec.node_name, spec.all_nodes) == (None, True if reach == "all nodes" else None)
    assert spec.node_selector == (None if reach == "all nodes" else reach)
    assert plan(Publication("gpu.example.com", "", "", False), [pool], [write.item], {}) == []
    # Whoever would publish it from a node makes the same of it.
    assert plan(OF, [pool], [], {}) == [write]


def test_a_pool_that_many_nodes_reach_needs_a_name() -> None:
    with pytest.raises(DiscoveryError, match="needs a name of its own"):
        make_inventory(Pool([Device(name="d")], reach="all nodes"), "node-1")
