"""How collecting goes, in one line: each second on a terminal, in place; each minute in a log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TextIO

from lineside_collector.collect import Collected

LOG = logging.getLogger(__name__)
LOG_EVERY_S = 60.0
TERMINAL_EVERY_S = 1.0


class Progress:
    """Sums up the collector's turns and says so from time to time."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._every = TERMINAL_EVERY_S if self._terminal else LOG_EVERY_S
        self._since = clock()
        self._total = Collected()

    def add(self, turn: Collected) -> None:
        """Count a turn; say how it goes when it is time to."""
        self._total = Collected(*(a + b for a, b in zip(self._total, turn, strict=True)))
        now = self._clock()
        if now - self._since < self._every:
            return
        line = self._line(now - self._since)
        if self._terminal:
            self._stream.write(f"\r\x1b[K{line}")
            self._stream.flush()
        else:
            LOG.info(line)
        self._since, self._total = now, Collected()

    def close(self) -> None:
        """Leave the terminal with a clean line."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _line(self, seconds: float) -> str:
        total = self._total
        parts = [f"{total.stored / seconds:,.1f} rows/s in {total.messages / seconds:,.1f} messages/s"]
        if total.repeated:
            parts.append(f"{total.repeated:,} repeats ignored")
        if total.rejected:
            parts.append(f"{total.rejected:,} not understood")
        return ", ".join(parts)
