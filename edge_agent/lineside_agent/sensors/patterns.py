"""Lines of text by a regular expression: whatever a device prints, if a person can say where the numbers are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lineside_agent.sensors.lines import Line
from lineside_agent.sensors.timestamps import Reader, reader_for
from lineside_contract.categories import Codes
from lineside_contract.numbers import as_number


class NotMatched(ValueError):
    """A line that the pattern passes over: no reading, and no mistake."""


class RegexLines:
    """Lines by a regular expression: each named group is a column, lines that it is not found in are no readings.

    Raises ValueError for a pattern that is none, or that names nothing.
    """

    header = False

    def __init__(self, pattern: str, timestamp: str, columns: Sequence[str]) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"pattern is no regular expression: {error}") from error
        names = [name for name in self._pattern.groupindex if name != timestamp]
        if not names:
            raise ValueError(r"pattern has no named group such as (?P<temperature_c>[-\d.]+)")
        if missing := next((column for column in columns if column not in names), None):
            raise ValueError(f"pattern has no group named {missing!r}")
        self.channels = tuple(columns) or tuple(names)
        self._timestamp = timestamp if timestamp in self._pattern.groupindex else None
        self._times: Reader | None = None
        self._codes: Mapping[str, Codes] = {}

    def choose(self, channels: Sequence[str]) -> None:
        """Read only these channels from now on."""
        self.channels = tuple(channels)

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns as text."""
        self._codes = columns

    def parse(self, line: bytes) -> Line:
        """Read a line. Raises NotMatched, or ValueError saying what is wrong with it."""
        match = self._pattern.search(line.decode(errors="replace"))
        if match is None:
            raise NotMatched("the pattern is not found in it")
        when = match[self._timestamp] if self._timestamp else None
        return Line(self._time(when), [self._value(name, match[name]) for name in self.channels])

    def _value(self, name: str, text: str | None) -> float:
        if codes := self._codes.get(name):
            return codes.of(text or "")
        try:
            return as_number(text) if text else float("nan")
        except ValueError as error:
            raise ValueError(f"{text!r} in {name!r} is no number") from error

    def _time(self, text: str | None) -> int | None:
        if text is None:
            return None
        try:
            self._times = self._times or reader_for(text)
            return self._times(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is no time") from error
