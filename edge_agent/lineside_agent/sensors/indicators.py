"""What an industrial vibration sensor makes of a stretch of vibration before it sends anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INDICATORS = (
    "vibration_rms_g",
    "vibration_peak_g",
    "crest_factor",
    "kurtosis",
    "velocity_rms_mm_s",
)
_G_MM_S2 = 9806.65


def indicators(acceleration_g: NDArray[np.float64], rate_hz: float) -> tuple[float, ...]:
    """Return the values of INDICATORS. Kurtosis is 3 for Gaussian noise; of silence, the ratios are 0."""
    swing = acceleration_g - acceleration_g.mean()
    square = swing * swing
    mean_square = float(square.mean())
    rms, peak = mean_square**0.5, float(np.abs(swing).max())
    crest = peak / rms if rms else 0.0
    kurtosis = float((square * square).mean()) / mean_square**2 if rms else 0.0
    return rms, peak, crest, kurtosis, velocity_rms(swing, rate_hz)


def velocity_rms(acceleration_g: NDArray[np.float64], rate_hz: float) -> float:
    """Return the RMS velocity in mm/s between 10 and 1000 Hz, the measure of ISO 20816-1.

    Integrates in the frequency domain, under a Hann window and corrected for what the window takes.
    """
    count = len(acceleration_g)
    window = np.hanning(count)
    spectrum = np.abs(np.fft.rfft(acceleration_g * window)) ** 2
    frequencies = np.fft.rfftfreq(count, 1 / rate_hz)
    band = (frequencies >= 10) & (frequencies <= min(1000, 0.499 * rate_hz))
    velocity = spectrum[band] * (_G_MM_S2 / (2 * np.pi * frequencies[band])) ** 2
    return float(np.sqrt(2 * velocity.sum() / (count * (window**2).sum())))
