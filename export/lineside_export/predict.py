"""Run a bundle over the rows of a CSV file, with the code that runs it on a device."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers, Model, without_label
from lineside_contract.bundle import Bundle
from lineside_contract.errors import InputError
from lineside_contract.files import write_whole
from lineside_contract.manifest import Manifest
from lineside_export.dataset import cut
from lineside_export.rows import read_table, readings, require

# Rows in one call: enough that calls cost nothing, few enough for a small machine.
_BATCH = 4096
_NO_NUMBER = "Correct the cell, or leave the row out."


def predict(bundle: Path, rows: Path, group: str | None, output: Path | None, *, as_json: bool) -> None:
    """Answer every row, or window, of a CSV file, in the order of the file. Raises InputError or BundleError."""
    opened = Bundle.open(bundle)
    model = Model.open(opened)
    table = read_table(rows)
    channels = opened.manifest.channels
    require(table, [channel.name for channel in channels], "a channel of the model")
    inputs, newest = cut(table, readings(table, channels, _NO_NUMBER), group, opened.manifest.window)
    order = np.argsort(newest, kind="stable")
    columns = {"line": table.lines[newest[order]]} | answer_columns(
        _answers(model, inputs[order]), opened.manifest
    )
    text = _json_lines(columns) if as_json else _csv(columns)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        write_whole(output, text.encode())
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}.") from error


def answer_columns(answers: Answers, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Name the columns of answers, each of shape (n,): label, probability_CLASS, value names, score.

    A label is None where the model has no answer, as in an agent's message.
    """
    columns: dict[str, NDArray[Any]] = {}
    if answers.label is not None:
        columns["label"] = answers.label
        if rows := without_label(answers):
            columns["label"] = answers.label.astype(object)
            columns["label"][rows] = None
    outputs = manifest.outputs
    classes = [str(label) for label in outputs.classes]
    for values, names in (
        (answers.probabilities, [f"probability_{label}" for label in classes]),
        (answers.values, outputs.targets),
        (answers.scores, [f"score_{label}" for label in classes]),
    ):
        if values is not None:
            columns |= dict(zip(_fit(names, values.shape[1]), values.T, strict=True))
    return columns


def _fit(names: list[str], width: int) -> list[str]:
    if len(names) == width:
        return names
    return ["score"] if width == 1 else [f"score_{index}" for index in range(width)]


def _answers(model: Model, inputs: NDArray[np.float32]) -> Answers:
    parts = [
        model.predict(np.ascontiguousarray(inputs[at : at + _BATCH])) for at in range(0, len(inputs), _BATCH)
    ]
    joined = [None if field[0] is None else np.concatenate(field) for field in zip(*parts, strict=True)]
    return Answers(*joined)


def _csv(columns: dict[str, NDArray[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(_rows(columns))
    return buffer.getvalue()


def _json_lines(columns: dict[str, NDArray[Any]]) -> str:
    names = list(columns)
    return "".join(
        json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in _rows(columns, missing=None)
    )


def _rows(columns: dict[str, NDArray[Any]], missing: Any = "") -> Iterator[tuple[Any, ...]]:
    """Yield plain Python values; a number that is not finite, which neither format has, is `missing`."""
    for row in zip(*(_shortest(values) for values in columns.values()), strict=True):
        yield tuple(missing if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in row)


def _shortest(values: NDArray[Any]) -> list[Any]:
    """Return the values with as few digits as say the same float32."""
    if values.dtype == np.float32:
        return [float(str(value)) for value in values]
    listed: list[Any] = values.tolist()
    return listed
