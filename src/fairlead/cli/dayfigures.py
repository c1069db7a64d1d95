"""Simulated days as tables of the terminal: what each setup came to, and what jobs gained against the first."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from fairlead.simulation import Days, summarise

_WORDS = {"all_reduce": "all-reduce", "network": "network"}
_BOUNDS = {"there": "same nodes", "anywhere": "anywhere"}


def draw(cluster: Mapping[str, Any], results: Sequence[Days], width: int, colour: bool) -> str:
    """Both tables with the given width.

    Args:
        cluster: what was simulated, as in `summary.to_record`.
        results: the setups, in order.
        width: in columns.
        colour: whether to use colours.
    """
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        legacy_windows=False,
    )
    summaries = [summarise(days, results[0]) for days in results]
    seeds = len(cluster["seeds"])
    asked = f"load {cluster['load']:g}" if "load" in cluster else "from a trace"
    console.print(
        f"{cluster['nodes']} nodes with {cluster['gpus']} GPUs; {summaries[0].jobs} jobs in {cluster['hours']:g} hours "
        f"({asked}); {seeds} {'seed' if seeds == 1 else 'seeds'}.\n"
    )
    headings = ("ALLOC %", "FRAG %", "WAIT MIN", "MEDIAN", "P95", "ALL-REDUCE %", "NETWORK %")
    table = _table("NODES / DEVICES", *headings)
    for one in summaries:
        table.add_row(
            one.setup.name,
            f"{100 * one.allocated:.1f}",
            f"{100 * one.fragmented:.1f}",
            f"{one.wait_mean:.1f}",
            f"{one.wait_median:.1f}",
            f"{one.wait_most:.1f}",
            f"{100 * one.reached['all_reduce']:.1f}",
            f"{100 * one.reached['network']:.1f}",
        )
    console.print(table)
    console.print("\nALL-REDUCE, NETWORK: mean share of the best that a job could have on an empty cluster, estimated.")
    never = summaries[0].never
    if never:
        console.print(f"{never} {'job fits' if never == 1 else 'jobs fit'} nowhere, ever.")
    if len(summaries) > 1:
        console.print(f"\nAgainst {summaries[0].setup.name}, over the jobs that could have had better (BETTER):\n")
        gains = _table("NODES / DEVICES", "BANDWIDTH", "BEST", "JOBS", "BETTER", "MEDIAN GAIN", "POSSIBLE", "HAVE LESS")
        for one in summaries[1:]:
            for gain in one.gains:
                gains.add_row(
                    one.setup.name,
                    _WORDS[gain.measure],
                    _BOUNDS[gain.bound],
                    str(gain.compared),
                    str(gain.better),
                    f"{gain.gain:.2f}x" if gain.better else "-",
                    f"{gain.possible:.2f}x" if gain.better else "-",
                    str(gain.worse),
                )
        console.print(gains)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
