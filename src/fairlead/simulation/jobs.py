"""The jobs of a simulated day: when each comes, how long it runs, what it asks for.

Drawn from a mix of shapes with a `Random`, or read from a CSV file. Drawn arrivals are a Poisson process whose rate
follows the time of day, lowest at 2 in the night and highest at 14 o'clock; durations are lognormal. The rate is set so
that the GPU time that is asked for is `load` of what the cluster has.

The mix is an assumption, made after what published traces agree on: most jobs are small, and most GPU time goes to the
large ones. Nothing of it is fitted to one trace.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from fairlead.resource import Problem

HOUR: Final = 3600.0
KINDS: Final = ("training", "small", "inference")
COLUMNS: Final = ("name", "arrival_s", "duration_s", "kind", "pods", "gpus", "nics")
"""Columns of a trace file, in any order."""
_SWING: Final = 0.5
"""How far the rate goes up and down from its mean, in parts of it."""
_LONGEST: Final = 72 * HOUR
_PODS_MAX: Final = 4096
_PER_POD_MAX: Final = 128
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a job asks for: pods that all ask for the same. Pods of a training job start together or not at all."""

    kind: str
    pods: int
    gpus: int
    """GPUs of each pod."""
    nics: int
    """Network functions of each pod."""

    @property
    def total(self) -> int:
        """GPUs of the whole job."""
        return self.pods * self.gpus

    @property
    def text(self) -> str:
        """`training 16x8+8`: pods, GPUs and NICs of each."""
        return f"{self.kind} {self.pods}x{self.gpus}{f'+{self.nics}' if self.nics else ''}"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job; times in seconds from the beginning of what is measured."""

    name: str
    at: float
    duration: float
    shape: Shape


@dataclass(frozen=True, slots=True)
class Share:
    """How often a shape comes, and how long such jobs run: median in minutes, sigma of the logarithm."""

    shape: Shape
    weight: float
    minutes: float
    sigma: float

    @property
    def mean(self) -> float:
        """Mean duration in seconds, before durations are cut at three days."""
        return 60 * self.minutes * math.exp(self.sigma**2 / 2)


def default_mix(node_gpus: int, node_nics: int, capacity: int) -> list[Share]:
    """The shapes for a cluster.

    Args:
        node_gpus: GPUs of a node.
        node_nics: network functions of a node; training and small jobs take as many a GPU as the node has.
        capacity: GPUs of the cluster; shapes that ask for more than half of it are left out.
    """
    each = node_nics // node_gpus
    made: list[Share] = []

    def add(kind: str, pods: int, gpus: int, weight: float, minutes: float, sigma: float = 1.0) -> None:
        if gpus > node_gpus:  # as many GPUs on more nodes
            pods, gpus = pods * -(-gpus // node_gpus), node_gpus
        nics = 0 if kind == "inference" else gpus * each
        if pods * gpus <= max(capacity // 2, 1):
            made.append(Share(Shape("training" if pods > 1 else kind, pods, gpus, nics), weight, minutes, sigma))

    for gpus, weight in ((1, 30.0), (2, 6.0)):
        add("inference", 1, gpus, weight, 120, 1.2)
    for gpus, weight, minutes in ((1, 24.0, 40.0), (2, 10.0, 60.0), (4, 7.0, 60.0), (8, 6.0, 90.0)):
        add("small", 1, gpus, weight, minutes)
    for pods, weight, minutes in ((2, 5.0, 120.0), (4, 3.0, 150.0), (8, 2.0, 180.0)):
        add("training", pods, node_gpus, weight, minutes)
    for pods, weight in ((16, 1.0), (32, 0.4), (64, 0.1)):
        add("training", pods, node_gpus, weight, 180)
    for pods, gpus, weight in ((8, 1, 2.0), (4, 2, 3.0), (8, 2, 2.0)):
        add("training", pods, gpus, weight, 90)
    if node_gpus > 4:
        add("training", 4, 4, 2.0, 120)
        add("training", 16, 4, 1.0, 150)
    return made


def draw(
    mix: Sequence[Share], capacity: int, hours: float, load: float, rng: Random, before: float = 0.0
) -> list[Arrival]:
    """The jobs of some hours, in order of arrival.

    Args:
        mix: the shapes; none gives no jobs.
        capacity: GPUs of the cluster.
        hours: how long jobs come; the simulation begins at midnight.
        load: GPU time asked for, in parts of what the cluster has.
        rng: the only source of chance.
        before: for how many hours before the beginning jobs come too; their times are negative.
    """
    weights = [share.weight for share in mix]
    if not mix or load <= 0:
        return []
    work = sum(share.weight * share.shape.total * share.mean for share in mix) / sum(weights)
    rate = load * capacity / work
    made: list[Arrival] = []
    at = -before * HOUR
    while True:
        at += rng.expovariate(rate * (1 + _SWING))
        if at >= hours * HOUR:
            return made
        wave = 1 - _SWING * math.cos(2 * math.pi * (at / HOUR - 2) / 24)
        if rng.random() * (1 + _SWING) >= wave:
            continue
        (share,) = rng.choices(mix, weights)
        duration = min(60 * share.minutes * math.exp(rng.gauss(0, share.sigma)), _LONGEST)
        made.append(Arrival(f"{share.shape.kind}-{len(made) + 1:05d}", at, duration, share.shape))


class JobsError(ValueError):
    """A trace file cannot be used: everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = list(problems)


