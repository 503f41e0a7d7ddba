"""The candidates as a drawing: latency to the right, bytes upwards, so that the best lie at the lower left."""

from __future__ import annotations

from collections.abc import Sequence

from lineside_contract.manifest import Candidate
from lineside_export.report.axis import Axis, logarithmic
from lineside_export.report.markup import Markup, join, tag

_WIDTH, _LEAST_HEIGHT = 860, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 500, 24, 52
_LABELS_AT, _LINE = 540, 21


def drawing(candidates: Sequence[Candidate], metric: str) -> Markup:
    """Draw every candidate that was measured, named with its metric; the chosen one has a ring."""
    shown = [each for each in candidates if each.bytes and each.latency_1_us]
    if not shown:
        return tag("p", "No candidate was measured.")
    height = max(_LEAST_HEIGHT, _TOP + _BOTTOM + _LINE * len(shown))
    across = logarithmic([each.latency_1_us or 0.0 for each in shown], _LEFT, _RIGHT)
    upwards = logarithmic([float(each.bytes or 0) for each in shown], height - _BOTTOM, _TOP)
    return tag(
        "svg",
        tag("title", "Candidates: size against latency", id="candidates-title"),
        tag("desc", _in_words(shown, metric), id="candidates-words"),
        _grid(across, upwards, height),
        *_points(shown, across, upwards),
        viewBox=f"0 0 {_WIDTH} {height}",
        role="img",
        aria_labelledby="candidates-title candidates-words",
    )


def _in_words(shown: Sequence[Candidate], metric: str) -> str:
    return " ".join(
        f"{each.name} ({each.verdict}): {each.bytes:,} bytes, {each.latency_1_us:.1f} microseconds"
        f"{'' if each.metric is None else f', {metric} {each.metric:.4f}'}."
        for each in shown
    )


def _grid(across: Axis, upwards: Axis, height: int) -> Markup:
    floor = height - _BOTTOM
    parts = [tag("rect", x=_LEFT, y=_TOP, width=_RIGHT - _LEFT, height=floor - _TOP, class_="frame")]
    for tick in across.ticks():
        at = across.at(tick)
        parts.append(tag("line", x1=at, x2=at, y1=_TOP, y2=floor, class_="grid"))
        parts.append(tag("text", f"{tick:g}", x=at, y=floor + 18, class_="tick middle"))
    for tick in upwards.ticks():
        at = upwards.at(tick)
        parts.append(tag("line", x1=_LEFT, x2=_RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", size(tick), x=_LEFT - 8, y=at + 4, class_="tick end"))
    middle = (_LEFT + _RIGHT) / 2
    parts.append(
        tag("text", "microseconds for one row (median)", x=middle, y=height - 12, class_="axis middle")
    )
    at = (_TOP + floor) / 2
    turned = f"rotate(-90 16 {at:g})"
    parts.append(tag("text", "bytes", x=16, y=at, transform=turned, class_="axis middle"))
    return join(parts)


def _points(shown: Sequence[Candidate], across: Axis, upwards: Axis) -> list[Markup]:
    """Return a mark for each candidate, and its name in a column at the right: names there never overlap."""
    places = [(across.at(each.latency_1_us or 0.0), upwards.at(float(each.bytes or 0))) for each in shown]
    lines = _spread([y for _, y in places], _TOP + _LINE / 2, upwards.start)
    parts = []
    for each, (x, y), line in zip(shown, places, lines, strict=True):
        path = f"M{x:.1f} {y:.1f}L{_RIGHT + 6} {line:.1f}L{_LABELS_AT - 6} {line:.1f}"
        parts.append(tag("path", d=path, class_=f"leader {each.verdict}"))
    for each, (x, y), line in zip(shown, places, lines, strict=True):
        if each.verdict == "chosen":
            parts.append(tag("circle", cx=x, cy=y, r=11, class_="ring"))
        parts.append(tag("circle", cx=x, cy=y, r=5.5, class_=f"point {each.verdict}"))
        metric = "" if each.metric is None else f"  {each.metric:.4f}"
        words = f"{each.name}{metric}{'' if each.verdict == 'kept' else f', {each.verdict}'}"
        parts.append(tag("text", words, x=_LABELS_AT, y=line + 4.5, class_=f"name {each.verdict}"))
    return parts


def _spread(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Move places as little as it takes for each to have a line of its own, in the same order."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    found, least = [0.0] * len(wanted), top
    for index in order:
        found[index] = max(wanted[index], least)
        least = found[index] + _LINE
    most = bottom
    for index in reversed(order):
        found[index] = min(found[index], most)
        most = found[index] - _LINE
    return found


def size(count: float) -> str:
    """Return a number of bytes as a person says it: `20 kB`."""
    for unit, by in (("MB", 1e6), ("kB", 1e3)):
        if count >= by:
            return f"{count / by:g} {unit}"
    return f"{count:g} B"
