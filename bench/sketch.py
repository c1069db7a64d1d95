"""The least that a program must do to allocate in front of kube-scheduler: a yardstick for `bench/cluster.py --sketch`.

    python bench/sketch.py KUBECONFIG      # until it is killed; prints "ready" when it knows the cluster

It follows claims and pods, takes the first node with as many free devices as a claim wants, writes the claim's status
with the pod in `reservedFor`, waits until its own watch shows that and 5 ms more, and removes the gate. It knows no
selectors, no attributes, no gangs, no topology, no failures and no leader: what it reaches is what the API server and
kube-scheduler allow on a machine, not what a controller may do.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

GATE = "fairlead.dev/allocation"
CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
SETTLE = 0.005
Json = dict[str, Any]


class Sketch:
    """What is free, what waits, and the writes."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._free: dict[str, list[tuple[str, str, str]]] = {}
        self._claims: dict[str, Json] = {}
        self._waiting: dict[str, Json] = {}
        """Gated pods without devices, by the name of their claim."""
        self._written: dict[str, tuple[Json, str]] = {}
        """Gated pods whose claim was written, and their node, by the name of the claim."""
        self._held: dict[str, tuple[str, list[tuple[str, str, str]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follows claims and pods for ever."""
        for one in (await self._get("/apis/resource.k8s.io/v1/resourceslices"))["items"]:
            spec = one["spec"]
            devices = [(spec["driver"], spec["pool"]["name"], device["name"]) for device in spec["devices"]]
            self._free.setdefault(spec["nodeName"], []).extend(devices)
        followers = [self._follow(CLAIMS, self._claim), self._follow("/api/v1/pods", self._pod)]
        await asyncio.gather(*followers)

    async def _follow(self, path: str, take: Any) -> None:
        listed = await self._get(path)
        for item in listed["items"]:
            take("ADDED", item)
        print("ready", path, flush=True)
        version = listed["metadata"]["resourceVersion"]
        while True:
            async for event in self._watch(path, version):
                version = event["object"]["metadata"]["resourceVersion"]
                take(event["type"], event["object"])

    def _claim(self, kind: str, claim: Json) -> None:
        key = f"{claim['metadata']['namespace']}/{claim['metadata']['name']}"
        if kind == "DELETED":
            self._claims.pop(key, None)
            node, devices = self._held.pop(key, ("", []))
            if node:
                self._free[node] += devices
            return
        self._claims[key] = claim
        if claim.get("status", {}).get("allocation") and key in self._written:
            self._start(self._open(*self._written.pop(key)))
        elif key in self._waiting:
            self._allocate(key)

    def _pod(self, kind: str, pod: Json) -> None:
        gated = any(gate["name"] == GATE for gate in pod["spec"].get("schedulingGates", ()))
        if kind == "DELETED" or not gated:
            return
        made = {one["name"]: one.get("resourceClaimName") for one in pod["status"].get("resourceClaimStatuses", ())}
        for used in pod["spec"].get("resourceClaims", ()):
            name = used.get("resourceClaimName") or made.get(used["name"])
            if name and (key := f"{pod['metadata']['namespace']}/{name}") not in self._held:
                self._waiting[key] = pod
                self._allocate(key)

    def _allocate(self, key: str) -> None:
        """Gives a claim of one request the devices of the first node that has enough."""
        claim = self._claims.get(key)
        if claim is None or key in self._held:
            return
        request = claim["spec"]["devices"]["requests"][0]
        wanted = request["exactly"].get("count", 1)
        node = next((name for name, free in self._free.items() if len(free) >= wanted), None)
        if node is None:
            return
        pod = self._waiting.pop(key)
        devices, self._free[node] = self._free[node][:wanted], self._free[node][wanted:]
        self._held[key], self._written[key] = (node, devices), (pod, node)
        on_node = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        parts = ("driver", "pool", "device")
        results = [{"request": request["name"], **dict(zip(parts, one, strict=True))} for one in devices]
        allocation = {
            "devices": {"results": results},
            "nodeSelector": {"nodeSelectorTerms": [on_node]},
            "allocationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        reserved = [{"resource": "pods", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}]
        version = {"resourceVersion": claim["metadata"]["resourceVersion"]}
        body = {"metadata": version, "status": {"allocation": allocation, "reservedFor": reserved}}
        path = f"{path_of('/apis/resource.k8s.io/v1', claim, 'resourceclaims')}/status"
        self._start(self._patch(path, body, "application/merge-patch+json"))

    async def _open(self, pod: Json, node: str) -> None:
        await asyncio.sleep(SETTLE)
        on_node = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [on_node]}}
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": pod["metadata"]["uid"]},
            {"op": "test", "path": "/spec/schedulingGates/0/name", "value": GATE},
            {"op": "remove", "path": "/spec/schedulingGates/0"},
            {"op": "add", "path": "/spec/affinity", "value": {"nodeAffinity": required}},
        ]
        await self._patch(path_of("/api/v1", pod, "pods"), operations, "application/json-patch+json")

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _patch(self, path: str, body: object, media: str) -> None:
        headers = {"Content-Type": media}
        async with self._http.patch(path, data=msgspec.json.encode(body), headers=headers) as answer:
            if answer.status >= 300:
                print(path, answer.status, await answer.text(), file=sys.stderr, flush=True)

    async def _get(self, path: str) -> Json:
        async with self._http.get(path, params={"resourceVersion": "0"}) as answer:
            return msgspec.json.decode(await answer.read(), type=Json)

    async def _watch(self, path: str, version: str) -> AsyncIterator[Json]:
        params = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "3000"}
        async with self._http.get(path, params=params) as answer:
            async for line in answer.content:
                yield msgspec.json.decode(line)


def path_of(group: str, thing: Json, plural: str) -> str:
    """Where an object is."""
    return f"{group}/namespaces/{thing['metadata']['namespace']}/{plural}/{thing['metadata']['name']}"


async def main(kubeconfig: str) -> None:
    """Runs with a kubeconfig that holds a server, a certificate and a token."""
    config = json.loads(Path(kubeconfig).read_text())
    cluster, token = config["clusters"][0]["cluster"], config["users"][0]["user"]["token"]
    tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
    http = aiohttp.ClientSession(
        cluster["server"],
        connector=aiohttp.TCPConnector(limit=64, ssl=tls),
        headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=2**20,
    )
    async with http:
        await Sketch(http).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
