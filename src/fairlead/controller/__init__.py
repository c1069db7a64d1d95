"""The loop on a live cluster: watch, decide, write.

`Core` decides and does nothing else: events go in, writes come out (`state`). `run` joins it to an API server.
"""

from fairlead.controller.access import Access, AccessError, find_access
from fairlead.controller.events import (
    KINDS,
    UNKNOWN_OUTCOME,
    Event,
    Gone,
    Kind,
    Listed,
    Purpose,
    Refused,
    Seen,
    Write,
    Written,
)
from fairlead.controller.grouping import GROUP, GROUP_SIZE
from fairlead.controller.patches import COMPONENT, FINALIZER, GATE
from fairlead.controller.rounds import Answer, MakeRound, PlannedRound, Round
from fairlead.controller.run import run
from fairlead.controller.state import Core
from fairlead.controller.ungate import Opened, open_gates

__all__ = [
    "COMPONENT",
    "FINALIZER",
    "GATE",
    "GROUP",
    "GROUP_SIZE",
    "KINDS",
    "UNKNOWN_OUTCOME",
    "Access",
    "AccessError",
    "Answer",
    "Core",
    "Event",
    "Gone",
    "Kind",
    "Listed",
    "MakeRound",
    "Opened",
    "PlannedRound",
    "Purpose",
    "Refused",
    "Round",
    "Seen",
    "Write",
    "Written",
    "find_access",
    "open_gates",
    "run",
]
