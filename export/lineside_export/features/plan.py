"""Which features of which windows: the parameters, checked, with every frequency as a bin of the spectrum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from lineside_contract.errors import nearest

Band = tuple[float, float]

SHAPE = (
    "mean",
    "std",
    "rms",
    "minimum",
    "maximum",
    "peak_to_peak",
    "crest_factor",
    "skewness",
    "kurtosis",
    "zero_crossings",
)
SPECTRAL = ("spectral_centroid_hz", "dominant_frequency_hz")
_SHORTEST = 2
_SHORTEST_SPECTRUM = 4


class Bins(NamedTuple):
    """The bins of a spectrum from the first to the last, both included."""

    first: int
    last: int


class Plan(NamedTuple):
    """What to compute of windows of `length` readings of each of `channels`.

    `rate_hz` is 1 where no frequency is asked for. `bands` are of the spectrum; `envelope_bands` of the
    spectrum of the squared envelope of what lies in `envelope_band`, None if there are none.
    """

    channels: tuple[str, ...]
    length: int
    rate_hz: float
    features: tuple[str, ...]
    bands: tuple[Bins, ...]
    envelope_band: Bins | None
    envelope_bands: tuple[Bins, ...]

    @property
    def resolution_hz(self) -> float:
        """How far apart the bins are."""
        return self.rate_hz / self.length

    @property
    def spectral(self) -> int:
        """The number of bins: without the mean, and without the last one of an even length (Nyquist)."""
        return (self.length - 1) // 2

    @property
    def envelope_length(self) -> int:
        """How many samples the squared envelope has: a power of two that holds twice the band."""
        if self.envelope_band is None:
            return 0
        width = self.envelope_band.last - self.envelope_band.first + 1
        return 1 << (2 * width + 1).bit_length()


def split_windows(
    values: int, channels: Sequence[str] | int | None, length: int | None
) -> tuple[tuple[str, ...], int]:
    """Return the channels' names and the readings of each in rows of so many values. Raises ValueError.

    What is None follows from the other; one channel if both are.
    """
    if isinstance(channels, str):
        raise ValueError(f"channels must be a sequence of names or a number, not the text {channels!r}.")
    if channels is None:
        channels = 1 if length is None else max(1, values // max(1, length))
    names = tuple(f"x{index}" for index in range(channels)) if isinstance(channels, int) else tuple(channels)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"channels must name one channel or more, each once, not {names}.")
    if length is None:
        length = values // len(names)
    if length < _SHORTEST or length * len(names) != values:
        raise ValueError(
            f"Rows of {values} feature(s) are no windows of {length} readings of {len(names)} channel(s): a row is "
            f"the readings in order of time, each with its channels in order, {_SHORTEST} readings or more."
        )
    return names, length


def check_names(features: Sequence[str]) -> tuple[str, ...]:
    """Return the names of features. Raises ValueError if there is none such, or one is there twice."""
    known = SHAPE + SPECTRAL
    for name in features:
        if name not in known:
            raise ValueError(
                f"There is no feature {name!r}. {nearest(str(name), known) or 'Known: ' + ', '.join(known) + '.'}"
            )
    if len(set(features)) != len(features):
        raise ValueError("features names one of them twice.")
    return tuple(features)


def find_bins(bands: Sequence[Band], length: int, rate_hz: float, last: int) -> tuple[Bins, ...]:
    """Return the bins of bands in Hz: low <= frequency < high. Raises ValueError for a band without one.

    last: the last bin that there is.
    """
    return tuple(_bins(band, length, rate_hz, last) for band in bands)


def _bins(band: Band, length: int, rate_hz: float, last: int) -> Bins:
    low, high = band
    if not 0 <= low < high <= rate_hz / 2:
        raise ValueError(
            f"The band {low:g} to {high:g} Hz is not one between 0 and {rate_hz / 2:g} Hz, half the sampling rate."
        )
    step = rate_hz / length
    # A limit that is meant to lie on a bin does, whatever the division made of it.
    first, beyond = (math.ceil(round(edge / step, 9)) for edge in band)
    found = Bins(max(1, first), min(last, beyond - 1))
    if found.first > found.last:
        raise ValueError(
            f"The band {low:g} to {high:g} Hz is empty: {length} readings at {rate_hz:g} Hz show only multiples "
            f"of {step:g} Hz below {rate_hz / 2:g} Hz."
        )
    return found


def check_spectrum(length: int, rate_hz: float | None) -> float:
    """Return the sampling rate. Raises ValueError if no spectrum can be made."""
    if rate_hz is None or not 0 < rate_hz < math.inf:
        raise ValueError(f"Features of frequencies need rate_hz, the readings in a second, not {rate_hz}.")
    if length < _SHORTEST_SPECTRUM:
        raise ValueError(f"A spectrum needs windows of {_SHORTEST_SPECTRUM} readings or more, not {length}.")
    return float(rate_hz)
