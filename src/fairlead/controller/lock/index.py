"""Who holds what: the claims as a watch shows them, and the writes that were let pass and may still come.

A write of a claim's status passes through here before the API server stores it, if it does. From then on it counts
(`hold`) until it is known what became of it. The rule for that needs no clock: the API server stores a write only in
place of the very version that it was made for. So as soon as the watch, or an answer of the server, shows the claim
in a later version, that write is in it or will never be.

Invariants:

* what counts as held by a claim is never less than what the server has or may get of it by a write that passed here;
* an older version of a claim never replaces a newer one, and what comes twice changes nothing;
* only what the server itself told us takes anything back, never the content of a review.

A claim that no later version comes of is to be written by us (`overdue`): this makes a later version, whatever became
of the write before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from fairlead.controller.events import Event, Gone, Listed, Seen, version_of
from fairlead.controller.lock.conflicts import Conflict, conflicts, device_of
from fairlead.inventory import DeviceId, Inventory
from fairlead.resource import (
    AllocationResult,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ObjectMeta,
    ResourceClaim,
    ResourceClaimStatus,
    ResourceSlice,
)

Results = Sequence[DeviceRequestAllocationResult]


@dataclass(frozen=True, slots=True)
class Passed:
    """A write that was let pass and may still come."""

    base: int
    """The version of the claim that it replaces."""
    results: tuple[DeviceRequestAllocationResult, ...]
    since: float
    """When it passed: seconds of the caller's clock."""


