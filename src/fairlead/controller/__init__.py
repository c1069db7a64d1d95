"""The loop on a live cluster: watch, decide, write.

`Core` decides and does nothing else: events go in, writes come out (`state`). `run` joins it to an API server.
"""

from fairlead.controller.client import Client
from fairlead.controller.election import Election, Timing
from fairlead.controller.elector import Elector
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
from fairlead.controller.figures import DeviceFigures, device_figures
from fairlead.controller.grouping import GROUP, GROUP_SIZE
from fairlead.controller.patches import COMPONENT, FINALIZER, GATE
from fairlead.controller.policies import Placing
from fairlead.controller.rounds import Answer, MakeRound, PlannedRound, Round
from fairlead.controller.run import LeaseName, run
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
    "Answer",
    "Client",
    "Core",
    "DeviceFigures",
    "Election",
    "Elector",
    "Event",
    "Gone",
    "Kind",
    "LeaseName",
    "Listed",
    "MakeRound",
    "Opened",
    "Placing",
    "PlannedRound",
    "Purpose",
    "Refused",
    "Round",
    "Seen",
    "Timing",
    "Write",
    "Written",
    "device_figures",
    "open_gates",
    "run",
]
