"""A small client of the API server, for tests and benches: JSON over kept-alive HTTPS, one connection a thread.

It knows nothing of kinds: where an object goes is looked up once a group version in the server's discovery. It is not
the controller's client: its watches end where the connection does, and nothing is tried again.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

Json = dict[str, Any]
T = TypeVar("T")

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class Cause(NamedTuple):
    """One thing that the API server refuses in an object: where, why in words, and the class of reason."""

    field: str
    message: str
    reason: str


class ApiError(Exception):
    """The API server's answer is not a success."""

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        self.code = code
        self.status = status
        self.message: str = status.get("message") or json.dumps(status)
        super().__init__(f"{code} {status.get('reason', '')}: {self.message}")

    @property
    def causes(self) -> list[Cause]:
        """What was refused, field by field; empty where the server names no fields."""
        causes = (self.status.get("details") or {}).get("causes") or []
        return [Cause(cause.get("field", ""), cause.get("message", ""), cause.get("reason", "")) for cause in causes]


class Api:
    """A user's access to one API server.

    Args:
        server: the address, as in `https://127.0.0.1:6443`.
        token: the user's bearer token.
        authority: file with the certificates that the server's must be signed by.
    """

    def __init__(self, server: str, token: str, authority: Path) -> None:
        self.server = server
        self.token = token
        self.authority = authority
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._local = threading.local()
        self._resources: dict[str, dict[str, Json]] = {}

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        """One request.

        Raises:
            ApiError: the answer is not 2xx.
            OSError: the server does not answer.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json", "Content-Type": content_type}
        target = f"{path}?{urlencode(query)}" if query else path
        # Without spaces, as kubectl writes: free-form JSON is stored as it comes, and compared byte by byte.
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        connection = self._connection()
        try:
            try:
                connection.request(method, target, data, headers)
                response = connection.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected):
                if method != "GET":
                    raise
                connection.close()  # the server ends connections that were idle for long
                connection.request(method, target, data, headers)
                response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if isinstance(error, OSError):
                raise
            raise ConnectionError(f"{self.server}: {error!r}") from None
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"message": text.decode(errors="replace").strip()}
        if response.status >= 300:
            raise ApiError(response.status, answer)
        return answer if isinstance(answer, dict) else {"items": answer}

    def get(self, path: str, **query: str) -> Json:
        """What is at a path, such as `/api/v1/nodes/n1`."""
        return self.request("GET", path, query=query)

    def items(self, path: str, **query: str) -> list[Json]:
        """The objects of a list, with the apiVersion and kind that lists leave out."""
        answer = self.get(path, **query)
        kind = answer["kind"].removesuffix("List")
        return [{"apiVersion": answer["apiVersion"], "kind": kind, **item} for item in answer["items"] or []]

    def watch(self, path: str, since: str = "", seconds: int = 3600, **query: str) -> Iterator[Json]:
        """The events of a list, over a connection of its own, until the server ends the watch or nobody asks for more.

        Args:
            path: the list's path.
            since: the resource version after which events are told; without one the objects there are come first.
            seconds: when the server ends it.
            query: further parameters, such as `fieldSelector`.

        Raises:
            ApiError: the watch is refused or ends in an error.
            OSError: the connection breaks.
        """
        query |= {"watch": "true", "timeoutSeconds": str(seconds), **({"resourceVersion": since} if since else {})}
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        with closing(self._connect()) as connection:
            connection.request("GET", f"{path}?{urlencode(query)}", headers=headers)
            response = connection.getresponse()
            if response.status != 200:
                raise ApiError(response.status, json.loads(response.read()))
            while line := response.readline():
                event: Json = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError(event["object"].get("code", 500), event["object"])
                yield event

    def create(self, thing: Mapping[str, Any], dry_run: bool = False) -> Json:
        """Creates an object; unknown fields are refused. With `dry_run` all is done but the storing."""
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return self.request("POST", self.path_of(thing), thing, query)

    def create_all(self, things: Iterable[Mapping[str, Any]], workers: int = 8) -> list[Json]:
        """Creates many objects over several connections, in no order; the answers are in the order given."""
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(self.create, things))

    def patch(self, path: str, change: object, content_type: str = MERGE_PATCH) -> Json:
        """Changes the object at a path by a merge patch, or another kind of patch."""
        return self.request("PATCH", path, change, content_type=content_type)

    def delete(self, path: str, grace_seconds: int | None = None) -> Json:
        """Deletes an object; with `grace_seconds=0` a pod whose node has no kubelet is gone at once."""
        body = None if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        return self.request("DELETE", path, body)

    def clear(self, path: str, labels: str = "") -> None:
        """Deletes all objects of a list, or those with these labels, at once: no kubelet is waited for."""
        self.request("DELETE", path, {"gracePeriodSeconds": 0}, {"labelSelector": labels} if labels else None)

    def path_of(self, thing: Mapping[str, Any], name: str = "") -> str:
        """The path of the list an object belongs to, or with its name its own.

        Raises:
            ApiError: the server does not serve its group version or kind.
        """
        version, kind = thing["apiVersion"], thing["kind"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._resources:
            served = self.get(base)["resources"]
            self._resources[version] = {entry["kind"]: entry for entry in served if "/" not in entry["name"]}
        entry = self._resources[version].get(kind)
        if entry is None:
            raise ApiError(404, {"reason": "NotFound", "message": f"the server has no {kind} in {version}"})
        if entry["namespaced"]:
            base += f"/namespaces/{quote(thing['metadata'].get('namespace') or 'default')}"
        return f"{base}/{entry['name']}" + (f"/{quote(name)}" if name else "")

    def write_kubeconfig(self, path: Path) -> Path:
        """Writes this access as a kubeconfig, which only this user may read."""
        cluster = {"server": self.server, "certificate-authority": str(self.authority)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fairlead", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": self.token}}],
            "contexts": [{"name": "fairlead", "context": {"cluster": "fairlead", "user": "user"}}],
            "current-context": "fairlead",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1) + "\n")
        return path

    def _connection(self) -> http.client.HTTPSConnection:
        if not hasattr(self._local, "connection"):
            self._local.connection = self._connect(timeout=60)
        connection: http.client.HTTPSConnection = self._local.connection
        return connection

    def _connect(self, timeout: float | None = None) -> http.client.HTTPSConnection:
        parts = urlsplit(self.server)
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, context=self._tls, timeout=timeout)


def wait_for(probe: Callable[[], T | None], seconds: float, what: str, pause: float = 0.05) -> T:
    """Calls `probe` until it returns something true, and returns that.

    Raises:
        TimeoutError: it did not within `seconds`; the message names `what`.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(pause)
