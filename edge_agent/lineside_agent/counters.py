"""What the sensing thread counts and the heartbeat tells. Plain attributes: one thread writes, one reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal


class SensorCounters:
    """How one sensor is doing."""

    def __init__(self) -> None:
        self.state: Literal["ok", "failed", "ended", "waiting"] = "waiting"
        self.readings = 0
        self.non_finite = 0
        self.failures = 0
        self.last_reading_at: float | None = None  # monotonic seconds
        self.detail = ""
        self.parts: Mapping[str, SensorCounters] = {}  # of a sensor that is made of several


class Counters:
    """How the sensing thread is doing, since the start."""

    def __init__(self, sensor: str) -> None:
        self.sensors = {sensor: SensorCounters()}
        self.predictions = 0
        self.inference_ns = 0

    def every_sensor(self) -> Iterator[tuple[str, SensorCounters]]:
        """Yield each sensor by its name, and what it is made of."""
        for name, counters in self.sensors.items():
            yield name, counters
            yield from counters.parts.items()
