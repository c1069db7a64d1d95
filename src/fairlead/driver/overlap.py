"""Whether two claims may be prepared side by side: the last defence when a device was allocated twice.

Pure. A device belongs to one claim, but for shares of it and for administrators, who only look. Partitions of the same
hardware belong to different claims as long as the counters that they take together are there (KEP-4815).
"""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.driver.author import PrepareError
from fairlead.driver.inventory import Inventory
from fairlead.driver.record import Record
from fairlead.resource import DeviceRequestAllocationResult


def same_allocation(one: Record, other: Record) -> bool:
    """Whether two records are of the same devices for the same requests."""
    return [_identity(result) for result in one.results] == [_identity(result) for result in other.results]


def check_overlap(record: Record, others: Iterable[Record], inventory: Inventory) -> None:
    """Whether the devices of a claim are free of other claims.

    Args:
        record: the claim.
        others: all claims that are known; the claim itself among them does not count.
        inventory: the counters that partitions share.

    Raises:
        PrepareError: a device, or the hardware that it is a part of, is in use by another claim.
    """
    held: dict[tuple[str, str], list[tuple[Record, DeviceRequestAllocationResult]]] = {}
    for other in others:
        if other.uid != record.uid:
            for result in other.results:
                if not result.admin_access:
                    held.setdefault((result.pool, result.device), []).append((other, result))
    label = f"ResourceClaim {record.namespace}/{record.name}"
    for result in record.results:
        if result.admin_access:
            continue
        for other, theirs in held.get((result.pool, result.device), ()):
            if not (result.share_id and theirs.share_id and result.share_id != theirs.share_id):
                raise PrepareError(
                    f"{label}: device {result.device} of pool {result.pool} is in use by ResourceClaim "
                    f"{other.namespace}/{other.name} (uid {other.uid}): it was allocated twice, or that claim's pod "
                    "has not ended yet"
                )
    _check_counters(label, record, held, inventory)


def _check_counters(
    label: str,
    record: Record,
    held: dict[tuple[str, str], list[tuple[Record, DeviceRequestAllocationResult]]],
    inventory: Inventory,
) -> None:
    ours = [(result.pool, result.device) for result in record.results if not result.admin_access]
    touched = {
        (pool, consumed.counter_set)
        for pool, name in ours
        for consumed in inventory.devices[pool, name].consumes_counters
    }
    if not touched:
        return
    taken: dict[tuple[str, str, str], int] = {}
    # A device counts once, however many shares of it there are.
    for pool, name in dict.fromkeys([*ours, *held]):
        device = inventory.devices.get((pool, name))
        for consumed in device.consumes_counters if device is not None else ():
            if (pool, consumed.counter_set) in touched:
                for counter, amount in consumed.counters.items():
                    key = (pool, consumed.counter_set, counter)
                    taken[key] = taken.get(key, 0) + amount.value.nano
    for (pool, set_name, counter), nano in taken.items():
        total = inventory.counters[pool, set_name].counters.get(counter)
        if total is None or nano > total.value.nano:
            holders = sorted({one[0].name for key, all_ in held.items() if key[0] == pool for one in all_})
            raise PrepareError(
                f"{label}: partitions in use take more of counter {counter} of {set_name} in pool {pool} than "
                f"there is; ResourceClaims prepared from the pool: {', '.join(holders) or 'none but this'}"
            )


def _identity(result: DeviceRequestAllocationResult) -> tuple[str, str, str, str, bool]:
    return (result.request, result.pool, result.device, result.share_id or "", bool(result.admin_access))
