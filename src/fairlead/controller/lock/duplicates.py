"""What is held by more claims than it has room for, although it should never be.

It is there from before the lock, or somebody got around it. Nothing is undone here: when one of two holders gives a
device back, kube-scheduler takes it for free, since it does not count holders, and gives it to a third.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from fairlead.inventory import Inventory, InventoryError, NodeView, PoolId
from fairlead.resource import Quantity, ResourceClaim


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """One claim that holds it, and who uses the claim."""

    claim: str
    """`namespace/name`."""
    pods: tuple[str, ...]
    """`namespace/name` of the pods that the claim is reserved for."""
    since: str
    """`allocationTimestamp`, or empty."""


@dataclass(frozen=True, slots=True, order=True)
class Duplicate:
    """Something that is held too often."""

    kind: Literal["device", "capacity", "counter"]
    what: str
    """`driver/pool/device`, with the capacity's name; or `driver/pool`, with counter set and counter."""
    problem: str
    holders: tuple[Holder, ...]

    def __str__(self) -> str:
        return f"{self.what} {self.problem}: claims {', '.join(holder.claim for holder in self.holders)}"


def duplicates(
    inventory: Inventory, pools: Iterable[PoolId] | None = None, unsure: Collection[str] = ()
) -> list[Duplicate]:
    """What is held too often, sorted.

    Args:
        inventory: what is published and held.
        pools: where to look at capacities and counters; everywhere when absent. Devices that several claims hold
            for themselves are found wherever they are.
        unsure: claims that may hold less than the inventory says; what they share in amounts is left out.
    """
    holdings = inventory.holdings
    found = [
        Duplicate("device", str(device), "is held more than once", _holders(inventory, holdings.holders(device)))
        for device in holdings.doubled
        if len(holdings.holders(device)) > 1
    ]
    for pool_id in inventory.pool_ids if pools is None else pools:
        try:
            view = inventory.pool_view(pool_id)
        except InventoryError:
            continue  # who asks for devices of this pool is told
        if view is not None:
            found += [one for one in _overdrawn(inventory, view) if not any(h.claim in unsure for h in one.holders)]
    return sorted(found)


def pools_of(claim: ResourceClaim) -> set[PoolId]:
    """The pools of a claim's devices."""
    allocation = claim.status.allocation
    return {(result.driver, result.pool) for result in allocation.devices.results} if allocation is not None else set()


def _overdrawn(inventory: Inventory, view: NodeView) -> Iterator[Duplicate]:
    """Capacities and counters of a pool of which more is taken than there is."""
    occupancy = view.occupancy
    for number, amounts in occupancy.consumed.items():
        for name, amount in amounts.items():
            capacity = view.device(number).capacity.get(name)
            has = capacity.value if capacity is not None else Quantity(0)
            if amount > has.nano:
                problem = f"has {has}, of which {Quantity.from_nano(amount, has.format)} are taken"
                what = f"{view.device_id(number)} {name}"
                yield Duplicate("capacity", what, problem, _holders(inventory, view.holders(number)))
    for (_, set_name, name), left in occupancy.counters.items():
        if left < 0:
            counter = view.pools[0].counter_sets[set_name].counters[name].value
            problem = f"has {counter}, of which {Quantity.from_nano(counter.nano - left, counter.format)} are taken"
            what = f"{view.pools[0].name} {set_name} {name}"
            yield Duplicate("counter", what, problem, _holders(inventory, _users(view, set_name, name)))


def _users(view: NodeView, set_name: str, counter: str) -> list[str]:
    """The claims that hold devices which draw from a counter."""
    users = {
        holder
        for number in range(view.size)
        if any(one.counter_set == set_name and counter in one.counters for one in view.device(number).consumes_counters)
        for holder in view.holders(number)
    }
    return sorted(users)


def _holders(inventory: Inventory, claims: Iterable[str]) -> tuple[Holder, ...]:
    return tuple([_holder(inventory.holdings.claim(key), key) for key in claims])


def _holder(claim: ResourceClaim | None, key: str) -> Holder:
    if claim is None or claim.status.allocation is None:
        return Holder(key, (), "")
    pods = tuple(f"{claim.namespace}/{one.name}" for one in claim.status.reserved_for if one.resource == "pods")
    return Holder(key, pods, claim.status.allocation.allocation_timestamp or "")
