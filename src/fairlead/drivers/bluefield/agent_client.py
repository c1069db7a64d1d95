"""The live door to agents: gRPC, with the deadlines that kubelet leaves.

A channel is made anew after each failure to reach the agent, so that one that was started again, or has a new
certificate, is reached at once and not after gRPC's growing pauses. Calls come from the driver's thread and from the
one that asks for health.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

import grpc

from fairlead.drivers.bluefield import agent_pb2 as pb
from fairlead.drivers.bluefield.agents import Agents, Report
from fairlead.drivers.bluefield.functions import Granted, Wanted
from fairlead.drivers.bluefield.messages import (
    SERVICE,
    TOKEN_KEY,
    granted_of,
    report_of,
    wanted_messages,
)
from fairlead.drivers.bluefield.options import AgentOptions, secret
from fairlead.hardware import HardwareError

REPORT_SECONDS: Final = 3.0
CHANGE_SECONDS: Final = 15.0
"""For Apply and Release: kubelet waits 45 for all that a claim takes, and undoing comes on top."""
_CODES: Final = {
    grpc.StatusCode.FAILED_PRECONDITION: "refused",
    grpc.StatusCode.INVALID_ARGUMENT: "refused",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "refused",
    grpc.StatusCode.UNIMPLEMENTED: "refused",
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.DEADLINE_EXCEEDED: "unavailable",
    grpc.StatusCode.UNAUTHENTICATED: "unauthenticated",
    grpc.StatusCode.PERMISSION_DENIED: "unauthenticated",
}
_RETRIED: Final = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))


class GrpcAgents(Agents):
    """The agents of a node's DPUs."""

    def __init__(self, dpus: Mapping[str, AgentOptions]) -> None:
        """Connects to nobody yet.

        Args:
            dpus: by address of the DPU.
        """
        self._dpus: Final = dpus
        self._channels: dict[str, grpc.Channel] = {}
        self._lock: Final = threading.Lock()

    def report(self, dpu: str) -> Report:
        """Agent.Report"""
        return report_of(self._call(dpu, "Report", pb.ReportRequest(), pb.ReportReply, REPORT_SECONDS))

    def apply(
        self, dpu: str, uid: str, name: str, wanted: list[Wanted], services: dict[str, int], dry_run: bool
    ) -> list[Granted]:
        """Agent.Apply"""
        request = pb.ApplyRequest(
            uid=uid, name=name, wanted=wanted_messages(wanted), services=services, dry_run=dry_run
        )
        seconds = REPORT_SECONDS if dry_run else CHANGE_SECONDS
        reply = self._call(dpu, "Apply", request, pb.ApplyReply, seconds)
        try:
            return granted_of(reply.granted)
        except ValueError as error:
            raise HardwareError(f"DPU {dpu}: its agent answers Apply with what makes no sense: {error}") from None

    def release(self, dpu: str, uid: str) -> None:
        """Agent.Release"""
        self._call(dpu, "Release", pb.ReleaseRequest(uid=uid), pb.ReleaseReply, CHANGE_SECONDS)

    def _call(self, dpu: str, method: str, request: Any, reply: Any, seconds: float) -> Any:
        options = self._dpus.get(dpu)
        if options is None:
            raise HardwareError(f"DPU {dpu}: has no agent", "refused")
        try:
            metadata: tuple[tuple[str, str | bytes], ...] = ()
            if options.token:
                metadata = ((TOKEN_KEY, f"Bearer {secret(options.token).decode().strip()}"),)
            call = self._channel(options).unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=reply.FromString,
            )
            return call(request, timeout=seconds, metadata=metadata)
        except grpc.RpcError as error:
            code = error.code()
            kind = _CODES.get(code, "failed")
            if kind == "unavailable":
                self._forget(options)
            said = error.details() or code.name
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                said = f"no answer to {method} within {seconds:g} s"
            raise HardwareError(f"DPU {dpu}: agent {options.agent}: {said}", kind) from None
        except OSError as error:
            raise HardwareError(f"DPU {dpu}: {error.filename}: {error.strerror}", "unavailable") from None
        except ValueError as error:
            raise HardwareError(f"DPU {dpu}: agent {options.agent}: {error}", "failed") from None

    def _channel(self, options: AgentOptions) -> grpc.Channel:
        with self._lock:
            channel = self._channels.get(options.address)
            if channel is None:
                channel = self._channels[options.address] = _connect(options)
            return channel

    def _forget(self, options: AgentOptions) -> None:
        """Lets a channel go; it is not closed here, for the other thread may be in a call."""
        with self._lock:
            self._channels.pop(options.address, None)


def _connect(options: AgentOptions) -> grpc.Channel:
    if not options.ca:
        return grpc.insecure_channel(options.agent, options=_RETRIED)
    key = secret(options.key) if options.key else None
    certificate = secret(options.certificate) if options.certificate else None
    name = (("grpc.ssl_target_name_override", options.server_name),) if options.server_name else ()
    credentials = grpc.ssl_channel_credentials(secret(options.ca), key, certificate)
    return grpc.secure_channel(options.agent, credentials, options=(*_RETRIED, *name))
