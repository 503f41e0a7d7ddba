"""Times for readings whose source does not say when they were taken: the present, never turned back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lineside_agent.clock import Clock

_SLOWED = 2  # how many times slower it goes while the machine's clock is behind it


class Stamps:
    """The present time, each one later than the one before.

    A clock that is set forward is followed at once. One that is set back is caught up with as adjtime(3) does: time
    goes on at half its speed until the clock has reached it, so that readings keep their order.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns = 0
        self._last_monotonic = clock.monotonic()

    def now(self) -> int:
        """Return nanoseconds since the Unix epoch, UTC; more than the last time."""
        monotonic = self._clock.monotonic()
        passed = round((monotonic - self._last_monotonic) * 1e9)
        least = self._last_ns + max(1, passed // _SLOWED)
        self._last_ns = max(self._clock.wall_ns(), least)
        self._last_monotonic = monotonic
        return self._last_ns

    def spread(self, count: int) -> NDArray[np.int64]:
        """Return the times of readings that have come at once: int64 ns, shape (count,), the last one's now."""
        before = self._last_ns
        self._last_ns = max(self.now(), before + count)
        return np.arange(self._last_ns - count + 1, self._last_ns + 1, dtype=np.int64)
