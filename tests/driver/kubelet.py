"""A kubelet for tests: looks into a plugin registry, registers what is there, and calls it as kubelet does.

Its messages are written and read here byte by byte, from the field numbers of the protocol, so that a wrong number in
our own messages is found.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

Field = tuple[int, Any]
Wire = dict[int, list[Any]]


def encode(*fields: Field) -> bytes:
    """A message of numbers, texts and messages."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(data)) + data
    return bytes(out)


def decode(data: bytes) -> Wire:
    """The fields of a message by number; texts and messages stay bytes."""
    fields: Wire = {}
    at = 0
    while at < len(data):
        tag, at = _read(data, at)
        value, at = _read(data, at)
        if tag & 7 == 2:
            fields.setdefault(tag >> 3, []).append(data[at : at + value])
            at += value
        else:
            fields.setdefault(tag >> 3, []).append(value)
    return fields


def text(message: Wire, number: int) -> str:
    return bytes(message.get(number, [b""])[0]).decode()


class Plugin:
    """A registered driver."""

    def __init__(self, info: Wire) -> None:
        self.name = text(info, 2)
        self.endpoint = text(info, 3)
        self.supported = [one.decode() for one in info.get(4, [])]
        self.kind = text(info, 1)
        self._channel = dial(self.endpoint)

    async def prepare(self, *claims: tuple[str, str], version: str = "v1") -> dict[str, tuple[list[Wire], str]]:
        """Devices and error for each of the claims (uid, name)."""
        answer = await self._call("NodePrepareResources", claims, version)
        return {uid: ([decode(one) for one in claim.get(1, [])], text(claim, 2)) for uid, claim in answer.items()}

    async def unprepare(self, *claims: tuple[str, str], version: str = "v1") -> dict[str, str]:
        """The error for each of the claims (uid, name)."""
        answer = await self._call("NodeUnprepareResources", claims, version)
        return {uid: text(claim, 1) for uid, claim in answer.items()}

    async def watch(self, version: str = "v1") -> AsyncIterator[dict[str, tuple[int, str]]]:
        """Health and message of each device."""
        call = self._channel.unary_stream(f"/{version}.DRAResourceHealth/NodeWatchResources")(b"")
        async for answer in call:
            devices = [decode(one) for one in decode(answer).get(1, [])]
            yield {text(decode(one[1][0]), 2): (one.get(2, [0])[0], text(one, 5)) for one in devices}

    async def check(self) -> int:
        """The status of grpc.health.v1."""
        answer = decode(await self._channel.unary_unary("/grpc.health.v1.Health/Check")(b""))
        return int(answer.get(1, [0])[0])

    async def close(self) -> None:
        await self._channel.close()

    async def _call(self, method: str, claims: tuple[tuple[str, str], ...], version: str) -> dict[str, Wire]:
        call = self._channel.unary_unary(f"/k8s.io.kubelet.pkg.apis.dra.{version}.DRAPlugin/{method}")
        request = encode(*((1, encode((1, "ml"), (2, uid), (3, name))) for uid, name in claims))
        entries = [decode(one) for one in decode(await call(request, timeout=30)).get(1, [])]
        return {text(entry, 1): decode(entry.get(2, [b""])[0]) for entry in entries}


async def register(registry: Path, tell: str = "") -> list[Plugin]:
    """Every driver of the registry, told that it was taken, or that it was not and why."""
    found = []
    for path in sorted(registry.glob("*.sock")):
        async with dial(str(path)) as channel:
            info = await channel.unary_unary("/pluginregistration.Registration/GetInfo")(b"", timeout=10)
            found.append(Plugin(decode(info)))
            status = encode((2, tell)) if tell else encode((1, 1))
            await channel.unary_unary("/pluginregistration.Registration/NotifyRegistrationStatus")(status, timeout=10)
    return found


def dial(path: str) -> grpc.aio.Channel:
    """As grpc-go dials a Unix socket: it names the host localhost."""
    return grpc.aio.insecure_channel(f"unix:{path}", options=[("grpc.default_authority", "localhost")])


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 127
        out.append(low | (128 if value else 0))
        if not value:
            return bytes(out)


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
