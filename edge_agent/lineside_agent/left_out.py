"""Readings that are left out for a NaN or an infinity: counted by channel, and told without a flood."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lineside_agent.clock import Clock

# While it lasts it is told so often; when there was none for so long, it is over.
_EVERY_S = 60.0


class LeftOut:
    """Says when to tell of them: at the first, then once a minute; `lasting` until a minute was free of them."""

    def __init__(self, channels: Sequence[str], clock: Clock) -> None:
        self._channels = channels
        self._clock = clock
        self._readings = 0  # since the last telling, as are the cells
        self._cells = np.zeros(len(channels), np.int64)
        self._last_at = self._told_at = 0.0
        self.lasting = False

    def add(self, values: NDArray[np.float32]) -> bool:
        """Count those of readings, shape (n, channels), that are left out; return whether to tell of them now."""
        bad = ~np.isfinite(values)
        self._readings += int(np.count_nonzero(bad.any(axis=1)))
        self._cells += np.count_nonzero(bad, axis=0)
        self._last_at = self._clock.monotonic()
        if self.lasting and self._last_at - self._told_at < _EVERY_S:
            return False
        self.lasting = True
        self._told_at = self._last_at
        return True

    def look_over(self) -> bool:
        """Return whether it has come to its end; complete readings have come now."""
        self.lasting = self._clock.monotonic() - self._last_at < _EVERY_S
        return not self.lasting

    def take(self) -> str:
        """Return a sentence on what was counted since the last call, or nothing."""
        count, self._readings = self._readings, 0
        counted = zip(self._channels, self._cells.tolist(), strict=True)
        where = ", ".join(f"{channel} ({bad})" for channel, bad in counted if bad)
        self._cells[:] = 0
        if not count:
            return ""
        what = "1 reading is" if count == 1 else f"{count} readings are"
        return f"{what} left out for a NaN or an infinity in {where}."
