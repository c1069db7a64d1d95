"""The API server that is not there answers as the real one does, as far as drivers look."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from fairlead.conformance.apiserver import CLAIMS, NODES, SLICES, ApiServer, Fault, Store
from fairlead.conformance.apiserver.patches import PatchError, apply, json_patch, merge, strategic_merge
from fairlead.conformance.apiserver.protobuf import ProtobufError, read
from fairlead.conformance.wire import encode

PATH = "/apis/resource.k8s.io/v1/resourceslices"


def new(name: str, driver: str = "a.example.com", **more: Any) -> dict[str, Any]:
    """A slice."""
    pool = {"name": "node-1", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": driver, "nodeName": "node-1", "pool": pool, "devices": [{"name": "d"}], **more}
    return {"metadata": {"name": name}, "spec": spec}


class Client:
    """What a client sees."""

    def __init__(self, session: aiohttp.ClientSession, server: ApiServer) -> None:
        self.session = session
        self.server = server
        self.store = server.store

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and object."""
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json", **headers}
        async with self.session.request(method, self.server.address + path, data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    @asynccontextmanager
    async def watch(self, query: str) -> AsyncIterator[Callable[[], Awaitable[tuple[str, Any]]]]:
        """The events of a watch, one at a call."""
        async with self.session.get(f"{self.server.address}{PATH}?watch=1&{query}") as answer:

            async def event() -> tuple[str, Any]:
                async with asyncio.timeout(10):
                    line = json.loads(await answer.content.readline())
                return line["type"], line["object"]

            yield event


def story(tell: Callable[[Client], Awaitable[None]]) -> None:
    """Runs a story on a new server."""

    async def run() -> None:
        async with ApiServer(Store()) as server, aiohttp.ClientSession() as session:
            await tell(Client(session, server))

    asyncio.run(run())


def test_objects_are_created_changed_and_deleted() -> None:
    async def tell(client: Client) -> None:
        status, made = await client.ask("POST", PATH, new("s"))
        assert status == 201
        assert (made["kind"], made["apiVersion"]) == ("ResourceSlice", "resource.k8s.io/v1")
        assert made["metadata"]["uid"]
        assert (await client.ask("POST", PATH, new("s")))[0] == 409
        made["spec"]["pool"]["generation"] = 2
        status, changed = await client.ask("PUT", f"{PATH}/s", made)
        assert status == 200
        assert changed["metadata"]["generation"] == 2
        status, conflict = await client.ask("PUT", f"{PATH}/s", made)
        assert (status, conflict["reason"]) == (409, "Conflict")
        changed["spec"]["driver"] = "b.example.com"
        status, invalid = await client.ask("PUT", f"{PATH}/s", changed)
        assert (status, "spec.driver: Invalid value: field is immutable" in invalid["message"]) == (422, True)
        status, _ = await client.ask("DELETE", f"{PATH}/s", {"preconditions": {"uid": "another"}})
        assert status == 409
        assert (await client.ask("DELETE", f"{PATH}/s"))[0] == 200
        status, missing = await client.ask("GET", f"{PATH}/s")
        assert (status, missing["details"]["name"]) == (404, "s")
        assert (await client.ask("GET", "/apis/resource.k8s.io/v1beta1/resourceslices"))[0] == 404

    story(tell)


def test_what_the_real_server_refuses_is_refused() -> None:
    async def tell(client: Client) -> None:
        long = {"name": "d", "attributes": {"model": {"string": "x" * 65}}}
        status, said = await client.ask("POST", PATH, new("s", devices=[long]))
        assert (status, said["reason"]) == (422, "Invalid")
        assert "spec.devices[0].attributes[model].string: Too long" in said["message"]
        many = [{"name": f"d{number}"} for number in range(129)]
        assert (await client.ask("POST", PATH, new("s", devices=many)))[0] == 422
        assert (await client.ask("GET", PATH, Accept="application/vnd.kubernetes.protobuf"))[0] == 406
        assert (await client.ask("POST", PATH, new("s"), Content_Type="application/cbor"))[0] == 415
        assert (await client.ask("GET", f"{PATH}?fieldSelector=spec.pool.name%3Dx"))[0] == 400

    story(tell)


def test_lists_are_selected_and_taints_get_their_time() -> None:
    async def tell(client: Client) -> None:
        taint = {"key": "a.example.com/bad", "effect": "NoSchedule"}
        await client.ask("POST", PATH, new("s", devices=[{"name": "d", "taints": [taint]}]))
        await client.ask("POST", PATH, new("t", "b.example.com"))
        query = "fieldSelector=spec.driver%3Da.example.com,spec.nodeName%3Dnode-1"
        _, found = await client.ask("GET", f"{PATH}?{query}")
        assert [one["metadata"]["name"] for one in found["items"]] == ["s"]
        assert found["items"][0]["spec"]["devices"][0]["taints"][0]["timeAdded"]
        await client.ask("DELETE", f"{PATH}?{query}")
        assert [one["metadata"]["name"] for one in client.store.list(SLICES)] == ["t"]

    story(tell)


def test_a_watch_begins_with_what_is_there_and_ends_when_its_version_is_too_old() -> None:
    async def tell(client: Client) -> None:
        client.store.create(SLICES, "", new("s"))
        query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        async with client.watch(f"{query}&fieldSelector=spec.driver%3Da.example.com") as event:
            assert (await event())[0] == "ADDED"
            verb, mark = await event()
            assert verb == "BOOKMARK"
            assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
            client.store.create(SLICES, "", new("t", "b.example.com"))  # not selected
            item = client.store.get(SLICES, "", "s")
            client.store.update(SLICES, "", "s", {**item, "spec": {**item["spec"], "devices": []}}, "")
            assert (await event())[0] == "MODIFIED"
            client.store.delete(SLICES, "", "s", {})
            assert (await event())[0] == "DELETED"
            client.store.expire()
            verb, gone = await event()
            assert (verb, gone["code"]) == ("ERROR", 410)
        async with client.watch("resourceVersion=1") as event:
            assert (await event())[1]["code"] == 410

    story(tell)


def test_status_is_a_part_of_its_own_and_apply_keeps_what_others_own() -> None:
    async def tell(client: Client) -> None:
        path = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims"
        exactly = {"deviceClassName": "c"}
        results = [{"request": "r", "driver": f"{one}.example.com", "pool": "p", "device": "d"} for one in "ab"]
        item = {
            "metadata": {"name": "c"},
            "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}},
            "status": {"allocation": {"devices": {"results": results}}},
        }
        client.store.create(CLAIMS, "ml", item)

        async def told(driver: str, *devices: dict[str, Any]) -> Any:
            body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "status": {"devices": devices}}
            query = f"fieldManager={driver}&force=true"
            media = "application/apply-patch+yaml"
            return await client.ask("PATCH", f"{path}/c/status?{query}", body, Content_Type=media)

        one, other = ({"driver": f"{name}.example.com", "pool": "p", "device": "d"} for name in "ab")
        assert (await told("a", {**one, "data": {"x": 1}}))[0] == 200
        _, both = await told("b", other)
        assert both["status"]["devices"] == [{**one, "data": {"x": 1}}, other]
        _, less = await told("a", one)
        assert less["status"]["devices"] == [one, other]
        assert less["status"]["allocation"]["devices"]["results"] == results
        _, none = await told("a")
        assert none["status"]["devices"] == [other]
        status, said = await told("a", {**one, "device": "another"})
        assert (status, "must be an allocated device in the claim" in said["message"]) == (422, True)

    story(tell)


