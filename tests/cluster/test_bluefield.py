"""A pod's way to a function of a BlueField DPU: Kubernetes' scheduler, our driver, the DPU's agent as a process.

The host is a made-up tree, kubelet a program of the tests, the e-switch a program of the tests; all else is real.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driver_plane import NODE, driver_account

from fairlead.driver.http import HttpApi
from fairlead.driver.node import NodeOptions, serve
from fairlead.drivers.bluefield import DRIVER, BlueFieldDriver
from fairlead.drivers.bluefield.devices import READY
from fairlead.drivers.bluefield.options import read_options
from fairlead.kubernetes import Access, Credentials
from kube import Api, ControlPlane, MissingProgramError, Options, fake_node, find_programs
from tests.driver.kubelet import register
from tests.drivers.bluefield.dpu import MISSING, Dpu, dpu
from tests.drivers.bluefield.machines import SLOT, Host
from tests.hardware.tree import Tree

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(os.getuid() or MISSING), reason="needs root and iproute2"),
]

CLAIM = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims/tenant"
POD = "/api/v1/namespaces/ml/pods/tenant"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    try:
        find_programs(COMPONENTS)
    except MissingProgramError as error:
        pytest.skip(str(error))
    with ControlPlane(Options(components=COMPONENTS, gates={})) as plane:
        plane.api.create(fake_node(NODE))
        plane.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ml"}})
        yield plane


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Dpu]:
    with dpu(tmp_path / "dpu", tmp_path / "host") as made:
        yield made


def objects() -> list[dict[str, Any]]:
    """A class for sub-functions, a claim of one with a bridge, and its pod."""
    of_type = f'device.driver == "{DRIVER}" && device.attributes["{DRIVER}"].type == "sf"'
    parameters = {"apiVersion": f"{DRIVER}/v1", "kind": "FunctionConfig", "bridge": "br-tenant", "interface": "net1"}
    container = {"name": "c", "image": "i", "resources": {"claims": [{"name": "dpu"}]}}
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": "dpu-sf"},
            "spec": {"selectors": [{"cel": {"expression": of_type}}]},
        },
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "tenant", "namespace": "ml"},
            "spec": {
                "devices": {
                    "requests": [{"name": "fn", "exactly": {"deviceClassName": "dpu-sf"}}],
                    "config": [{"opaque": {"driver": DRIVER, "parameters": parameters}}],
                }
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "tenant", "namespace": "ml"},
            "spec": {
                "containers": [container],
                "resourceClaims": [{"name": "dpu", "resourceClaimName": "tenant"}],
            },
        },
    ]


async def until(right: Callable[[], Any], seconds: float = 90) -> Any:
    """What a function gives, once it gives something."""
    end = time.monotonic() + seconds
    while not (found := await asyncio.to_thread(right)):
        assert time.monotonic() < end, "did not come"
        await asyncio.sleep(0.2)
    return found


def conditions(api: Api) -> dict[str, str]:
    devices = api.get(CLAIM).get("status", {}).get("devices", [])
    return {one["type"]: one["status"] for device in devices for one in device.get("conditions") or []}


def taints(api: Api) -> set[str]:
    devices = [one for item in api.items(SLICES) for one in item["spec"].get("devices", [])]
    return {taint["key"] for one in devices for taint in one.get("taints", [])}


def test_a_pod_waits_for_the_dpu_and_gets_its_function(plane: ControlPlane, there: Dpu, tmp_path: Path) -> None:
    machine = Host(Tree(tmp_path / "host"), "dpu").machine()
    options = read_options(f"dpus: [{{address: '{SLOT}', agent: 'unix:{there.socket}'}}]\nsfs: 4\nlostAfter: 60")
    driver = BlueFieldDriver(machine, options)
    driver.recover_after = 1.0
    account = driver_account(plane, DRIVER, binding=True)
    tls = ssl.create_default_context(cafile=str(account.authority))
    folders = NodeOptions(
        NODE, plugins=tmp_path / "plugins", registry=tmp_path / "registry", cdi=tmp_path / "cdi", boot="boot-1"
    )
    log: list[tuple[str, dict[str, object]]] = []

    async def story() -> None:
        stop = asyncio.Event()
        async with HttpApi(Access(account.server, tls, Credentials(account.token))) as api:
            serving = asyncio.create_task(
                serve([driver], api, folders, lambda event, **fields: log.append((event, fields)), stop)
            )
            try:
                await until(lambda: plane.api.items(SLICES))
                for one in objects():
                    await asyncio.to_thread(plane.api.create, one)
                # The agent is not there yet: the claim is allocated, the pod is not bound.
                await until(lambda: conditions(plane.api) == {READY: "False"})
                assert plane.api.get(POD)["spec"].get("nodeName") is None
                await asyncio.to_thread(there.start)
                await until(lambda: plane.api.get(POD)["spec"].get("nodeName") == NODE)
                assert conditions(plane.api) == {READY: "True"}
                assert there.members() == {}  # asking changed nothing
                (plugin,) = await register(tmp_path / "registry")
                uid = plane.api.get(CLAIM)["metadata"]["uid"]
                devices, error = (await plugin.prepare((uid, "tenant")))[uid]
                assert error == ""
                assert len(devices) == 1
                assert there.members() == {"en3f0pf0sf1000": "br-tenant"}
                found = await until(lambda: _network(plane.api))
                assert found["networkData"]["interfaceName"] == "net1"
                assert found["data"]["representor"] == "en3f0pf0sf1000"
                assert conditions(plane.api) == {READY: "True"}
                assert (await plugin.unprepare((uid, "tenant")))[uid] == ""
                assert there.clean()
                await plugin.close()
            finally:
                stop.set()
                await serving

    asyncio.run(story())


def _network(api: Api) -> dict[str, Any] | None:
    devices = api.get(CLAIM).get("status", {}).get("devices", [])
    return next((one for one in devices if "networkData" in one), None)


def test_a_dpu_that_is_lost_is_tainted_until_it_is_back(plane: ControlPlane, there: Dpu, tmp_path: Path) -> None:
    machine = Host(Tree(tmp_path / "host"), "dpu").machine()
    options = read_options(f"dpus: [{{address: '{SLOT}', agent: 'unix:{there.socket}'}}]\nsfs: 4\nlostAfter: 3")
    driver = BlueFieldDriver(machine, options)
    driver.recover_after = 1.0
    account = driver_account(plane, DRIVER, binding=True)
    tls = ssl.create_default_context(cafile=str(account.authority))
    folders = NodeOptions(
        NODE, plugins=tmp_path / "plugins", registry=tmp_path / "registry", cdi=tmp_path / "cdi", boot="boot-1"
    )
    there.start()

    async def story() -> None:
        stop = asyncio.Event()
        async with HttpApi(Access(account.server, tls, Credentials(account.token))) as api:
            serving = asyncio.create_task(serve([driver], api, folders, lambda event, **fields: None, stop))
            try:
                await until(lambda: plane.api.items(SLICES))
                assert taints(plane.api) == set()
                await asyncio.to_thread(there.stop)
                await until(lambda: taints(plane.api) == {f"{DRIVER}/agent-lost"})
                await asyncio.to_thread(there.start)
                await until(lambda: taints(plane.api) == set())
            finally:
                stop.set()
                await serving

    asyncio.run(story())
