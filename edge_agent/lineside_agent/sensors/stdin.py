"""Readings from standard input, as CSV or JSON lines: whatever program knows the sensor writes them."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.line_feed import LineFeed, LineParser, await_first, lines_like
from lineside_agent.sensors.sensor import Block, EndOfReadings
from lineside_agent.sensors.stamps import Stamps
from lineside_contract.categories import Codes
from lineside_contract.errors import InputError

log = logging.getLogger(__name__)

_NAME = "Standard input"


class Settings(Struct, frozen=True, kw_only=True):
    """How the lines are written.

    CSV has its columns' names in the first line; JSON lines are objects, the first of which settles the names.
    Readings without the column `timestamp` get the present time, and all do if it is "none". `columns` chooses
    the channels.
    """

    format: Literal["auto", "csv", "json"] = "auto"
    timestamp: str = "timestamp"
    columns: list[str] = []

    @property
    def known_channels(self) -> tuple[str, ...]:
        """The channels, if they are known before a line has come."""
        return tuple(self.columns)


def open(settings: Settings, clock: Clock, stop: Signal) -> Stdin:
    """Wait for the first line of standard input, which names the channels, unless `columns` does.

    Raises InputError if it cannot be used, SensorError if `stop` is raised before it comes.
    """
    return Stdin(settings, clock, stop, sys.stdin.fileno())


class Stdin:
    """A sensor that reads a descriptor: never longer than until `stop` is raised, and never half a line."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal, descriptor: int) -> None:
        self._settings = settings
        self._stop = stop
        self._stamps = Stamps(clock)
        self._feed = LineFeed(descriptor, clock, stop)
        self._chosen = settings.known_channels
        self._codes: Mapping[str, Codes] = {}
        if os.isatty(descriptor):  # where nobody sees that something is missing
            log.warning("waiting for readings on standard input: CSV with a first line of names, or JSON")
        self._parser = None if self._chosen else self._begin()

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns."""
        return self._parser.lines.channels if self._parser else self._chosen

    def read(self) -> Block:
        """Wait for a line and return the readings of all that are there; raise EndOfReadings at the end.

        Raises BadReading for a line that is none; the next call goes on with the line after it. Raises InputError if
        the first line, which was not there before, cannot be used.
        """
        self._feed.wait()
        if self._parser is None:
            if self._stop.raised and not self._feed.waiting:
                return Block(np.empty(0, np.int64), np.empty((0, len(self._chosen)), np.float32))
            self._parser = self._begin()
            self._feed.wait()
        if not self._feed.waiting and self._feed.ended:
            raise EndOfReadings("Standard input has ended.")
        return self._parser.block(self._feed.waiting)

    def choose(self, channels: Sequence[str]) -> None:
        """Give only these channels: what stands in other columns is not looked at."""
        self._chosen = tuple(channels)
        if self._parser:
            self._parser.lines.choose(channels)

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns, if there are such, as text, and have them among the channels."""
        self._codes = columns
        if self._parser:
            self._parser.lines.translate(columns)

    def close(self) -> None:
        """Leave standard input to whoever owns it."""

    def _begin(self) -> LineParser:
        feed, settings = self._feed, self._settings
        feed.wait()
        if feed.ended and not feed.waiting:
            raise InputError(
                "Standard input ended before its first line.",
                hint="Pipe a program's output into the agent.",
            )
        first = await_first(
            feed, _NAME, hint="Pipe a program that prints readings into this command, or name another sensor."
        )
        try:
            lines = lines_like(settings.format, first, settings.timestamp, settings.columns)
        except ValueError as error:
            raise InputError(f"The first line of standard input cannot be used: {error}.") from error
        if lines.header:
            feed.waiting.popleft()
        if self._codes:
            lines.translate(self._codes)
        if self._chosen:
            lines.choose(self._chosen)
        return LineParser(_NAME, lines, self._stamps)
