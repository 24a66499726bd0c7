"""The report's pictures as inline SVG: no script, no file beside the page. Colours come from the page's style sheet.

They are drawn by hand: Pygal clips intervals and writes labels over one another, Matplotlib adds 75 MB and reads a
`matplotlibrc` of the folder that it is started in.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

WIDTH: Final = 640  # user units; the page scales them
_CHARACTER: Final = 7.8  # user units that a character of a label takes at most
_LINE: Final = 15.0  # user units between the base lines of two labels


@dataclass(frozen=True)
class Bar:
    """One figure with its interval, both from 0 to 1."""

    label: str
    value: float
    low: float
    high: float


def interval_bars(bars: Sequence[Bar]) -> Markup:
    """Horizontal bars with whiskers, all from 0, to one scale."""
    row, right = 34, 60
    labels = [_shorten(bar.label) for bar in bars]
    left = _room(labels, at_least=120)
    most = max([bar.high for bar in bars] + [1e-9])
    scale = (WIDTH - left - right) / most
    parts = []
    for index, bar in enumerate(bars):
        top = index * row + 4
        middle = top + 11
        low, high = left + bar.low * scale, left + bar.high * scale
        parts.append(
            Markup(
                '<text x="{}" y="{}" class="label" text-anchor="end">{}</text>'
                '<rect x="{}" y="{}" width="{:.1f}" height="22" class="bar bar-{}"/>'
                '<path d="M{:.1f} {}H{:.1f}M{:.1f} {}v10M{:.1f} {}v10" class="whisker"/>'
                '<text x="{:.1f}" y="{}" class="label">{}</text>'
            ).format(
                *(left - 10, middle + 5, labels[index], left, top, bar.value * scale, index),
                *(low, middle, high, low, middle - 5, high, middle - 5),
                *(high + 8, middle + 5, f"{bar.value:.1%}"),
            )
        )
    return _svg(parts, len(bars) * row + 4, "Bars with 95 % intervals")


@dataclass(frozen=True)
class Line:
    """Points (x, y), joined."""

    label: str
    points: Sequence[tuple[float, float]]


def line_chart(lines: Sequence[Line], *, x_label: str, y_label: str) -> Markup:
    """Lines over common axes with round ticks; their labels stand at the right, by the height of their ends."""
    top, base, height = 30.0, 220.0, 260  # the plot lies between top and base
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    labels = [_shorten(line.label) for line in lines]
    y_ticks = round_ticks(min(ys), max(ys), 5)
    left = _room(y_ticks.labels, at_least=40)
    right = WIDTH - _room(labels, at_least=80) - 24  # 24 for the stroke before a label
    x_ticks = round_ticks(min(xs), max(xs), int((right - left) / 52))
    x_ticks = round_ticks(min(xs), max(xs), int((right - left) / _room(x_ticks.labels, at_least=52)))

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x_ticks.share(x) * (right - left), base - y_ticks.share(y) * (base - top)

    parts = [_text(4, 12, y_label, "start"), _text((left + right) / 2, height - 6, x_label, "middle")]
    for y, label in zip(y_ticks.values, y_ticks.labels, strict=True):
        level = place(x_ticks.values[0], y)[1]
        parts.append(Markup('<path d="M{:.1f} {:.1f}H{:.1f}" class="grid"/>').format(left, level, right))
        parts.append(_text(left - 8, level + 4, label, "end"))
    for x, label in zip(x_ticks.values, x_ticks.labels, strict=True):
        parts.append(_text(place(x, y_ticks.values[0])[0], base + 16, label, "middle"))
    parts.append(Markup('<path d="M{:.1f} {:.1f}V{:.1f}H{:.1f}" class="axis"/>').format(left, top, base, right))
    for index, line in enumerate(lines):
        path = "M" + "L".join("{:.1f} {:.1f}".format(*place(x, y)) for x, y in line.points)
        parts.append(Markup('<path d="{}" class="line line-{}"/>').format(path, index))
    levels = spread([place(*line.points[-1])[1] for line in lines], _LINE, base)
    for index, (label, level) in enumerate(zip(labels, levels, strict=True)):
        parts.append(
            Markup('<path d="M{:.1f} {:.1f}h14" class="line line-{}"/>').format(right + 6, level, index)
            + _text(right + 24, level + 4, label, "start")
        )
    return _svg(parts, height, f"{y_label} over {x_label}")


@dataclass(frozen=True)
class Ticks:
    """The marks of an axis, from its one end to the other, and how they are written."""

    values: Sequence[float]
    labels: Sequence[str]

    def share(self, value: float) -> float:
        """How far along the axis a value lies, from 0 to 1."""
        return (value - self.values[0]) / (self.values[-1] - self.values[0])


def round_ticks(low: float, high: float, most: int) -> Ticks:
    """Return multiples of 1, 2 or 5 times a power of ten that enclose both values, with about `most` steps at most.

    The method is that of Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990.
    """
    if high <= low:  # one value: a step to each side of it
        low, high = low - (abs(low) or 1) / 2, low + (abs(low) or 1) / 2
    least = (high - low) / max(1, most)
    power = math.floor(math.log10(least))
    step = next(factor * 10.0**power for factor in (1, 2, 5, 10) if factor * 10.0**power >= least * (1 - 1e-9))
    # The tolerance keeps a value that is a multiple but for its rounding from adding a step.
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    values = [step * count for count in range(first, last + 1)]
    return Ticks(values, [f"{value:.{decimals}f}" if decimals < 6 else f"{value:.3g}" for value in values])


def _shorten(label: str, most: int = 40) -> str:
    """The label, its middle left out where it would leave no room for the lines."""
    half = (most - 1) // 2
    return label if len(label) <= most else f"{label[:half]}…{label[-half:]}"


def _room(labels: Sequence[str], *, at_least: float) -> float:
    """User units that the longest of the labels takes, with a gap of 10."""
    return max([at_least, *(10 + _CHARACTER * len(label) for label in labels)])


def spread(places: Sequence[float], gap: float, end: float) -> list[float]:
    """The places moved as little as it takes to lie `gap` apart and not behind `end`, in the same order."""
    moved = list(places)
    order = sorted(range(len(places)), key=places.__getitem__)
    for above, below in itertools.pairwise(order):
        moved[below] = max(moved[below], moved[above] + gap)
    for index, place in enumerate(reversed(order)):
        moved[place] = min(moved[place], end - index * gap)
    return moved


def columns(values: Sequence[float], *, label: str) -> Markup:
    """Upright bars over a scale from 0 with round ticks, one a value, numbered from 1."""
    top, base, height = 10.0, 100.0, 120
    ticks = round_ticks(0.0, max([*values, 1e-12]), 3)
    left = _room(ticks.labels, at_least=40)
    step = (WIDTH - left) / max(1, len(values))
    parts = []
    for value, text in zip(ticks.values, ticks.labels, strict=True):
        level = base - ticks.share(value) * (base - top)
        parts.append(Markup('<path d="M{:.1f} {:.1f}H{}" class="grid"/>').format(left, level, WIDTH))
        parts.append(_text(left - 8, level + 4, text, "end"))
    every = max(1, math.ceil(30 / step))  # numbers that would touch are left out
    for index, value in enumerate(values):
        x, tall = left + index * step, max(0.0, ticks.share(value)) * (base - top)
        bar = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="bar">').format(
            x + step * 0.1, base - tall, step * 0.8, tall
        )
        parts.append(bar + Markup("<title>{}: {:.3f}</title></rect>").format(index + 1, value))
        if index % every == 0:
            number = str(index + 1)
            within = WIDTH - _CHARACTER * len(number) / 2
            parts.append(_text(min(x + step / 2, within), base + 15, number, "middle"))
    return _svg(parts, height, label)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" class="label" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _svg(parts: Sequence[Markup], height: int, label: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, label, Markup("").join(parts)
    )
