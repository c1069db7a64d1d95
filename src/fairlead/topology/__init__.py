"""How devices and nodes are wired: where each device sits, which domains nodes share, what a link carries.

`wire` makes the `Wiring` of one node from its devices, `build_tree` the `Tree` of nodes from their labels;
`job_bandwidth` joins both. All of it follows `Rules`: those that are shipped (`default_rules`), and a user's on top of
them (`read_rules`). Nothing here knows claims, or what is taken.
"""

from fairlead.topology.bandwidth import Bandwidth
from fairlead.topology.cursor import RulesError
from fairlead.topology.job import job_bandwidth
from fairlead.topology.locate import reads_of
from fairlead.topology.location import KINDS, Location
from fairlead.topology.problems import PROBLEM_KINDS, TopologyProblem
from fairlead.topology.reader import default_rules, read_rules
from fairlead.topology.rules import LINK_KINDS, Rules
from fairlead.topology.tree import Level, Tree, build_tree
from fairlead.topology.wiring import Link, Wiring, wire

__all__ = [
    "KINDS",
    "LINK_KINDS",
    "PROBLEM_KINDS",
    "Bandwidth",
    "Level",
    "Link",
    "Location",
    "Rules",
    "RulesError",
    "TopologyProblem",
    "Tree",
    "Wiring",
    "build_tree",
    "default_rules",
    "job_bandwidth",
    "read_rules",
    "reads_of",
    "wire",
]
