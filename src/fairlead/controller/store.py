"""The cluster as the watches show it, and our own writes that they do not show yet.

Invariants:

* an older version of an object never replaces a newer one; what comes twice changes nothing;
* of two writes to one object the second is not made before it is known what became of the first;
* what a write may have taken counts as taken from the moment it is made (`held`) until the watch shows the object as
  the write left it, or another version after the one that the write was based on; opening a gate is based on none, so
  it counts as opened until it is known that it was not. What a write gives back counts as given back only when the
  watch shows it.

So nothing is given twice: not while a watch lags behind, and not when an answer is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeVar, cast

from fairlead.controller.events import KINDS, UNKNOWN_OUTCOME, Kind, Write, version_of
from fairlead.controller.grouping import has_gate
from fairlead.resource import (
    DeviceClass,
    DeviceTaintRule,
    KubeObject,
    Node,
    Pod,
    PodGroup,
    ResourceClaim,
    ResourceSlice,
)

AT_LAST: Final = timedelta(seconds=60)
"""How long a write whose answer was lost may still be on its way: no server works on a request for longer."""

_Object = TypeVar("_Object", bound=KubeObject)


@dataclass(slots=True)
class Own:
    """A write of ours that the watch does not show yet.

    sent: no answer so far. unsure: the answer was lost, it has to be made again. stale: the server has a newer
    version than the write was made for. done: the server did it, and `version` is what it made.
    """

    write: Write
    expected: KubeObject
    state: Literal["sent", "unsure", "stale", "done"] = "sent"
    doubted: datetime | None = None
    """When an answer was lost last."""
    version: int = 0


class Store:
    """Objects by kind and key."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[str, KubeObject]] = {kind: {} for kind in KINDS}
        self._listed: set[Kind] = set()
        self._own: dict[tuple[str, str], Own] = {}
        self._touched: dict[Kind, dict[str, None]] = {kind: {} for kind in KINDS}
        self._in_group: dict[str, dict[str, Pod]] = {}
        """By PodGroup, the pods that name it."""

    def take_touched(self) -> dict[Kind, dict[str, None]]:
        """The names of objects that changed, or may hold something else, since somebody last asked.

        Objects that came or went are in that order.
        """
        touched, self._touched = self._touched, {kind: {} for kind in KINDS}
        return touched

    @property
    def synced(self) -> bool:
        """Whether every kind was listed."""
        return len(self._listed) == len(KINDS)

    @property
    def writing(self) -> bool:
        """Whether there are writes of ours that the watches do not show yet."""
        return bool(self._own)

    def replace(
        self, kind: Kind, objects: Sequence[KubeObject], version: int
    ) -> list[tuple[KubeObject | None, KubeObject | None]]:
        """Takes a list for what there is; returns what changed as pairs of before and after."""
        self._listed.add(kind)
        changes = [self.put(kind, item) for item in objects]
        names = {item.key for item in objects}
        for key, known in list(self._objects[kind].items()):
            if key not in names and version_of(known) <= version:
                changes.append(self.drop(kind, known))
        return changes

    def put(self, kind: Kind, item: KubeObject) -> tuple[KubeObject | None, KubeObject | None]:
        """Takes note of an object; returns what was known before and what is known now."""
        known = self._objects[kind].get(item.key)
        if known is not None and version_of(known) >= version_of(item):
            return known, known
        if known is None:
            self._touched[kind].pop(item.key, None)
        self._touched[kind][item.key] = None
        self._objects[kind][item.key] = item
        self._regroup(known, item)
        self._settle(kind, item.key)
        return known, item

    def drop(self, kind: Kind, item: KubeObject) -> tuple[KubeObject | None, KubeObject | None]:
        """Takes note that an object is gone, unless another of the same name has come since."""
        known = self._objects[kind].get(item.key)
        if known is None or known.metadata.uid != item.metadata.uid:
            return known, known
        self._touched[kind][item.key] = None
        del self._objects[kind][item.key]
        self._regroup(known, None)
        self._settle(kind, item.key)
        return known, None

    def seen(self, kind: Kind, key: str) -> KubeObject | None:
        """An object as the watch showed it last."""
        return self._objects[kind].get(key)

    def claim(self, key: str) -> ResourceClaim | None:
        """A claim as the watch showed it last."""
        return cast("ResourceClaim | None", self._objects["ResourceClaim"].get(key))

    def claims(self, keys: Iterable[str]) -> list[ResourceClaim]:
        """Those claims that are there, as the watch showed them last."""
        return [claim for key in keys if (claim := self.claim(key)) is not None]

    def held(self, key: str) -> ResourceClaim | None:
        """A claim with whatever it may hold."""
        known = self.claim(key)
        own = self._own.get(("ResourceClaim", key))
        if known is None or own is None or own.write.purpose == "clear":
            return known
        return cast(ResourceClaim, own.expected)

    def current(self, key: str) -> ResourceClaim | None:
        """A claim to base the next write on; None while it is open what became of the last one, or the claim is gone.

        A finalizer that the server answered for need not be seen: what follows it gives nothing back.
        """
        own = self._own.get(("ResourceClaim", key))
        if own is None:
            return self.claim(key)
        after = own.state == "done" and own.write.purpose == "finalizer"
        return cast(ResourceClaim, own.expected) if after else None

    def held_claims(self) -> Iterator[ResourceClaim]:
        """Every claim with whatever it may hold."""
        for key in self._objects["ResourceClaim"]:
            claim = self.held(key)
            if claim is not None:
                yield claim

    def pod(self, key: str) -> Pod | None:
        """A pod as the watch showed it last."""
        return cast("Pod | None", self._objects["Pod"].get(key))

    def pods(self) -> Iterator[Pod]:
        """Every pod, those that may have been opened as opened."""
        for key in self._objects["Pod"]:
            pod = self.opened_pod(key)
            if pod is not None:
                yield pod

    def opened_pod(self, key: str) -> Pod | None:
        """A pod, as opened where it may have been."""
        item = self.pod(key)
        own = self._own.get(("Pod", key))
        return item if item is None or own is None else cast(Pod, own.expected)

    def opened(self, key: str) -> bool:
        """Whether a write of ours may have opened the pod, though the watch does not show it."""
        return ("Pod", key) in self._own

    def pod_group(self, key: str) -> PodGroup | None:
        """A PodGroup."""
        return cast("PodGroup | None", self._objects["PodGroup"].get(key))

    def in_group(self, key: str) -> list[Pod]:
        """The pods, as the watch shows them, that name a PodGroup."""
        return list(self._in_group.get(key, {}).values())

    def _regroup(self, known: KubeObject | None, item: KubeObject | None) -> None:
        """Takes note of the PodGroup that a pod named, and of the one that it names."""
        for pod, comes in ((known, False), (item, True)):
            if not isinstance(pod, Pod) or pod.spec.scheduling_group is None:
                continue
            group = f"{pod.namespace}/{pod.spec.scheduling_group.pod_group_name}"
            if comes:
                self._in_group.setdefault(group, {})[pod.key] = pod
            elif group in self._in_group:
                self._in_group[group].pop(pod.key, None)
                if not self._in_group[group]:
                    del self._in_group[group]

    def node(self, name: str) -> Node | None:
        """A node."""
        return cast("Node | None", self._objects["Node"].get(name))

    @property
    def nodes(self) -> list[Node]:
        """All nodes."""
        return cast("list[Node]", list(self._objects["Node"].values()))

    def slice(self, name: str) -> ResourceSlice | None:
        """A slice."""
        return cast("ResourceSlice | None", self._objects["ResourceSlice"].get(name))

    @property
    def slices(self) -> list[ResourceSlice]:
        """All slices."""
        return cast("list[ResourceSlice]", list(self._objects["ResourceSlice"].values()))

    @property
    def classes(self) -> list[DeviceClass]:
        """All device classes."""
        return cast("list[DeviceClass]", list(self._objects["DeviceClass"].values()))

    @property
    def taint_rules(self) -> list[DeviceTaintRule]:
        """All taint rules."""
        return cast("list[DeviceTaintRule]", list(self._objects["DeviceTaintRule"].values()))

    def own(self, kind: str, key: str) -> Own | None:
        """The write to an object that the watch does not show yet."""
        return self._own.get((kind, key))

    def begin(self, write: Write, expected: KubeObject) -> Write:
        """Notes a write before it is made; `expected` is the object as the write leaves it."""
        own = self._own.get((write.kind, write.key))
        assert own is None or (own.state == "done" and own.write.purpose == "finalizer" and write.purpose == "allocate")
        self._own[write.kind, write.key] = Own(write, expected)
        self._touched[cast(Kind, write.kind)][write.key] = None
        return write

    def again(self, own: Own) -> Write:
        """Makes a write of which the outcome is unknown once more."""
        own.state = "sent"
        return own.write

    def written(self, write: Write, item: KubeObject) -> None:
        """Notes that the server did a write."""
        own = self._mine(write)
        if own is not None:
            self._touched[cast(Kind, write.kind)][write.key] = None
            own.state, own.expected, own.version = "done", item, version_of(item)
            self._settle(cast(Kind, write.kind), write.key)

    def refused(self, write: Write, status: int, now: datetime) -> None:
        """Notes that the server did not do a write, or may not have done it."""
        own = self._mine(write)
        if own is None:
            return
        self._touched[cast(Kind, write.kind)][write.key] = None
        if status == UNKNOWN_OUTCOME:
            own.state, own.doubted = "unsure", now
        elif status in (404, 409):
            own.state = "stale"
        elif own.doubted is not None and now < own.doubted + AT_LAST:
            own.state = "unsure"  # the attempt before may have been the one that was done
        else:
            del self._own[write.kind, write.key]
            return
        self._settle(cast(Kind, write.kind), write.key)

    def _mine(self, write: Write) -> Own | None:
        own = self._own.get((write.kind, write.key))
        return own if own is not None and own.write is write else None

    def _settle(self, kind: Kind, key: str) -> None:
        """Forgets a write that the watch has caught up with."""
        own = self._own.get((kind, key))
        if own is None:
            return
        known = self._objects[kind].get(key)
        if known is not None and known.metadata.uid == own.write.uid:
            version = version_of(known)
            caught_up = version >= own.version if own.state == "done" else version > own.write.version
            if own.state == "sent" or not caught_up:
                return
            if own.state == "unsure" and own.write.purpose == "open" and has_gate(cast(Pod, known)):
                return  # it names no version: it may still be done to the one that the watch shows
        del self._own[kind, key]
