"""The pictures of reports and studies: round ticks, and labels that neither cover each other nor leave the picture."""

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder.evaluation.charts import Bar, Line, columns, interval_bars, line_chart, round_ticks, spread

WIDE, TALL = 6.5, 12.0  # of a character of 13 px in a usual font; labels are given more
NUMBERS = st.floats(-1e9, 1e9, allow_subnormal=False)


def boxes(svg):
    """Each label's text and its left, top, right and bottom, for a font of usual width."""
    found = []
    for x, y, anchor, text in re.findall(
        r'<text x="(.+?)" y="(.+?)" class="label"(?: text-anchor="(\w+)")?>(.*?)<', svg
    ):
        wide = WIDE * len(text)
        left = float(x) - {"end": wide, "middle": wide / 2}.get(anchor, 0.0)
        found.append((text, left, float(y) - TALL, left + wide, float(y)))
    return found


def check_labels(svg):
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())
    placed = boxes(svg)
    for text, left, top, right, bottom in placed:
        assert left >= 0 and top >= 0 and right <= width and bottom <= height, text
    for index, (text, left, top, right, bottom) in enumerate(placed):
        for other, other_left, other_top, other_right, other_bottom in placed[index + 1 :]:
            apart = right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
            assert apart, (text, other)


@given(NUMBERS, NUMBERS, st.integers(1, 12))
def test_ticks_are_round_enclose_the_values_and_are_few(one, other, most):
    low, high = sorted((one, other))
    ticks = round_ticks(low, high, most)
    step = ticks.values[1] - ticks.values[0]
    if high - low > 1e-6 * max(abs(low), abs(high)):  # floats that are nearer than this have no digits for ticks
        assert 2 <= len(ticks.values) <= most + 2
        assert ticks.values[0] <= low + 1e-6 * step and high - 1e-6 * step <= ticks.values[-1]
        mantissa = step / 10 ** math.floor(math.log10(step * (1 + 1e-6)))
        assert min(abs(mantissa - factor) for factor in (1, 2, 5)) < 1e-2


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0.0, 0.7, 8, ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"]),
        (1.23, 1.49, 5, ["1.2", "1.3", "1.4", "1.5"]),
        (0, 27, 7, ["0", "5", "10", "15", "20", "25", "30"]),
        (3.0, 3.0, 4, ["1", "2", "3", "4", "5"]),
        (0.0, 0.0, 4, ["-0.5", "0.0", "0.5"]),
        (12_000.0, 47_000.0, 5, ["10000", "20000", "30000", "40000", "50000"]),
    ],
)
def test_ticks_that_a_person_would_take(low, high, most, labels):
    assert round_ticks(low, high, most).labels == labels


@given(st.lists(st.tuples(st.text("abc ", min_size=1, max_size=60), NUMBERS, NUMBERS), min_size=1, max_size=8))
def test_labels_of_lines_cover_nothing(ends):
    lines = [Line(label, [(0.0, 0.0), (x, y)]) for label, x, y in ends]
    check_labels(str(line_chart(lines, x_label="ratio", y_label="bits per byte")))


@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=60), st.floats(0, 1)), min_size=1, max_size=6))
def test_labels_of_bars_cover_nothing(bars):
    check_labels(str(interval_bars([Bar(label, value, value * 0.9, value * 1.1) for label, value in bars])))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
@example([0.0] * 46)
def test_labels_of_columns_cover_nothing(values):
    check_labels(str(columns(values, label="Output lost a layer")))


def test_labels_are_moved_as_little_as_it_takes():
    assert spread([10.0, 10.0, 50.0, 12.0], 15, 100) == [10.0, 25.0, 55.0, 40.0]
    assert spread([0.0, 100.0], 15, 100) == [0.0, 100.0]
    assert spread([98.0, 99.0, 20.0], 15, 100) == [85.0, 100.0, 20.0]
