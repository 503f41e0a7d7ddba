"""How strong a graph's outputs are against what storing it in fewer bits does to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def signal_to_noise(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> float:
    """Return in dB how strong a graph's float32 outputs are against another's differences from them.

    That is the least over the outputs of 10 log10(sum of squares of the output less its mean / of the differences);
    infinite if there is no difference.
    """
    ratios = [
        _decibel(np.sum((want - want.mean(axis=0)) ** 2), np.sum((got - want) ** 2))
        for want, got in zip(expected, found, strict=True)
        if want.dtype == np.float32
    ]
    return min(ratios, default=math.inf)


def share(decibel: float) -> float:
    """Return the noise's share of the signal's power."""
    return float(10 ** (-decibel / 10))


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
