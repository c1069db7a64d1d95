"""The agent's gRPC service: messages to values and back, errors to statuses, and who may call.

Who may call: over TLS whoever has a certificate of the given authority (mutual TLS) for one of the given names, and
knows the token where there is one. A Unix socket is guarded by its mode (0600) besides. Certificates and token are read
again when they change, so that they can be renewed without an end of the agent.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Tls:
    """How the agent and those who call it prove who they are."""

    certificate: Path
    key: Path
    authority: Path
    """Of the certificates of those who call."""
    callers: Collection[str]
    """Names of those who may call, common or alternative; `*` for all of the authority."""


class _Service:
    def __init__(
        self, core: AgentCore, report: Callable[[], Report], token: Path | None, callers: Collection[str] | None
    ) -> None:
        self._core = core
        self._report = report
        self._token = token
        self._callers = callers

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
        self._admit(context)
        try:
            return method(message)
        except HardwareError as error:
            context.abort(_STATUS.get(error.code, grpc.StatusCode.INTERNAL), str(error))
        except StateError as error:
            context.abort(grpc.StatusCode.INTERNAL, str(error))
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def _admit(self, context: grpc.ServicerContext) -> None:
        """Ends the call of somebody who may not."""
        if self._callers is not None and "*" not in self._callers:
            names = _names(context)
            if not names.intersection(self._callers):
                who = ", ".join(sorted(names)) or "nobody"
                context.abort(grpc.StatusCode.PERMISSION_DENIED, f"the certificate is of {who}, who may not call")
        if self._token is not None:
            try:
                token = self._token.read_bytes().strip()
            except OSError as error:
                context.abort(grpc.StatusCode.UNAVAILABLE, f"{self._token}: {error.strerror}")
            given = next((value for key, value in context.invocation_metadata() if key == TOKEN_KEY), "")
            if not token or not hmac.compare_digest(str(given).encode(), b"Bearer " + token):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not that of this agent")


def _names(context: grpc.ServicerContext) -> set[str]:
    """Whom the caller's certificate is for."""
    known: Any = context.auth_context()
    return {
        name.decode(errors="replace")
        for key in ("x509_common_name", "x509_subject_alternative_name")
        for name in known.get(key, ())
    }


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    """With what the files hold at each connection; OSError where they cannot be read now."""

    def read() -> tuple[bytes, bytes, bytes]:
        certificate, key, authority = (one.read_bytes() for one in (tls.certificate, tls.key, tls.authority))
        return key, certificate, authority

    def configuration(files: tuple[bytes, bytes, bytes]) -> grpc.ServerCertificateConfiguration:
        key, certificate, authority = files
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authority)

    used = [read()]

    def renewed() -> Any:
        """None for no change."""
        try:
            now = read()
        except OSError:
            return None  # half-way replaced: what there was goes on
        if now == used[0]:
            return None
        used[0] = now
        return configuration(now)

    return grpc.dynamic_ssl_server_credentials(configuration(used[0]), renewed, require_client_authentication=True)


def start(
    listen: str,
    core: AgentCore,
    report: Callable[[], Report],
    token: Path | None = None,
    tls: Tls | None = None,
) -> grpc.Server:
    """A server that answers.

    Args:
        listen: unix:PATH or HOST:PORT.
        core: what is done.
        report: what is told.
        token: the file with the token that callers must give; None for none.
        tls: who proves what by which certificate; None for no TLS.

    Raises:
        ListenError: it cannot listen there, or not so.
        OSError: a file of the certificate cannot be read.
    """
    if tls is None and not is_local(listen):
        raise ListenError(f"{listen}: leaves this machine: give --tls-cert, --tls-key and --tls-ca")
    if tls is None and token is None and not listen.startswith("unix:"):
        raise ListenError(f"{listen}: every program of this machine can reach it: give --token-file, or use unix:PATH")
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((_Service(core, report, token, None if tls is None else tls.callers).handlers(),))
    path = Path(listen.removeprefix("unix:")) if listen.startswith("unix:") else None
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.unlink(missing_ok=True)  # of an agent that was killed
        if tls is not None:
            server.add_secure_port(listen, _credentials(tls))
        elif path is None:
            server.add_insecure_port(listen)
        else:
            before = os.umask(0o177)  # there must be no moment at which others could connect
            try:
                server.add_insecure_port(listen)
            finally:
                os.umask(before)
        server.start()
    except RuntimeError as error:
        raise ListenError(f"{listen}: cannot be listened on: {error}") from None
    return server
