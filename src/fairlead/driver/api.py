"""What the kit asks of the API server, whoever carries it there.

`Api` is the whole of what a transport must do: one request, and one stream of lines. Paths, bodies and meanings are
here, so that a transport knows nothing of Kubernetes but how to reach it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from fairlead.resource import ResourceClaim, ResourceSlice, decode_hook, encode_hook, to_builtins

RESOURCE: Final = "/apis/resource.k8s.io/v1"
APPLY: Final = "application/apply-patch+yaml"
JSON: Final = "application/json"


class ApiError(Exception):
    """The API server answered with an error, or none came."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        """Args:
        status: of HTTP; 0 where no answer came, so that what was asked may have been done.
        message: what the server said.
        retry_after: seconds that it asks us to wait.
        """
        super().__init__(f"{status} {message}" if status else message)
        self.status = status
        self.retry_after = retry_after


class Api(Protocol):
    """A way to one API server."""

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, media: str = JSON
    ) -> bytes:
        """The body of the answer.

        Raises:
            ApiError: it is an error, or none came.
        """

    def stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The lines of the answer, as they come, until the server ends it.

        Raises:
            ApiError: it is an error, or it broke off.
        """


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Slices(msgspec.Struct):
    metadata: _ListMeta
    items: list[ResourceSlice]


class _NodeMeta(msgspec.Struct):
    uid: str


class _Node(msgspec.Struct):
    metadata: _NodeMeta


_claim: Final = msgspec.json.Decoder(ResourceClaim, dec_hook=decode_hook)
_slice: Final = msgspec.json.Decoder(ResourceSlice, dec_hook=decode_hook)
_slices: Final = msgspec.json.Decoder(_Slices, dec_hook=decode_hook)
_node: Final = msgspec.json.Decoder(_Node)


async def get_claim(api: Api, namespace: str, name: str) -> ResourceClaim:
    """A claim as it is now.

    Raises:
        ApiError: it is not to be had.
    """
    return _claim.decode(await api.request("GET", f"{RESOURCE}/namespaces/{namespace}/resourceclaims/{name}", {}))


async def apply_device_status(
    api: Api,
    driver: str,
    namespace: str,
    name: str,
    uid: str,
    devices: Sequence[Mapping[str, Any]],
    manager: str = "",
) -> None:
    """Writes what the driver says of its devices in a claim's status; entries of other drivers stay.

    Server-side apply: the list is a map by driver, pool, device and share, and each driver owns its entries. Needs
    `patch` on `resourceclaims/status`, and since 1.36 `associated-node:patch` on `resourceclaims/driver` for the
    driver's name. An entry of another driver whose `data` is stored otherwise than the server writes JSON (with spaces,
    by an update) counts as changed by any patch: the server then refuses ours with 422 (seen in 1.37.2).

    Args:
        api: the way to the API server.
        driver: whose devices.
        namespace: of the claim.
        name: of the claim.
        uid: of the claim; another one of that name is not written to.
        devices: entries of `status.devices`.
        manager: of the fields that are written; the driver, where it is empty.

    Raises:
        ApiError: it was not written.
    """
    body = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": namespace, "uid": uid},
        "status": {"devices": list(devices)},
    }
    path = f"{RESOURCE}/namespaces/{namespace}/resourceclaims/{name}/status"
    query = {"fieldManager": manager or driver, "force": "true"}
    await api.request("PATCH", path, query, msgspec.json.encode(body, enc_hook=encode_hook), APPLY)


async def get_node_uid(api: Api, node: str) -> str:
    """The UID of a node.

    Raises:
        ApiError: it is not to be had.
    """
    return _node.decode(await api.request("GET", f"/api/v1/nodes/{node}", {})).metadata.uid


def own_slices(driver: str, node: str) -> dict[str, str]:
    """The query for a driver's slices on a node, or for those that name none."""
    return {"fieldSelector": f"spec.driver={driver},spec.nodeName={node}"}


async def list_slices(api: Api, driver: str, node: str) -> tuple[list[ResourceSlice], str]:
    """The driver's slices on a node, and the version to watch from.

    Raises:
        ApiError: they are not to be had.
    """
    answer = _slices.decode(await api.request("GET", f"{RESOURCE}/resourceslices", own_slices(driver, node)))
    return answer.items, answer.metadata.resource_version


async def create_slice(api: Api, item: ResourceSlice) -> ResourceSlice:
    """The slice as the server stored it.

    Raises:
        ApiError: it was not created.
    """
    return _slice.decode(await api.request("POST", f"{RESOURCE}/resourceslices", {}, _encode(item)))


async def update_slice(api: Api, item: ResourceSlice) -> ResourceSlice:
    """The slice as the server stored it; only the version in its metadata is replaced.

    Raises:
        ApiError: it was not updated.
    """
    return _slice.decode(await api.request("PUT", f"{RESOURCE}/resourceslices/{item.name}", {}, _encode(item)))


async def delete_slice(api: Api, item: ResourceSlice) -> None:
    """Removes exactly this slice; nothing happens where it has gone.

    Raises:
        ApiError: it was not removed.
    """
    body = msgspec.json.encode({"preconditions": {"uid": item.metadata.uid}})
    try:
        await api.request("DELETE", f"{RESOURCE}/resourceslices/{item.name}", {}, body)
    except ApiError as error:
        if error.status != 404:
            raise


def _encode(item: ResourceSlice) -> bytes:
    return msgspec.json.encode(to_builtins(item))
