"""Binding conditions of the driver kit on a real API server, with a driver's rights, and with Kubernetes' scheduler.

The driver's `allocated` is the test's; everything between it and the bound pod is real.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from driver_plane import NODE, driver_account

from fairlead.driver.api import ApiError, apply_device_status
from fairlead.driver.author import Pool, PrepareError, Readiness
from fairlead.driver.binding import Binder
from fairlead.driver.claims import for_author, read_claim
from fairlead.driver.http import HttpApi
from fairlead.driver.inventory import make_inventory
from fairlead.drivers.bluefield import DRIVER, BlueFieldDriver
from fairlead.drivers.bluefield.options import Options
from fairlead.hardware import LiveMachine
from fairlead.kubernetes import Access, Credentials
from fairlead.resource import Device, ResourceClaim
from kube import Api, ControlPlane, MissingProgramError, fake_node, find_programs
from kube import Options as PlaneOptions

pytestmark = pytest.mark.cluster

READY, FAILED = f"{DRIVER}/Ready", f"{DRIVER}/Failed"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
PODS = "/api/v1/namespaces/default/pods"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A whole control plane with Kubernetes' default gates, one node, and two devices that wait."""
    try:
        find_programs(COMPONENTS)
    except MissingProgramError as error:
        pytest.skip(str(error))
    with ControlPlane(PlaneOptions(components=COMPONENTS, gates={})) as plane:
        plane.api.create(fake_node(NODE))
        plane.api.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "DeviceClass",
                "metadata": {"name": "dpu"},
                "spec": {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]},
            }
        )
        devices = [
            {
                "name": f"vf-{number}",
                "bindsToNode": True,
                "bindingConditions": [READY],
                "bindingFailureConditions": [FAILED],
            }
            for number in range(3)
        ]
        pool = {"name": NODE, "generation": 1, "resourceSliceCount": 1}
        plane.api.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"name": "dpu"},
                "spec": {"driver": DRIVER, "nodeName": NODE, "pool": pool, "devices": devices},
            }
        )
        yield plane


@pytest.fixture(scope="module")
def account(plane: ControlPlane) -> Api:
    return driver_account(plane, DRIVER, binding=True)


class Following:
    """A running binder. `say` is what the driver says of a claim."""

    def __init__(self, api: HttpApi) -> None:
        self.say: Callable[[str], tuple[bool, bool, str] | None] = lambda name: (True, False, "ready")
        self.asked: list[str] = []
        self.requests: list[str] = []
        self.log: list[tuple[str, dict[str, object]]] = []
        self.pools: list[Pool] = [Pool([Device(name="vf-0", binding_conditions=[READY])], name=NODE)]
        self.inventory = make_inventory(Pool([Device(name=f"vf-{number}") for number in range(3)]), NODE)
        self.driver = BlueFieldDriver(LiveMachine(), Options())
        real = api.request

        async def request(method: str, path: str, *rest: Any, **more: Any) -> bytes:
            self.requests.append(method)
            return await real(method, path, *rest, **more)

        api.request = request  # type: ignore[method-assign]
        self.binder = Binder(
            api, DRIVER, NODE, lambda: self.pools, self._ask, lambda event, **fields: self.log.append((event, fields))
        )

    async def _ask(self, claim: ResourceClaim) -> list[Readiness]:
        self.asked.append(claim.name)
        said = self.say(claim.name)
        if said is None:
            raise PrepareError("the agent does not answer")
        record = read_claim(claim, claim.metadata.uid, self.driver, self.inventory)
        ready, failed, message = said
        devices = for_author(record, self.driver, self.inventory).devices
        return [Readiness(device, ready, message, failed) for device in devices]


@asynccontextmanager
async def following(account: Api) -> AsyncIterator[Following]:
    tls = ssl.create_default_context(cafile=str(account.authority))
    async with HttpApi(Access(account.server, tls, Credentials(account.token))) as api:
        here = Following(api)
        task = asyncio.create_task(here.binder.run())
        try:
            yield here
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def pod_with_claim(plane: ControlPlane, name: str) -> None:
    """A pod and its claim of one device."""
    plane.api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"devices": {"requests": [{"name": "fn", "exactly": {"deviceClassName": "dpu"}}]}},
        }
    )
    plane.api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "containers": [{"name": "c", "image": "i", "resources": {"claims": [{"name": "dpu"}]}}],
                "resourceClaims": [{"name": "dpu", "resourceClaimName": name}],
            },
        }
    )


