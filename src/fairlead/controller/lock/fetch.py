"""What a cluster publishes and what its claims hold, once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import aiohttp

from fairlead.controller.client import Client
from fairlead.kubernetes import Access
from fairlead.resource import ResourceClaim, ResourceSlice


def fetch(access: Access) -> tuple[Sequence[ResourceSlice], Sequence[ResourceClaim]]:
    """Slices and claims of all namespaces.

    Raises:
        ServerError: the API server refuses.
        OSError: it cannot be reached.
        AccessError: the credentials cannot be used.
    """
    return asyncio.run(_fetch(access))


async def _fetch(access: Access) -> tuple[Sequence[ResourceSlice], Sequence[ResourceClaim]]:
    try:
        async with Client(access, lambda event, **fields: None) as client:
            slices, claims = await client.list("ResourceSlice"), await client.list("ResourceClaim")
    except aiohttp.ClientError as error:
        raise ConnectionError(f"{access.server}: {error or type(error).__name__}") from None
    except TimeoutError:
        raise ConnectionError(f"{access.server}: no answer") from None
    return cast("Sequence[ResourceSlice]", slices.objects), cast("Sequence[ResourceClaim]", claims.objects)
