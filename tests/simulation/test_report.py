"""The comparison of setups: figures that are what they say, and a page that holds them and needs nothing else."""

from __future__ import annotations

import json
import re
import statistics
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from fairlead.simulation.play import Setup, drawn_jobs, play
from fairlead.simulation.plots import SHARE, Axis, hours, legend, line_plot, upward
from fairlead.simulation.report import page
from fairlead.simulation.spec import build, parse_line
from fairlead.simulation.summary import Days, by_hour, over_the_day, share_of_best, summarise, to_record
from fairlead.topology import default_rules

LINE = "h100:nodes=6"
CLUSTER = {"spec": LINE, "nodes": 6, "gpus": 48, "hours": 12.0, "load": 1.0, "warm_up": 0, "seeds": [1, 2]}


@cache
def results() -> tuple[Days, ...]:
    objects, rules = build(parse_line(LINE)), default_rules()
    made = []
    for devices in ("first-fit", "compact"):
        setup = Setup("first-fit", devices)
        days = {
            seed: play(objects, rules, setup, drawn_jobs(objects, rules, 12, 1.0, seed), 12, seed) for seed in (1, 2)
        }
        made.append(Days(setup, days))
    return tuple(made)


class Reader(HTMLParser):
    """Collects cells by table, and every name and value that could lead outside of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def test_gains_are_medians_over_the_jobs_that_could_have_had_better() -> None:
    first, second = results()
    found = {(gain.measure, gain.bound): gain for gain in summarise(second, first).gains}
    ratios = [
        after.got.network / before.got.network
        for before, after in zip(first.jobs(), second.jobs(), strict=True)
        if before.got and after.got and before.best
        if before.arrival.shape.pods == 1 and before.arrival.shape.nics
        if before.got.network < before.best.network * 0.999999
    ]
    assert len(ratios) > 5
    gain = found["network", "anywhere"]
    assert (gain.better, gain.gain) == (len(ratios), statistics.median(ratios))
    assert gain.better <= gain.compared
    assert gain.possible >= 1


def test_against_itself_a_setup_gains_nothing() -> None:
    first, _ = results()
    assert {gain.gain for gain in summarise(first, first).gains} == {1.0}


def test_summaries_are_means_of_samples_and_jobs() -> None:
    first, _ = results()
    summary = summarise(first, first)
    samples = [sample for day in first.by_seed.values() for sample in day.samples]
    assert summary.allocated == pytest.approx(sum(sample.allocated for sample in samples) / len(samples))
    waits = [record.wait / 60 for record in first.jobs() if record.wait is not None]
    assert summary.wait_mean == pytest.approx(sum(waits) / len(waits))
    assert summary.jobs == len(list(first.jobs()))


def test_hours_hold_every_job_once() -> None:
    first, _ = results()
    hourly = dict(by_hour(first, "wait"))
    in_hour = [record.wait / 60 for record in first.jobs() if record.wait is not None and record.arrival.at < 3600]
    assert hourly[0.5] == pytest.approx(statistics.fmean(in_hour))
    assert [at for at, _ in over_the_day(first, "allocated")][-1] == 12.0


def test_a_record_is_json_and_has_every_seed() -> None:
    record = json.loads(json.dumps(to_record(CLUSTER, results())))
    assert [(one["policy"], one["devices"]) for one in record["setups"]] == [
        ("first-fit", "first-fit"),
        ("first-fit", "compact"),
    ]
    for one in record["setups"]:
        assert set(one["seeds"]) == {"1", "2"}
        assert sum(seed["jobs"] for seed in one["seeds"].values()) == one["jobs"]


def test_the_page_says_what_the_summary_says() -> None:
    read = Reader(page(CLUSTER, results(), "fairlead simulate --x '<&>'"))
    rows = {row[0]: row for row in read.tables[0][1:]}
    for days in results():
        summary = summarise(days, results()[0])
        row = rows[days.setup.name]
        assert row[1:3] == [f"{summary.allocated:.1%}", f"{summary.fragmented:.1%}"]
        assert row[3] == f"{summary.wait_mean:,.1f} min"
        assert row[-1] == f"{summary.reached['network']:.1%}"
    gains = [row for row in read.tables[1][1:] if row[1:3] == ["network of one pod", "anywhere"]]
    (gain,) = [one for one in summarise(results()[1], results()[0]).gains if one.measure == "network"][1:]
    figures = [str(gain.compared), str(gain.better), f"{gain.gain:.2f}x", f"{gain.possible:.2f}x"]
    figures.append(str(gain.worse))
    assert gains == [["first-fit / compact", "network of one pod", "anywhere", *figures]]


def test_the_page_needs_nothing_else() -> None:
    text = page(CLUSTER, results(), "fairlead simulate --x '<&>'")
    read = Reader(text)
    assert read.open == []
    assert read.links == []
    assert not read.tags & {"script", "link", "img", "iframe", "object"}
    assert "url(" not in text
    assert "@import" not in text
    assert "<&>" not in text
    for variable in set(re.findall(r"var\((--[a-z0-9-]+)\)", text)):
        assert text.count(f"{variable}:") == 2, "a light and a dark value"


def test_plots_are_well_formed_and_inside_their_frame() -> None:
    text = page(CLUSTER, results())
    plots = re.findall(r"<svg viewBox.*?</svg>", text, re.DOTALL)
    drawn = [ElementTree.fromstring(plot) for plot in plots]
    assert len(drawn) == 8 + 2
    for plot in drawn:
        width, height = (float(part) for part in plot.attrib["viewBox"].split()[2:])
        for path in plot.iter("path"):
            for across, up in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path.attrib["d"]):
                assert 0 <= float(across) <= width
                assert 0 <= float(up) <= height


def test_a_line_is_where_its_values_are() -> None:
    plot = ElementTree.fromstring(line_plot("t", hours(10), SHARE, [("a", [(0, 0.0), (5, 0.5), (10, 1.0)])]))
    (path,) = plot.iter("path")
    points = [(float(a), float(b)) for a, b in re.findall(r"[ML]([\d.]+) ([\d.]+)", path.attrib["d"])]
    assert points[1][0] == pytest.approx((points[0][0] + points[2][0]) / 2, abs=0.1)
    assert points[1][1] == pytest.approx((points[0][1] + points[2][1]) / 2, abs=0.1)
    assert points[0][1] > points[2][1]


def test_a_plot_without_points_is_still_one() -> None:
    plot = ElementTree.fromstring(line_plot("a & b", hours(24), upward("jobs", []), [("<none>", [])]))
    assert list(plot.iter("path")) == []
    assert ElementTree.fromstring(legend(["<none>"])).tag == "ul"


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (hours(24), [0, 4, 8, 12, 16, 20, 24]),
        (hours(168), [0, 48, 96, 144]),
        (SHARE, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (upward("jobs", [3, 57]), [0, 10, 20, 30, 40, 50, 60]),
        (Axis("x", 0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_ticks_are_round(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)


def test_shares_of_the_best_are_shares() -> None:
    for days in results():
        for record in days.jobs():
            if record.got is not None and record.got.all_reduce != float("inf"):
                assert 0 <= share_of_best(record, "all_reduce") <= 1
