"""The figures of a simulation: a table for people, a record for programs."""

from __future__ import annotations

import io
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from fairlead.cli.runs import PolicyRuns
from fairlead.simulation import Trace

DIGITS = 4
"""After the point, of a percentage in a record."""


def to_record(trace: Trace, inflate: float, results: Sequence[PolicyRuns]) -> dict[str, Any]:
    """What was simulated, and per policy the figures at the end: their mean, and each seed's own."""
    return {
        "nodes": len(trace.nodes),
        "devices": sum(node.gpus for node in trace.nodes),
        "pods": len(trace.pods),
        "inflate": inflate,
        "policies": {
            runs.policy: {
                "allocated_percent": _figure({seed: run.measures.allocated for seed, run in runs.by_seed.items()}),
                "fragmentation_percent": _figure(
                    {seed: run.measures.fragmentation for seed, run in runs.by_seed.items()}
                ),
                "pods_arrived": {"seeds": {str(seed): run.arrived for seed, run in runs.by_seed.items()}},
                "pods_placed": {"seeds": {str(seed): run.placed for seed, run in runs.by_seed.items()}},
            }
            for runs in results
        },
    }


def _figure(by_seed: Mapping[int, float]) -> dict[str, Any]:
    values = list(by_seed.values())
    return {
        "mean": round(statistics.fmean(values), DIGITS),
        "stdev": round(_spread(values), DIGITS),
        "seeds": {str(seed): round(value, DIGITS) for seed, value in by_seed.items()},
    }


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def to_json(record: Mapping[str, Any]) -> str:
    """The record as indented JSON."""
    return json.dumps(record, indent=2) + "\n"


def to_yaml(record: Mapping[str, Any]) -> str:
    """The record as YAML."""
    text: str = yaml.safe_dump(dict(record), sort_keys=False)
    return text


def draw(trace: Trace, inflate: float, results: Sequence[PolicyRuns], width: int, colour: bool) -> str:
    """The figures as a table of the given width, the fullest policy first."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        legacy_windows=False,
    )
    devices = sum(node.gpus for node in trace.nodes)
    seeds = len(results[0].by_seed)
    more = f" and more of them up to {inflate:g} times the GPUs" if inflate else ""
    console.print(
        f"{len(trace.nodes)} nodes with {devices} GPUs; the {len(trace.pods)} pods of the trace{more}; "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}.\n"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("POLICY")
    for heading in ("ALLOCATED %", "SPREAD", "LEAST", "MOST", "FRAGMENTED %", "PODS PLACED", "S/RUN"):
        table.add_column(heading, justify="right")
    for runs in sorted(results, key=lambda runs: -statistics.fmean(_allocated(runs))):
        allocated = _allocated(runs)
        fragmented = statistics.fmean(run.measures.fragmentation for run in runs.by_seed.values())
        placed = statistics.fmean(run.placed for run in runs.by_seed.values())
        table.add_row(
            runs.policy,
            f"{statistics.fmean(allocated):.2f}",
            f"{_spread(allocated):.2f}",
            f"{min(allocated):.2f}",
            f"{max(allocated):.2f}",
            f"{fragmented:.2f}",
            f"{placed:.0f}",
            f"{statistics.fmean(runs.seconds.values()):.1f}",
        )
    console.print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _allocated(runs: PolicyRuns) -> list[float]:
    return [run.measures.allocated for run in runs.by_seed.values()]
