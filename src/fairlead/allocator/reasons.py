"""Why claims do not fit on a node, as values that add up to sentences.

A reason concerns one request, or several that compete or are tied together by a constraint. `tally` counts every
device of the node under the first rule that excludes it from the request, in the order in which the allocator applies
the rules; `kind` is what decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "class",  # no device, or too few devices, are of the request's class
    "selector",  # too few pass the request's own selectors
    "held",  # too few are free: other claims hold them
    "taken",  # other requests of the same pod need them
    "taint",  # too few have only taints that are tolerated
    "node",  # devices of the pool are for other nodes
    "capacity",  # too little capacity is left on shared devices
    "counter",  # too little is left of what partitions share
    "constraint",  # a matchAttribute or distinctAttribute cannot be satisfied
    "together",  # requests that each fit alone do not fit together
    "limit",  # more devices than a claim may get
    "pool",  # the pool is incomplete or invalid
    "error",  # a selector fails with an error, or the claim is refused
]


@dataclass(frozen=True, slots=True)
class Excluded:
    """Devices that one rule excludes from a request."""

    rule: Kind
    count: int
    detail: str = ""
    """What exactly: the class, the selector's expression, the taint, the holder, the capacity..."""
    devices: tuple[str, ...] = ()
    """driver/pool/device, in order."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that stands in the way on one node."""

    kind: Kind
    claim: str
    """namespace/name, as the claim is called."""
    requests: tuple[str, ...]
    wanted: int
    available: int
    text: str
    """A clause without the node's name, the same for nodes where the same stands in the way, for example
    `request gpu: none of 8 devices free, 1 wanted; held by claims ml-a/train-7`."""
    tally: tuple[Excluded, ...] = ()
    holders: tuple[str, ...] = ()
    """Claims that hold devices which would serve, most devices first."""
