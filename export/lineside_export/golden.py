"""The golden rows: what a device must answer before it activates a model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers, Model, write_golden
from lineside_contract.manifest import Task
from lineside_export.ask import ask
from lineside_export.margins import tied
from lineside_export.thresholds import Threshold

MOST_ROWS = 64
# float32 sums in another order, as on another processor.
_EXACT = 1e-4
_QUANTIZED = 1e-3
_LOOSEST = 0.25


class Golden(NamedTuple):
    """The bytes of `golden.npz`, and how far a device's answers may lie from it."""

    data: bytes
    tolerance: float


def choose(
    model: Model,
    inputs: NDArray[np.float32],
    plain: Answers | None,
    task: Task,
    threshold: Threshold | None = None,
) -> Golden:
    """Take up to MOST_ROWS of the inputs whose label is no tie, evenly spread over them.

    `plain` holds the float32 model's answers to the same inputs if `model` is quantized. Then a device may
    miss the expected answer by as much as quantization moved it: another processor rounds to other steps.
    """
    answers = ask(model, inputs)
    tolerance = _EXACT if plain is None else _moved(answers, plain)
    limits = {
        name: tolerance * np.maximum(1, np.abs(columns))
        for name, columns in answers._asdict().items()
        if columns is not None and name != "label"
    }
    clear = np.flatnonzero(~tied(answers, task, limits, threshold))
    if not len(clear):
        clear = np.arange(1)  # every row is a tie: one that at least shows that the model runs
    rows = clear[np.linspace(0, len(clear) - 1, min(MOST_ROWS, len(clear))).astype(int)]
    chosen = np.ascontiguousarray(inputs[rows])
    return Golden(write_golden(chosen, model.predict(chosen)), tolerance)


def _moved(answers: Answers, plain: Answers) -> float:
    moved = _QUANTIZED
    for field in ("probabilities", "values", "scores"):
        got, want = getattr(answers, field), getattr(plain, field)
        if got is not None and want is not None:
            moved = max(moved, float(np.max(np.abs(got - want) / np.maximum(1, np.abs(want)))))
    return round(min(moved, _LOOSEST), 6)
