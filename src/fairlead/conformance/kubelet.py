"""A kubelet that is not there: looks into a plugin registry, registers what is there, and calls it as kubelet does.

Source: kubelet's plugin manager and DRA manager (1.37), and its protocol buffers.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc.aio

from fairlead.conformance.wire import Wire, WireError, decode, encode, inner, number, text

PREPARING: Final[tuple[str, ...]] = ("v1.DRAPlugin", "v1beta1.DRAPlugin")
HEALTH: Final[tuple[str, ...]] = ("v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth")
PREPARE_SECONDS: Final = 45.0
"""How long kubelet waits for a prepare or an unprepare."""
_REGISTRATION: Final = "/pluginregistration.Registration"


class CallError(Exception):
    """A call failed as a whole; the text has gRPC's code and what the driver said."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """A claim as kubelet names it."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """One device of an answer."""

    requests: tuple[str, ...]
    pool: str
    device: str
    cdi_ids: tuple[str, ...]
    share_id: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a driver said of one claim."""

    devices: tuple[Prepared, ...]
    error: str


@dataclass(frozen=True, slots=True)
class Health:
    """The health of one device as a driver tells it; times in seconds."""

    pool: str
    device: str
    health: int
    updated: int
    timeout: int
    message: str


@dataclass(frozen=True, slots=True)
class Info:
    """What a driver says of itself."""

    socket: Path
    kind: str
    name: str
    endpoint: str
    versions: tuple[str, ...]


class Plugin:
    """A driver's own socket."""

    def __init__(self, info: Info) -> None:
        self.info: Final = info
        self._channel = dial(info.endpoint)

    @property
    def version(self) -> str:
        """The newest service that both sides know, as kubelet chooses; v1 where there is none."""
        return next((one for one in PREPARING if one in self.info.versions), PREPARING[0])

    async def prepare(
        self, claims: Sequence[ClaimRef], version: str = "", seconds: float = PREPARE_SECONDS
    ) -> dict[str, Answer]:
        """Devices and error for each UID that the driver answered for.

        Raises:
            CallError: the call failed as a whole.
        """
        answers = await self._call("NodePrepareResources", claims, version, seconds)
        return {uid: Answer(tuple(map(_prepared, inner(one, 1))), text(one, 2)) for uid, one in answers.items()}

    async def unprepare(
        self, claims: Sequence[ClaimRef], version: str = "", seconds: float = PREPARE_SECONDS
    ) -> dict[str, str]:
        """The error for each UID that the driver answered for; empty where there was none.

        Raises:
            CallError: the call failed as a whole.
        """
        answers = await self._call("NodeUnprepareResources", claims, version, seconds)
        return {uid: text(one, 1) for uid, one in answers.items()}

    async def watch(self, version: str) -> AsyncGenerator[list[Health], None]:
        """What the driver tells of its devices, list after list.

        Raises:
            CallError: the stream failed.
        """
        method: Any = self._channel.unary_stream(f"/{version}/NodeWatchResources")
        call = method(b"", wait_for_ready=True)
        try:
            async for answer in call:
                yield [_health(one) for one in inner(decode(answer), 1)]
        except grpc.aio.AioRpcError as error:
            raise _told(error) from None
        finally:
            call.cancel()

    async def check(self) -> int:
        """The status of grpc.health.v1; 1 for serving.

        Raises:
            CallError: the call failed.
        """
        return number(decode(await _unary(self._channel, "/grpc.health.v1.Health/Check", b"", 10)), 1)

    async def close(self) -> None:
        """Hangs up."""
        await self._channel.close()

    async def _call(self, method: str, claims: Sequence[ClaimRef], version: str, seconds: float) -> dict[str, Wire]:
        path = f"/k8s.io.kubelet.pkg.apis.dra.{version or self.version}/{method}"
        request = encode(*((1, encode((1, one.namespace), (2, one.uid), (3, one.name))) for one in claims))
        try:
            answer = decode(await _unary(self._channel, path, request, seconds))
            return {text(entry, 1): (inner(entry, 2) or [{}])[0] for entry in inner(answer, 1)}
        except WireError as error:
            raise CallError("INTERNAL", f"the answer cannot be read: {error}") from None


async def ask(socket: Path, seconds: float = 10.0) -> Info:
    """What is behind a registration socket.

    Raises:
        CallError: nothing that answers.
    """
    async with dial(str(socket)) as channel:
        try:
            info = decode(await _unary(channel, f"{_REGISTRATION}/GetInfo", b"", seconds))
            versions = tuple(one.decode(errors="replace") for one in info.get(4, []))
            return Info(socket, text(info, 1), text(info, 2), text(info, 3), versions)
        except (WireError, AttributeError) as error:
            raise CallError("INTERNAL", f"the answer cannot be read: {error}") from None


async def notify(socket: Path, error: str = "", seconds: float = 10.0) -> None:
    """Tells a driver that it was registered, or that it was not and why.

    Raises:
        CallError: it does not take that.
    """
    status = encode((2, error)) if error else encode((1, 1))
    async with dial(str(socket)) as channel:
        await _unary(channel, f"{_REGISTRATION}/NotifyRegistrationStatus", status, seconds)


async def register(registry: Path, tell: str = "") -> list[Plugin]:
    """Every driver of a registry, told that it was taken, or that it was not and why.

    Raises:
        CallError: one does not answer.
    """
    found = []
    for path in sockets(registry):
        info = await ask(path)
        found.append(Plugin(info))
        await notify(path, tell)
    return found


def sockets(registry: Path) -> list[Path]:
    """The sockets that kubelet would see: in any folder below, unless the name begins with a dot."""
    if not registry.is_dir():
        return []
    return sorted(path for path in registry.rglob("*") if not path.name.startswith(".") and _is_socket(path))


def dial(path: str) -> grpc.aio.Channel:
    """As grpc-go dials a Unix socket: it names the host localhost. Each channel has connections of its own."""
    options = [("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(f"unix:{path}", options=options)


async def _unary(channel: grpc.aio.Channel, path: str, request: bytes, seconds: float) -> bytes:
    try:
        method: Any = channel.unary_unary(path)
        answer: bytes = await method(request, timeout=seconds)
        return answer
    except grpc.aio.AioRpcError as error:
        raise _told(error) from None
    except asyncio.CancelledError:
        raise
    except grpc.RpcError as error:
        raise CallError("UNKNOWN", str(error)) from None


def _told(error: grpc.aio.AioRpcError) -> CallError:
    return CallError(error.code().name, error.details() or "")


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _prepared(one: Wire) -> Prepared:
    requests: list[Any] = one.get(1, [])
    ids: list[Any] = one.get(4, [])
    return Prepared(
        tuple(bytes(value).decode(errors="replace") for value in requests),
        text(one, 2),
        text(one, 3),
        tuple(bytes(value).decode(errors="replace") for value in ids),
        text(one, 5) if 5 in one else None,
    )


def _health(one: Wire) -> Health:
    device = (inner(one, 1) or [{}])[0]
    return Health(text(device, 1), text(device, 2), number(one, 2), number(one, 3), number(one, 4), text(one, 5))
