"""Rows that suit an estimator: by name, what a case trains on and is judged with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

COUNT = 400
TRAINED = 240


class Rows(NamedTuple):
    """Inputs float32 (COUNT, features), and the target, or None: (COUNT,) or (COUNT, targets)."""

    inputs: NDArray[np.float32]
    target: NDArray[Any] | None


def _readings() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Six channels of very different size and place, as sensors have; and the same standardized."""
    generator = np.random.default_rng(7)
    inputs = generator.normal(size=(COUNT, 6)) * [1, 5, 0.1, 20, 1, 1] + [0, 100, 0, -30, 2, 0]
    inputs = inputs.astype(np.float32)
    wide = inputs.astype(np.float64)
    return inputs, (wide - wide.mean(0)) / wide.std(0)


def _classes() -> Rows:
    inputs, scaled = _readings()
    return Rows(inputs, np.digitize(scaled[:, 0] + scaled[:, 1] * scaled[:, 2], [-0.5, 0.5]))


def _two() -> Rows:
    inputs, target = _classes()
    return Rows(inputs, (target > 0).astype(int))


def _values() -> Rows:
    inputs, scaled = _readings()
    noise = np.random.default_rng(8).normal(size=COUNT)
    return Rows(inputs, scaled[:, 0] * 2 + np.sin(scaled[:, 1]) + 0.1 * noise)


def _several_values() -> Rows:
    inputs, target = _values()
    return Rows(inputs, np.column_stack([target, target**2 - inputs[:, 4]]))


def _positive_values() -> Rows:
    inputs, target = _values()
    return Rows(inputs / np.float32(10), np.exp(target / 4))


def _several_labels() -> Rows:
    inputs, target = _classes()
    return Rows(inputs, np.column_stack([target, target > 1]).astype(int))


def _alone() -> Rows:
    return Rows(_readings()[0], None)


def _positive() -> Rows:
    generator = np.random.default_rng(9)
    inputs = generator.gamma(2, [1, 5, 0.1, 20, 1, 1], size=(COUNT, 6)).astype(np.float32)
    return Rows(inputs, np.digitize(inputs[:, 0] - inputs[:, 4], [-1, 1]))


def _counts() -> Rows:
    generator = np.random.default_rng(10)
    inputs = generator.poisson([3, 1, 8, 2, 5, 1], size=(COUNT, 6)).astype(np.float32)
    return Rows(inputs, np.digitize(inputs[:, 0] - inputs[:, 4], [-3, 1]))


def _categories() -> Rows:
    generator = np.random.default_rng(11)
    inputs = generator.integers(0, [3, 4, 2, 5], size=(COUNT, 4)).astype(np.float32)
    return Rows(inputs, (inputs[:, 0] + inputs[:, 1] > 2).astype(int) + (inputs[:, 3] > 2))


def _switches() -> Rows:
    generator = np.random.default_rng(12)
    inputs = generator.integers(0, 2, size=(COUNT, 6)).astype(np.float32)
    return Rows(inputs, (inputs[:, 0] + inputs[:, 1] + inputs[:, 2]).astype(int) // 2)


def _missing() -> Rows:
    inputs, target = _classes()
    inputs = inputs.copy()
    holes = np.random.default_rng(13).random(inputs.shape) < 0.1
    holes[:, 0] = False
    inputs[holes] = np.nan
    return Rows(inputs, target)


def _missing_values() -> Rows:
    return Rows(_missing().inputs, _values().target)


def _one_channel() -> Rows:
    inputs, _ = _values()
    one = inputs[:, :1]
    return Rows(one, np.exp(one[:, 0]) + 0.1 * np.random.default_rng(14).normal(size=COUNT))


def _products() -> Rows:
    """Products with the first rows: the square kernel matrix that a KernelCenterer is fitted on."""
    _, scaled = _readings()
    return Rows((scaled @ scaled[:TRAINED].T).astype(np.float32), None)


ROWS: dict[str, Callable[[], Rows]] = {
    "classes": _classes,
    "two classes": _two,
    "values": _values,
    "several values": _several_values,
    "positive values": _positive_values,
    "several labels": _several_labels,
    "no target": _alone,
    "positive": _positive,
    "counts": _counts,
    "categories": _categories,
    "switches": _switches,
    "missing": _missing,
    "missing values": _missing_values,
    "one channel": _one_channel,
    "products": _products,
}
