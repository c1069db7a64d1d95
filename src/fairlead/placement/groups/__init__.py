"""Gangs as users know them: pods of a Job, an MPIJob or a PodGroup, placed whole or not at all."""

from fairlead.placement.groups.ask import GANG, AskError, GangAsk, ask_of, ask_problems
from fairlead.placement.groups.place import GangPlanner, devices_of
from fairlead.placement.outcome import GangOutcome

__all__ = ["GANG", "AskError", "GangAsk", "GangOutcome", "GangPlanner", "ask_of", "ask_problems", "devices_of"]
