"""The agent's gRPC service: messages to values and back, errors to statuses, and who may call.

Who may call: whoever has a certificate of the given authority (mutual TLS), and knows the token where there is one. A
Unix socket is guarded by its mode (0600) besides.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc

from fairlead.drivers.bluefield import agent_pb2 as pb
from fairlead.drivers.bluefield.agent.core import AgentCore
from fairlead.drivers.bluefield.agent.state import StateError
from fairlead.drivers.bluefield.agents import Report
from fairlead.drivers.bluefield.messages import SERVICE, TOKEN_KEY, granted_messages, report_message, wanted_of
from fairlead.drivers.bluefield.options import is_local
from fairlead.drivers.bluefield.side import REFUSED
from fairlead.hardware import HardwareError

_STATUS: Final = {REFUSED: grpc.StatusCode.FAILED_PRECONDITION}


class ListenError(Exception):
    """The agent cannot listen as it was told to; the text says why."""


class _Service:
    def __init__(self, core: AgentCore, report: Callable[[], Report], token: bytes) -> None:
        self._core = core
        self._report = report
        self._token = token

    def handlers(self) -> grpc.GenericRpcHandler:
        def unary(method: Any, request: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(
                lambda message, context: self._guarded(method, message, context),
                request_deserializer=request.FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )

        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Report": unary(self._tell, pb.ReportRequest),
                "Apply": unary(self._apply, pb.ApplyRequest),
                "Release": unary(self._release, pb.ReleaseRequest),
            },
        )

    def _tell(self, request: pb.ReportRequest) -> pb.ReportReply:
        return report_message(self._report())

    def _apply(self, request: pb.ApplyRequest) -> pb.ApplyReply:
        if not request.uid:
            raise HardwareError("uid: must be given", REFUSED)
        wanted = wanted_of(request.wanted)
        granted = self._core.apply(request.uid, request.name, wanted, dict(request.services), request.dry_run)
        return pb.ApplyReply(granted=granted_messages(granted))

    def _release(self, request: pb.ReleaseRequest) -> pb.ReleaseReply:
        self._core.release(request.uid)
        return pb.ReleaseReply()

    def _guarded(self, method: Any, message: Any, context: grpc.ServicerContext) -> Any:
        if self._token:
            given = next((value for key, value in context.invocation_metadata() if key == TOKEN_KEY), "")
            if not hmac.compare_digest(str(given).encode(), b"Bearer " + self._token):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not that of this agent")
        try:
            return method(message)
        except HardwareError as error:
            context.abort(_STATUS.get(error.code, grpc.StatusCode.INTERNAL), str(error))
        except StateError as error:
            context.abort(grpc.StatusCode.INTERNAL, str(error))
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


def start(
    listen: str,
    core: AgentCore,
    report: Callable[[], Report],
    token: bytes = b"",
    tls: tuple[Path, Path, Path] | None = None,
) -> grpc.Server:
    """A server that answers.

    Args:
        listen: unix:PATH or HOST:PORT.
        core: what is done.
        report: what is told.
        token: that callers must give; empty for none.
        tls: certificate, key, and the authority of the callers' certificates; None for no TLS.

    Raises:
        ListenError: it cannot listen there, or not so.
        OSError: a file of the certificate cannot be read.
    """
    if tls is None and not is_local(listen):
        raise ListenError(f"{listen}: leaves this machine: give --tls-cert, --tls-key and --tls-ca")
    if tls is None and not token and not listen.startswith("unix:"):
        raise ListenError(f"{listen}: every program of this machine can reach it: give --token-file, or use unix:PATH")
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((_Service(core, report, token).handlers(),))
    path = Path(listen.removeprefix("unix:")) if listen.startswith("unix:") else None
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.unlink(missing_ok=True)  # of an agent that was killed
        if tls is None:
            server.add_insecure_port(listen)
        else:
            certificate, key, authority = (one.read_bytes() for one in tls)
            server.add_secure_port(
                listen, grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
            )
        server.start()
        if path is not None:
            path.chmod(0o600)
    except RuntimeError as error:
        raise ListenError(f"{listen}: cannot be listened on: {error}") from None
    return server
