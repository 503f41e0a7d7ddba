"""Fakes of the agent's seams."""

from __future__ import annotations

from lineside_agent.clock import Signal

START_NS = 1_700_000_000_000_000_000


class FakeClock:
    """Time that passes only by waiting for it; `waits` are the seconds that were asked for.

    `stop_at` raises the signal of the wait that would reach that many seconds, at that moment.
    """

    def __init__(self, stop_at: float | None = None) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []
        self.stop_at = stop_at

    def wall_ns(self) -> int:
        return START_NS + round(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float, stop: Signal) -> bool:
        if stop.raised:
            return True
        self.waits.append(seconds)
        until = self.seconds + max(0.0, seconds)
        if self.stop_at is not None and until >= self.stop_at:
            until = max(self.seconds, self.stop_at)
            stop.set()
        self.seconds = until
        return stop.raised
