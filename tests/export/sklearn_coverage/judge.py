"""Take a case through the export and hold what comes out against scikit-learn, on rows that the export never saw."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import onnxruntime
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from lineside_agent.model import Answers, Model
from lineside_contract.errors import InputError
from lineside_export import reference
from lineside_export.ask import ask
from lineside_export.check import RELATIVE, compare, limits
from lineside_export.convert import INPUT
from lineside_export.convert.sklearn import convert_steps
from lineside_export.dataset import Columns
from lineside_export.load import Trust, load_model
from lineside_export.settings import Settings
from lineside_export.subject import Subject, prepare
from lineside_export.verify import trials
from lineside_export.writings import Sound, sound, writings
from sklearn_coverage.cases import Case
from sklearn_coverage.rows import ROWS, TRAINED, Rows

EXACT, WITHIN, REFUSED, WRONG = "exact", "within tolerance", "refused", "WRONG"
DOES_NOT_APPLY = "does not apply"
# Of the spread of an output: float32 itself rounds to some 1e-7, and a sum of many of them to a few 1e-6.
EXACT_SHARE = 1e-5
# Beside that share, and a tenth of what the export allows of the value itself: nothing that is told apart from 0.
ROUNDED = 1e-7
# Estimators that take no negative rows stand behind another scaler.
_NOT_NEGATIVE = ("positive", "counts")

_NOT_SCALED = ("categories", "category values")


class Verdict(NamedTuple):
    """What came of a case: `off` is the largest difference, a share of the output's spread."""

    verdict: str
    off: float = 0.0
    reason: str = ""


class _Difference(NamedTuple):
    share: float
    doubt: str = ""


def judge(case: Case, *, scaled: bool) -> Verdict:
    """Export an estimator, alone or behind a scaler; a transformer stands in front of a Ridge."""
    rows = ROWS[case.rows]()
    if scaled and case.rows in _NOT_SCALED:
        return Verdict(DOES_NOT_APPLY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps = [*_scaler(case, scaled), case.make()]
        try:
            model = _fitted([*steps, *_last(case)], rows)
        except ValueError as error:
            return Verdict(REFUSED, reason=f"cannot be fitted so: {str(error).splitlines()[0]}")
        try:
            return _judge(case, model, rows)
        except InputError as error:
            return Verdict(REFUSED, reason=error.message)


def _scaler(case: Case, scaled: bool) -> list[Any]:
    if not scaled:
        return []
    return [MinMaxScaler(clip=True) if case.rows in _NOT_NEGATIVE else StandardScaler()]


def _last(case: Case) -> list[Any]:
    return [Ridge()] if case.kind == "transformer" else []


def _fitted(steps: list[Any], rows: Rows) -> Any:
    """Fit one step after the other: some (PLSSVD) make pairs of a target in a pipeline's fit."""
    inputs, target = rows.inputs[:TRAINED].astype(np.float64), rows.target
    if target is None and len(steps) > 1:
        target = np.sin(np.arange(len(rows.inputs)))
    for step in steps:
        step.fit(inputs, None if target is None else target[:TRAINED])
        if step is not steps[-1]:
            inputs = step.transform(inputs)
    return steps[0] if len(steps) == 1 else make_pipeline(*steps)


def _judge(case: Case, model: Any, rows: Rows) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        subject = _subject(model, rows, Path(folder))
    asked = trials(subject, 0)
    exact = sound(subject, writings(subject), asked, allow=False)
    found = [_differs(subject, exact, writing.model, _unseen(rows)) for writing in exact.writings]
    if case.kind == "transformer":
        found.append(_transformed(subject, model, _unseen(rows)))
    worst = max(found, key=lambda each: (bool(each.doubt), each.share))
    if worst.doubt:
        return Verdict(WRONG, worst.share, worst.doubt)
    return Verdict(EXACT if worst.share <= EXACT_SHARE else WITHIN, worst.share)


def _subject(model: Any, rows: Rows, folder: Path) -> Subject:
    joblib.dump(model, folder / "model.joblib")
    names = [f"c{index}" for index in range(rows.inputs.shape[1])]
    table = rows.inputs[TRAINED // 2 :]
    text = "\n".join(",".join("" if np.isnan(cell) else repr(float(cell)) for cell in row) for row in table)
    (folder / "rows.csv").write_text(f"{','.join(names)}\n{text}\n")
    loaded = load_model(folder / "model.joblib", Trust(pickle=True))
    settings = Settings(model=folder, data=folder / "rows.csv", columns=Columns(), held_back=0.5)
    return prepare(loaded.model, settings)


def _unseen(rows: Rows) -> np.ndarray:
    """Rows like the others that neither training nor export has seen: cells of different rows, mixed."""
    generator = np.random.default_rng(99)
    if rows.inputs.shape[1] > 100:
        return rows.inputs[TRAINED:]
    columns = [generator.permutation(column)[:200] for column in rows.inputs.T]
    return np.ascontiguousarray(np.column_stack(columns))


def _differs(subject: Subject, exact: Sound, model: bytes, rows: np.ndarray) -> _Difference:
    expected = reference.answer(subject.model, subject.schema, rows)
    found = ask(Model(model, INPUT, exact.outputs), rows)
    return _difference(expected, found, subject.schema.task)


def _difference(expected: Answers, found: Answers, task: Any) -> _Difference:
    comparison = compare(expected, found, task)
    doubt = f"{len(comparison.mismatches)} rows: {comparison.mismatches[0]}" if comparison.mismatches else ""
    share = 0.0
    for name in limits(expected):
        got, want = getattr(found, name), getattr(expected, name)
        if got is None or got.shape != want.shape:
            continue
        spread = 1.0 if name == "probabilities" else np.maximum(np.nanstd(want, axis=0), 1e-12)
        off = np.maximum(np.abs(got - want) - RELATIVE / 10 * np.abs(want) - ROUNDED, 0) / spread
        share = max(share, float(np.nanmax(off, initial=0)))
    return _Difference(share, doubt)


def _transformed(subject: Subject, model: Any, rows: np.ndarray) -> _Difference:
    """Compare the transformer's own columns, which the Ridge behind it may hide."""
    steps = [step for _, step in model.steps[:-1]]
    graph = convert_steps(steps, subject.schema)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about how the graph was written
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    (found,) = session.run(None, {INPUT: rows})
    want = model[:-1].transform(rows.astype(np.float64))
    want = np.asarray(want.todense() if hasattr(want, "todense") else want, np.float64)
    expected = Answers(None, None, want.reshape(len(rows), -1), None)
    return _difference(expected, Answers(None, None, found.reshape(len(rows), -1), None), "regression")