async def until(right: Callable[[], Any], seconds: float = 60) -> Any:
    """What a function gives, once it gives something."""
    end = time.monotonic() + seconds
    while not (found := await asyncio.to_thread(right)):
        assert time.monotonic() < end, "did not come"
        await asyncio.sleep(0.1)
    return found


def conditions(plane: ControlPlane, name: str) -> dict[str, tuple[str, str]]:
    status = plane.api.get(f"{CLAIMS}/{name}").get("status", {})
    return {
        one["type"]: (one["status"], one["message"])
        for device in status.get("devices", [])
        for one in device.get("conditions") or []
    }


def node_of(plane: ControlPlane, name: str) -> str:
    return str(plane.api.get(f"{PODS}/{name}")["spec"].get("nodeName", ""))


def test_a_pod_is_bound_when_the_driver_says_that_its_device_is_ready(plane: ControlPlane, account: Api) -> None:
    async def story() -> None:
        async with following(account) as here:
            said: list[tuple[bool, bool, str]] = [(False, False, "the DPU is starting")]
            here.say = lambda name: said[0]
            pod_with_claim(plane, "waits")
            await until(lambda: conditions(plane, "waits") == {READY: ("False", "the DPU is starting")})
            assert node_of(plane, "waits") == ""
            writes = here.requests.count("PATCH")
            await until(lambda: len(here.asked) >= 3)
            assert here.requests.count("PATCH") == writes == 1  # what is the same is not written again
            assert node_of(plane, "waits") == ""
            said[0] = (True, False, "ready")
            await until(lambda: node_of(plane, "waits") == NODE)
            assert conditions(plane, "waits") == {READY: ("True", "ready")}
            asked = len(here.asked)
            await asyncio.sleep(2.5)
            assert len(here.asked) == asked  # nothing more is asked about it
            # What is written about the prepared device leaves the condition where it is.
            uid = plane.api.get(f"{CLAIMS}/waits")["metadata"]["uid"]
            result = plane.api.get(f"{CLAIMS}/waits")["status"]["allocation"]["devices"]["results"][0]
            entry = {"driver": DRIVER, "pool": NODE, "device": result["device"], "data": {"bridge": "br"}}
            tls = ssl.create_default_context(cafile=str(account.authority))
            async with HttpApi(Access(account.server, tls, Credentials(account.token))) as api:
                await apply_device_status(api, DRIVER, "default", "waits", uid, [entry])
            assert conditions(plane, "waits") == {READY: ("True", "ready")}

    asyncio.run(story())


def test_a_device_that_failed_is_given_back_and_another_try_may_succeed(plane: ControlPlane, account: Api) -> None:
    async def story() -> None:
        async with following(account) as here:
            here.say = lambda name: (False, True, "bridge br-x: is not there")
            pod_with_claim(plane, "fails")
            await until(lambda: any(event == "binding conditions" for event, _ in here.log))
            assert "bridge br-x: is not there" in str(here.log[-1][1]["said"])
            here.say = lambda name: (True, False, "ready")
            await until(lambda: node_of(plane, "fails") == NODE)
            found = await asyncio.to_thread(conditions, plane, "fails")
            assert found[READY] == ("True", "ready")

    asyncio.run(story())


def test_a_driver_that_does_not_know_is_asked_again_also_after_a_start(plane: ControlPlane, account: Api) -> None:
    async def story() -> None:
        async with following(account) as here:
            here.say = lambda name: None
            pod_with_claim(plane, "unknown")
            await until(lambda: here.asked.count("unknown") >= 2)
            assert conditions(plane, "unknown") == {}
            assert ("not known whether devices are ready") in {event for event, _ in here.log}
        async with following(account) as here:  # finds it in its first list
            await until(lambda: node_of(plane, "unknown") == NODE)
            assert "unknown" in here.asked

    asyncio.run(story())