def test_faults_come_as_often_as_asked_and_are_written_down() -> None:
    async def tell(client: Client) -> None:
        client.store.create(NODES, "", {"metadata": {"name": "n"}})
        client.server.faults.append(Fault(lambda call: call.resource == "nodes", 429, 1, retry_after=3))
        status, said = await client.ask("GET", "/api/v1/nodes/n")
        assert (status, said["details"]["retryAfterSeconds"]) == (429, 3)
        assert (await client.ask("GET", "/api/v1/nodes/n"))[0] == 200
        assert [(one.status, one.injected) for one in client.server.calls] == [(429, True), (200, False)]

    story(tell)


def test_discovery_names_what_is_served() -> None:
    async def tell(client: Client) -> None:
        _, groups = await client.ask("GET", "/apis")
        assert "resource.k8s.io" in [one["name"] for one in groups["groups"]]
        _, found = await client.ask("GET", "/apis/resource.k8s.io/v1")
        assert "resourceclaims/status" in [one["name"] for one in found["resources"]]
        assert (await client.ask("GET", "/version"))[1]["minor"] == "37"

    story(tell)


def test_what_client_go_writes_is_read() -> None:
    """Field numbers of k8s.io/api resource/v1: a slice with a device, an attribute, a capacity and a counter."""
    attribute = encode((1, "index"), (2, encode((2, 3))))
    capacity = encode((1, "memory"), (2, encode((1, encode((1, "80Gi"))))))
    device = encode((1, "gpu-0"), (2, attribute), (3, capacity))
    pool = encode((1, "node-1"), (2, 4), (3, 1))
    meta = encode((1, "s"), (2, ""), (5, ""), (8, b""))
    spec = encode((1, "a.example.com"), (2, pool), (3, "node-1"), (6, device))
    raw = encode((1, meta), (2, spec))
    body = b"k8s\x00" + encode((1, encode((1, "resource.k8s.io/v1"), (2, "ResourceSlice"))), (2, raw), (4, ""))
    assert read(body) == {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": "s"},
        "spec": {
            "driver": "a.example.com",
            "pool": {"name": "node-1", "generation": 4, "resourceSliceCount": 1},
            "nodeName": "node-1",
            "devices": [
                {
                    "name": "gpu-0",
                    "attributes": {"index": {"int": 3}},
                    "capacity": {"memory": {"value": "80Gi"}},
                }
            ],
        },
    }
    with pytest.raises(ProtobufError, match="magic"):
        read(b"{}")
    with pytest.raises(ProtobufError, match="cut off"):
        read(body[:-5])

    async def tell(client: Client) -> None:
        status, made = await client.ask("POST", PATH, body, Content_Type="application/vnd.kubernetes.protobuf")
        assert (status, made["spec"]["devices"][0]["name"]) == (201, "gpu-0")

    story(tell)


