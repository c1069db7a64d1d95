"""The comparison of setups as one HTML page that needs nothing else: no scripts, fonts, images or network.

Plots are inline SVG, every figure of them stands in a table too. Colours are CSS variables with a light and a dark set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from fairlead.simulation import plots
from fairlead.simulation.summary import (
    Days,
    Summary,
    by_hour,
    measured,
    over_the_day,
    share_of_best,
    startable,
    summarise,
)

_STYLE: Final = """
:root { color-scheme: light dark;
  --page: #fbfbfa; --text: #1d2125; --faint: #5b636b; --rule: #d9dcdf; --grid: #e7e9eb; --card: #ffffff;
  --series-1: #1f6fb4; --series-2: #c2571a; --series-3: #2c7d4f; --series-4: #7d4bb0; --series-5: #a8324f;
  --series-6: #5c6770; }
@media (prefers-color-scheme: dark) { :root {
  --page: #15181b; --text: #e6e8ea; --faint: #a2abb3; --rule: #394047; --grid: #2a3036; --card: #1c2024;
  --series-1: #6cb2f0; --series-2: #f29a61; --series-3: #6fcf97; --series-4: #c4a0ee; --series-5: #f08aa3;
  --series-6: #b3bcc4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0 0 .15rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; }
.faint { color: var(--faint); font-size: .92rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .35rem .9rem .35rem 0; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; white-space: normal; min-width: 5.5rem; }
th.words, td.words { text-align: left; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.25rem; }
.plot { background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: 1rem 1rem .5rem; }
.plot > svg { display: block; width: 100%; height: auto; margin-top: .5rem; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: 0 0 1rem; padding: 0; }
.legend svg { width: 34px; height: 12px; margin-right: .5rem; vertical-align: middle; }
.grid { stroke: var(--grid); } .axis { stroke: var(--faint); }
.tick, .label { fill: var(--faint); font: 12px system-ui, sans-serif; }
.series { fill: none; stroke-width: 2; stroke-linejoin: round; }
.s1 { stroke: var(--series-1); } .s2 { stroke: var(--series-2); } .s3 { stroke: var(--series-3); }
.s4 { stroke: var(--series-4); } .s5 { stroke: var(--series-5); } .s6 { stroke: var(--series-6); }
summary { cursor: pointer; color: var(--faint); margin-top: 1.5rem; }
pre { background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: .75rem 1rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
"""
_WORDS: Final = {"all_reduce": "all-reduce", "network": "network of one pod"}
_BOUNDS: Final = {"there": "on the same nodes", "anywhere": "anywhere"}


def page(cluster: Mapping[str, Any], results: Sequence[Days], command: str = "") -> str:
    """The whole page.

    Args:
        cluster: what was simulated: `spec`, `nodes`, `gpus`, `hours`, `load` and `warm_up` or `trace`, `seeds`.
        results: the setups; the first is what the others are compared with.
        command: the command line that makes the page again.
    """
    names = [days.setup.name for days in results]
    summaries = [summarise(days, results[0]) for days in results]
    title = f"{cluster['hours']:g} hours of jobs on {cluster['gpus']} GPUs"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_sentence(cluster, summaries))}</p>",
        f"<h2>Summary</h2>{_summary(summaries)}",
        "<p class=faint>A setup is a policy for nodes / for devices. Allocated and fragmented are means over the time "
        "of the simulation; fragmented is the part of free GPUs that no job of whole nodes can use. The share of the "
        "best compares what a job can move with what it could on an empty cluster, by the estimates of Fairlead's "
        "topology rules; nothing was measured on hardware.</p>",
        _gains(summaries),
        "<h2>Over the day</h2>",
        plots.legend(names),
        f'<div class="plots">{"".join(_plots(cluster, results))}</div>',
        _hours(results),
    ]
    if command:
        body.append(f"<h2>How to make this page again</h2><pre>{escape(command)}</pre>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _sentence(cluster: Mapping[str, Any], summaries: Sequence[Summary]) -> str:
    seeds = cluster["seeds"]
    jobs = f"{summaries[0].jobs:,} jobs"
    asked = "read from a trace"
    if "load" in cluster:
        warm = f", after {cluster['warm_up']:g} hours that are not measured" if cluster.get("warm_up") else ""
        asked = f"drawn to ask for {cluster['load']:.0%} of all GPU time{warm}"
    runs = f"{len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"
    return (
        f"Cluster {cluster['spec']}: {cluster['nodes']} nodes. {jobs}, {asked}, over {runs}; every setup has the same."
    )


def _summary(summaries: Sequence[Summary]) -> str:
    head = (
        "setup",
        "allocated",
        "fragmented",
        "mean wait",
        "median wait",
        "95 % wait within",
        "never started",
        "all-reduce, share of best",
        "network, share of best",
    )
    rows = [
        (
            one.setup.name,
            f"{one.allocated:.1%}",
            f"{one.fragmented:.1%}",
            _minutes(one.wait_mean),
            _minutes(one.wait_median),
            _minutes(one.wait_most),
            str(one.never),
            f"{one.reached['all_reduce']:.1%}",
            f"{one.reached['network']:.1%}",
        )
        for one in summaries
    ]
    return _table(head, rows)


def _gains(summaries: Sequence[Summary]) -> str:
    if len(summaries) < 2:
        return ""
    head = (
        "setup",
        "bandwidth",
        "best",
        "jobs",
        "could have had better",
        "median gain",
        "median possible",
        "have less",
    )
    rows = [
        (
            one.setup.name,
            _WORDS[gain.measure],
            _BOUNDS[gain.bound],
            str(gain.compared),
            str(gain.better),
            f"{gain.gain:.2f}x" if gain.better else "-",
            f"{gain.possible:.2f}x" if gain.better else "-",
            str(gain.worse),
        )
        for one in summaries[1:]
        for gain in one.gains
    ]
    return (
        f"<h2>Bandwidth against {escape(summaries[0].setup.name)}</h2>"
        "<p class=faint>Job by job, over the jobs that got less than the best there: what they have now, and what "
        "would have been possible, in times of what they had. On the same nodes: what other devices of them could give "
        "were nobody else there; anywhere: on an empty cluster. Have less: of all jobs.</p>" + _table(head, rows)
    )


def _plots(cluster: Mapping[str, Any], results: Sequence[Days]) -> list[str]:
    x = plots.hours(float(cluster["hours"]))

    def of(get: Any) -> list[tuple[str, plots.Points]]:
        return [(days.setup.name, [point for point in get(days) if point[0] <= x.high]) for days in results]

    waits = of(lambda days: by_hour(days, "wait"))
    queue = of(lambda days: over_the_day(days, "waiting"))
    made = [
        (
            "Allocated GPUs",
            "Part of all GPUs that somebody holds.",
            plots.SHARE,
            of(lambda days: over_the_day(days, "allocated")),
            True,
        ),
        (
            "Fragmentation",
            "Part of the free GPUs that no job of whole nodes can use.",
            plots.SHARE,
            of(lambda days: over_the_day(days, "fragmented")),
            True,
        ),
        ("Jobs that wait", "Length of the queue.", plots.upward("jobs", _values(queue)), queue, True),
        (
            "Waiting time",
            "Mean in minutes, by the hour in which jobs came.",
            plots.upward("minutes", _values(waits)),
            waits,
            False,
        ),
        (
            "All-reduce bandwidth",
            "Mean share of the best anywhere, by the hour in which jobs came.",
            plots.SHARE,
            of(lambda days: by_hour(days, "all_reduce")),
            False,
        ),
        (
            "Network bandwidth of single pods",
            "Mean share of the best anywhere, by the hour in which jobs came.",
            plots.SHARE,
            of(lambda days: by_hour(days, "network")),
            False,
        ),
    ]
    figures = [_figure(name, note, plots.line_plot(name, x, y, lines, step)) for name, note, y, lines, step in made]
    for measure, name in (("all_reduce", "All-reduce, all jobs"), ("network", "Network, all jobs of one pod")):
        lines = [(days.setup.name, _sorted_shares(days, measure)) for days in results]
        note = "Share of the best anywhere that jobs have, the worst job on the left."
        across = plots.Axis("jobs, in parts of all", 0, 1, percent=True)
        figures.append(_figure(name, note, plots.line_plot(name, across, plots.SHARE, lines, True)))
    return figures


def _figure(name: str, note: str, svg: str) -> str:
    small = f"<div class=faint>{escape(note)}</div>" if note else ""
    return f'<section class="plot"><h3>{escape(name)}</h3>{small}{svg}</section>'


def _sorted_shares(days: Days, measure: str) -> plots.Points:
    shares = sorted(share_of_best(job, measure) for job in days.jobs() if measured(job, measure))
    if not shares:
        return []
    return [*((number / len(shares), share) for number, share in enumerate(shares)), (1.0, shares[-1])]


def _values(series: Sequence[tuple[str, plots.Points]]) -> list[float]:
    return [value for _, points in series for _, value in points]


def _hours(results: Sequence[Days]) -> str:
    """The values of the plots, hour by hour."""
    head = ("hour", "setup", "allocated", "fragmented", "jobs that wait", "mean wait", "all-reduce", "network")
    rows: list[tuple[str, ...]] = []
    columns = []
    for days in results:
        samples = [over_the_day(days, what) for what in ("allocated", "fragmented", "waiting")]
        hourly = [dict(by_hour(days, of)) for of in ("wait", "all_reduce", "network")]
        columns.append((days.setup.name, samples, hourly))
    last = int(max((at for at, _ in columns[0][1][0]), default=0))
    for hour in range(last + 1):
        for name, samples, hourly in columns:
            within = [[value for at, value in points if hour <= at < hour + 1] for points in samples]
            means = [sum(values) / len(values) if values else None for values in within]
            jobs = [values.get(hour + 0.5) for values in hourly]
            if means[0] is None:
                continue
            rows.append(
                (
                    str(hour),
                    name,
                    _percent(means[0]),
                    _percent(means[1]),
                    f"{means[2]:.1f}",
                    _minutes(jobs[0]) if jobs[0] is not None else "-",
                    _percent(jobs[1]),
                    _percent(jobs[2]),
                )
            )
    blocks = _table(
        ("setup", *(f"{size} {'GPU' if size == 1 else 'GPUs'} a pod" for size in startable(results[0]))),
        [(days.setup.name, *(_percent(share) for share in startable(days).values())) for days in results],
    )
    return (
        "<h2>What could still start</h2><p class=faint>The largest job that free GPUs could hold at a time, by GPUs a "
        f"pod, in parts of all free GPUs; mean over the day.</p>{blocks}"
        f"<details><summary>All values of the plots, hour by hour</summary>{_table(head, rows)}</details>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    words = [bool(rows) and rows[0][column][:1].isalpha() for column in range(len(head))]
    kinds = [' class="words"' if one else "" for one in words]
    top = "".join(f'<th scope="col"{kind}>{escape(cell)}</th>' for cell, kind in zip(head, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _minutes(minutes: float) -> str:
    return f"{minutes:,.1f} min"
