"""Clusters that exist in memory only: made from a spec or a trace, filled with pods, and measured.

Two kinds of simulation. `replay` fills a recorded cluster (`Trace`) and measures how full it gets. `play` lets jobs
(`Arrival`) come, wait, run and leave on a synthetic cluster (`parse_line` or `read_spec`, then `build`), with a `Setup`
of policies; `summarise` and `page` put the `Days` of several setups side by side.
"""

from fairlead.simulation.engine import Day, Engine, JobRecord, Sample
from fairlead.simulation.fleet import BookingError, Fleet
from fairlead.simulation.hardware import PROFILES, Part, Profile
from fairlead.simulation.ideal import Ideal
from fairlead.simulation.jobs import HOUR, Arrival, JobsError, Shape, default_mix, draw, read_jobs, write_jobs
from fairlead.simulation.manifests import render, save, write_whole
from fairlead.simulation.measures import Measures, measure
from fairlead.simulation.openb import NodeRow, PodMaker, PodRow, TraceError, cluster, read_nodes, read_pods
from fairlead.simulation.play import Setup, drawn_jobs, play
from fairlead.simulation.replay import Arrivals, Run, Trace, arrivals, replay, typical
from fairlead.simulation.report import page
from fairlead.simulation.spec import SpecError, as_cluster, build, line_of, parse_line, read_spec, write_spec
from fairlead.simulation.summary import Days, Gain, Summary, summarise, to_record

__all__ = [
    "HOUR",
    "PROFILES",
    "Arrival",
    "Arrivals",
    "BookingError",
    "Day",
    "Days",
    "Engine",
    "Fleet",
    "Gain",
    "Ideal",
    "JobRecord",
    "JobsError",
    "Measures",
    "NodeRow",
    "Part",
    "PodMaker",
    "PodRow",
    "Profile",
    "Run",
    "Sample",
    "Setup",
    "Shape",
    "SpecError",
    "Summary",
    "Trace",
    "TraceError",
    "arrivals",
    "as_cluster",
    "build",
    "cluster",
    "default_mix",
    "draw",
    "drawn_jobs",
    "line_of",
    "measure",
    "page",
    "parse_line",
    "play",
    "read_jobs",
    "read_nodes",
    "read_pods",
    "read_spec",
    "render",
    "replay",
    "save",
    "summarise",
    "to_record",
    "typical",
    "write_jobs",
    "write_spec",
    "write_whole",
]