class Index:
    """The holders of all devices of a cluster."""

    def __init__(self) -> None:
        """Starts with nothing; `synced` says when it may be asked."""
        self._inventory = Inventory()
        self._claims: dict[str, ResourceClaim] = {}
        self._passed: dict[str, list[Passed]] = {}
        self._slices: dict[str, ResourceSlice] = {}
        self._listed: set[str] = set()
        self._touched: set[str] = set()

    @property
    def synced(self) -> bool:
        """Whether claims and slices were listed."""
        return self._listed == {"ResourceClaim", "ResourceSlice"}

    def __len__(self) -> int:
        return len(self._claims)

    @property
    def devices(self) -> int:
        """How many devices are published, in pools that are not complete too."""
        return sum(len(item.spec.devices) for item in self._slices.values())

    @property
    def inventory(self) -> Inventory:
        """What is published and held; to be read only."""
        return self._inventory

    @property
    def waiting(self) -> Collection[str]:
        """The claims with writes that passed and of which is not known yet what became."""
        return self._passed.keys()

    def claim(self, key: str) -> ResourceClaim | None:
        """A claim as the server told us last."""
        return self._claims.get(key)

    def unallocated(self) -> list[str]:
        """The claims without devices, which somebody may be giving some."""
        return [key for key, claim in self._claims.items() if claim.status.allocation is None]

    def handle(self, event: Event) -> None:
        """Takes note of what a list or a watch of claims or slices says."""
        match event:
            case Listed("ResourceSlice", objects, _):
                self._listed.add("ResourceSlice")
                published = {item.name: item for item in cast("Sequence[ResourceSlice]", objects)}
                for name in self._slices.keys() - published.keys():
                    self._withdraw(name)
                for item in published.values():
                    self._publish(item)
            case Listed("ResourceClaim", objects, version):
                self._listed.add("ResourceClaim")
                for claim in cast("Sequence[ResourceClaim]", objects):
                    self._put(claim)
                there = {claim.key for claim in objects}
                for key in (self._claims.keys() | self._passed.keys()) - there:
                    self._drop(key, version)
            case Seen(_, ResourceSlice() as item):
                self._publish(item)
            case Gone(_, ResourceSlice() as item):
                self._withdraw(item.name)
            case Seen(_, ResourceClaim() as item):
                self._put(item)
            case Gone(_, ResourceClaim() as item):
                self._drop(item.key, version_of(item))
            case _:
                raise ValueError(f"no event of a list or watch of claims or slices: {event}")

    def answered(self, claim: ResourceClaim, now: float) -> None:
        """Takes note of a claim as the server answered to a write of ours.

        Where the watch does not show the claim, it may not show it yet, or have shown that it is gone: what the answer
        says counts like a write that passed, until it is known which.
        """
        version = version_of(claim)
        if claim.key in self._claims:
            self._put(claim)
            return
        self._settle(claim.key, version)
        if results := _results(claim):
            self._passed.setdefault(claim.key, []).append(Passed(version - 1, tuple(results), now))
        self._count(claim.key)

    def settled(self, key: str, base: int) -> None:
        """Takes note that no write for version `base` of a claim, or for one before, can come any more."""
        self._settle(key, base + 1)
        self._touched.add(key)
        self._count(key)

    def conflicts(self, claim: ResourceClaim, taken: Results) -> list[Conflict]:
        """What stands against a claim's being written with these new devices.

        Of the claim's own writes that passed before only one can come, so they are not in its way.
        """
        if known := self._same_share(claim.key, taken):
            return known
        self._inventory.set_claim(claim)
        found = list(conflicts(self._inventory, claim.key, taken))
        self._count(claim.key)
        return found

    def hold(self, claim: ResourceClaim, base: int, taken: Results, now: float) -> None:
        """Counts a write that is let pass; one for a version that is known to be replaced cannot come.

        Args:
            claim: as it would be after the write.
            base: the version of the claim that it replaces.
            taken: what it would take.
            now: the clock.
        """
        known = self._claims.get(claim.key)
        if known is not None and version_of(known) > base:
            return
        passed = Passed(base, tuple(taken), now)
        others = [one for one in self._passed.get(claim.key, ()) if (one.base, one.results) != (base, passed.results)]
        self._passed[claim.key] = [*others, passed]
        self._count(claim.key)

    def overdue(self, since: float) -> list[tuple[str, int]]:
        """The claims, with the latest version, of writes that passed before `since` and did not come."""
        return [
            (key, max(one.base for one in passed))
            for key, passed in self._passed.items()
            if min(one.since for one in passed) < since
        ]

    def passed_last(self, key: str) -> float:
        """When the last write to a claim passed of which is not known yet what became; minus infinity for none."""
        return max((one.since for one in self._passed.get(key, ())), default=float("-inf"))

    def touched(self) -> set[str]:
        """The claims that changed since this was asked last."""
        touched, self._touched = self._touched, set()
        return touched

    def _put(self, claim: ResourceClaim) -> None:
        known = self._claims.get(claim.key)
        if known is not None and version_of(known) >= version_of(claim):
            return
        self._claims[claim.key] = claim
        self._touched.add(claim.key)
        self._settle(claim.key, version_of(claim))
        self._count(claim.key)

    def _drop(self, key: str, version: int) -> None:
        """Takes note that there was no claim of that name at that version."""
        known = self._claims.get(key)
        if known is not None and version_of(known) <= version:
            del self._claims[key]
            self._touched.add(key)
        self._settle(key, version)
        self._count(key)

    def _settle(self, key: str, version: int) -> None:
        """Forgets the writes for versions before this one."""
        passed = self._passed.pop(key, None)
        if passed is None:
            return
        if left := [one for one in passed if one.base >= version]:
            self._passed[key] = left

    def _count(self, key: str) -> None:
        """Tells the inventory all that a claim may hold."""
        known, passed = self._claims.get(key), self._passed.get(key)
        if passed:
            known = _with(known, key, [result for one in passed for result in one.results])
        if known is not None:
            self._inventory.set_claim(known)
        else:
            namespace, _, name = key.rpartition("/")
            self._inventory.remove_claim(ResourceClaim(metadata=ObjectMeta(namespace=namespace, name=name)))

    def _same_share(self, key: str, taken: Results) -> list[Conflict]:
        """Shares whose ids others have: a copied status, since ids are random."""
        found = []
        for result in taken:
            device = device_of(result)
            holder = self._inventory.holdings.shares.get(device, {}).get(result.share_id or "")
            if holder is not None and holder != key:
                found.append(Conflict(device, f"has a share {result.share_id} that is held by", (holder,)))
        return found

    def _publish(self, item: ResourceSlice) -> None:
        if self._slices.get(item.name) != item:
            self._slices[item.name] = item
            self._inventory.add_slice(item)

    def _withdraw(self, name: str) -> None:
        if self._slices.pop(name, None) is not None:
            self._inventory.remove_slice(name)


def taken(before: ResourceClaim, after: ResourceClaim) -> Results:
    """The results of a write with devices that the claim did not have before it."""
    had = {_what(result) for result in _results(before)}
    return [result for result in _results(after) if not result.admin_access and _what(result) not in had]


def _results(claim: ResourceClaim) -> Results:
    allocation = claim.status.allocation
    return allocation.devices.results if allocation is not None else ()


def _what(result: DeviceRequestAllocationResult) -> tuple[DeviceId, bool, str | None, tuple[tuple[str, int], ...]]:
    """What a result holds."""
    amounts = tuple(sorted((name, amount.nano) for name, amount in result.consumed_capacity.items()))
    return device_of(result), bool(result.admin_access), result.share_id, amounts


def _with(known: ResourceClaim | None, key: str, more: Iterable[DeviceRequestAllocationResult]) -> ResourceClaim:
    """A claim with all of its results and more of them, each once."""
    results = list({_what(one): one for one in (*(_results(known) if known is not None else ()), *more)}.values())
    namespace, _, name = key.rpartition("/")
    allocation = AllocationResult(devices=DeviceAllocationResult(results=results))
    return ResourceClaim(
        metadata=ObjectMeta(namespace=namespace, name=name), status=ResourceClaimStatus(allocation=allocation)
    )
