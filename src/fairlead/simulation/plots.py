"""Line plots as inline SVG: no scripts, no fonts, colours by CSS variables, so that a page decides on light and dark.

A plot scales to the width of its column. Series beyond the first are dashed, so that lines that lie on each other can
be told apart. Every plot carries a title and a description for those who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 260
LEFT: Final = 52
RIGHT: Final = 22
TOP: Final = 14
BOTTOM: Final = 40
COLOURS: Final = 6
"""How many series have a colour of their own: CSS variables `--series-1` and on."""
_DASHES: Final = ("", "7 4", "2 3", "10 3 2 3", "4 2", "1 4")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """A value axis."""

    label: str
    low: float
    high: float
    percent: bool = False
    steps: tuple[float, ...] = ()
    """Distances between ticks to choose from; round numbers where there are none."""

    def ticks(self) -> list[float]:
        """About five round values from low to high."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        steps = self.steps or tuple(factor * power for factor in (1, 2, 2.5, 5, 10))
        step = next((step for step in steps if step >= rough * 0.8), steps[-1])
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def text(self, value: float) -> str:
        """A tick's label."""
        return f"{value:.0%}" if self.percent else f"{value:g}"


def hours(high: float) -> Axis:
    """The time axis of a simulation."""
    return Axis("hour", 0, high, steps=(0.1, 0.25, 0.5, 1, 2, 3, 4, 6, 12, 24, 48, 96, 168))


def upward(label: str, values: Sequence[float]) -> Axis:
    """An axis from zero to a little above the greatest value."""
    most = max(values, default=0.0)
    if most <= 0:
        return Axis(label, 0, 1)
    power = 10.0 ** math.floor(math.log10(most))
    return Axis(label, 0, next(factor * power for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if factor * power >= most))


SHARE: Final = Axis("", 0, 1, percent=True)


def line_plot(title: str, x: Axis, y: Axis, series: Sequence[tuple[str, Points]], step: bool = False) -> str:
    """A plot.

    Args:
        title: what it shows, for those who do not see it.
        x: the axis from left to right.
        y: the axis upward.
        series: name and points of each line, points in the order of x.
        step: whether values hold until the next point.
    """
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape('; '.join(_described(name, points, y) for name, points in series))}</desc>",
    ]
    for value in y.ticks():
        at = _up(value, y)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{y.text(value)}</text>')
    floor = HEIGHT - BOTTOM
    for value in x.ticks():
        at = _across(value, x)
        parts.append(f'<line class="axis" x1="{at:.1f}" y1="{floor}" x2="{at:.1f}" y2="{floor + 4}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{floor + 17}" text-anchor="middle">{x.text(value)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{floor}" x2="{WIDTH - RIGHT}" y2="{floor}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{escape(x.label)}</text>')
    for number, (_, points) in enumerate(series):
        parts.append(_line(points, x, y, number, step))
    parts.append("</svg>")
    return "\n".join(parts)


def legend(names: Sequence[str]) -> str:
    """The names of the series with a piece of their lines."""
    items = []
    for number, name in enumerate(names):
        dash = f' stroke-dasharray="{_DASHES[number % COLOURS]}"' if _DASHES[number % COLOURS] else ""
        line = f'<line class="series s{number % COLOURS + 1}" x1="0" y1="6" x2="34" y2="6"{dash}/>'
        items.append(f'<li><svg viewBox="0 0 34 12" aria-hidden="true">{line}</svg>{escape(name)}</li>')
    return f'<ul class="legend">{"".join(items)}</ul>'


def _described(name: str, points: Points, y: Axis) -> str:
    if not points:
        return f"{name}: nothing"
    values = [value for _, value in points]
    return f"{name}: from {y.text(round(min(values), 3))} to {y.text(round(max(values), 3))}"


def _line(points: Points, x: Axis, y: Axis, number: int, step: bool) -> str:
    path: list[str] = []
    before = 0.0
    for at, value in points:
        across, up = _across(at, x), _up(min(max(value, y.low), y.high), y)
        if path and step:
            path.append(f"L{across:.1f} {before:.1f}")
        path.append(f"{'L' if path else 'M'}{across:.1f} {up:.1f}")
        before = up
    dash = f' stroke-dasharray="{_DASHES[number % COLOURS]}"' if _DASHES[number % COLOURS] else ""
    return f'<path class="series s{number % COLOURS + 1}" d="{" ".join(path)}"{dash}/>' if path else ""


def _across(value: float, x: Axis) -> float:
    return LEFT + (value - x.low) / (x.high - x.low) * (WIDTH - LEFT - RIGHT)


def _up(value: float, y: Axis) -> float:
    return HEIGHT - BOTTOM - (value - y.low) / (y.high - y.low) * (HEIGHT - TOP - BOTTOM)
