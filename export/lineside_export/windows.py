"""Windows over readings: what the model of a vibration or a trend takes as one input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sliding(values: NDArray[Any], length: int, hop: int) -> NDArray[Any]:
    """Cut readings, shape (n, channels), into windows, shape (windows, length * channels).

    A window holds `length` readings in order of time, each with its channels in order; the next begins `hop`
    readings later. Readings that do not fill a window are left out.
    """
    if len(values) < length:
        return np.empty((0, length * values.shape[1]), values.dtype)
    views = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)[::hop]
    return np.ascontiguousarray(views.transpose(0, 2, 1)).reshape(len(views), -1)


def newest(count: int, length: int, hop: int) -> NDArray[np.intp]:
    """Return, for each window over `count` readings, the index of its newest reading."""
    return np.arange(length - 1, count, hop)
