"""What claims hold: the devices that are taken, by whom, and how much of the shared ones.

Derived from `status.allocation` of claims alone (invariant 5 of the design): results with admin access hold nothing; a
result with a share id holds a share, with the amounts in `consumedCapacity`; any other holds the device for itself.
Adding a claim and removing it again leaves no trace, also where two claims hold one device, as they never should.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fairlead.inventory.record import DeviceId
from fairlead.resource import ResourceClaim


class Holdings:
    """The holders of devices. Amounts are in units of 10^-9, as in `Quantity.nano`."""

    __slots__ = ("_by_claim", "_several", "consumed", "exclusive", "shares")

    def __init__(self) -> None:
        self.exclusive: dict[DeviceId, str] = {}
        """Holder of each device that is held for itself; of several, the first by name."""
        self._several: dict[DeviceId, set[str]] = {}
        """All holders of the devices that several claims hold for themselves."""
        self.shares: dict[DeviceId, dict[str, str]] = {}
        """Holder of each share of a shared device, by share id."""
        self.consumed: dict[DeviceId, dict[str, int]] = {}
        """Sum of what the shares of a device take of each of its capacities."""
        self._by_claim: dict[str, ResourceClaim] = {}

    def add(self, claim: ResourceClaim, *, consumable_capacity: bool = True) -> list[DeviceId]:
        """Counts the claim's allocation, replacing what was known of the claim; returns the devices touched.

        Args:
            claim: any claim; one without allocation holds nothing.
            consumable_capacity: whether the feature is on; without it a share is a device held for itself.
        """
        touched = self.remove(claim, consumable_capacity=consumable_capacity)
        if claim.status.allocation is None:
            return touched
        self._by_claim[claim.key] = claim
        for result in claim.status.allocation.devices.results:
            if result.admin_access:
                continue
            device = DeviceId(result.driver, result.pool, result.device)
            touched.append(device)
            if consumable_capacity and result.share_id is not None:
                self.add_share(device, result.share_id, claim.key)
                if result.consumed_capacity:
                    self.add_consumed(device, {n: q.nano for n, q in result.consumed_capacity.items()})
            else:
                self._hold(device, claim.key)
        return touched

    def remove(self, claim: ResourceClaim, *, consumable_capacity: bool = True) -> list[DeviceId]:
        """Forgets what the claim of this name holds; returns the devices touched."""
        known = self._by_claim.pop(claim.key, None)
        touched: list[DeviceId] = []
        if known is None or known.status.allocation is None:
            return touched
        for result in known.status.allocation.devices.results:
            if result.admin_access:
                continue
            device = DeviceId(result.driver, result.pool, result.device)
            touched.append(device)
            if consumable_capacity and result.share_id is not None:
                shares = self.shares.get(device, {})
                if shares.get(result.share_id) == known.key:
                    del shares[result.share_id]
                if not shares:
                    self.shares.pop(device, None)
                if result.consumed_capacity:
                    self.add_consumed(device, {n: -q.nano for n, q in result.consumed_capacity.items()})
            else:
                self._let_go(device, known.key)
        return touched

    def renew(self, claim: ResourceClaim) -> bool:
        """Takes a claim that holds what it held before in place of what was known of it; False where it does not."""
        known, given = self._by_claim.get(claim.key), claim.status.allocation
        if known is None or given is None:
            return known is None and given is None
        assert known.status.allocation is not None
        if known.status.allocation.devices.results != given.devices.results:
            return False
        self._by_claim[claim.key] = claim
        return True

    def _hold(self, device: DeviceId, holder: str) -> None:
        first = self.exclusive.setdefault(device, holder)
        if first != holder:
            self._several.setdefault(device, {first}).add(holder)
            self.exclusive[device] = min(first, holder)

    def _let_go(self, device: DeviceId, holder: str) -> None:
        several = self._several.get(device)
        if several is None:
            if self.exclusive.get(device) == holder:
                del self.exclusive[device]
            return
        several.discard(holder)
        self.exclusive[device] = min(several)
        if len(several) == 1:
            del self._several[device]

    def claim(self, key: str) -> ResourceClaim | None:
        """The claim of that name, where it holds something."""
        return self._by_claim.get(key)

    def add_exclusive(self, devices: Iterable[DeviceId], holder: str) -> None:
        """Marks devices as held for themselves by a holder that is not a claim we know."""
        for device in devices:
            self._hold(device, holder)

    def add_share(self, device: DeviceId, share_id: str, holder: str) -> None:
        """Marks one share of a device as held."""
        self.shares.setdefault(device, {})[share_id] = holder

    def add_consumed(self, device: DeviceId, amounts: Mapping[str, int]) -> None:
        """Adds to (or, with negative amounts, takes from) what the shares of a device consume."""
        account = self.consumed.setdefault(device, {})
        for name, amount in amounts.items():
            total = account.get(name, 0) + amount
            if total:
                account[name] = total
            else:
                account.pop(name, None)
        if not account:
            del self.consumed[device]

    def in_use(self, device: DeviceId) -> bool:
        """Whether anything of the device is held: counters are charged for such devices."""
        return device in self.exclusive or device in self.shares or device in self.consumed

    def holders(self, device: DeviceId) -> list[str]:
        """Who holds the device or shares of it, sorted."""
        return sorted({*self.holding_alone(device), *self.shares.get(device, {}).values()})

    def holding_alone(self, device: DeviceId) -> list[str]:
        """Who holds the device for itself, sorted: one claim at most, unless something went wrong."""
        if several := self._several.get(device):
            return sorted(several)
        return [self.exclusive[device]] if device in self.exclusive else []

    @property
    def doubled(self) -> set[DeviceId]:
        """The devices that a claim holds for itself and another claim too, for itself or shares of it."""
        return {*self._several, *(self.shares.keys() & self.exclusive.keys())}
