"""Readings from whatever gives lines of text at a descriptor: complete lines only, parsed, and given a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lineside_agent.clock import Clock, Signal, readable
from lineside_agent.sensors.lines import FORMATS, Line, Lines
from lineside_agent.sensors.patterns import NotMatched
from lineside_agent.sensors.sensor import Block
from lineside_agent.sensors.stamps import Stamps
from lineside_contract.errors import BadReading, SensorError

Format: TypeAlias = Literal["auto", "csv", "json", "regex"]

_READ_BYTES = 65536
_LONGEST_LINE_BYTES = 1_000_000
_MOST_UNMATCHED = 100  # lines in a row that a pattern may pass over before that is told


class LineFeed:
    """The complete lines that come from a descriptor; `ended` once it gives no more.

    Waiting ends when `stop` is raised.
    """

    def __init__(self, descriptor: int, clock: Clock, stop: Signal, end: bytes = b"\n") -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._stop = stop
        self._end = end
        self._partial = b""
        self.waiting: deque[bytes] = deque()
        self.ended = False

    def wait(self) -> None:
        """Wait until a line is there, the source ends or `stop` is raised. Raises OSError as reading does."""
        while not self.waiting and not self.ended:
            if not readable(self._descriptor, self._clock, self._stop):
                return
            data = os.read(self._descriptor, _READ_BYTES)
            self.ended = not data
            *complete, self._partial = (self._partial + data).split(self._end)
            if self.ended or len(self._partial) > _LONGEST_LINE_BYTES:
                complete.append(self._partial)
                self._partial = b""
            self.waiting.extend(line.strip(b"\r\n") for line in complete if line.strip())


class LineParser:
    """Takes the lines of a feed apart. `source` is what to call it in messages."""

    def __init__(self, source: str, lines: Lines, stamps: Stamps) -> None:
        self._source = source
        self.lines = lines
        self._stamps = stamps
        self._unmatched = 0

    def block(self, waiting: deque[bytes]) -> Block:
        """Take lines and return their readings; those before a malformed one first.

        Raises BadReading for a malformed line; the next call goes on after it.
        """
        read: list[Line] = []
        while waiting:
            try:
                parsed = self._parse(waiting[0])
            except ValueError as error:
                if read:
                    break
                line = waiting.popleft()
                raise BadReading(
                    f"{self._source} gave {_shown(line)}, which is no reading: {error}."
                ) from error
            waiting.popleft()
            if parsed is not None:
                read.append(parsed)
        return self._stamped(read)

    def _parse(self, line: bytes) -> Line | None:
        if len(line) > _LONGEST_LINE_BYTES:
            raise ValueError("it is longer than a reading can be")
        try:
            parsed = self.lines.parse(line)
        except NotMatched:
            self._unmatched += 1
            if self._unmatched < _MOST_UNMATCHED:
                return None
            count, self._unmatched = self._unmatched, 0
            raise ValueError(f"the pattern is found in none of the last {count} lines") from None
        self._unmatched = 0
        return parsed

    def _stamped(self, read: list[Line]) -> Block:
        present = self._stamps.spread(len(read))
        if any(line.timestamp is not None for line in read):
            given = [
                now if line.timestamp is None else line.timestamp
                for now, line in zip(present, read, strict=True)
            ]
            present = np.array(given, np.int64)
        return Block(present, float32([line.values for line in read], len(self.lines.channels)))


def lines_like(form: Format, first: bytes, timestamp: str, columns: Sequence[str]) -> Lines:
    """Return what reads lines of CSV or JSON like the first one. Raises ValueError if it cannot be used."""
    if form == "auto":
        form = "json" if first.lstrip().startswith(b"{") else "csv"
    return FORMATS[form](first, timestamp, columns)


def await_first(feed: LineFeed, source: str, *, hint: str = "") -> bytes:
    """Wait for the first line and leave it in the feed. Raises SensorError if `stop` comes first."""
    feed.wait()
    if not feed.waiting:
        raise SensorError(f"{source} has given no line yet.", hint=hint)
    return feed.waiting[0]


def float32(rows: Sequence[Sequence[float]], width: int) -> NDArray[np.float32]:
    """Return rows as shape (n, width); what float32 cannot hold becomes an infinity, which is counted."""
    with np.errstate(over="ignore"):
        return np.array(rows, np.float64).reshape(len(rows), width).astype(np.float32)


def _shown(line: bytes) -> str:
    text = repr(line.decode(errors="replace"))
    return text if len(text) <= 80 else f"{text[:76]}...'"
