"""Which writes carry out a plan: the next ones, from what the claims have now.

A claim that has none of it gets the finalizer, then its devices. One that has other devices gives them back first,
where nobody else can use them, and nothing else of the unit is written until the watch shows that. What agrees stays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from fairlead.controller import patches
from fairlead.controller.events import Write
from fairlead.controller.store import Store
from fairlead.controller.unit import UnitPlan, agrees
from fairlead.resource import ResourceClaim

Step = tuple[Write, ResourceClaim]
"""A write, and the claim as it leaves it."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What is to be written next, and whether the watch shows all that was written."""

    writes: list[Step]
    shown: bool


def next_steps(store: Store, plan: UnitPlan, may_release: Collection[str], now: datetime) -> Steps | None:
    """The next writes of a plan; None where somebody else gave a claim other devices.

    Args:
        store: what is there.
        plan: what is to be.
        may_release: claims (`namespace/name`) that nobody but the unit can use.
        now: for the allocations' timestamps.
    """
    steps: list[Step] = []
    releases: list[Step] = []
    shown = True
    releasing = False
    for key, target in plan.claims.items():
        own = store.own("ResourceClaim", key)
        shown &= own is None
        releasing |= own is not None and own.write.purpose == "clear"
        claim = store.current(key)
        if claim is None:
            continue
        assert target.status.allocation is not None
        if claim.status.allocation is None:
            if patches.FINALIZER not in claim.metadata.finalizers:
                steps.append(patches.add_finalizer(claim))
            else:
                steps.append(patches.allocate(claim, target.status.allocation, plan.consumers[key], now))
        elif own is not None:
            continue
        elif not agrees(claim.status.allocation, target.status.allocation):
            if key not in may_release:
                return None
            releases.append(patches.clear(claim))
        elif claim.status.allocation.allocation_timestamp is None and key in may_release:
            releases.append(patches.clear(claim))  # with it kube-scheduler could never reserve it
        elif patches.FINALIZER not in claim.metadata.finalizers:
            steps.append(patches.add_finalizer(claim))
        elif not all(one in claim.status.reserved_for for one in plan.consumers[key]):
            steps.append(patches.allocate(claim, target.status.allocation, plan.consumers[key], now))
    return Steps(releases if releases or releasing else steps, shown)
