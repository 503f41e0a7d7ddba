"""Rows whose nearest neighbours are a matter of chance: training rows at one distance compete for the last place.

scikit-learn takes whichever its search met first, which depends on the algorithm, the chunk size and the processor
(scikit-learn's own warning in the documentation of KNeighborsClassifier), so no other computation need agree.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Two distances are the same if float32 arithmetic could not tell them apart, relative to the larger.
_SAME = 1e-6


def equidistant(model: Any, rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell for each row, shape (n, features), whether the last of its neighbours has a rival.

    All False for models of other kinds.
    """
    last, inputs = model, rows.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that rows have no column names
        while hasattr(last, "steps"):
            *before, (_, last) = last.steps
            for _, step in before:
                inputs = inputs if step in (None, "passthrough") else step.transform(inputs)
        if (
            not hasattr(last, "kneighbors")
            or not hasattr(last, "n_neighbors")
            or not hasattr(last, "predict")
        ):
            return np.zeros(len(rows), bool)
        count = last.n_neighbors
        if count >= last.n_samples_fit_:
            return np.zeros(len(rows), bool)
        distances, _ = last.kneighbors(inputs, n_neighbors=count + 1)
    same: NDArray[np.bool_] = distances[:, count] - distances[:, count - 1] <= _SAME * distances[:, count]
    return same
