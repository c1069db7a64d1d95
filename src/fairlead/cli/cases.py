"""The allocator as a function on JSON: one case in, one outcome out.

A case holds slices, classes, claims, what is allocated already, and a node (or several, tried in order until one
fits), all in plain `resource.k8s.io/v1` JSON. Other programs call this; fields are added, never changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from fairlead.allocator import Allocator, Decision, RequestError, Wanted
from fairlead.inventory import DeviceId, Features, Inventory, InventoryError
from fairlead.resource import (
    DeviceClass,
    DeviceTaintRule,
    Node,
    Quantity,
    ResourceClaim,
    ResourceSlice,
    decode_hook,
    encode_hook,
)


class DeviceRef(msgspec.Struct, frozen=True):
    """A device, and, where it is about a share, the share's id or what it consumes."""

    driver: str
    pool: str
    device: str
    share_id: str = msgspec.field(default="", name="shareID")
    consumed: dict[str, Quantity] = {}

    @property
    def id(self) -> DeviceId:
        """The device's name."""
        return DeviceId(self.driver, self.pool, self.device)


class Case(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One input line."""

    name: str = ""
    features: list[str] | None = None
    slices: list[ResourceSlice] = []
    classes: list[DeviceClass] = []
    claims: list[ResourceClaim] = []
    taint_rules: list[DeviceTaintRule] = []
    allocated_devices: list[DeviceRef | str] = []
    allocated_shared_device_ids: list[DeviceRef] = msgspec.field(default=[], name="allocatedSharedDeviceIDs")
    allocated_capacity: list[DeviceRef] = []
    allocated_claims: list[ResourceClaim] = []
    node: Node | None = None
    nodes: list[Node] = []


class Outcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One output line.

    `allocations` is one AllocationResult a claim, or null; `error` the reason why the claims are refused, or null;
    `micros` the decision alone on a prepared inventory, best of all repeats; `micros_first` the first decision, with
    everything that is prepared for claims of a shape never seen before.
    """

    name: str
    allocations: list[dict[str, Any]] | None
    error: str | None
    reasons: list[dict[str, Any]]
    node: str | None
    micros: float
    micros_first: float = msgspec.field(name="micros_first")


class CaseError(ValueError):
    """A line that is not a case; the text says what is wrong and where."""


def parse_case(line: bytes) -> Case:
    """One line of input.

    Raises:
        CaseError: the line is not JSON, or a field has the wrong type.
    """
    try:
        return msgspec.json.decode(line, type=Case, dec_hook=decode_hook)
    except (msgspec.DecodeError, ValueError) as error:
        raise CaseError(str(error)) from None


def inventory_of(case: Case) -> Inventory:
    """The devices of the case, and what is taken of them.

    Raises:
        CaseError: a feature or a device name cannot be understood.
    """
    try:
        features = Features() if case.features is None else Features.named(case.features)
        inventory = Inventory(claims=case.allocated_claims, taint_rules=case.taint_rules, features=features)
        holdings = inventory.holdings
        holdings.add_exclusive(
            (DeviceId.parse(ref) if isinstance(ref, str) else ref.id for ref in case.allocated_devices), "allocated"
        )
    except ValueError as error:
        raise CaseError(str(error)) from None
    for ref in case.allocated_shared_device_ids:
        holdings.add_share(ref.id, ref.share_id, "allocated")
    for ref in case.allocated_capacity:
        holdings.add_consumed(ref.id, {name: amount.nano for name, amount in ref.consumed.items()})
    for number, slice_ in enumerate(case.slices):
        # Names need not differ in cases, so slices are told apart by their place.
        inventory.add_slice(slice_, f"{number:06d}/{slice_.name}")
    return inventory


def run_case(case: Case, repeat: int = 1, clock: Callable[[], int] = time.perf_counter_ns) -> Outcome:
    """Decides one case, `repeat` times for the timing.

    Raises:
        CaseError: the case cannot be understood.
    """
    inventory = inventory_of(case)
    allocator = Allocator(case.classes, inventory.features)
    nodes = [case.node] if case.node is not None else case.nodes
    if not nodes:
        raise CaseError("node: Required value")
    try:
        views = [
            inventory.view(node.name, node.metadata.labels, frozenset(node.status.declared_features)) for node in nodes
        ]
    except InventoryError as error:
        return _refused(case, str(error))
    for view in views:
        _ = view.occupancy
    start = clock()
    try:
        wanted = [allocator.wanted(claim) for claim in case.claims]
        decision = _first_fit(allocator, views, wanted)
    except RequestError as error:
        return _refused(case, str(error), (clock() - start) / 1000)
    first = best = clock() - start
    for _ in range(repeat - 1):
        start = clock()
        decision = _first_fit(allocator, views, wanted)
        best = min(best, clock() - start)
    fits = decision.fits and not decision.error
    return Outcome(
        name=case.name,
        allocations=[msgspec.to_builtins(a, enc_hook=encode_hook) for a in decision.allocations()] if fits else None,
        error=decision.error or None,
        reasons=[msgspec.to_builtins(reason) for reason in decision.reasons()],
        node=decision.view.name if fits else None,
        micros=best / 1000,
        micros_first=first / 1000,
    )


def _first_fit(allocator: Allocator, views: list[Any], wanted: list[Wanted]) -> Decision:
    """The decision for the first node that fits, or else for the last one tried; an error ends it, as upstream."""
    for view in views:
        decision = allocator.allocate(view, wanted)
        if decision.fits or (decision.error and not decision.node_error):
            break
    return decision


def _refused(case: Case, error: str, micros: float = 0.0) -> Outcome:
    return Outcome(
        name=case.name, allocations=None, error=error, reasons=[], node=None, micros=micros, micros_first=micros
    )