def test_a_status_is_written_also_where_free_form_json_is_stored_in_another_order(
    plane: ControlPlane, account: Api
) -> None:
    """The parameters of a claim that was not made by kubectl, and another driver's data: an apply would change them."""
    parameters = {"kind": "Config", "apiVersion": f"{DRIVER}/v1", "z": 1, "a": {"y": 2, "x": 1.50}}
    request = {"name": "fn", "exactly": {"deviceClassName": "dpu"}}
    path = f"{CLAIMS}/unsorted"
    created = plane.api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "unsorted", "namespace": "default"},
            "spec": {"devices": {"requests": [request]}},
        }
    )
    results = [{"request": "fn", "driver": name, "pool": NODE, "device": "d-0"} for name in (DRIVER, "nic.example.com")]
    here = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODE]}]}]}
    config = [{"source": "FromClaim", "opaque": {"driver": DRIVER, "parameters": parameters}}]
    theirs = {"driver": "nic.example.com", "pool": NODE, "device": "d-0", "data": {"z": 1, "a": 2}}
    created["status"] = {
        "allocation": {"devices": {"results": results, "config": config}, "nodeSelector": here},
        "devices": [theirs],
    }
    uid = plane.api.request("PUT", f"{path}/status", created)["metadata"]["uid"]
    condition = {
        "type": READY,
        "status": "True",
        "reason": "Ready",
        "message": "m",
        "lastTransitionTime": "2026-11-24T16:00:00Z",
    }
    entry = {"driver": DRIVER, "pool": NODE, "device": "d-0"}

    async def story() -> None:
        tls = ssl.create_default_context(cafile=str(account.authority))
        async with HttpApi(Access(account.server, tls, Credentials(account.token))) as api:

            async def write(**fields: Any) -> None:
                await apply_device_status(api, DRIVER, "default", "unsorted", uid, [entry | fields])

            await write(conditions=[condition])
            await write(data={"z": 1, "a": 2}, networkData={"interfaceName": "net1"})
            await write(data={"b": 3})
            await write(conditions=[condition | {"type": FAILED, "status": "False"}])
            with pytest.raises(ApiError) as caught:
                await apply_device_status(api, DRIVER, "default", "unsorted", "another-uid", [entry])
            assert caught.value.status == 422

    asyncio.run(story())
    status = plane.api.get(path)["status"]
    assert status["allocation"]["devices"]["config"][0]["opaque"]["parameters"] == parameters
    assert list(status["allocation"]["devices"]["config"][0]["opaque"]["parameters"]) == list(parameters)
    ours = next(one for one in status["devices"] if one["driver"] == DRIVER)
    assert ours["data"] == {"b": 3}
    assert ours["networkData"] == {"interfaceName": "net1"}
    assert {one["type"]: one["status"] for one in ours["conditions"]} == {READY: "True", FAILED: "False"}
    other = next(one for one in status["devices"] if one["driver"] != DRIVER)
    assert (list(other["data"]), other["data"]) == (["z", "a"], theirs["data"])


def test_a_claim_whose_configuration_is_stored_with_spaces_says_what_to_do(plane: ControlPlane, account: Api) -> None:
    """A limit of the API server (1.37.2): no JSON client can write the status of such a claim, whatever its rights."""
    parameters = {"apiVersion": f"{DRIVER}/v1", "kind": "FunctionConfig"}
    created = plane.api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "spaced", "namespace": "default"},
            "spec": {"devices": {"requests": [{"name": "fn", "exactly": {"deviceClassName": "dpu"}}]}},
        }
    )
    results = [{"request": "fn", "driver": DRIVER, "pool": NODE, "device": "d-0"}]
    here = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODE]}]}]}
    config = [{"source": "FromClaim", "opaque": {"driver": DRIVER, "parameters": parameters}}]
    created["status"] = {"allocation": {"devices": {"results": results, "config": config}, "nodeSelector": here}}
    tls = ssl.create_default_context(cafile=str(account.authority))

    async def story() -> None:
        async with HttpApi(Access(plane.api.server, tls, Credentials(plane.api.token))) as administrator:
            await administrator.request("PUT", f"{CLAIMS}/spaced/status", {}, json.dumps(created).encode())
            entry = {"driver": DRIVER, "pool": NODE, "device": "d-0", "data": {"a": 1}}
            with pytest.raises(ApiError, match="by a client that writes JSON without spaces"):
                await apply_device_status(
                    administrator, DRIVER, "default", "spaced", created["metadata"]["uid"], [entry]
                )

    asyncio.run(story())


def test_nothing_is_asked_of_the_server_without_devices_that_wait(plane: ControlPlane, account: Api) -> None:
    async def story() -> None:
        tls = ssl.create_default_context(cafile=str(account.authority))
        async with HttpApi(Access(account.server, tls, Credentials(account.token))) as api:
            here = Following(api)
            here.pools = [Pool([Device(name="vf-0")], name=NODE)]
            task = asyncio.create_task(here.binder.run())
            await asyncio.sleep(1.5)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert here.requests == []

    asyncio.run(story())


def test_missing_rights_are_named(plane: ControlPlane) -> None:
    nobody = plane.service_account("nobody", [])

    async def story() -> None:
        async with following(nobody) as here:
            await until(lambda: bool(here.log))
            event, fields = here.log[0]
            assert event == "claims cannot be followed"
            assert "needs list and watch on resourceclaims" in str(fields["problem"])

    asyncio.run(story())
