"""The formulas' arithmetic, done by numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.features.plan import Bins


class NumpyArithmetic:
    """See `formulas.Arithmetic`."""

    def sum(self, values: Any) -> Any:
        """Return the sums."""
        return values.sum(axis=-1, keepdims=True)

    def maximum(self, values: Any) -> Any:
        """Return the largest values."""
        return values.max(axis=-1, keepdims=True)

    def minimum(self, values: Any) -> Any:
        """Return the smallest values."""
        return values.min(axis=-1, keepdims=True)

    def absolute(self, values: Any) -> Any:
        """Return the values without their signs."""
        return np.abs(values)

    def root(self, values: Any) -> Any:
        """Return the square roots."""
        return np.sqrt(values)

    def where(self, condition: Any, values: Any, other: float) -> Any:
        """Return the values where the condition holds, elsewhere the other one."""
        return np.where(condition, values, other)

    def changes(self, condition: Any) -> Any:
        """Return how often a condition changes from one place to the next."""
        return self.sum((condition[..., 1:] != condition[..., :-1]).astype(np.float64))

    def first(self, condition: Any) -> Any:
        """Return the index of the first place where a condition holds."""
        return condition.argmax(axis=-1, keepdims=True).astype(np.float64)

    def number(self, condition: Any) -> Any:
        """Return 1 where a condition holds, elsewhere 0."""
        return condition.astype(np.float64)

    def product(self, values: Any, matrix: Any) -> Any:
        """Return the matrix product."""
        return values @ matrix

    def column(self, count: int) -> Any:
        """Return 1 to `count`, shape (count, 1)."""
        return np.arange(1.0, count + 1.0).reshape(-1, 1)

    def row(self, numbers: list[int]) -> Any:
        """Return numbers, shape (1, n)."""
        return np.array([numbers], np.float64)

    def taper(self, length: int) -> Any:
        """Return a periodic Hann window."""
        return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)

    def transform(self, values: Any, length: int) -> Any:
        """Return the one-sided discrete Fourier transform of `length` values; complex."""
        return np.fft.rfft(values, length)

    def part(self, values: Any, bins: Bins) -> Any:
        """Return some bins of something complex."""
        return values[..., bins.first : bins.last + 1]

    def squared(self, values: Any) -> Any:
        """Return the squared magnitude of something complex."""
        return values.real**2 + values.imag**2

    def keep(self, condition: Any, values: Any) -> Any:
        """Return something complex where the condition holds, elsewhere 0."""
        return np.where(condition, values, 0)

    def inverse(self, values: Any, length: int) -> Any:
        """Return the inverse transform of something complex, filled up with zeros to `length`; complex."""
        return np.fft.ifft(values, length)

    def join(self, columns: list[Any]) -> Any:
        """Return values side by side along the last axis."""
        return np.concatenate(columns, axis=-1)
