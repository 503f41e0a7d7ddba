"""What the sensing thread counts and the heartbeat tells. Plain attributes: one thread writes, one reads."""

from __future__ import annotations

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


class Counters:
    """How the sensing thread is doing, since the start."""

    def __init__(self, sensor: str) -> None:
        self.sensors = {sensor: SensorCounters()}
        self.predictions = 0
        self.inference_ns = 0