@pytest.mark.parametrize(
    ("patch", "made"),
    [
        ([{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3]}),
        ([{"op": "remove", "path": "/a/0"}, {"op": "add", "path": "/b~1c", "value": {}}], {"a": [2], "b/c": {}}),
        ([{"op": "test", "path": "/a/0", "value": 1}, {"op": "replace", "path": "/a", "value": 0}], {"a": 0}),
        ([{"op": "move", "from": "/a", "path": "/b"}], {"b": [1, 2]}),
    ],
)
def test_json_patches(patch: list[Any], made: dict[str, Any]) -> None:
    assert json_patch({"a": [1, 2]}, patch) == made


def test_a_json_patch_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PatchError, match="failed"):
        json_patch({"a": 1}, [{"op": "test", "path": "/a", "value": 2}])
    with pytest.raises(PatchError):
        json_patch({"a": 1}, [{"op": "remove", "path": "/b"}])


def test_merge_patches() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "l": [1]}, {"a": {"b": None, "d": 3}, "l": [2]}) == {
        "a": {"c": 2, "d": 3},
        "l": [2],
    }
    owners = {"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}, {"uid": "2"}]}}
    patch = {"metadata": {"ownerReferences": [{"uid": "1", "name": "b"}, {"uid": "2", "$patch": "delete"}]}}
    assert strategic_merge(owners, patch) == {"metadata": {"ownerReferences": [{"uid": "1", "name": "b"}]}}


def test_apply_removes_what_nobody_applies_any_more() -> None:
    current = {"metadata": {"name": "x", "labels": {"a": "1", "b": "2", "c": "3"}}}
    before = {"metadata": {"name": "x", "labels": {"a": "1", "b": "2"}}}
    made = apply(current, {"metadata": {"name": "x", "labels": {"a": "9"}}}, before, [])
    assert made == {"metadata": {"name": "x", "labels": {"a": "9", "c": "3"}}}
    others = [{"metadata": {"labels": {"b": "2"}}}]
    made = apply(current, {"metadata": {"name": "x", "labels": {"a": "1"}}}, before, others)
    assert made["metadata"]["labels"] == {"a": "1", "b": "2", "c": "3"}
