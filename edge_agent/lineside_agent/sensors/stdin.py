"""Readings from standard input, as CSV or JSON lines: whatever program knows the sensor writes them."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from lineside_agent.clock import Clock, Signal, readable
from lineside_agent.sensors.lines import FORMATS, Line, Lines
from lineside_agent.sensors.sensor import Block, EndOfReadings
from lineside_contract.categories import Codes
from lineside_contract.errors import BadReading, InputError, SensorError

_READ_BYTES = 65536
_LONGEST_LINE_BYTES = 1_000_000


class Settings(Struct, frozen=True, kw_only=True):
    """How the lines are written.

    CSV has its columns' names in the first line; JSON lines are objects, the first of which settles the names.
    Readings without the column `timestamp` get the present time, and all do if it is "none". `columns` chooses
    the channels.
    """

    format: Literal["auto", "csv", "json"] = "auto"
    timestamp: str = "timestamp"
    columns: list[str] = []


def open(settings: Settings, clock: Clock, stop: Signal) -> Stdin:
    """Wait for the first line of standard input, which names the channels.

    Raises InputError if it cannot be used, SensorError if `stop` is raised before it comes.
    """
    return Stdin(settings, clock, stop, sys.stdin.fileno())


class Stdin:
    """A sensor that reads a descriptor: never longer than until `stop` is raised, and never half a line."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal, descriptor: int) -> None:
        self._clock = clock
        self._stop = stop
        self._descriptor = descriptor
        self._partial = b""
        self._waiting: deque[bytes] = deque()  # complete lines
        self._number = 0  # of the line that was taken last
        self._ended = False
        self._lines = self._begin(settings)

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns."""
        return self._lines.channels

    def read(self) -> Block:
        """Wait for a line and return the readings of all that are there; raise EndOfReadings at the end.

        Raises BadReading naming a line that is none; the next call goes on with the line after it.
        """
        self._fill()
        if not self._waiting and self._ended:
            raise EndOfReadings("Standard input has ended.")
        now = self._clock.wall_ns()
        timestamps: list[int] = []
        values: list[list[float]] = []
        while self._waiting:
            try:
                timestamp, row = self._parse(self._waiting[0])
            except ValueError as error:
                if values:
                    break  # first give what came before it
                self._take()
                raise BadReading(f"Line {self._number} of standard input is no reading: {error}.") from error
            self._take()
            timestamps.append(now if timestamp is None else timestamp)
            values.append(row)
        return Block(np.array(timestamps, np.int64), _float32(values, len(self.channels)))

    def choose(self, channels: Sequence[str]) -> None:
        """Give only these channels: what stands in other columns is not looked at."""
        self._lines.choose(channels)

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns, if there are such, as text, and have them among the channels."""
        self._lines.translate(columns)

    def close(self) -> None:
        """Leave standard input to whoever owns it."""

    def _begin(self, settings: Settings) -> Lines:
        while not self._waiting:
            if self._ended:
                raise InputError(
                    "Standard input ended before its first line.",
                    hint="Pipe a program's output into the agent.",
                )
            self._fill()
            if self._stop.raised and not self._waiting:
                raise SensorError("Standard input has given no line yet.")
        first = self._waiting[0]
        kind = settings.format
        if kind == "auto":
            kind = "json" if first.lstrip().startswith(b"{") else "csv"
        try:
            lines = FORMATS[kind](first, settings.timestamp, settings.columns)
        except ValueError as error:
            raise InputError(f"The first line of standard input cannot be used: {error}.") from error
        if lines.header:
            self._take()
        return lines

    def _fill(self) -> None:
        """Wait until a complete line is there, the input ends or `stop` is raised."""
        while not self._waiting and not self._ended:
            if not readable(self._descriptor, self._clock, self._stop):
                return
            data = os.read(self._descriptor, _READ_BYTES)
            self._ended = not data
            *complete, self._partial = (self._partial + data).split(b"\n")
            if self._ended or len(self._partial) > _LONGEST_LINE_BYTES:
                complete.append(self._partial)
                self._partial = b""
            self._waiting.extend(complete)
            self._drop_blank()

    def _parse(self, line: bytes) -> Line:
        if len(line) > _LONGEST_LINE_BYTES:
            raise ValueError("it is longer than a reading can be")
        return self._lines.parse(line)

    def _take(self) -> None:
        self._waiting.popleft()
        self._number += 1
        self._drop_blank()

    def _drop_blank(self) -> None:
        while self._waiting and not self._waiting[0].strip():
            self._waiting.popleft()
            self._number += 1


def _float32(rows: list[list[float]], width: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes an infinity, which is counted
        return np.array(rows, np.float64).reshape(len(rows), width).astype(np.float32)
