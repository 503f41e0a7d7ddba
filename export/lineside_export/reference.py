"""What scikit-learn itself answers: the truth that an exported model is held against."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers
from lineside_contract.errors import InputError
from lineside_export.columns.decode import decode
from lineside_export.schema import Described, Schema


def answer(model: Any, schema: Schema, inputs: NDArray[np.float32]) -> Answers:
    """Let the original model answer the same float32 inputs that a device would give it.

    The arrays stay float64: rounding them would hide differences. Scores of a classifier with two classes
    have two columns, as in the graph. Raises InputError if the model refuses the rows.
    """
    if isinstance(model, Described):
        return model.answer(inputs)
    refusals = []
    # k-means trained on float32 rows takes no others.
    ways: tuple[NDArray[Any], ...] = (inputs.astype(np.float64), inputs)
    if any(schema.categories):
        ways = (decode(inputs, schema.categories),)
    for rows in ways:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that rows have no column names: they are in the right order
                return _answer(model, schema, rows)
        except Exception as error:  # scikit-learn says what is wrong with the rows, in whatever exception
            refusals.append(error)
    text = (str(refusals[0]).strip() or type(refusals[0]).__name__).splitlines()[0]
    raise InputError(
        f"{schema.estimator} does not take these rows: {text.rstrip('.')}.",
        hint="Give it rows like those that it was trained on.",
    ) from refusals[0]


def _answer(model: Any, schema: Schema, rows: NDArray[Any]) -> Answers:
    predicted = np.asarray(model.predict(rows))
    if schema.task == "regression":
        return Answers(None, None, predicted.reshape(len(rows), -1).astype(np.float64), None)
    probabilities = np.asarray(model.predict_proba(rows)) if schema.probabilities else None
    scores = _scores(model, schema, rows) if schema.scores else None
    return Answers(_labels(predicted), probabilities, None, scores)


def _scores(model: Any, schema: Schema, rows: NDArray[Any]) -> NDArray[Any]:
    if schema.task == "clustering":
        return np.asarray(model.transform(rows))
    scores = np.asarray(model.decision_function(rows))
    if scores.ndim == 1:
        scores = scores.reshape(-1, 1)
    if schema.task == "classification" and scores.shape[1] == 1:
        return np.hstack([-scores, scores])
    return scores


def _labels(predicted: NDArray[Any]) -> NDArray[Any]:
    if predicted.dtype.kind in "OUS":
        return predicted.astype(str)
    return predicted.astype(np.int64)
