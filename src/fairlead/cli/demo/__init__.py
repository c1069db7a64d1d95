"""`fairlead demo`: the main job on a small cluster that comes with the package.

The files beside this module are ordinary manifests, written for the demonstration; the commands that it shows plan
the very same files.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from fairlead.cli.inputs import load
from fairlead.placement import plan as place

FILES: Final = Path(__file__).parent
_BEFORE: Final = """\
The cluster: two nodes with eight large GPUs (Falcon) each, where four GPUs and a NIC share a PCIe
root; two nodes with four small GPUs (Swift); and two accelerators on the fabric of rack a, which
belong to no node: whatever stands in that rack reaches them.

The workloads:
  training    a Job of four workers; each wants four Falcons and a NIC, all on one PCIe root
  inference   a Deployment of two replicas on different nodes that share one fabric accelerator
  evaluation  a Job of one pod that wants a GPU with at least 40 GiB
"""

_AFTER: Final = """\
The training job has taken every Falcon, and the Swifts are too small: evaluation has to wait, or
to ask for less. Nothing was allocated anywhere: this was a plan.

Try next:
"""


@click.command(short_help="Plan three workloads on a small example cluster.")
def demo() -> None:
    """Plan three workloads on a small example cluster, and show why one of them has to wait.

    Needs no cluster and no network. The manifests come with Fairlead; the output says where they are.

    \b
    Example:
      fairlead demo
    """
    from fairlead.cli.table import draw, output_width

    given = load([str(file) for file in sorted(FILES.glob("*.yaml"))])
    result = place(given.cluster, given.pods)
    click.echo(_BEFORE)
    click.echo(draw(result, given.cluster.slices, output_width(), sys.stdout.isatty()))
    click.echo(_AFTER + "\n".join(f"  {line}" for line in _next_steps()))


def _next_steps() -> list[str]:
    here = os.path.relpath(FILES)
    if len(here) > len(str(FILES)):
        here = str(FILES)
    return [
        f"cd {here}",
        "fairlead explain ml/evaluate-0 -f .                    # what would help it",
        "fairlead plan -f 1-cluster.yaml -f 4-evaluation.yaml   # alone, it has a place",
        "fairlead plan -f . -o yaml                             # what the cluster would hold",
        "fairlead plan -f 1-cluster.yaml -f 3-inference.yaml --node crane-1=rack=a",
        "fairlead validate -f .",
    ]
