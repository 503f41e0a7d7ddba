"""Ask an exported model about many rows, so many at a time that memory does not matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers, Model

# A graph that makes a spectrum of every window holds some ten times the bytes of its rows.
MOST_VALUES = 1 << 22
# And one that measures distances as many numbers a row as there are rows of training.
MOST_ROWS = 4096


def ask(model: Model, inputs: NDArray[np.float32]) -> Answers:
    """Return what `model.predict` says about inputs (n, features), n at least 1."""
    step = max(1, min(MOST_ROWS, MOST_VALUES // inputs.shape[1]))
    pieces = [
        model.predict(np.ascontiguousarray(inputs[at : at + step])) for at in range(0, len(inputs), step)
    ]
    columns = zip(*pieces, strict=True)
    return Answers(*(None if column[0] is None else np.concatenate(column) for column in columns))
