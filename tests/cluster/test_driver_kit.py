"""The driver kit's publisher and claim status on a real API server, with the rights of a driver and no others.

Kubernetes' default feature gates: what they switch off is dropped by the server, and that must be noticed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from driver_plane import NODE, driver_account, driver_plane

from fairlead.driver.api import ApiError, apply_device_status, get_claim
from fairlead.driver.author import Pool
from fairlead.driver.http import HttpApi
from fairlead.driver.publisher import Publisher
from fairlead.kubernetes import Access, Credentials
from fairlead.resource import (
    Counter,
    CounterSet,
    Device,
    DeviceCounterConsumption,
    DeviceTaint,
    NodeAllocatableMapping,
    NodeAllocatableResource,
    Quantity,
)
from kube import Api, ControlPlane, fake_node

pytestmark = pytest.mark.cluster

DRIVER = "gpu.example.com"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """An API server without anything that acts by itself, and a node."""
    with driver_plane() as plane:
        yield plane


@pytest.fixture(scope="module")
def account(plane: ControlPlane) -> Api:
    return driver_account(plane, DRIVER)


@pytest.fixture(autouse=True)
def no_slices(plane: ControlPlane) -> None:
    plane.api.clear(SLICES)


def http(account: Api) -> HttpApi:
    tls = ssl.create_default_context(cafile=str(account.authority))
    return HttpApi(Access(account.server, tls, Credentials(account.token)))


class Published:
    """A running publisher, whose pools a test changes."""

    def __init__(self, api: Any, plane: ControlPlane, *pools: Pool) -> None:
        self.plane = plane
        self.pools: list[Pool] | None = list(pools)
        self.changed = asyncio.Event()
        self.log: list[tuple[str, dict[str, object]]] = []
        self.youngest = True
        self.publisher = Publisher(
            api,
            DRIVER,
            NODE,
            lambda: self.pools,
            self.changed,
            True,
            lambda: self.youngest,
            lambda event, **fields: self.log.append((event, fields)),
        )

    def publish(self, *pools: Pool) -> None:
        self.pools = list(pools)
        self.changed.set()

    async def slices(self, right: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The slices, by name, once they are right."""
        async with asyncio.timeout(20):
            while True:
                items = await asyncio.to_thread(self.plane.api.items, SLICES)
                found = sorted(items, key=lambda item: str(item["metadata"]["name"]))
                if right(found):
                    return found
                await asyncio.sleep(0.05)

    async def quiet(self) -> int:
        """How many writes were made, once no more come."""
        before = -1
        while before != (now := len(self.log)):
            before = now
            await asyncio.sleep(1.0)
        return now


@asynccontextmanager
async def published(api: Any, plane: ControlPlane, *pools: Pool) -> AsyncIterator[Published]:
    here = Published(api, plane, *pools)
    task = asyncio.create_task(here.publisher.run())
    try:
        yield here
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def gpus(count: int, **more: Any) -> list[Device]:
    return [Device(name=f"gpu-{number}", **more) for number in range(count)]


def devices_of(items: list[dict[str, Any]]) -> list[str]:
    return [device["name"] for item in items for device in item["spec"].get("devices", [])]


def generations(items: list[dict[str, Any]]) -> list[tuple[str, int]]:
    pools = [item["spec"]["pool"] for item in items]
    return sorted((pool["name"], pool["generation"]) for pool in pools)


def test_slices_follow_the_devices(plane: ControlPlane, account: Api) -> None:
    async def story() -> None:
        counters = [CounterSet(name=f"c{i}", counters={"m": Counter(Quantity.parse("80Gi"))}) for i in range(9)]
        uses = [DeviceCounterConsumption("c0", {"m": Counter(Quantity.parse("1Gi"))})]
        async with http(account) as api, published(api, plane) as here:
            here.publish(Pool(gpus(70, consumes_counters=uses), counters, name=NODE))
            first = await here.slices(lambda found: len(found) == 4)
            assert [item["spec"]["pool"]["resourceSliceCount"] for item in first] == [4] * 4
            assert [len(item["spec"].get("sharedCounters", [])) for item in first] == [8, 1, 0, 0]
            assert devices_of(first) == [f"gpu-{number}" for number in range(70)]
            (owner,) = first[0]["metadata"]["ownerReferences"]
            assert owner["uid"] == plane.api.get(f"/api/v1/nodes/{NODE}")["metadata"]["uid"]
            assert await here.quiet() == 4
            here.publish(Pool(gpus(3), name=NODE), Pool(gpus(1), name="second"))
            await here.slices(lambda found: generations(found) == [(NODE, 2), ("second", 1)])
            here.publish(Pool([], name=NODE))
            await here.slices(lambda found: len(found) == 1 and devices_of(found) == [])
            assert all(event == "slice" for event, _ in here.log)
        await asyncio.sleep(0.5)
        assert len(plane.api.items(SLICES)) == 1  # slices stay when the driver stops

    asyncio.run(story())


