"""The experiments' pictures: SVG files that open on their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from builder.evaluation.charts import Line, line_chart

_STYLE: Final = """
svg { background: #fff; font-family: system-ui, sans-serif; } .label { font-size: 13px; fill: #1d2430; }
.axis { stroke: #1d2430; fill: none; stroke-width: 1.2; } .line { fill: none; stroke-width: 2; stroke: #2f6fed; }
.line-1 { stroke: #12a594; } .line-2 { stroke: #d97706; } .line-3 { stroke: #b42318; } .line-4 { stroke: #7c3aed; }
.line-5 { stroke: #667085; } .line-6 { stroke: #be185d; } .line-7 { stroke: #4d7c0f; }
.grid { stroke: #d7dce4; fill: none; }
"""
COLOURS: Final = 8  # lines beyond these would look alike


def standalone(*parts: Markup) -> str:
    """Return one SVG file with the parts below one another."""
    placed, top, width = [], 0.0, 0.0
    for part in parts:
        part_width, height = _size(part)
        tag = Markup('<svg x="0" y="{:.0f}" width="{:.0f}" height="{:.0f}"').format(top, part_width, height)
        placed.append(Markup(str(part).replace("<svg", str(tag), 1)))
        top, width = top + height + 24, max(width, part_width)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {top:.0f}" width="{width:.0f}">'
    return f"{head}<style>{_STYLE}</style>{Markup('').join(placed)}</svg>\n"


def _size(part: Markup) -> tuple[float, float]:
    box = str(part).split('viewBox="', 1)[1].split('"', 1)[0].split()
    return float(box[2]), float(box[3])


def draw_regions(document: Mapping[str, Any]) -> str:
    """Draw the document of `submodel-lab compare`: distances by layer."""
    distances = document["jaccard_distance"]
    groups: dict[str, list[str]] = {}
    for pair in document["pairs"]:
        name = "|".join(pair["models"])
        # A few pairs get a line each; many are grouped by their relation.
        groups.setdefault(name if len(distances) <= 3 else pair["relation"], []).append(name)
    lines = [
        Line(
            label=label,
            points=[
                (layer["layer"], sum(layer["jaccard_distance"][name] for name in members) / len(members))
                for layer in document["layers"]
            ],
        )
        for label, members in groups.items()
    ]
    lines.append(
        Line(label="random", points=[(layer["layer"], layer["random_baseline"]) for layer in document["layers"]])
    )
    return standalone(line_chart(lines, x_label="layer", y_label="Jaccard distance"))


_MOST: Final = 3.0  # times the dense base's bits; points beyond would press all others together


def draw_sweep(document: Mapping[str, Any]) -> str:
    """Draw the document of `submodel-lab sweep`: bits per byte over the ratio, of each calibration on its own dataset.

    If no calibration was measured on its own dataset, all curves are drawn.
    """
    panels = []
    for figure, y_label in (
        ("bits_per_byte", "bits per byte, left to right"),
        ("fim_bits_per_byte", "bits per byte, missing middles"),
    ):
        curves = [curve for curve in document["curves"] if curve["figure"] == figure]
        shown = [curve for curve in curves if curve["is_own"]] or curves
        if lines := [_curve(curve, shown) for curve in shown]:
            more = f" ({len(lines) - COLOURS} more curves in the JSON)" if len(lines) > COLOURS else ""
            panels.append(line_chart(lines[:COLOURS], x_label=f"pruning ratio{more}", y_label=y_label))
    return standalone(*panels)


def _curve(curve: Mapping[str, Any], shown: Sequence[Mapping[str, Any]]) -> Line:
    points = [(x, y) for x, y, *_ in curve["points"]]
    limit = _MOST * points[0][1]
    visible = [(x, y) for x, y in points if y <= limit]
    parts = [curve["method"]]
    if len({one["calibration"] for one in shown}) > 1:
        parts.append(curve["calibration"].removeprefix("language:"))
    if len({one["measured_on"] for one in shown}) > 1 and not curve["is_own"]:
        parts.append(f"on {curve['measured_on'].removeprefix('language:')}")
    label = ", ".join(parts) + (" (more beyond)" if len(visible) < len(points) else "")
    return Line(label=label, points=visible or points[:1])
