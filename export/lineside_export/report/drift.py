"""How far the exported model's answers lie from scikit-learn's, output by output."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_contract.manifest import Manifest
from lineside_contract.messages import Label
from lineside_export.export import Exported
from lineside_export.report.markup import Markup, join, table, tag

_MOST_OUTPUTS = 40
_FIELDS = ("probabilities", "values", "scores")


def section(exported: Exported) -> Markup:
    """Return a table of the differences on the held-back rows: largest, mean, and the largest in deviations."""
    before, after = exported.truth.original, exported.chosen.answers
    rows: list[list[str]] = []
    for field in _FIELDS:
        original, answered = getattr(before, field), getattr(after, field)
        if original is not None and answered is not None:
            rows += _rows(field, exported.manifest, np.asarray(original), np.asarray(answered))
    if not rows:
        return tag("p", "The model answers labels only; the tables above compare them.")
    header = ["output", "largest difference", "mean difference", "largest / standard deviation"]
    left_out = len(rows) - _MOST_OUTPUTS
    more = [tag("p", f"{left_out} more outputs are not listed.")] if left_out > 0 else []
    return join([table(header, rows[:_MOST_OUTPUTS]), *more])


def _rows(field: str, manifest: Manifest, original: NDArray[Any], answered: NDArray[Any]) -> list[list[str]]:
    width = original.reshape(len(original), -1).shape[1]
    before = original.reshape(len(original), width).astype(float)
    distances = np.abs(answered.reshape(len(original), width).astype(float) - before)
    found = []
    for name, column, distance in zip(_names(field, manifest, width), before.T, distances.T, strict=True):
        deviation = float(np.nanstd(column))
        largest = float(np.nanmax(distance))
        share = f"{largest / deviation:.2g}" if deviation else "-"
        found.append([name, f"{largest:.2g}", f"{float(np.nanmean(distance)):.2g}", share])
    return found


def _names(field: str, manifest: Manifest, width: int) -> list[str]:
    kinds: dict[str, list[Label]] = {
        "probabilities": manifest.outputs.classes,
        "values": [*manifest.outputs.targets],
    }
    given = [str(name) for name in kinds.get(field, [])]
    names = given if len(given) == width else [str(index) for index in range(width)]
    singular = {"probabilities": "probability", "values": "value", "scores": "score"}[field]
    return [f"{singular} {name}" if width > 1 or given else singular for name in names]
