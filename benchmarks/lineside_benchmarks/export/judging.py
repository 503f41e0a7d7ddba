"""How many rows a written model gets wrong: on rows it was not fitted to, and on rows made to hurt."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers, Model
from lineside_benchmarks.export.programs import Written
from lineside_benchmarks.export.subjects import Subject
from lineside_contract.errors import InputError
from lineside_export import reference
from lineside_export.ask import ask
from lineside_export.check import compare
from lineside_export.convert import INPUT
from lineside_export.metrics import agreement, metrics_for
from lineside_export.probes import probes
from lineside_export.schema import describe


class Judgement(NamedTuple):
    """Shares of rows: answered otherwise than by scikit-learn beyond float32's tolerance, and with the same label.

    `metric` is accuracy, R2 or the like; None if nothing is known of the rows.
    """

    wrong: float
    agreement: float
    metric: float | None


def judge(subject: Subject, written: Written) -> Judgement:
    """Hold an ONNX file against the original."""
    schema = describe(subject.model)
    assert written.graph is not None
    assert written.outputs is not None
    model = Model(written.graph, INPUT, written.outputs)
    rows = subject.rows.inputs
    expected, found = reference.answer(subject.model, schema, rows), ask(model, rows)
    made = _answered(subject, probes(subject.model, rows, 0))
    hurt = reference.answer(subject.model, schema, made)
    wrong = len(compare(expected, found, schema.task).mismatches)
    wrong += len(compare(hurt, ask(model, made), schema.task).mismatches)
    return Judgement(wrong / (len(rows) + len(made)), agreement(expected, found), _metric(subject, found))


def original_metric(subject: Subject) -> float | None:
    """Return the original's own metric on its rows."""
    return _metric(subject, reference.answer(subject.model, describe(subject.model), subject.rows.inputs))


def _metric(subject: Subject, answers: Answers) -> float | None:
    target = subject.rows.target
    metrics = metrics_for(describe(subject.model).task, target is not None)
    if target is None or not metrics:
        return None
    return metrics[0].of(answers, target)


def _answered(subject: Subject, made: NDArray[np.float32]) -> NDArray[Any]:
    """Return the made rows that the original takes."""
    try:
        reference.answer(subject.model, describe(subject.model), made)
    except InputError:
        return subject.rows.inputs[:1]
    return made
