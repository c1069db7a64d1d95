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
JSON_PATCH: Final = "application/json-patch+json"
_SPACES: Final = (
    "the claim's configuration is stored with spaces in its JSON, which the API server takes for a change: make the "
    "claim by kubectl, or by a client that writes JSON without spaces"
)
_ATTEMPTS: Final = 4
"""Writes of one status that others get between."""


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
    driver's name.

    Free-form JSON elsewhere in the status (parameters of the allocation's configuration, another driver's `data`) is
    compared byte by byte, and an apply writes it with sorted keys: where it is stored otherwise, the server takes that
    for a change of the allocation and refuses with 422 (seen in 1.37.2). Then a JSON patch is made of what the claim
    has now, which leaves the order as it is. Spaces in it are lost by every patch and update in JSON, so where a client
    made the claim with spaces in its parameters (Python's json.dumps), nothing can be written.

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
    claim = f"{RESOURCE}/namespaces/{namespace}/resourceclaims/{name}"
    query = {"fieldManager": manager or driver, "force": "true"}
    try:
        await api.request("PATCH", f"{claim}/status", query, msgspec.json.encode(body, enc_hook=encode_hook), APPLY)
    except ApiError as error:
        if error.status != 422:
            raise
        await _patch_device_status(api, claim, uid, devices, query["fieldManager"], error)


async def _patch_device_status(
    api: Api, path: str, uid: str, devices: Sequence[Mapping[str, Any]], manager: str, refused: ApiError
) -> None:
    """The same by a JSON patch of the claim as it is; `refused` where that would be refused as well."""
    for attempt in range(_ATTEMPTS):
        claim = msgspec.json.decode(await api.request("GET", path, {}))
        status = claim.get("status") or {}
        if claim["metadata"]["uid"] != uid or not status.get("allocation"):
            raise refused
        operations = [{"op": "replace", "path": "/metadata/resourceVersion", "value": _version_of(claim)}]
        operations += device_operations(status.get("devices"), devices)
        body = msgspec.json.encode(operations, enc_hook=encode_hook)
        try:
            await api.request("PATCH", f"{path}/status", {"fieldManager": manager}, body, JSON_PATCH)
            return
        except ApiError as error:
            if error.status == 422 and "status.allocation" in str(error):
                raise ApiError(422, f"{error}; {_SPACES}") from None
            if error.status != 409 or attempt == _ATTEMPTS - 1:  # 409: it was changed since we read it
                raise


def device_operations(
    there: Sequence[Mapping[str, Any]] | None, devices: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The operations of a JSON patch that put entries into `status.devices`: fields that are given replace those of an
    entry that is there, conditions by their type; nothing else is touched.

    Args:
        there: the list as it is; None where there is none.
        devices: entries to be written.
    """
    if there is None:
        return [{"op": "add", "path": "/status/devices", "value": list(devices)}]
    places = {_device_key(one): index for index, one in enumerate(there)}
    operations: list[dict[str, Any]] = []
    for device in devices:
        index = places.get(_device_key(device))
        if index is None:
            operations.append({"op": "add", "path": "/status/devices/-", "value": dict(device)})
            continue
        for name in ("data", "networkData"):
            if name in device:
                operations.append({"op": "add", "path": f"/status/devices/{index}/{name}", "value": device[name]})
        if given := {one["type"]: one for one in device.get("conditions") or ()}:
            known = {one["type"]: one for one in there[index].get("conditions") or ()}
            value = list((known | given).values())
            operations.append({"op": "add", "path": f"/status/devices/{index}/conditions", "value": value})
    return operations


def _device_key(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return entry["driver"], entry["pool"], entry["device"], entry.get("shareID") or ""


def _version_of(claim: Mapping[str, Any]) -> str:
    return str(claim["metadata"]["resourceVersion"])


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