def test_the_servers_time_of_a_taint_stays(plane: ControlPlane, account: Api) -> None:
    async def story() -> None:
        lost = DeviceTaint(key=f"{DRIVER}/lost", effect="NoSchedule")
        async with http(account) as api, published(api, plane, Pool(gpus(2, taints=[lost]), name=NODE)) as here:
            (first,) = await here.slices(lambda found: len(found) == 1)
            added = first["spec"]["devices"][0]["taints"][0]["timeAdded"]
            await asyncio.sleep(1.1)  # the server's clock counts whole seconds
            here.publish(Pool(gpus(3, taints=[lost]), name=NODE))
            (second,) = await here.slices(lambda found: len(devices_of(found)) == 3)
            times = [device["taints"][0]["timeAdded"] for device in second["spec"]["devices"]]
            assert times[:2] == [added, added]
            assert times[2] > added
            assert second["spec"]["pool"]["generation"] == 1
            assert await here.quiet() == 2

    asyncio.run(story())


def test_what_others_do_to_the_slices_is_repaired(plane: ControlPlane, account: Api) -> None:
    async def story() -> None:
        async with http(account) as api, published(api, plane, Pool(gpus(2), name=NODE)) as here:
            (item,) = await here.slices(lambda found: len(found) == 1)
            path = f"{SLICES}/{item['metadata']['name']}"
            await asyncio.to_thread(plane.api.patch, path, {"spec": {"devices": [{"name": "foreign"}]}})
            await here.slices(lambda found: devices_of(found) == ["gpu-0", "gpu-1"])
            await asyncio.to_thread(plane.api.delete, path)
            await here.slices(lambda found: devices_of(found) == ["gpu-0", "gpu-1"])
            await asyncio.to_thread(plane.api.patch, path, {"metadata": {"ownerReferences": []}})
            await here.slices(lambda found: all("ownerReferences" in item["metadata"] for item in found))

    asyncio.run(story())


def test_what_is_not_known_yet_removes_nothing(plane: ControlPlane, account: Api) -> None:
    async def story() -> None:
        async with http(account) as api:
            async with published(api, plane, Pool(gpus(2), name=NODE)) as here:
                await here.slices(lambda found: len(found) == 1)
            async with published(api, plane) as here:
                here.pools = None
                here.changed.set()
                assert await here.quiet() == 0
                assert len(plane.api.items(SLICES)) == 1
                here.publish(Pool(gpus(3), name=NODE))
                await here.slices(lambda found: len(devices_of(found)) == 3)

    asyncio.run(story())


def test_a_node_that_was_made_anew_owns_the_slices(plane: ControlPlane, account: Api) -> None:
    def owner(items: list[dict[str, Any]]) -> str:
        return str(items[0]["metadata"]["ownerReferences"][0]["uid"])

    async def story() -> None:
        async with http(account) as api, published(api, plane, Pool(gpus(2), name=NODE)) as here:
            before = owner(await here.slices(lambda found: len(found) == 1))
            plane.api.delete(f"/api/v1/nodes/{NODE}")
            uid = plane.api.create(fake_node(NODE))["metadata"]["uid"]
            assert uid != before
            plane.api.clear(SLICES)  # as Kubernetes' garbage collector does
            await here.slices(lambda found: len(found) == 1 and owner(found) == uid)

    asyncio.run(story())


def test_fields_of_features_that_are_off_are_named_once(plane: ControlPlane, account: Api) -> None:
    async def story() -> None:
        cpu = {"cpu": NodeAllocatableResource(mapping=NodeAllocatableMapping(device_multiplier=Quantity.parse("2")))}
        pool = Pool(gpus(1, node_allocatable_resources=cpu), name=NODE)
        async with http(account) as api, published(api, plane, pool) as here:
            await here.slices(lambda found: len(found) == 1)
            await here.quiet()
            assert [event for event, _ in here.log] == [
                "slice",
                "the API server dropped fields, their features are off",
            ]
            assert here.log[1][1]["fields"] == ["spec.devices[].nodeAllocatableResources"]
            here.changed.set()
            assert await here.quiet() == 2

    asyncio.run(story())


