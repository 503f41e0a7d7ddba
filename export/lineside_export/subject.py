"""The model on the table: the original, its inputs, and everything that its exports are judged with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from lineside_agent.model import Answers
from lineside_contract.errors import InputError
from lineside_contract.manifest import Channel
from lineside_export import dataset, reference
from lineside_export.columns import texts
from lineside_export.dataset import Dataset, Rows
from lineside_export.measure import Truth
from lineside_export.metrics import metrics_for
from lineside_export.rows import read_table
from lineside_export.schema import Schema, describe
from lineside_export.settings import Settings


class Subject(NamedTuple):
    """A fitted model with its rows. `targets` names a regressor's values.

    coded: the model that is written: the original, or for columns of text one that takes their codes. channels: its
    inputs, with those texts.
    """

    model: Any
    coded: Any
    schema: Schema
    channels: tuple[Channel, ...]
    data: Dataset
    rows: Rows
    targets: tuple[str, ...]


def prepare(model: Any, settings: Settings) -> Subject:
    """Read the rows for a model. Raises InputError if they do not fit it."""
    schema = describe(model)
    table, columns, window = read_table(settings.data), settings.columns, settings.window
    names = dataset.choose_channels(table, schema, columns, window)
    found = texts.find(model, table, names, window.length)
    data = dataset.build(table, schema, columns, found.channels, window)
    if unknown := set(settings.units) - set(data.channels):
        raise InputError(
            f"--unit names {', '.join(sorted(unknown))}, which is no channel.",
            hint=f"The channels are {', '.join(data.channels)}.",
        )
    schema = schema._replace(features=data.inputs.shape[1], categories=found.categories)
    _refuse_missing(model, schema, data)
    unknown_targets(schema, data)
    rows = dataset.split(len(data.inputs), settings.held_back, settings.seed)
    targets = _targets(model, schema, data, columns.target)
    return Subject(model, found.model, schema, found.channels, data, rows, targets)


def truth(subject: Subject) -> Truth:
    """Return the held-back rows with the original's answers to them."""
    held_back = subject.rows.held_back
    inputs = np.ascontiguousarray(subject.data.inputs[held_back])
    target = subject.data.target
    metrics = metrics_for(subject.schema.task, target is not None)
    return Truth(
        inputs,
        reference.answer(subject.model, subject.schema, inputs),
        None if target is None else target[held_back],
        metrics[0] if metrics else None,
    )


def metric_rows(truth: Truth, task: str, answers: Answers) -> list[tuple[str, float, float]]:
    """Return every metric of the task: its name, the original's and the exported model's."""
    if truth.target is None:
        return []
    return [
        (metric.name, metric.of(truth.original, truth.target), metric.of(answers, truth.target))
        for metric in metrics_for(task, True)
    ]


def _refuse_missing(model: Any, schema: Schema, data: Dataset) -> None:
    missing = np.flatnonzero(np.isnan(data.inputs).any(axis=1))
    if len(missing):
        try:
            reference.answer(model, schema, data.inputs[missing[:1]])
        except InputError as error:
            raise InputError(
                f"Line {data.lines[missing[0]]} has an empty cell, which {schema.estimator} does not take.",
                hint="Fill or remove such rows, or train a pipeline that begins with an imputer.",
            ) from error
    if data.target is not None and data.target.dtype.kind == "f" and np.isnan(data.target).any():
        row = int(np.argwhere(np.isnan(data.target))[0][0])
        raise InputError(f"Line {data.lines[row]} has no target.", hint="Fill or remove such rows.")


def unknown_targets(schema: Schema, data: Dataset) -> list[str]:
    """Return the targets that are no class of a classifier. Raises InputError if not one is."""
    if schema.task != "classification" or data.target is None:
        return []
    known = np.isin(data.target, schema.classes)
    if not known.any():
        raise InputError(
            f"The targets ({_some(data.target)}) are none of the model's classes ({_some(schema.classes)}).",
            hint="Is --target the right column?",
        )
    return sorted(set(data.target[~known].astype(str).tolist()))


def _some(values: Iterable[Any]) -> str:
    found = sorted({str(value) for value in values})
    return ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")


def _targets(model: Any, schema: Schema, data: Dataset, named: tuple[str, ...]) -> tuple[str, ...]:
    # Not one row alone, of which SparsePCA makes an array with one axis too few.
    values = reference.answer(model, schema, data.inputs[:2]).values
    if values is None:
        return ()
    width = values.shape[1]
    if named and len(named) != width:
        raise InputError(
            f"The model answers {width} values, but --target names {len(named)} columns.",
            hint="Name one column for each value, in order: --target a,b.",
        )
    return named or (("value",) if width == 1 else tuple(f"value_{index}" for index in range(width)))