def read_jobs(text: str, origin: str) -> list[Arrival]:
    """The jobs of a CSV file, in order of arrival; jobs that come at the same time stay in the order of the file.

    The first line names the columns (`COLUMNS`); empty lines are skipped.

    Args:
        text: the file.
        origin: what problems call it.

    Raises:
        JobsError: with all that is wrong.
    """
    rows = csv.reader(io.StringIO(text), strict=True)
    problems: list[Problem] = []
    made: list[Arrival] = []
    names: set[str] = set()
    try:
        header = [name.strip() for name in next(rows, [])]
        wrong = [name for name in COLUMNS if header.count(name) != 1] + [n for n in header if n not in COLUMNS]
        if wrong:
            reason = f"must name each of the columns {', '.join(COLUMNS)} once and no others: see {', '.join(wrong)}"
            raise JobsError([Problem("line 1", "", reason, origin)])
        for row in rows:
            if not row:
                continue
            label = f"line {rows.line_num}"
            if len(row) != len(header):
                problems.append(Problem(label, "", f"has {len(row)} values, not {len(header)}", origin))
                continue
            cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
            faults, arrival = _arrival(cells)
            if cells["name"] in names:
                faults.append(("name", "another line has this name"))
            names.add(cells["name"])
            problems += [Problem(label, field, f'"{cells[field]}" {reason}', origin) for field, reason in faults]
            if arrival is not None and not faults:
                made.append(arrival)
    except csv.Error as error:
        problems.append(Problem(f"line {rows.line_num}", "", str(error), origin))
    if problems:
        raise JobsError(problems)
    if not made:
        raise JobsError([Problem("", "", "holds no jobs", origin)])
    return sorted(made, key=lambda arrival: arrival.at)


def _arrival(cells: dict[str, str]) -> tuple[list[tuple[str, str]], Arrival | None]:
    faults: list[tuple[str, str]] = []

    def amount(field: str, least: float) -> float:
        try:
            value = float(cells[field])
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < least:
            faults.append((field, "must be a number of seconds, " + ("more than 0" if least else "0 or more")))
        return value

    def count(field: str, least: int, most: int) -> int:
        text = cells[field]
        if not re.fullmatch(r"[0-9]{1,6}", text) or not least <= int(text) <= most:
            faults.append((field, f"must be a whole number from {least} to {most}"))
            return least
        return int(text)

    if not _NAME.fullmatch(cells["name"]):
        faults.append(("name", "must be lower case letters, digits and dashes, at most 42"))
    if cells["kind"] not in KINDS:
        faults.append(("kind", f"must be one of {', '.join(KINDS)}"))
    at, duration = amount("arrival_s", 0.0), amount("duration_s", 1e-3)
    pods = count("pods", 1, _PODS_MAX)
    gpus, nics = count("gpus", 1, _PER_POD_MAX), count("nics", 0, _PER_POD_MAX)
    if faults:
        return faults, None
    return faults, Arrival(cells["name"], at, duration, Shape(cells["kind"], pods, gpus, nics))


def write_jobs(arrivals: Sequence[Arrival]) -> str:
    """The jobs as a CSV file that reads back to them."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in arrivals:
        shape = one.shape
        rows.writerow((one.name, one.at, one.duration, shape.kind, shape.pods, shape.gpus, shape.nics))
    return out.getvalue()
