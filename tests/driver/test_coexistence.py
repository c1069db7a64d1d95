"""A device that a device plugin offers is not published beside it."""

from __future__ import annotations

import asyncio
import os
import socket as sockets

import grpc.aio
import pytest
from apiserver import Answers

from fairlead.driver import Driver, Pool
from fairlead.driver import kubelet_pb2 as pb
from fairlead.driver.cdi import SpecFolder
from fairlead.driver.coexistence import Offer, withhold
from fairlead.driver.engine import Engine
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.plugin import DriverPlugin
from fairlead.driver.podresources import PodResourcesError, offers
from fairlead.driver.steps import Steps
from fairlead.driver.store import Store
from fairlead.resource import Device, DeviceAttribute

GPU = "GPU-5a4f0000-0000-0000-0000-000000000001"


def device(name, **attributes):
    return Device(name=name, attributes={key: DeviceAttribute(string=value) for key, value in attributes.items()})


def nic(name, address):
    return Device(name=name, attributes={"resource.kubernetes.io/pciBusID": DeviceAttribute(string=address)})


def names(pools):
    return [device.name for pool in pools for device in pool.devices]


@pytest.mark.parametrize("offered", [GPU, f"{GPU}::0", GPU.lower()])
def test_a_device_whose_uuid_is_offered_is_withheld_and_the_others_are_not(offered):
    pool = Pool([device("gpu-0", uuid=GPU), device("gpu-1", uuid="GPU-2")])
    [left] = withhold([pool], [Offer("nvidia.com/gpu", offered)], ())
    assert names([left]) == ["gpu-1"]
    assert left.problems == ["gpu-0: is not published: a device plugin offers it as nvidia.com/gpu"]


@pytest.mark.parametrize("offered", ["0000:3b:02.1", "3b:02.1"])
def test_a_device_whose_pci_address_is_offered_is_withheld(offered):
    pool = Pool([nic("vf-0", "0000:3b:02.0"), nic("vf-1", "0000:3b:02.1")])
    assert names(withhold([pool], [Offer("openshift.io/fast", offered)], ())) == ["vf-0"]


def test_what_shares_hardware_with_an_offered_device_is_withheld_too():
    devices = [
        device("gpu-0", uuid=GPU),
        device("mig-0", uuid="MIG-0"),
        device("mig-1", uuid="MIG-1"),
        device("gpu-1", uuid="B"),
    ]
    pool = Pool(devices, parts={"mig-0": "gpu-0", "mig-1": "gpu-0"})
    [left] = withhold([pool], [Offer("nvidia.com/mig-1g.10gb", "MIG-0")], ())
    assert names([left]) == ["gpu-1"]
    assert left.parts == {}


def test_a_known_resource_under_unknown_ids_withholds_all():
    pool = Pool([device("gpu-0", uuid=GPU), device("gpu-1", uuid="B")])
    [left] = withhold([pool], [Offer("nvidia.com/gpu", "0")], [r"nvidia\.com/.*"])
    assert names([left]) == []
    assert "under ids that name no device, such as '0'" in left.problems[0]


def test_an_id_that_names_a_device_of_somebody_else_withholds_none():
    pool = Pool([device("gpu-0", uuid=GPU)])
    for theirs in (
        "GPU-5a4f0000-0000-0000-0000-000000000002",
        "MIG-GPU-5a4f0000-0000-0000-0000-000000000003/1/0",
        "3b:00.0",
    ):
        assert withhold([pool], [Offer("nvidia.com/gpu", theirs)], [r"nvidia\.com/.*"]) == [pool]


def test_what_others_offer_is_no_concern():
    pool = Pool([device("gpu-0", uuid=GPU)])
    assert withhold([pool], [Offer("acme.com/card", "0")], [r"nvidia\.com/.*"]) == [pool]
    assert withhold([pool], [], ["anything"]) == [pool]


class _Kubelet(grpc.GenericRpcHandler):
    def __init__(self, answer):
        self._answer = answer

    def service(self, call):
        if call.method != "/v1.PodResourcesLister/GetAllocatableResources":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._answer,
            request_deserializer=pb.AllocatableResourcesRequest.FromString,
            response_serializer=pb.AllocatableResources.SerializeToString,
        )


async def _asked(socket, answer):
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Kubelet(answer),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        return await offers(socket)
    finally:
        await server.stop(0)


def test_kubelet_says_what_device_plugins_offer(tmp_path):
    async def answer(request, context):
        devices = [pb.PluginDevices(resource_name="nvidia.com/gpu", device_ids=["a", "b"])]
        return pb.AllocatableResources(devices=devices)

    found = asyncio.run(_asked(tmp_path / "kubelet.sock", answer))
    assert found == {Offer("nvidia.com/gpu", "a"), Offer("nvidia.com/gpu", "b")}


def test_a_kubelet_that_does_not_say_is_told_apart_from_none(tmp_path):
    async def answer(request, context):
        await context.abort(grpc.StatusCode.UNAVAILABLE, "API disabled")

    with pytest.raises(PodResourcesError, match="API disabled"):
        asyncio.run(_asked(tmp_path / "kubelet.sock", answer))
    assert asyncio.run(offers(tmp_path / "gone.sock")) == frozenset()


def test_a_dead_socket_is_told(tmp_path):
    path = tmp_path / "kubelet.sock"
    with sockets.socket(sockets.AF_UNIX) as one:
        one.bind(os.fspath(path))
    with pytest.raises(PodResourcesError):
        asyncio.run(offers(path))


class _Gpus(Driver):
    name = "gpu.example.com"

    def discover(self):
        return Pool([device("gpu-0", uuid=GPU), device("gpu-1", uuid="GPU-2")])

    def prepare(self, claim):
        return []

    def unprepare(self, claim):
        pass


def test_a_driver_publishes_what_the_plugins_leave_and_the_rest_when_they_go(tmp_path):
    async def answer(request, context):
        return pb.AllocatableResources(devices=[pb.PluginDevices(resource_name="nvidia.com/gpu", device_ids=[GPU])])

    async def story():
        log = []
        socket = tmp_path / "kubelet.sock"
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Kubelet(answer),))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        gpus = _Gpus()
        told = lambda event, **fields: log.append((event, fields.get("problem")))  # noqa: E731
        steps = Steps(gpus, SpecFolder(gpus.name, tmp_path / "cdi"), MetadataFolder(gpus.name, tmp_path), told)
        engine = Engine(gpus, Store(tmp_path / "store", "boot"), steps, told)
        plugin = DriverPlugin(gpus, engine, Answers(), "node-1", told, pod_resources=socket)
        await plugin.start()
        assert names(plugin.pools) == ["gpu-1"]
        problem = "gpu-0: is not published: a device plugin offers it as nvidia.com/gpu"
        assert log == [("left to others", problem)]
        await server.stop(0)
        socket.unlink(missing_ok=True)
        await plugin.start()
        assert names(plugin.pools) == ["gpu-0", "gpu-1"]
        assert log[1:] == [("not left to others any more", problem)]
        plugin.close()

    asyncio.run(story())
