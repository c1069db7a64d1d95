"""Clusters that exist in memory only: made from a spec or a trace, filled with pods, and measured."""

from fairlead.simulation.measures import Measures, measure
from fairlead.simulation.openb import NodeRow, PodMaker, PodRow, TraceError, cluster, read_nodes, read_pods
from fairlead.simulation.replay import Arrivals, Run, Trace, arrivals, replay, typical

__all__ = [
    "Arrivals",
    "Measures",
    "NodeRow",
    "PodMaker",
    "PodRow",
    "Run",
    "Trace",
    "TraceError",
    "arrivals",
    "cluster",
    "measure",
    "read_nodes",
    "read_pods",
    "replay",
    "typical",
]
