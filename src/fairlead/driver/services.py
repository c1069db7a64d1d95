"""The gRPC services that kubelet calls, under the names that it calls them by.

v1 and v1beta1 of a service have equal messages and differ in the name only, so each is one implementation under two
names; the same for health v1 and v1alpha1. What kubelet is told to be supported (`SUPPORTED`) are strings of their own,
newest first, for it takes the first that it knows.

Only translation: messages to values and back. What is done stands in `plugin.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import grpc

from fairlead.driver import kubelet_pb2 as pb
from fairlead.driver.steps import Answer

PREPARING: Final = ("v1.DRAPlugin", "v1beta1.DRAPlugin")
HEALTH: Final = ("v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth")
"""What kubelet is told to be supported, newest first."""
REGISTRATION: Final = "pluginregistration.Registration"
CHECK: Final = "grpc.health.v1.Health"
MESSAGE_MAX: Final = 1024
"""Characters of a health message."""


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """A claim as kubelet names it."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class HealthOf:
    """The health of one device, for kubelet; `updated` and `timeout` in seconds."""

    pool: str
    device: str
    healthy: bool | None
    message: str
    updated: int
    timeout: int


class Serving(Protocol):
    """What says whether it works."""

    async def serving(self) -> bool:
        """Whether claims can be prepared at all."""


class Plugin(Serving, Protocol):
    """What the services call."""

    async def prepare(self, claims: Sequence[ClaimRef]) -> dict[str, tuple[Answer, ...] | str]:
        """For each claim's UID its devices, or why there are none."""

    async def unprepare(self, claims: Sequence[ClaimRef]) -> dict[str, str]:
        """For each claim's UID why it could not be unprepared; empty where it could."""

    def health(self) -> AsyncIterator[Sequence[HealthOf]]:
        """The health of all devices, again whenever it changes, and often enough that it does not grow stale."""

    async def leave(self) -> None:
        """Ends the streams of `health`: kubelet goes to another instance, or to none."""


def plugin_services(plugin: Plugin, with_health: bool) -> list[grpc.GenericRpcHandler]:
    """The services of the driver's own socket."""

    async def prepare(request: pb.PrepareRequest, context: Any) -> pb.PrepareResponse:
        done = await plugin.prepare([ClaimRef(one.namespace, one.name, one.uid) for one in request.claims])
        return pb.PrepareResponse(claims={uid: _prepared(answer) for uid, answer in done.items()})

    async def unprepare(request: pb.UnprepareRequest, context: Any) -> pb.UnprepareResponse:
        done = await plugin.unprepare([ClaimRef(one.namespace, one.name, one.uid) for one in request.claims])
        return pb.UnprepareResponse(claims={uid: pb.UnpreparedClaim(error=text) for uid, text in done.items()})

    async def watch(request: pb.WatchRequest, context: Any) -> AsyncIterator[pb.WatchResponse]:
        async for devices in plugin.health():
            yield pb.WatchResponse(devices=[_health(one) for one in devices])

    preparing = {
        "NodePrepareResources": _unary(prepare, pb.PrepareRequest),
        "NodeUnprepareResources": _unary(unprepare, pb.UnprepareRequest),
    }
    services = [
        grpc.method_handlers_generic_handler(f"k8s.io.kubelet.pkg.apis.dra.{name}", preparing) for name in PREPARING
    ]
    if with_health:
        stream = grpc.unary_stream_rpc_method_handler(
            watch, request_deserializer=pb.WatchRequest.FromString, response_serializer=_serialize
        )
        services += [grpc.method_handlers_generic_handler(name, {"NodeWatchResources": stream}) for name in HEALTH]
    return [*services, check_service(plugin)]


def check_service(plugin: Serving) -> grpc.GenericRpcHandler:
    """grpc.health.v1: whether the driver works; for kubelet's probes. Any name of a service is answered alike."""

    async def check(request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        return pb.CheckResponse(status=pb.SERVING if await plugin.serving() else pb.NOT_SERVING)

    return grpc.method_handlers_generic_handler(CHECK, {"Check": _unary(check, pb.CheckRequest)})


def registration_service(
    driver: str, endpoint: Path, with_health: bool, heard: Callable[[bool, str], None]
) -> grpc.GenericRpcHandler:
    """The service of the socket in kubelet's registry.

    Args:
        driver: its name.
        endpoint: the driver's own socket.
        with_health: whether it tells the health of devices.
        heard: is told whether kubelet took the driver, and if not, why.
    """

    async def info(request: pb.InfoRequest, context: Any) -> pb.PluginInfo:
        supported = [*PREPARING, *(HEALTH if with_health else ())]
        return pb.PluginInfo(type="DRAPlugin", name=driver, endpoint=str(endpoint), supported_versions=supported)

    async def status(request: pb.RegistrationStatus, context: Any) -> pb.RegistrationStatusResponse:
        heard(request.plugin_registered, request.error)
        return pb.RegistrationStatusResponse()

    return grpc.method_handlers_generic_handler(
        REGISTRATION,
        {
            "GetInfo": _unary(info, pb.InfoRequest),
            "NotifyRegistrationStatus": _unary(status, pb.RegistrationStatus),
        },
    )


def _serialize(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _unary(method: Any, request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        method, request_deserializer=request.FromString, response_serializer=_serialize
    )


def _prepared(answer: tuple[Answer, ...] | str) -> pb.PreparedClaim:
    if isinstance(answer, str):
        return pb.PreparedClaim(error=answer)
    return pb.PreparedClaim(
        devices=[
            pb.Device(
                request_names=[one.request],
                pool_name=one.pool,
                device_name=one.device,
                cdi_device_ids=one.cdi_ids,
                share_id=one.share_id,
            )
            for one in answer
        ]
    )


def _health(one: HealthOf) -> pb.DeviceHealth:
    health = {True: pb.HEALTHY, False: pb.UNHEALTHY, None: pb.UNKNOWN}[one.healthy]
    return pb.DeviceHealth(
        device=pb.DeviceIdentifier(pool_name=one.pool, device_name=one.device),
        health=health,
        last_updated_time=one.updated,
        health_check_timeout_seconds=one.timeout,
        message=one.message[:MESSAGE_MAX],
    )
