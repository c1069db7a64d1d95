"""An API server's answers for tests of what stands above it; the real one is in tests/cluster."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fairlead.driver.api import ApiError
from fairlead.resource import ResourceClaim, to_builtins


class Answers:
    """Serves claims, takes device statuses; can be told to fail."""

    def __init__(self) -> None:
        self.claims: dict[str, ResourceClaim] = {}
        self.statuses: dict[str, Any] = {}
        self.failing: list[ApiError] = []

    def add(self, claim: ResourceClaim) -> None:
        self.claims[claim.name] = claim

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, media: str = ""
    ) -> bytes:
        if self.failing:
            raise self.failing.pop(0)
        if path.endswith("/resourceslices"):
            return b'{"metadata": {}, "items": []}'
        name = path.split("/resourceclaims/")[1].removesuffix("/status")
        if name not in self.claims:
            raise ApiError(404, f'resourceclaims.resource.k8s.io "{name}" not found')
        if method == "PATCH":
            assert body is not None
            assert media == "application/apply-patch+yaml"
            self.statuses[name] = json.loads(body)["status"]["devices"]
        return json.dumps(to_builtins(self.claims[name])).encode()

    async def stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        raise ApiError(501, "nothing is streamed here")
        yield b""
