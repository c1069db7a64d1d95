"""Pods to nodes and devices.

`plan` takes a `Cluster` (a snapshot) and pods, and returns a `Plan`: each pod's node and claims, or the obstacles.
Nothing here reads a file, asks a server or looks at a clock.
"""

from fairlead.placement.advice import Advisor, Help
from fairlead.placement.cluster import Cluster, assumed_node, named_nodes
from fairlead.placement.diagnosis import Diagnosis, NodeDiagnosis, RequestTally, diagnose
from fairlead.placement.groups import GANG, AskError, GangAsk, GangPlanner, ask_of, ask_problems
from fairlead.placement.outcome import GangOutcome
from fairlead.placement.plan import PlacedClaim, Placement, Plan
from fairlead.placement.planner import Planner
from fairlead.placement.planning import plan
from fairlead.placement.policy import Candidate, FirstFit, Policy, Proposal, Ranking
from fairlead.placement.reasons import Finding, Obstacle
from fairlead.placement.requests import pod_requests
from fairlead.placement.site import Site
from fairlead.placement.state import ClusterState

__all__ = [
    "GANG",
    "Advisor",
    "AskError",
    "Candidate",
    "Cluster",
    "ClusterState",
    "Diagnosis",
    "Finding",
    "FirstFit",
    "GangAsk",
    "GangOutcome",
    "GangPlanner",
    "Help",
    "NodeDiagnosis",
    "Obstacle",
    "PlacedClaim",
    "Placement",
    "Plan",
    "Planner",
    "Policy",
    "Proposal",
    "Ranking",
    "RequestTally",
    "Site",
    "ask_of",
    "ask_problems",
    "assumed_node",
    "diagnose",
    "named_nodes",
    "plan",
    "pod_requests",
]
