"""Rows at a fixed rate, given in blocks of which none spans rows that were left out."""

from __future__ import annotations

from collections import deque

import numpy as np

from lineside_agent.sensors.sensor import Block


class Runs:
    """Takes blocks of rows in, and gives them cut wherever two rows are not one period apart."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._waiting: deque[tuple[bool, Block]] = deque()  # whether there is a gap before it
        self._last_ns: int | None = None
        self._gap = False

    def add(self, rows: Block) -> None:
        """Take rows in, if there are any."""
        times = rows.timestamps
        if not len(times):
            return
        before = int(times[0]) - self._period_ns if self._last_ns is None else self._last_ns
        self._last_ns = int(times[-1])
        # Ticks are rounded to the nanosecond. A clock that was set back makes a gap, too.
        off = np.abs(np.diff(times, prepend=before) - self._period_ns)
        starts = np.flatnonzero(off > self._period_ns // 2)
        runs = zip(np.split(times, starts), np.split(rows.values, starts), strict=True)
        self._waiting += [(number > 0, Block(*run)) for number, run in enumerate(runs) if len(run[0])]

    def take(self) -> Block | None:
        """Return the next rows that follow on each other; None if none wait."""
        if not self._waiting:
            return None
        gap, run = self._waiting.popleft()
        self._gap |= gap
        return run

    def take_gap(self) -> bool:
        """Return whether a run that was taken since the last call did not follow on the one before it."""
        gap, self._gap = self._gap, False
        return gap
