"""A scikit-learn transformer of sensor windows into features that the exported graph computes as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from lineside_export.features.by_numpy import NumpyArithmetic
from lineside_export.features.formulas import compute
from lineside_export.features.plan import (
    SHAPE,
    Band,
    Plan,
    check_names,
    check_spectrum,
    find_bins,
    split_windows,
)

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn 1.5

    def validate_data(estimator: Any, /, **checks: Any) -> Any:
        """Do what scikit-learn 1.6 gave this name."""
        checks["force_all_finite"] = checks.pop("ensure_all_finite")
        return estimator._validate_data(**checks)


_CHUNK_VALUES = 1 << 22  # windows are computed so many readings at a time: 32 MB for each intermediate


class WindowFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Features of windows: shape, spectrum, and the spectrum of the envelope in which bearings show their faults.

    A row is a window as `lineside_export.windows.sliding` cuts it, shape (n, length * channels). The answer
    is float32, channel by channel: `features`, then the energy in each of `bands`, then in each of `envelope_bands`.
    Put it first in a pipeline. Readings count as the float32 that a device has; inside, all is float64. Nothing is
    learnt: `fit` only checks.

    channels: names, or how many; None: as many as fit. length: readings in a window; None: as many as
    fit. rate_hz: readings in a second, needed for everything in Hz.

    features: mean, std (population), rms, minimum, maximum, peak_to_peak; about the mean: crest_factor (peak by
    std), skewness, kurtosis (3 for Gaussian noise), zero_crossings (how many in the window);
    spectral_centroid_hz, dominant_frequency_hz (the lowest one of equals). Of equal readings all ratios
    and frequencies are 0; a NaN in a channel makes all its features NaN.

    bands: (low, high) in Hz, low <= f < high. Each gives the mean square in it, in the channel's unit squared.
    envelope_band: the one band, around a resonance of the structure, whose squared envelope is taken;
    envelope_bands: bands of that envelope's spectrum, around the bearing's characteristic frequencies. Each gives
    the mean square of the squared envelope in it. See `formulas` for how and after whom.

    `fit` and `transform` raise ValueError for parameters and rows that do not fit.
    """

    def __init__(
        self,
        *,
        channels: Sequence[str] | int | None = None,
        length: int | None = None,
        rate_hz: float | None = None,
        features: Sequence[str] = SHAPE,
        bands: Sequence[Band] = (),
        envelope_band: Band | None = None,
        envelope_bands: Sequence[Band] = (),
    ) -> None:
        self.channels = channels
        self.length = length
        self.rate_hz = rate_hz
        self.features = features
        self.bands = bands
        self.envelope_band = envelope_band
        self.envelope_bands = envelope_bands

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002, N803  scikit-learn's names
        """Check the parameters against rows of shape (n, length * channels). Raises ValueError."""
        self._rows(X, reset=True)
        self.plan()
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:  # noqa: N803  scikit-learn's name
        """Return the features, shape (n, channels * features per channel). Raises ValueError."""
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        plan = self.plan()
        step = max(1, _CHUNK_VALUES // rows.shape[1])
        found = [_answer(rows[at : at + step], plan) for at in range(0, len(rows), step)]
        return np.concatenate(found)

    def plan(self) -> Plan:
        """Return what is computed, for the rows that it was fitted on. Raises ValueError."""
        names, length = split_windows(self.n_features_in_, self.channels, self.length)
        features = check_names(self.features)
        if (self.envelope_band is None) != (not self.envelope_bands):
            raise ValueError("envelope_band and envelope_bands need each other: give both, or neither.")
        wanted = bool(set(features) - set(SHAPE)) or len(self.bands) > 0 or self.envelope_band is not None
        if not features and not wanted:
            raise ValueError("There is not one feature to compute.")
        rate_hz = check_spectrum(length, self.rate_hz) if wanted else 1.0
        plan = Plan(names, length, rate_hz, features, (), None, ())
        plan = plan._replace(bands=find_bins(self.bands, length, rate_hz, plan.spectral))
        if self.envelope_band is None:
            return plan
        (band,) = find_bins([self.envelope_band], length, rate_hz, plan.spectral)
        # The envelope of a band changes no faster than the band is wide.
        bands = find_bins(self.envelope_bands, length, rate_hz, band.last - band.first + 1)
        return plan._replace(envelope_band=band, envelope_bands=bands)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Return the names of the answer's columns: CHANNEL_FEATURE."""
        check_is_fitted(self)
        plan = self.plan()
        names = [
            *plan.features,
            *(f"energy_{low:g}_{high:g}_hz" for low, high in self.bands),
            *(f"envelope_energy_{low:g}_{high:g}_hz" for low, high in self.envelope_bands),
        ]
        return np.array([f"{channel}_{name}" for channel in plan.channels for name in names], dtype=object)

    def _rows(self, rows: Any, *, reset: bool) -> NDArray[np.float32]:
        checked: NDArray[np.float32] = validate_data(
            self, X=rows, reset=reset, dtype=np.float32, ensure_all_finite="allow-nan"
        )
        return checked

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.requires_fit = True
        return tags


def _answer(rows: NDArray[np.float32], plan: Plan) -> NDArray[np.float32]:
    windows = rows.reshape(len(rows), plan.length, len(plan.channels)).transpose(0, 2, 1)
    # Contiguous, or numpy would add up the readings in another order, less exactly.
    readings = np.ascontiguousarray(windows, dtype=np.float64)
    # NaN, and infinity for what no float32 holds, go on as they do in the graph.
    with np.errstate(all="ignore"):
        answer: NDArray[np.float32] = compute(NumpyArithmetic(), readings, plan).astype(np.float32)
    return answer.reshape(len(rows), -1)
