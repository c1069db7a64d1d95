"""A kubelet for tests: that of the conformance kit, whose messages are made byte by byte, with answers in short.

So that a wrong number in our own messages is found, devices are given as they are on the wire.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from fairlead.conformance.kubelet import Info, ask, dial, notify
from fairlead.conformance.wire import Wire, decode, encode, text

__all__ = ["Plugin", "Wire", "dial", "register", "text"]


class Plugin:
    """A registered driver."""

    def __init__(self, info: Info) -> None:
        self.name = info.name
        self.endpoint = info.endpoint
        self.supported = list(info.versions)
        self.kind = info.kind
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
        found.append(Plugin(await ask(path)))
        await notify(path, tell)
    return found
