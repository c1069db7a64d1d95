"""Two drivers that find the same hardware: one gives way to the other, in one process and in two."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from apiserver import Answers

from fairlead.driver import Driver, Pool
from fairlead.driver.api import ApiError
from fairlead.driver.cdi import SpecFolder
from fairlead.driver.coexistence import withhold_taken
from fairlead.driver.engine import Engine
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.neighbours import Neighbours
from fairlead.driver.plugin import DriverPlugin
from fairlead.driver.steps import Steps
from fairlead.driver.store import Store
from fairlead.resource import Device, DeviceAttribute
from tests.driver.workshop import Unsynced

DPU, NIC = "dpu.example.com", "nic.example.com"
PORT, FIRST, SECOND, OTHER = "0000:3b:00.0", "0000:3b:00.2", "0000:3b:00.3", "0000:5e:00.0"


def function(address, physical=""):
    attributes = {"resource.kubernetes.io/pciBusID": DeviceAttribute(string=address)}
    if physical:
        attributes[f"{NIC}/pfPciAddress"] = DeviceAttribute(string=physical)
    return Device(name=address.replace(":", "-").replace(".", "-"), attributes=attributes)


def names(pools):
    return [device.name for pool in pools for device in pool.devices]


CARD = [function(PORT), function(FIRST, PORT), function(SECOND, PORT), function(OTHER)]


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ([], [PORT, FIRST, SECOND, OTHER]),
        ([OTHER], [PORT, FIRST, SECOND]),
        ([PORT], [OTHER]),
        ([FIRST], [SECOND, OTHER]),
        ([FIRST, SECOND], [OTHER]),
        (["0000:99:00.0"], [PORT, FIRST, SECOND, OTHER]),
    ],
)
def test_with_a_port_go_its_functions_and_with_a_function_its_port(taken, left):
    [pool] = withhold_taken([Pool(CARD)], dict.fromkeys(taken, DPU))
    assert names([pool]) == [one.replace(":", "-").replace(".", "-") for one in left]
    assert all(f"is not published: {DPU} has it on this node" in one for one in pool.problems)
    assert len(pool.problems) == len(CARD) - len(left)


class Cards(Driver):
    """A driver of functions that a test changes."""

    def __init__(self, name, devices, *first):
        self.name = name
        self.devices = devices
        self.gives_way_to = first
        self.failing = False

    def discover(self):
        if self.failing:
            raise OSError("the card does not answer")
        return Pool(self.devices)

    def prepare(self, claim):
        return []

    def unprepare(self, claim):
        pass


class Slices(Answers):
    """An API server with slices of other processes."""

    def __init__(self):
        super().__init__()
        self.devices = {}
        self.down = False

    async def request(self, method, path, query, body=None, media=""):
        if self.down:
            raise ApiError(503, "not there")
        chosen = dict(one.split("=") for one in query.get("fieldSelector", "").split(",") if one)
        devices = self.devices.get(chosen.get("spec.driver"), [])
        assert chosen["spec.nodeName"] in ("", "node-1")
        pool = {"name": "node-1", "generation": 1, "resourceSliceCount": 1}
        spec = {"driver": chosen.get("spec.driver"), "nodeName": "node-1", "pool": pool}
        items = [{"metadata": {"name": "s"}, "spec": spec | {"devices": msgspec.to_builtins(devices)}}]
        return json.dumps({"metadata": {}, "items": items if devices else []}).encode()


class Node:
    def __init__(self, folder, api, *drivers):
        self.log = []
        neighbours = Neighbours(driver.name for driver in drivers)
        self.plugins = {}
        for driver in drivers:
            place, files = folder / driver.name, Unsynced()
            steps = Steps(
                driver, SpecFolder(driver.name, place, files), MetadataFolder(driver.name, place, files), self
            )
            engine = Engine(driver, Store(place, "boot", files), steps, self)
            self.plugins[driver.name] = DriverPlugin(
                driver, engine, api, "node-1", self, pod_resources=folder / "none", neighbours=neighbours
            )

    def __call__(self, event, **fields):
        self.log.append((event, fields.get("problem")))

    async def look(self, name):
        await self.plugins[name].look()
        return self.shown(name)

    def shown(self, name):
        pools = self.plugins[name].pools
        return None if pools is None else names(pools)

    def close(self):
        for plugin in self.plugins.values():
            plugin.close()


def run(story, folder, api, *drivers):
    async def whole():
        node = Node(folder, api, *drivers)
        try:
            await story(node)
        finally:
            node.close()

    asyncio.run(whole())


def test_in_one_process_nothing_is_shown_before_the_first_has_looked(tmp_path):
    async def story(node):
        assert await node.look(NIC) is None
        assert await node.look(DPU) == ["0000-3b-00-0"]
        assert await node.look(NIC) == ["0000-5e-00-0"]

    run(story, tmp_path, Slices(), Cards(NIC, CARD, DPU), Cards(DPU, [function(PORT)]))


def test_what_the_first_finds_later_is_given_up_at_once_and_comes_back_with_it(tmp_path):
    dpu = Cards(DPU, [])

    async def story(node):
        follower = asyncio.create_task(node.plugins[NIC].run())
        await node.look(DPU)
        assert len(await node.look(NIC)) == 4
        for devices, left in (([function(PORT)], 1), ([], 4)):
            dpu.devices = devices
            await node.look(DPU)
            async with asyncio.timeout(20):
                while len(node.shown(NIC)) != left:
                    await asyncio.sleep(0.01)
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)

    run(story, tmp_path, Slices(), dpu, Cards(NIC, CARD, DPU))


def test_a_first_driver_that_cannot_look_does_not_hold_the_others(tmp_path):
    dpu = Cards(DPU, [])
    dpu.failing = True

    async def story(node):
        await node.look(DPU)
        assert len(await node.look(NIC)) == 4

    run(story, tmp_path, Slices(), dpu, Cards(NIC, CARD, DPU))


def test_one_that_cannot_look_after_a_restart_keeps_what_its_slices_show(tmp_path):
    dpu, api = Cards(DPU, []), Slices()
    dpu.failing = True
    api.devices[DPU] = [function(PORT)]

    async def story(node):
        assert await node.look(NIC) == ["0000-5e-00-0"], "its slices are known before it has looked"
        await node.look(DPU)
        assert await node.look(NIC) == ["0000-5e-00-0"]

    run(story, tmp_path, api, dpu, Cards(NIC, CARD, DPU))


def test_a_driver_of_another_process_is_known_by_its_slices(tmp_path):
    api = Slices()
    api.devices[DPU] = [function(OTHER)]

    async def story(node):
        assert await node.look(NIC) == ["0000-3b-00-0", "0000-3b-00-2", "0000-3b-00-3"]
        assert ("left to others", f"0000-5e-00-0: is not published: {DPU} has it on this node") in node.log
        api.down = True
        assert len(await node.look(NIC)) == 3, "what was known stays"
        api.down = False
        del api.devices[DPU]
        assert len(await node.look(NIC)) == 4

    run(story, tmp_path, api, Cards(NIC, CARD, DPU))


def test_without_an_answer_nothing_is_shown(tmp_path):
    api = Slices()
    api.down = True

    async def story(node):
        assert await node.look(NIC) is None
        assert any(event == "not known what other drivers have" for event, _ in node.log)

    run(story, tmp_path, api, Cards(NIC, CARD, DPU))
