"""Plots are well-formed, small, and show what they are given."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from lineside_benchmarks import svg

values = st.just(0.0) | st.floats(1e-6, 1e12)
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=20)


@given(st.dictionaries(names, values, max_size=8))
def test_bars_are_well_formed_and_inside(bars: dict[str, float]) -> None:
    root = ElementTree.fromstring(svg.bars("a < b & c", "ms", bars))
    rects = [element for element in root.iter() if element.tag.endswith("rect")]
    assert len(rects) == len(bars)
    assert all(0 < float(rect.attrib["width"]) <= 361 for rect in rects)


@given(st.lists(st.tuples(st.integers(1, 4096), st.floats(1e-6, 1e9)), min_size=1, max_size=6))
def test_lines_are_well_formed(points: list[tuple[float, float]]) -> None:
    text = svg.lines("t", "us", "batch", {"one": points, "two": points})
    ElementTree.fromstring(text)
    assert text.count("<polyline") == 2


def test_a_longer_bar_is_a_larger_value_and_light_and_dark_can_be_read() -> None:
    text = svg.bars("t", "ms", {"small": 1.0, "large": 50.0})
    small, large = (float(width) for width in re.findall(r'<rect x="260" y="\d+" width="([\d.]+)"', text))
    assert large == 50 * small
    assert "prefers-color-scheme:dark" in text
    assert len(text) < 2000
