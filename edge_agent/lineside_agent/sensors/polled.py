"""Sources that are asked: at a fixed rate, one reading each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol, TypeAlias

import numpy as np
from msgspec import Meta

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.sensor import Block
from lineside_agent.sensors.stamps import Stamps

# Readings a second. More than that is no matter of asking for each one.
Rate: TypeAlias = Annotated[float, Meta(gt=0, le=10_000)]


class Probe(Protocol):
    """What can be asked for one reading."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values."""

    def measure(self) -> Sequence[float]:
        """Return a value a channel. Raises SensorError."""

    def close(self) -> None:
        """Give back what it holds. May be called twice."""


class Polled:
    """A sensor that asks a probe `rate_hz` times a second; what it comes too late for is left out, not caught up."""

    def __init__(self, probe: Probe, rate_hz: float, clock: Clock, stop: Signal) -> None:
        self._probe = probe
        self._interval_s = 1 / rate_hz
        self._clock = clock
        self._stop = stop
        self._stamps = Stamps(clock)
        self._start = clock.monotonic()
        self._next = 0  # the number of the reading that is due next

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns."""
        return self._probe.channels

    def read(self) -> Block:
        """Wait until a reading is due and take it; an empty block if the agent is to stop. Raises SensorError."""
        due = self._start + self._next * self._interval_s
        if self._clock.wait(due - self._clock.monotonic(), self._stop):
            return Block(np.empty(0, np.int64), np.empty((0, len(self.channels)), np.float32))
        values = self._probe.measure()
        passed = int((self._clock.monotonic() - self._start) / self._interval_s)
        self._next = max(self._next, passed) + 1
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes an infinity, which is counted
            return Block(np.array([self._stamps.now()]), np.array([values], np.float64).astype(np.float32))

    def close(self) -> None:
        """Close the probe."""
        self._probe.close()