def test_two_instances_make_one_set_of_slices(plane: ControlPlane, account: Api) -> None:
    """Even while both think that they are the youngest; then the younger one alone goes on."""

    async def story() -> None:
        pool = Pool(gpus(70), name=NODE)
        async with http(account) as api, published(api, plane, pool) as one, published(api, plane, pool) as two:
            await one.slices(lambda found: len(found) == 2 and len(devices_of(found)) == 70)
            await asyncio.sleep(1)
            assert len(plane.api.items(SLICES)) == 2
            one.youngest = False
            two.publish(Pool(gpus(3), name=NODE))
            await two.slices(lambda found: devices_of(found) == ["gpu-0", "gpu-1", "gpu-2"])
            assert await two.quiet() > 0
            await two.slices(lambda found: devices_of(found) == ["gpu-0", "gpu-1", "gpu-2"])
            two.youngest, one.youngest = False, True  # the new one was taken back
            await one.slices(lambda found: len(devices_of(found)) == 70)

    asyncio.run(story())


def test_a_refusal_names_the_rights_that_are_missing(plane: ControlPlane) -> None:
    nobody = plane.service_account("nobody", [])

    async def story() -> None:
        async with http(nobody) as api, published(api, plane, Pool(gpus(1), name=NODE)) as here:
            async with asyncio.timeout(20):
                while not any(event == "slices not published" for event, _ in here.log):
                    await asyncio.sleep(0.05)
            problem = next(fields["problem"] for event, fields in here.log if event == "slices not published")
            assert "403" in str(problem)
            assert "needs get on nodes, and get, list, watch, create, update, delete on resourceslices" in str(problem)

    asyncio.run(story())


def test_an_unreachable_server_is_tried_again(plane: ControlPlane, account: Api) -> None:
    class Flaky:
        """Fails the first requests in turn as servers do."""

        def __init__(self, api: HttpApi) -> None:
            self.api = api
            self.errors = [ApiError(0, "refused"), ApiError(500, "x"), ApiError(429, "x", 0.2), ApiError(409, "x")]
            self.stream = api.stream

        async def request(self, method: str, *rest: Any, **more: Any) -> bytes:
            if self.errors and method != "GET":
                raise self.errors.pop()
            return await self.api.request(method, *rest, **more)

    async def story() -> None:
        async with http(account) as api, published(Flaky(api), plane, Pool(gpus(70), name=NODE)) as here:
            await here.slices(lambda found: len(devices_of(found)) == 70)
            assert sum(event == "slices not published" for event, _ in here.log) == 4

    asyncio.run(story())


def test_device_status_beside_that_of_another_driver(plane: ControlPlane, account: Api) -> None:
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu"}}
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "claim", "namespace": "default"},
        "spec": {"devices": {"requests": [request]}},
    }
    stored = plane.api.create(claim)
    results = [
        {"request": "gpu", "driver": driver, "pool": NODE, "device": "gpu-0"} for driver in (DRIVER, "nic.example.com")
    ]
    here = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODE]}]}]}
    theirs = {"driver": "nic.example.com", "pool": NODE, "device": "gpu-0", "data": {"theirs": 1}}
    stored["status"] = {"allocation": {"devices": {"results": results}, "nodeSelector": here}}
    plane.api.request("PUT", f"{CLAIMS}/claim/status", stored)
    uid = stored["metadata"]["uid"]

    async def story() -> None:
        async with http(plane.api) as administrator:
            await apply_device_status(administrator, "nic.example.com", "default", "claim", uid, [theirs])
        async with http(account) as api:
            found = await get_claim(api, "default", "claim")
            assert found.metadata.uid == uid
            ours = {"driver": DRIVER, "pool": NODE, "device": "gpu-0", "networkData": {"interfaceName": "net1"}}
            for _ in range(2):
                await apply_device_status(api, DRIVER, "default", "claim", uid, [ours])
            devices = plane.api.get(f"{CLAIMS}/claim")["status"]["devices"]
            none = {"conditions": None}
            assert sorted(devices, key=lambda one: str(one["driver"])) == [ours | none, theirs | none]
            with pytest.raises(ApiError) as caught:
                await apply_device_status(api, DRIVER, "default", "claim", "another-uid", [ours])
            assert caught.value.status == 422
            with pytest.raises(ApiError) as caught:
                await apply_device_status(api, DRIVER, "default", "gone", uid, [ours])
            assert caught.value.status == 404

    asyncio.run(story())
