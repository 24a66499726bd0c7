"""The report's pictures as inline SVG: no script, no file beside the page. Colours come from the page's style sheet."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH = 640  # user units; the page scales them


@dataclass(frozen=True)
class Bar:
    """One figure with its interval, both from 0 to 1."""

    label: str
    value: float
    low: float
    high: float


def interval_bars(bars: Sequence[Bar]) -> Markup:
    """Horizontal bars with whiskers, all from 0, to one scale."""
    left, row, right = 120, 34, 60
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
                *(left - 10, middle + 5, bar.label, left, top, bar.value * scale, index),
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
    """Lines over a common pair of axes, whose ends are labelled, and each place between where few fit."""
    left, top, bottom, height = 60, 14, 40, 240
    labels = [_shorten(line.label) for line in lines]
    right = max([120, *(10 + 7.8 * len(label) for label in labels)])  # room for the labels
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_low, x_high, y_low, y_high = min(xs), max(xs), min(ys), max(ys)
    x_scale = (WIDTH - left - right) / ((x_high - x_low) or 1)
    y_scale = (height - top - bottom) / ((y_high - y_low) or 1)

    def place(x: float, y: float) -> str:
        return f"{left + (x - x_low) * x_scale:.1f} {height - bottom - (y - y_low) * y_scale:.1f}"

    base = height - bottom
    parts = [
        Markup('<path d="M{} {}V{}H{}" class="axis"/>').format(left, top, base, WIDTH - right),
        _text(left - 8, base, f"{y_low:.2f}", "end"),
        _text(left - 8, top + 10, f"{y_high:.2f}", "end"),
        *(_text(left + (x - x_low) * x_scale, base + 16, f"{x:.3g}", "middle") for x in _ticks(xs, 44 / x_scale)),
        _text((left + WIDTH - right) / 2, height - 6, x_label, "middle"),
        _text(4, top - 2, y_label, "start"),
    ]
    ends = []
    for index, line in enumerate(lines):
        path = "M" + "L".join(place(x, y) for x, y in line.points)
        ends.append(tuple(map(float, place(*line.points[-1]).split())))
        parts.append(Markup('<path d="{}" class="line line-{}"/>').format(path, index))
    heights = spread([y for _, y in ends], 15)
    for label, (x, _), y in zip(labels, ends, heights, strict=True):
        parts.append(_text(x + 6, y + 4, label, "start"))
    return _svg(parts, height, f"{y_label} over {x_label}")


def _ticks(values: Sequence[float], gap: float) -> list[float]:
    """Each value once, or the ends alone where labels of some would be nearer than `gap` to one another."""
    every = sorted(set(values))
    fits = all(after - before >= gap for before, after in itertools.pairwise(every))
    return every if fits else [every[0], every[-1]]


def _shorten(label: str, most: int = 40) -> str:
    """The label, its middle left out where it would leave no room for the lines."""
    half = (most - 1) // 2
    return label if len(label) <= most else f"{label[:half]}…{label[-half:]}"


def spread(places: Sequence[float], gap: float) -> list[float]:
    """The places moved down as little as it takes to lie `gap` apart, so that labels don't cover each other."""
    moved = list(places)
    order = sorted(range(len(places)), key=places.__getitem__)
    for above, below in itertools.pairwise(order):
        moved[below] = max(moved[below], moved[above] + gap)
    return moved


def heatmap(names: Sequence[str], value: Callable[[int, int], float | None], *, label: str) -> Markup:
    """A square of figures, darker where they are higher; value(row, column) may be None, which leaves a cell empty."""
    left, row, top = 200, 30, 26
    cell = min(90.0, max(44.0, (WIDTH - left) / max(1, len(names))))  # wide enough for a figure
    parts = [_text(4, 14, label, "start")]
    figures = [value(row, column) for row in range(len(names)) for column in range(len(names))]
    most = max([figure for figure in figures if figure is not None] + [1e-9])
    for index, name in enumerate(names):
        parts.append(_text(left - 8, top + index * row + 20, f"{index + 1}  {_shorten(name, 22)}", "end"))
        parts.append(_text(left + (index + 0.5) * cell, top + len(names) * row + 16, str(index + 1), "middle"))
        for column in range(len(names)):
            figure = value(index, column)
            if figure is None:
                continue
            x, y = left + column * cell, top + index * row
            parts.append(
                Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{}" class="cell" opacity="{:.3f}"/>').format(
                    x, y, cell - 2, row - 2, 0.6 * max(figure, 0.0) / most
                )
            )
            parts.append(_text(x + cell / 2, y + 19, f"{figure:.3f}", "middle"))
    return _svg(parts, top + len(names) * row + 24, label, width=max(WIDTH, round(left + len(names) * cell)))


def columns(values: Sequence[float], *, label: str) -> Markup:
    """Small upright bars, one a value, to one scale from 0."""
    height = 80
    most = max([*values, 1e-12])
    step = WIDTH / max(1, len(values))
    parts = [
        Markup(
            '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="bar"><title>{}: {:.3f}</title></rect>'
        ).format(index * step, height * (1 - value / most), step * 0.8, height * value / most, index, value)
        for index, value in enumerate(values)
    ]
    return _svg(parts, height, label)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" class="label" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _svg(parts: Sequence[Markup], height: int, label: str, *, width: int = WIDTH) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, Markup("").join(parts)
    )
