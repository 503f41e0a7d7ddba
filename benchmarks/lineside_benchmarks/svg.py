"""Small plots without a library: text, lines and bars that can be read on white and on black."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

# Told apart by people who see few colours, on light and on dark (Okabe and Ito, 2008).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
_STYLE = (
    "text{font:12px sans-serif;fill:#24292f}.axis{stroke:#8888}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}"
)
_ROW, _LABEL, _BAR, _VALUE = 20, 260, 360, 90


def bars(title: str, unit: str, values: Mapping[str, float]) -> str:
    """Draw one bar for each value, on a logarithmic axis if they span more than a hundredfold."""
    logarithmic = _spans(list(values.values()))
    top = max(values.values(), default=1.0) or 1.0
    low = min((value for value in values.values() if value > 0), default=1.0) / 2
    parts = []
    for row, (name, value) in enumerate(values.items()):
        y = 44 + row * _ROW
        share = value / top if not logarithmic else _log_share(value, low, top)
        parts.append(f'<text x="{_LABEL - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect x="{_LABEL}" y="{y}" width="{max(1.0, share * _BAR):.1f}" height="14" fill="{_COLOURS[0]}"/>'
        )
        parts.append(f'<text x="{_LABEL + share * _BAR + 6:.1f}" y="{y + 11}">{value:.3g}</text>')
    scale = f"{unit}, logarithmic" if logarithmic else unit
    height = 44 + len(values) * _ROW + 10
    return _document(_LABEL + _BAR + _VALUE, height, [_title(title, scale), *parts])


def lines(title: str, unit: str, x_name: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw one line for each series of (x, y), both above 0, both axes logarithmic."""
    left, top, width, height = 60, 44, 420, 260
    points = [point for one in series.values() for point in one]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    parts = [f'<path class="axis" fill="none" d="M{left} {top}V{top + height}H{left + width}"/>']

    def place(x: float, y: float) -> tuple[float, float]:
        across = _log_share(x, min(xs), max(xs))
        return left + across * width, top + height - _log_share(y, min(ys), max(ys)) * height

    for x in sorted(set(xs)):
        at, _ = place(x, min(ys))
        parts.append(f'<text x="{at:.1f}" y="{top + height + 16}" text-anchor="middle">{x:g}</text>')
    for y in (min(ys), math.sqrt(min(ys) * max(ys)), max(ys)):
        _, at = place(min(xs), y)
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    for number, (name, one) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{at:.1f},{up:.1f}" for at, up in (place(x, y) for x, y in one))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
        y_key = top + number * _ROW
        parts.append(f'<rect x="{left + width + 20}" y="{y_key}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{left + width + 38}" y="{y_key + 11}">{escape(name)}</text>')
    parts.append(
        f'<text x="{left + width / 2}" y="{top + height + 34}" text-anchor="middle">{escape(x_name)}</text>'
    )
    return _document(left + width + 260, top + height + 46, [_title(title, f"{unit}, logarithmic"), *parts])


def _title(title: str, scale: str) -> str:
    return f'<text x="8" y="20" font-weight="bold">{escape(title)}</text><text x="8" y="36">{escape(scale)}</text>'


def _document(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
        f' viewBox="0 0 {width:g} {height:g}"><style>{_STYLE}</style>{"".join(parts)}</svg>\n'
    )


def _spans(values: Sequence[float]) -> bool:
    above = [value for value in values if value > 0]
    return bool(above) and max(above) > 100 * min(above)


def _log_share(value: float, low: float, high: float) -> float:
    """Return where a value lies between two, from 0 to 1, on a logarithmic axis."""
    if value <= 0 or high <= low:
        return 0.0
    return max(0.0, min(1.0, math.log(value / low) / math.log(high / low)))
