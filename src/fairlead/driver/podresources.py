"""Asks kubelet what the device plugins of the node offer, over its PodResources socket.

Source: `v1.PodResourcesLister/GetAllocatableResources` of k8s.io/kubelet pkg/apis/podresources/v1. The socket is
root's. Without the socket, as in a test or on a node whose kubelet has it elsewhere, nothing is known to be offered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from fairlead.driver import kubelet_pb2 as pb
from fairlead.driver.coexistence import Offer

SOCKET: Final = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
_METHOD: Final = "/v1.PodResourcesLister/GetAllocatableResources"
_SECONDS: Final = 5.0


class PodResourcesError(Exception):
    """Kubelet did not say what is offered; the text says why."""


async def offers(socket: Path) -> frozenset[Offer]:
    """The devices that device plugins offer; none where there is no socket.

    Raises:
        PodResourcesError: kubelet is there, and does not say.
    """
    try:
        if not socket.is_socket():
            return frozenset()
    except OSError as error:
        raise PodResourcesError(f"{socket}: {error.strerror}") from None
    async with grpc.aio.insecure_channel(
        f"unix:{socket}", options=(("grpc.default_authority", "localhost"),)
    ) as channel:
        ask = channel.unary_unary(
            _METHOD,
            request_serializer=pb.AllocatableResourcesRequest.SerializeToString,
            response_deserializer=pb.AllocatableResources.FromString,
        )
        try:
            answer = await ask(pb.AllocatableResourcesRequest(), timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise PodResourcesError(f"{socket}: {error.details() or error.code().name}") from None
    return frozenset(Offer(one.resource_name, device) for one in answer.devices for device in one.device_ids)
