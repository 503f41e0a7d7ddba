"""One reading a line, as CSV or JSON: what the first line settles, and what each line then says."""

from __future__ import annotations

import csv
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from lineside_agent.sensors.csv_file import DELIMITERS, NO_TIMESTAMP
from lineside_agent.sensors.timestamps import Reader, reader_for
from lineside_contract.categories import Codes
from lineside_contract.errors import nearest
from lineside_contract.numbers import as_number, is_number
from lineside_contract.plurals import plural

_OBJECT = msgspec.json.Decoder(dict[str, Any])


class Line(NamedTuple):
    """A reading: nanoseconds since the Unix epoch, or None if the line does not say; a value a channel."""

    timestamp: int | None
    values: list[float]


class Lines(Protocol):
    """A way to write lines. `header` tells whether the first one is no reading."""

    channels: tuple[str, ...]
    header: bool

    def choose(self, channels: Sequence[str]) -> None:
        """Read only these channels from now on."""

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns, if there are such, as text."""

    def parse(self, line: bytes) -> Line:
        """Read a line. Raises ValueError saying what is wrong with it."""


class CsvLines:
    """Comma-, semicolon- or tab-separated cells; the first line names the columns."""

    header = True

    def __init__(self, first: bytes, timestamp: str, columns: Sequence[str]) -> None:
        text = first.decode("utf-8-sig")
        self._delimiter = max(DELIMITERS, key=text.count)
        self._names = [name.strip() for name in self._cells(text)]
        if len(set(self._names)) < len(self._names) or not all(self._names):
            raise ValueError("it must name each column, no two alike")
        if all(map(is_number, self._names)):
            raise ValueError("it must name the columns, and has numbers")
        self.choose(_chosen(self._names, timestamp, columns))
        self._time = self._names.index(timestamp) if timestamp in self._names else None
        self._times = _Times()
        self._codes: Mapping[str, Codes] = {}

    def choose(self, channels: Sequence[str]) -> None:
        """Read only these channels from now on."""
        self.channels = tuple(channels)
        self._columns = [self._names.index(name) for name in self.channels]

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns as text."""
        self._codes = columns

    def parse(self, line: bytes) -> Line:
        """Read a line. Raises ValueError saying what is wrong with it."""
        cells = self._cells(line.decode())
        if len(cells) != len(self._names):
            raise ValueError(f"it has {plural(len(cells), 'cell')} instead of {len(self._names)}")
        when = None if self._time is None else self._times.read(cells[self._time])
        return Line(when, [self._value(cells[column], self._names[column]) for column in self._columns])

    def _value(self, cell: str, name: str) -> float:
        codes = self._codes.get(name)
        return _cell(cell, name) if codes is None else codes.of(cell)

    def _cells(self, text: str) -> list[str]:
        try:
            return next(csv.reader([text.rstrip("\r")], delimiter=self._delimiter), [])
        except csv.Error as error:
            raise ValueError(str(error)) from error


class JsonLines:
    """An object a line, with numbers or null, or text where it is asked for; the first one settles the names."""

    header = False

    def __init__(self, first: bytes, timestamp: str, columns: Sequence[str]) -> None:
        self._first = _object(first)
        self._named = bool(columns)
        self._timestamp = timestamp
        self._times = _Times()
        self._codes: Mapping[str, Codes] = {}
        texts = [name for name, value in self._first.items() if name in columns and isinstance(value, str)]
        self.channels = _chosen(self._names(texts), timestamp, columns)

    def choose(self, channels: Sequence[str]) -> None:
        """Read only these channels from now on."""
        self.channels = tuple(channels)

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns, if there are such, as text."""
        self._codes = columns
        if not self._named:
            self.channels = _chosen(self._names(columns), self._timestamp, ())

    def parse(self, line: bytes) -> Line:
        """Read a line. Raises ValueError saying what is wrong with it."""
        found = _object(line)
        when = found.get(self._timestamp) if self._timestamp != NO_TIMESTAMP else None
        values: list[Any] = list(map(found.get, self.channels))
        if set(map(type, values)) != {float}:  # nearly always they all are
            values = [self._value(name, found) for name in self.channels]
        return Line(None if when is None else self._times.read(str(when)), values)

    def _names(self, texts: Container[str]) -> list[str]:
        wanted = self._first.items()
        return [
            name for name, value in wanted if name == self._timestamp or name in texts or _is_value(value)
        ]

    def _value(self, name: str, found: _Object) -> float:
        if name not in found:
            raise ValueError(f"it lacks {name!r}")
        value = found[name]
        if value is None:
            return float("nan")
        if codes := self._codes.get(name):
            if not isinstance(value, str):
                raise ValueError(f"{name!r} is no text")
            return codes.of(value)
        if not _is_value(value):
            raise ValueError(f"{name!r} is no number")
        return _double(value)


FORMATS: dict[str, Callable[[bytes, str, Sequence[str]], Lines]] = {"csv": CsvLines, "json": JsonLines}
_Object: TypeAlias = dict[str, Any]


class _Times:
    """Reads times, all as the first one is written."""

    def __init__(self) -> None:
        self._reader: Reader | None = None

    def read(self, text: str) -> int:
        """Return nanoseconds since the Unix epoch. Raises ValueError."""
        try:
            reader = self._reader or reader_for(text)
            nanoseconds = reader(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is no time") from error
        self._reader = reader
        return nanoseconds


def _chosen(names: Sequence[str], timestamp: str, columns: Sequence[str]) -> tuple[str, ...]:
    if missing := next((column for column in columns if column not in names), None):
        known = nearest(missing, names) or f"it has {', '.join(map(repr, names))}"
        raise ValueError(f"it has no {missing!r}; {known}")
    chosen = tuple(columns) or tuple(name for name in names if name != timestamp)
    if not chosen:
        raise ValueError("it names nothing but the time")
    return chosen


def _object(line: bytes) -> _Object:
    try:
        return _OBJECT.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no JSON object ({error})") from error


def _is_value(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _double(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _cell(cell: str, name: str) -> float:
    if not cell.strip():
        return float("nan")
    try:
        return as_number(cell)
    except ValueError as error:
        raise ValueError(f"{cell!r} in {name!r} is no number") from error
