"""The features, written once: numpy computes these lines while training, and the ONNX writer writes them down.

Every value has the shape (windows, channels, ...) and is float64, inside the graph as well: the readings are
float32, so that their sums are exact or nearly so, and the device's answers are the transformer's to the
last bit of a float32 but for ties. In float32 a kurtosis on top of an offset of 10000 would be noise, and the DFT of
onnxruntime is wrong by 7e-5 for lengths that are no power of two.

Conventions: the shape of a window is that of its readings about their mean. Where all are equal the ratios
(crest factor, skewness, kurtosis) and all frequencies are 0. A window with a NaN or an infinity gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

from lineside_export.features.plan import Bins, Plan

# What lies so far (-200 dB) below the strongest bin or the mean is rounding, different on every machine, and
# counts as 0.
_ROUNDING = 1e-20
# The same of a mean or a reading beside the standard deviation, and of a skewness: what is symmetric has none.
_SYMMETRIC = 1e-12
# By how much a bin may be weaker than the strongest and as strong but for rounding: an impulse has nothing but
# such bins. The lowest one counts. Not as a factor of 1 - 1e-9, which onnxruntime takes for 1 and leaves out.
_EQUAL = 1e-9


class Arithmetic(Protocol):
    """What the formulas need beyond + - * / > >= <= and &. Reductions are along the last axis, which stays."""

    def sum(self, values: Any) -> Any:
        """Return the sums."""

    def maximum(self, values: Any) -> Any:
        """Return the largest values."""

    def minimum(self, values: Any) -> Any:
        """Return the smallest values."""

    def absolute(self, values: Any) -> Any:
        """Return the values without their signs."""

    def root(self, values: Any) -> Any:
        """Return the square roots."""

    def where(self, condition: Any, values: Any, other: float) -> Any:
        """Return the values where the condition holds, elsewhere the other one."""

    def changes(self, condition: Any) -> Any:
        """Return how often a condition changes from one place to the next."""

    def first(self, condition: Any) -> Any:
        """Return the index of the first place where a condition holds."""

    def number(self, condition: Any) -> Any:
        """Return 1 where a condition holds, elsewhere 0."""

    def product(self, values: Any, matrix: Any) -> Any:
        """Return the matrix product."""

    def column(self, count: int) -> Any:
        """Return 1 to `count`, shape (count, 1)."""

    def row(self, numbers: list[int]) -> Any:
        """Return numbers, shape (1, n)."""

    def taper(self, length: int) -> Any:
        """Return a periodic Hann window."""

    def transform(self, values: Any, length: int) -> Any:
        """Return the one-sided discrete Fourier transform of `length` values; complex."""

    def part(self, values: Any, bins: Bins) -> Any:
        """Return some bins of something complex."""

    def squared(self, values: Any) -> Any:
        """Return the squared magnitude of something complex."""

    def keep(self, condition: Any, values: Any) -> Any:
        """Return something complex where the condition holds, elsewhere 0."""

    def inverse(self, values: Any, length: int) -> Any:
        """Return the inverse transform of something complex, filled up with zeros to `length`; complex."""

    def join(self, columns: list[Any]) -> Any:
        """Return values side by side along the last axis."""


def compute(ops: Arithmetic, readings: Any, plan: Plan) -> Any:
    """Return the features, shape (windows, channels, features), of readings (windows, channels, length)."""
    windows = _Windows(ops, readings, plan)
    columns = [_FORMULAS[name](windows) for name in plan.features]
    if plan.bands:
        columns.append(_energies(ops, windows.power, plan.spectral, plan.bands))
    if plan.envelope_bands:
        columns.append(
            _energies(ops, windows.envelope_power, (plan.envelope_length - 1) // 2, plan.envelope_bands)
        )
    # 0, or NaN if any reading is: what comparisons would have swallowed.
    return ops.join(columns) + (windows.mean - windows.mean)


class _Windows:
    """What several features need, each computed, or written into the graph, at most once."""

    def __init__(self, ops: Arithmetic, readings: Any, plan: Plan) -> None:
        self.ops = ops
        self.readings = readings
        self.plan = plan

    def average(self, values: Any) -> Any:
        # Not the mean of numpy and onnxruntime: the sum of equal float32 readings is exact, and so is this.
        return self.ops.sum(values) / self.plan.length

    def settled(self, values: Any, scale: Any) -> Any:
        """Return 0 instead of what is nothing but rounding beside the scale."""
        return self.ops.where(self.ops.absolute(values) > scale * _SYMMETRIC, values, 0.0)

    @cached_property
    def mean(self) -> Any:
        return self.average(self.readings)

    @cached_property
    def swing(self) -> Any:
        return self.readings - self.mean

    @cached_property
    def std(self) -> Any:
        return self.ops.root(self.average(self.swing * self.swing))

    @cached_property
    def divisor(self) -> Any:
        return self.ops.where(self.std > 0.0, self.std, 1.0)

    @cached_property
    def standard(self) -> Any:
        return self.swing / self.divisor

    @cached_property
    def square(self) -> Any:
        return self.standard * self.standard

    @cached_property
    def maximum(self) -> Any:
        return self.ops.maximum(self.readings)

    @cached_property
    def minimum(self) -> Any:
        return self.ops.minimum(self.readings)

    @cached_property
    def power(self) -> Any:
        return _power(self.ops, self.swing, self.mean, self.plan.length)

    @cached_property
    def envelope_power(self) -> Any:
        envelope = _squared_envelope(self.ops, self.swing, self.plan)
        length = self.plan.envelope_length
        mean = self.ops.sum(envelope) / length
        return _power(self.ops, envelope - mean, mean, length)

    @cached_property
    def skewness(self) -> Any:
        return self.settled(self.average(self.square * self.standard), 1.0)

    @cached_property
    def centroid(self) -> Any:
        total = self.ops.sum(self.power)
        moment = self.ops.product(self.power, self.ops.column(self.plan.spectral))
        return moment / self.ops.where(total > 0.0, total, 1.0) * self.plan.resolution_hz

    @cached_property
    def dominant(self) -> Any:
        strongest = self.ops.maximum(self.power)
        index = self.ops.first(self.power >= strongest - strongest * _EQUAL) + 1.0
        return self.ops.where(strongest > 0.0, index, 0.0) * self.plan.resolution_hz


_FORMULAS: dict[str, Callable[[_Windows], Any]] = {
    "mean": lambda windows: windows.settled(windows.mean, windows.std),
    "std": lambda windows: windows.std,
    "rms": lambda windows: windows.ops.root(windows.average(windows.readings * windows.readings)),
    "minimum": lambda windows: windows.minimum,
    "maximum": lambda windows: windows.maximum,
    "peak_to_peak": lambda windows: windows.maximum - windows.minimum,
    "crest_factor": lambda windows: windows.ops.maximum(windows.ops.absolute(windows.standard)),
    "skewness": lambda windows: windows.skewness,
    "kurtosis": lambda windows: windows.average(windows.square * windows.square),
    "zero_crossings": lambda windows: windows.ops.changes(windows.swing >= windows.std * -_SYMMETRIC),
    "spectral_centroid_hz": lambda windows: windows.centroid,
    "dominant_frequency_hz": lambda windows: windows.dominant,
}


def _power(ops: Arithmetic, swing: Any, mean: Any, length: int) -> Any:
    """Return each bin's share of the mean square, without the mean's and Nyquist's.

    One periodogram under a Hann window, which takes 3/8 of the power (P. D. Welch, IEEE Transactions on Audio and
    Electroacoustics 15 (1967) 70-73). Summing it over a band is what Welch's averaging over segments does for
    a single bin.
    """
    spectrum = ops.transform(swing * ops.taper(length), length)
    power = ops.squared(ops.part(spectrum, Bins(1, (length - 1) // 2))) * (2 / (0.375 * length**2))
    return ops.where(power > (ops.maximum(power) + mean * mean) * _ROUNDING, power, 0.0)


def _squared_envelope(ops: Arithmetic, swing: Any, plan: Plan) -> Any:
    """Return the squared envelope of what lies in the envelope band, shape (windows, channels, envelope_length).

    R. B. Randall and J. Antoni, Mechanical Systems and Signal Processing 25 (2011) 485-520: the bins of the
    band, moved to 0 Hz and transformed back, are the analytic signal but for its carrier; squared, because a
    root would add harmonics. They fill less than half of the shorter transform, so that squaring folds nothing.
    """
    assert plan.envelope_band is not None
    spectrum = ops.transform(swing, plan.length)
    power = ops.squared(spectrum)
    real = ops.keep(power > ops.maximum(power) * _ROUNDING, spectrum)
    analytic = ops.inverse(ops.part(real, plan.envelope_band), plan.envelope_length)
    return ops.squared(analytic) * (2 * plan.envelope_length / plan.length) ** 2


def _energies(ops: Arithmetic, power: Any, count: int, bands: tuple[Bins, ...]) -> Any:
    """Return the mean square in each band of a spectrum of `count` bins, the first of them 1."""
    bins = ops.column(count)
    first, last = ops.row([band.first for band in bands]), ops.row([band.last for band in bands])
    return ops.product(power, ops.number((bins >= first) & (bins <= last)))
