"""Codes as the texts that they stand for, as the original model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_contract.categories import UNKNOWN


def unseen(categories: Sequence[str]) -> str:
    """Return a text that is none of the categories."""
    text = "never seen"
    while text in categories:
        text += "?"
    return text


def decode(inputs: NDArray[np.float32], categories: Sequence[Sequence[str]]) -> NDArray[Any]:
    """Return rows as Python's numbers and texts, dtype object.

    inputs: float32 (n, columns). categories: those of each column, empty for numbers. UNKNOWN becomes a text
    that is none of them, NaN stays.
    """
    rows = inputs.astype(np.float64).astype(object)
    for column, texts in enumerate(categories):
        if texts:
            rows[:, column] = [_text(code, texts) for code in inputs[:, column].tolist()]
    return rows


def _text(code: float, texts: Sequence[str]) -> object:
    if np.isnan(code):
        return np.nan
    return unseen(texts) if code == UNKNOWN else texts[int(code)]
