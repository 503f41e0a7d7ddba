"""The answers before and after: confusion matrices for labels, error plots for values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_contract.manifest import Manifest
from lineside_export.export import Exported
from lineside_export.report.axis import Axis, linear
from lineside_export.report.markup import Markup, join, tag

_MOST_LABELS = 24
_MOST_PLOTS = 6
_MOST_POINTS = 800
_WIDTH, _HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 410, 30, 48


def section(exported: Exported) -> Markup:
    """Show the answers to the held-back rows, scikit-learn's and the exported model's."""
    before, after = exported.truth.original, exported.chosen.answers
    if after is None:
        return tag("p", "There are no answers to compare.")
    if exported.manifest.task == "regression":
        return _values(exported, np.asarray(before.values), np.asarray(after.values))
    return _labels(exported, np.asarray(before.label), np.asarray(after.label))


def _labels(exported: Exported, before: NDArray[Any], after: NDArray[Any]) -> Markup:
    target = exported.truth.target
    if target is None:
        words = "There is no truth in the rows: the exported model's labels are held against scikit-learn's."
        return join([tag("p", words), _matrix("exported", "scikit-learn", before, after)])
    words = f"{len(target):,} held-back rows. Rows of a table are the truth, columns what the model answered."
    pair = [_matrix("scikit-learn", "truth", target, before), _matrix("exported", "truth", target, after)]
    return join([tag("p", words), tag("div", *pair, class_="pair")])


def _matrix(title: str, rows: str, truth: NDArray[Any], answered: NDArray[Any]) -> Markup:
    wanted, got = _names_of(truth), _names_of(answered)
    labels = sorted(set(wanted.tolist()) | set(got.tolist()), key=_numbers_first)
    if len(labels) > _MOST_LABELS:
        return tag("div", tag("h3", title), _confusions(wanted, got))
    counts = {(w, g): 0 for w in labels for g in labels}
    for pair in zip(wanted.tolist(), got.tolist(), strict=True):
        counts[pair] += 1
    head = tag("tr", tag("td", rows), *(tag("th", label, scope="col") for label in labels))
    body = [_matrix_row(label, [counts[label, each] for each in labels], labels) for label in labels]
    share = float(np.mean(wanted == got))
    caption = tag("caption", f"{title}: {share:.2%} as the {rows}")
    return tag(
        "div", tag("table", caption, tag("thead", head), tag("tbody", *body), class_="matrix"), class_="wide"
    )


def _names_of(labels: NDArray[Any]) -> NDArray[Any]:
    whole = labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all())  # a column read from CSV
    return (labels.astype(np.int64) if whole else labels).astype(str)


def _matrix_row(label: str, counts: Sequence[int], labels: Sequence[str]) -> Markup:
    total = sum(counts) or 1
    cells = [
        tag(
            "td",
            f"{count:,}",
            class_="hit" if other == label else "miss",
            style=f"--share:{100 * count / total:.0f}%",
        )
        for other, count in zip(labels, counts, strict=True)
    ]
    return tag("tr", tag("th", label, scope="row"), *cells)


def _confusions(wanted: NDArray[Any], got: NDArray[Any]) -> Markup:
    """Name the most frequent mistakes, where a matrix would not fit on a page."""
    wrong = wanted != got
    pairs, counts = np.unique(np.column_stack([wanted[wrong], got[wrong]]), axis=0, return_counts=True)
    worst = np.argsort(-counts, kind="stable")[:_MOST_LABELS]
    items = [tag("li", f"{pairs[i][0]} taken for {pairs[i][1]}: {counts[i]:,}") for i in worst]
    return join([tag("p", f"{int(wrong.sum()):,} of {len(wrong):,} rows differ."), tag("ul", *items)])


def _numbers_first(label: str) -> tuple[bool, float, str]:
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label


def _values(exported: Exported, before: NDArray[Any], after: NDArray[Any]) -> Markup:
    target = exported.truth.target
    names = _names(exported.manifest, before.shape[1])
    shown = names[:_MOST_PLOTS]
    parts = [tag("p", _explained(len(before), target is not None))]
    for column, name in enumerate(shown):
        if target is None:
            pairs = [("exported", before[:, column], after[:, column])]
        else:
            truth = np.asarray(target).reshape(len(target), -1)[:, column]
            pairs = [("scikit-learn", truth, before[:, column]), ("exported", truth, after[:, column])]
        parts.append(_plots(name, pairs, "scikit-learn's value" if target is None else "truth"))
    if len(names) > len(shown):
        parts.append(tag("p", f"{len(names) - len(shown)} more values are not drawn."))
    return join(parts)


def _names(manifest: Manifest, width: int) -> list[str]:
    return manifest.outputs.targets or [f"value_{index}" for index in range(width)]


def _explained(rows: int, has_truth: bool) -> str:
    drawn = "" if rows <= _MOST_POINTS else f", of which {_MOST_POINTS} are drawn"
    what = "the truth" if has_truth else "scikit-learn's value, as there is no truth in the rows"
    return (
        f"{rows:,} held-back rows{drawn}. Each point is one: how far the answer lies above or below {what}."
    )


def _plots(name: str, pairs: Sequence[tuple[str, NDArray[Any], NDArray[Any]]], against: str) -> Markup:
    """Draw errors side by side on the same axes."""
    sound = np.flatnonzero(np.isfinite([array for _, *arrays in pairs for array in arrays]).all(axis=0))
    if not len(sound):
        return tag("p", f"{name}: no answer is a number.")
    drawn_rows = sound[np.linspace(0, len(sound) - 1, min(len(sound), _MOST_POINTS)).astype(int)]
    finite = [
        (title, want[drawn_rows].astype(float), (got - want)[drawn_rows].astype(float))
        for title, want, got in pairs
    ]
    across = linear([float(value) for _, want, _ in finite for value in want], _LEFT, _RIGHT)
    upwards = linear([0.0, *(float(v) for _, _, error in finite for v in error)], _HEIGHT - _BOTTOM, _TOP)
    drawn = [
        _plot(f"{name}: {title}", (want, error), (across, upwards), against) for title, want, error in finite
    ]
    return tag("div", *drawn, class_="pair")


def _plot(
    title: str, points: tuple[NDArray[Any], NDArray[Any]], axes: tuple[Axis, Axis], against: str
) -> Markup:
    across, upwards = axes
    floor, zero = _HEIGHT - _BOTTOM, upwards.at(0.0)
    parts = [tag("rect", x=_LEFT, y=_TOP, width=_RIGHT - _LEFT, height=floor - _TOP, class_="frame")]
    parts += [
        tag("text", f"{tick:.4g}", x=across.at(tick), y=floor + 17, class_="tick middle")
        for tick in across.ticks(5)
    ]
    for tick in upwards.ticks(5):
        at = upwards.at(tick)
        parts.append(tag("line", x1=_LEFT, x2=_RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", f"{tick:.3g}", x=_LEFT - 7, y=at + 4, class_="tick end"))
    parts.append(tag("line", x1=_LEFT, x2=_RIGHT, y1=zero, y2=zero, class_="zero"))
    places = zip(*(array.tolist() for array in points), strict=True)
    parts += [
        tag("circle", cx=f"{across.at(x):.1f}", cy=f"{upwards.at(y):.1f}", r=2.2, class_="dot")
        for x, y in places
    ]
    middle = (_LEFT + _RIGHT) / 2
    parts.append(tag("text", title, x=middle, y=18, class_="name middle"))
    parts.append(tag("text", against, x=middle, y=_HEIGHT - 10, class_="axis middle"))
    parts.append(
        tag(
            "text",
            "error",
            x=14,
            y=(_TOP + floor) / 2,
            class_="axis middle",
            transform=f"rotate(-90 14 {(_TOP + floor) / 2:g})",
        )
    )
    errors = points[1]
    words = f"Errors of {title}: mean {np.mean(errors):.4g}, mean absolute {np.mean(np.abs(errors)):.4g}."
    caption = f"mean error {np.mean(errors):.4g}, mean absolute error {np.mean(np.abs(errors)):.4g}"
    svg = tag(
        "svg", tag("title", words), *parts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=words
    )
    return tag("figure", svg, tag("figcaption", caption))
