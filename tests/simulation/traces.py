"""A small recorded cluster, for tests."""

from __future__ import annotations

from fairlead.simulation import Trace, read_nodes, read_pods

NODES = """\
sn,cpu_milli,memory_mib,gpu,model
n-0,16000,65536,2,T4
n-1,16000,65536,4,V100
n-2,64000,262144,0,
"""

PODS = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos
p-0,1000,1024,1,500,,LS
p-1,2000,2048,1,1000,T4,LS
p-2,4000,4096,2,1000,V100|A100,BE
p-3,8000,8192,0,0,,BE
p-4,1000,1024,1,250,,LS
p-5,1000,1024,1,2000,,LS
"""


def small() -> Trace:
    """The trace of both."""
    return Trace(read_nodes(NODES, "nodes.csv"), read_pods(PODS, "pods.csv"))
