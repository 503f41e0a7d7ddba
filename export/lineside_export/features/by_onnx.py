"""The formulas' arithmetic, written down as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from lineside_export.features.plan import Bins

# Write one node: its operator, the names of its inputs, its attributes; returns the name of its output.
Write = Callable[..., str]
# Add a constant; returns its name.
Constant = Callable[[Any], str]
_LAST, _COMPLEX = -1, -2  # something complex has real and imaginary part as one more axis, after the bins


class Symbol:
    """A value that the graph will compute. Arithmetic on it writes a node."""

    def __init__(self, name: str, ops: OnnxArithmetic) -> None:
        self.name = name
        self._ops = ops

    def __add__(self, other: Symbol | float) -> Symbol:
        return self._ops.node("Add", self, other)

    def __sub__(self, other: Symbol | float) -> Symbol:
        return self._ops.node("Sub", self, other)

    def __mul__(self, other: Symbol | float) -> Symbol:
        return self._ops.node("Mul", self, other)

    def __truediv__(self, other: Symbol | float) -> Symbol:
        return self._ops.node("Div", self, other)

    def __gt__(self, other: Symbol | float) -> Symbol:
        return self._ops.node("Greater", self, other)

    def __ge__(self, other: Symbol | float) -> Symbol:
        return self._ops.node("GreaterOrEqual", self, other)

    def __le__(self, other: Symbol | float) -> Symbol:
        return self._ops.node("LessOrEqual", self, other)

    def __and__(self, other: Symbol) -> Symbol:
        return self._ops.node("And", self, other)


class OnnxArithmetic:
    """See `formulas.Arithmetic`. What is constant onnxruntime computes once, when it loads the graph."""

    def __init__(self, write: Write, constant: Constant) -> None:
        self._write = write
        self._constant = constant

    def node(self, operator: str, *inputs: Symbol | float, **attributes: Any) -> Symbol:
        """Write a node. A number among its inputs becomes a float64 constant."""
        names = [each.name if isinstance(each, Symbol) else self._constant(float(each)) for each in inputs]
        return Symbol(self._write(operator, *names, **attributes), self)

    def whole(self, *numbers: int) -> Symbol:
        """Return int64 constants, shape (n,)."""
        return Symbol(self._constant(np.array(numbers, np.int64)), self)

    def sum(self, values: Symbol) -> Symbol:
        """Return the sums."""
        return self.node("ReduceSum", values, self.whole(_LAST))

    def maximum(self, values: Symbol) -> Symbol:
        """Return the largest values."""
        return self.node("ReduceMax", values, self.whole(_LAST))

    def minimum(self, values: Symbol) -> Symbol:
        """Return the smallest values."""
        return self.node("ReduceMin", values, self.whole(_LAST))

    def absolute(self, values: Symbol) -> Symbol:
        """Return the values without their signs."""
        return self.node("Abs", values)

    def root(self, values: Symbol) -> Symbol:
        """Return the square roots."""
        return self.node("Sqrt", values)

    def where(self, condition: Symbol, values: Symbol, other: float) -> Symbol:
        """Return the values where the condition holds, elsewhere the other one."""
        return self.node("Where", condition, values, other)

    def changes(self, condition: Symbol) -> Symbol:
        """Return how often a condition changes from one place to the next."""
        before = self._slice(condition, 0, -1, _LAST)
        after = self._slice(condition, 1, np.iinfo(np.int64).max, _LAST)
        return self.sum(self.number(self.node("Xor", before, after)))

    def first(self, condition: Symbol) -> Symbol:
        """Return the index of the first place where a condition holds."""
        index = self.node("ArgMax", self.number(condition), axis=_LAST, keepdims=1)
        return self.number(index)

    def number(self, condition: Symbol) -> Symbol:
        """Return 1 where a condition holds, elsewhere 0."""
        return self.node("Cast", condition, to=TensorProto.DOUBLE)

    def product(self, values: Symbol, matrix: Symbol) -> Symbol:
        """Return the matrix product."""
        return self.node("MatMul", values, matrix)

    def column(self, count: int) -> Symbol:
        """Return 1 to `count`, shape (count, 1)."""
        return self.node("Unsqueeze", self.node("Range", 1.0, count + 1.0, 1.0), self.whole(1))

    def row(self, numbers: list[int]) -> Symbol:
        """Return numbers, shape (1, n)."""
        return Symbol(self._constant(np.array([numbers], np.float64)), self)

    def taper(self, length: int) -> Symbol:
        """Return a periodic Hann window."""
        return self.node("HannWindow", self._one(length), output_datatype=TensorProto.DOUBLE, periodic=1)

    def transform(self, values: Symbol, length: int) -> Symbol:
        """Return the one-sided discrete Fourier transform of `length` values; complex."""
        real = self.node("Unsqueeze", values, self.whole(_LAST))
        return self.node("DFT", real, self._one(length), self._one(_COMPLEX), onesided=1)

    def part(self, values: Symbol, bins: Bins) -> Symbol:
        """Return some bins of something complex."""
        return self._slice(values, bins.first, bins.last + 1, _COMPLEX)

    def squared(self, values: Symbol) -> Symbol:
        """Return the squared magnitude of something complex."""
        return self.node("ReduceSumSquare", values, self.whole(_LAST), keepdims=0)

    def keep(self, condition: Symbol, values: Symbol) -> Symbol:
        """Return something complex where the condition holds, elsewhere 0."""
        return self.where(self.node("Unsqueeze", condition, self.whole(_LAST)), values, 0.0)

    def inverse(self, values: Symbol, length: int) -> Symbol:
        """Return the inverse transform of something complex, filled up with zeros to `length`; complex."""
        return self.node("DFT", values, self._one(length), self._one(_COMPLEX), inverse=1)

    def join(self, columns: list[Symbol]) -> Symbol:
        """Return values side by side along the last axis."""
        return self.node("Concat", *columns, axis=_LAST)

    def _one(self, number: int) -> Symbol:
        return Symbol(self._constant(np.array(number, np.int64)), self)

    def _slice(self, values: Symbol, start: int, end: int, axis: int) -> Symbol:
        return self.node("Slice", values, self.whole(start), self.whole(end), self.whole(axis))
