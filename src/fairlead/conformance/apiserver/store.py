"""The objects of the stand-in, their versions, and every change that was made to them.

The log of changes is never cut: it feeds watches, and checks read from it what a driver did, and when. `expire` makes
versions too old to watch from, as a real server's compaction does. Changes of the kit are marked as such.
"""

from __future__ import annotations

import asyncio
import copy
import random
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from fairlead.conformance.apiserver.resources import SLICES, Resource
from fairlead.conformance.apiserver.rules import Json, refusals

Verb = Literal["ADDED", "MODIFIED", "DELETED"]
By = Literal["driver", "kit"]
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


class RefusedError(Exception):
    """The request is not carried out; becomes a Status."""

    def __init__(self, status: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.details = details


@dataclass(frozen=True, slots=True)
class Change:
    """One write: `before` and `after` as stored, None where the object was not there."""

    version: int
    resource: Resource
    verb: Verb
    by: By
    before: Json | None
    after: Json | None

    @property
    def item(self) -> Json:
        """The object, as it is after the change or was before it went."""
        found = self.after if self.after is not None else self.before
        assert found is not None
        return found


class Store:
    """Everything the stand-in holds."""

    def __init__(self) -> None:
        self.log: list[Change] = []
        self.version = 100
        self.oldest = 0
        """Nobody can watch from a version before this one."""
        self._objects: dict[tuple[Resource, str, str], Json] = {}
        self._news = asyncio.Event()
        self._random: Final = random.Random()

    async def wait(self) -> None:
        """Returns when something changed, or versions expired."""
        await self._news.wait()

    def wake(self) -> None:
        """Makes all who wait look again."""
        self._news.set()
        self._news = asyncio.Event()

    def expire(self) -> None:
        """Makes all versions so far too old to watch from."""
        self.version += 1
        self.oldest = self.version
        self.wake()

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Json]:
        """All objects of a kind, by name."""
        found = [(key, item) for key, item in self._objects.items() if key[0] is resource]
        return [item for key, item in sorted(found, key=lambda one: one[0][1:]) if namespace in ("", key[1])]

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """An object.

        Raises:
            RefusedError: it is not there.
        """
        item = self._objects.get((resource, namespace, name))
        if item is None:
            # Clients tell a missing object from a missing kind by these details.
            details = {"name": name, "group": resource.group, "kind": resource.plural}
            raise RefusedError(404, "NotFound", f'{_label(resource)} "{name}" not found', details)
        return item

    def create(self, resource: Resource, namespace: str, given: Json, by: By = "kit") -> Json:
        """Stores a new object; its status only when the kit gives one.

        Raises:
            RefusedError: there is one, or it is not valid.
        """
        item = copy.deepcopy(given)
        meta = item.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + "".join(self._random.choices(_LETTERS, k=5))
        name = meta.get("name")
        if not isinstance(name, str) or not name:
            raise RefusedError(422, "Invalid", f"{resource.kind}: metadata.name: Required value: name or generateName")
        if (resource, namespace, name) in self._objects:
            raise RefusedError(409, "AlreadyExists", f'{_label(resource)} "{name}" already exists')
        if meta.get("resourceVersion"):
            raise RefusedError(400, "BadRequest", "resourceVersion should not be set on objects to be created")
        if namespace:
            meta["namespace"] = namespace
        kept = meta.get("uid") if by == "kit" else None
        meta |= {"uid": kept or str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        if resource.has_status and by != "kit":
            item.pop("status", None)
        return self._store(resource, namespace, name, item, by)

    def update(self, resource: Resource, namespace: str, name: str, given: Json, part: str, by: By = "kit") -> Json:
        """Replaces an object, or its status.

        Args:
            resource: the kind.
            namespace: of the object.
            name: of the object.
            given: as it should be.
            part: `status` for the status alone, empty for all but the status.
            by: who writes.

        Raises:
            RefusedError: it is not there, is another one or of another version, or would not be valid.
        """
        old = self.get(resource, namespace, name)
        meta = given.get("metadata") or {}
        if meta.get("name", name) != name:
            raise RefusedError(400, "BadRequest", "the name of the object does not match the name on the URL")
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            raise RefusedError(409, "Conflict", f"Precondition failed: UID in precondition: {meta['uid']}")
        version = meta.get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise RefusedError(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {_label(resource)} "{name}": the object has been modified; please '
                "apply your changes to the latest version and try again",
            )
        if part == "status":
            item = copy.deepcopy(old) | {"status": copy.deepcopy(given.get("status", {}))}
        else:
            item = copy.deepcopy(given)
            system = ("uid", "creationTimestamp", "generation", "namespace", "deletionTimestamp")
            item["metadata"] = {**item.get("metadata", {}), "name": name}
            item["metadata"] |= {key: old["metadata"][key] for key in system if key in old["metadata"]}
            if resource.has_status:
                item.pop("status", None)
                item |= {"status": old["status"]} if "status" in old else {}
        if {**item, "metadata": _lasting(item)} == {**old, "metadata": _lasting(old)}:
            return old
        if item.get("spec") != old.get("spec"):
            item["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        return self._store(resource, namespace, name, item, by, old)

    def delete(self, resource: Resource, namespace: str, name: str, options: Json, by: By = "kit") -> Json:
        """Removes an object; one with finalizers is marked.

        Raises:
            RefusedError: it is not there, or another one.
        """
        old = self.get(resource, namespace, name)
        wanted = options.get("preconditions") or {}
        for key in ("uid", "resourceVersion"):
            if wanted.get(key) and wanted[key] != old["metadata"][key]:
                raise RefusedError(409, "Conflict", f"Precondition failed: {key} is {old['metadata'][key]}")
        if old["metadata"].get("finalizers"):
            item = copy.deepcopy(old)
            item["metadata"]["deletionTimestamp"] = now()
            return self._store(resource, namespace, name, item, by, old)
        del self._objects[resource, namespace, name]
        self.version += 1
        gone = copy.deepcopy(old)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self.log.append(Change(self.version, resource, "DELETED", by, gone, None))
        self.wake()
        return gone

    def changes(self, resource: Resource, since: int = 0, by: Iterable[By] = ("driver", "kit")) -> Sequence[Change]:
        """What was written to objects of a kind after a version."""
        found: list[Change] = []
        for one in reversed(self.log):
            if one.version <= since:
                break
            if one.resource is resource and one.by in by:
                found.append(one)
        return found[::-1]

    def _store(
        self, resource: Resource, namespace: str, name: str, item: Json, by: By, old: Json | None = None
    ) -> Json:
        if resource is SLICES:
            _stamp_taints(item)
        if by == "driver" and (problems := refusals(resource, item, old)):
            raise RefusedError(422, "Invalid", f'{resource.kind} "{name}" is invalid: {"; ".join(problems)}')
        self.version += 1
        item |= {"apiVersion": resource.api_version, "kind": resource.kind}
        item["metadata"]["resourceVersion"] = str(self.version)
        self._objects[resource, namespace, name] = item
        self.log.append(Change(self.version, resource, "MODIFIED" if old else "ADDED", by, old, item))
        self.wake()
        return item


def now() -> str:
    """The time, as objects have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _label(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _lasting(item: Json) -> Json:
    return {key: value for key, value in item["metadata"].items() if key not in ("resourceVersion", "managedFields")}


def _stamp_taints(item: Json) -> None:
    """The server says since when a device is tainted, where the driver does not."""
    for device in (item.get("spec") or {}).get("devices") or ():
        for taint in device.get("taints") or () if isinstance(device, dict) else ():
            if isinstance(taint, dict) and not taint.get("timeAdded"):
                taint["timeAdded"] = now()
