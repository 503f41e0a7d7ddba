"""Time for sensors that are not real: as it was, faster, or as fast as the readings are taken."""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from lineside_agent.clock import Clock, Signal

# 1.0 is real time, 2.0 twice as fast; "fast" does not wait at all.
Speed: TypeAlias = Annotated[float, Meta(gt=0, le=1e6)] | Literal["fast"]


class Pace:
    """Plays a recording: position 0 s is where it was when it was first waited for."""

    def __init__(self, speed: Speed, clock: Clock, stop: Signal) -> None:
        self._speed = speed
        self._clock = clock
        self._stop = stop
        self._start: float | None = None

    def reach(self, position_s: float) -> float | None:
        """Wait until the recording has played to a position; return how far it has, or None if told to stop.

        A reader that comes late finds that more has played. At speed "fast" everything has: infinity.
        """
        if self._speed == "fast":
            return None if self._stop.raised else math.inf
        now = self._clock.monotonic()
        if self._start is None:
            self._start = now - position_s / self._speed
        if self._clock.wait(self._start + position_s / self._speed - now, self._stop):
            return None
        return max(position_s, (self._clock.monotonic() - self._start) * self._speed)
