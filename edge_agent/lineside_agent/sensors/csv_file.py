"""A CSV file as numbers: read in pieces, so that a recording of any length fits a small memory."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from lineside_agent.sensors.timestamps import Reader, reader_for, scaled, unit_of
from lineside_contract.categories import Codes
from lineside_contract.errors import InputError, nearest
from lineside_contract.numbers import as_number, is_number
from lineside_contract.plurals import plural

DELIMITERS = (",", ";", "\t")
NO_TIMESTAMP = "none"
_PIECE_ROWS = 4096
_LONGEST_TIME = 48  # characters
_MINUS_ZEROS = ("-0,", "-0\n", "-0\r", "-0 ", "-0\t")  # which msgspec reads as 0, without the sign
_SAMPLE_ROWS = 100  # how many rows tell which columns are numbers

_Row: TypeAlias = list[str]


class _Rows(Protocol):
    """What `csv.reader` returns."""

    line_num: int

    def __iter__(self) -> Iterator[_Row]: ...

    def __next__(self) -> _Row: ...


class Piece(NamedTuple):
    """Some rows. timestamps: int64 ns, shape (n,), or None if the file has none. values: float32 (n, channels)."""

    timestamps: NDArray[np.int64] | None
    values: NDArray[np.float32]


class CsvFile:
    """A CSV file with a header, plain or gzipped.

    `timestamp` names its column, or is "none"; `delimiter` may be "auto"; `columns` are the channels, or
    empty for every column of numbers. Raises InputError for a file that cannot be read so.
    """

    def __init__(self, path: Path, delimiter: str, timestamp: str, columns: Sequence[str]) -> None:
        self._path = path
        with self._text() as text:
            first = text.readline()
        self._delimiter = max(DELIMITERS, key=first.count) if delimiter == "auto" else delimiter
        with self._rows() as reader:
            header = next(reader, [])
            sample = list(islice(filter(None, reader), _SAMPLE_ROWS))
        self._header = [name.strip() for name in header]
        self._check_header(sample)
        self._time = None if timestamp == NO_TIMESTAMP else self._timestamp_column(timestamp)
        self._reader = None if self._time is None else self._timestamp_reader(sample)
        self._unit = None if self._time is None else unit_of(sample[0][self._time])
        self._named = [self._index(name) for name in columns]
        self._columns = self._named or self._numeric(sample)
        self._codes: dict[int, Codes] = {}

    @property
    def header(self) -> tuple[str, ...]:
        """The names of all columns, those of the channels and the others."""
        return tuple(self._header)

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns. Raises InputError if there are none."""
        self._require_columns()
        return tuple(self._header[index] for index in self._columns)

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns, if there are such, as text, and have them among the channels."""
        self._codes = {
            self._header.index(name): codes for name, codes in columns.items() if name in self._header
        }
        self._columns = self._named or sorted({*self._columns, *self._codes})

    def pieces(self) -> Iterator[Piece]:
        """Read the file from its beginning. Raises InputError naming the line and the column."""
        self._require_columns()
        with self._text() as text:
            next(csv.reader(text, delimiter=self._delimiter), None)
            before = 0
            while lines := list(islice(text, _PIECE_ROWS)):
                piece = self._at_once(lines)
                if piece is None:
                    yield from self._row_by_row(chain(lines, text), before)
                    return
                yield piece
                before += len(piece.values)

    def _at_once(self, lines: list[str]) -> Piece | None:
        """Return the numbers of lines that are as plain as most; None if they must be looked at one by one."""
        text = "".join(lines)
        if self._codes or '"' in text or text.isspace():
            return None
        return self._as_json(text, len(lines)) or self._as_table(lines)

    def _as_json(self, text: str, count: int) -> Piece | None:
        """Read lines that are JSON but for their brackets, in a third of the time that NumPy takes."""
        if self._delimiter != "," or (self._time is not None and self._unit is None):
            return None
        text = text.rstrip("\r\n")
        if any(zero in text for zero in _MINUS_ZEROS) or text.endswith("-0"):
            return None
        try:
            rows = self._json.decode("[[" + text.replace("\n", "],[") + "]]")
        except ValueError:  # msgspec's errors are ValueErrors
            return None
        if len(rows) != count:
            return None  # blank lines, or brackets of its own
        cells = list(zip(*rows, strict=True))
        times = None
        if self._time is not None and self._unit is not None:
            try:
                times = scaled(np.array(cells[self._time], np.int64), self._unit)
            except (ValueError, OverflowError):
                return None
        return Piece(times, self._values([cells[column] for column in self._columns], count))

    def _as_table(self, lines: list[str]) -> Piece | None:
        try:
            table = np.loadtxt(lines, self._plain, delimiter=self._delimiter, comments=None, ndmin=1)
            times = None
            if self._time is not None and self._reader is not None:
                cells = table[str(self._time)].tolist()
                if max(map(len, cells)) == _LONGEST_TIME:
                    return None  # it may be longer
                times = np.array(list(map(self._reader, cells)), np.int64)
        except ValueError:
            return None
        return Piece(times, self._values([table[str(column)] for column in self._columns], len(table)))

    @staticmethod
    def _values(columns: Sequence[Any], count: int) -> NDArray[np.float32]:
        values = np.empty((count, len(columns)), np.float32)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes an infinity, which is counted
            for place, column in enumerate(columns):
                values[:, place] = column
        return values

    @cached_property
    def _json(self) -> msgspec.json.Decoder[Any]:
        """One row after the other; a time must be an integer, which no double comes in between of."""
        kinds = [int if index == self._time else float for index in range(len(self._header))]
        return msgspec.json.Decoder(list[tuple[tuple(kinds)]])  # type: ignore[misc]

    @cached_property
    def _plain(self) -> np.dtype[Any]:
        """One field for each column, named by its place: a time as text, a channel as a number."""
        kinds = dict.fromkeys(range(len(self._header)), "U1") | dict.fromkeys(self._columns, "f8")
        if self._time is not None:
            kinds[self._time] = f"U{_LONGEST_TIME}"
        return np.dtype([(str(index), kind) for index, kind in kinds.items()])

    def _row_by_row(self, lines: Iterable[str], before: int) -> Iterator[Piece]:
        rows = filter(None, csv.reader(lines, delimiter=self._delimiter))
        while taken := list(islice(rows, _PIECE_ROWS)):
            yield self._piece(before, taken)
            before += len(taken)

    @contextmanager
    def _text(self) -> Iterator[IO[str]]:
        opener: Any = gzip.open if self._path.suffix == ".gz" else open
        try:
            with opener(self._path, "rt", encoding="utf-8-sig", newline="") as text:
                yield text
        except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError, csv.Error) as error:
            raise InputError(
                f"{self._path} is damaged, or is no CSV file: {error}.", hint="Copy it again, as UTF-8."
            ) from error
        except OSError as error:
            raise InputError(
                f"{self._path} cannot be read: {error.strerror or error}.", hint="Correct the setting file."
            ) from error

    @contextmanager
    def _rows(self) -> Iterator[_Rows]:
        """Give the header and the rows, blank ones as empty lists."""
        with self._text() as text:
            yield csv.reader(text, delimiter=self._delimiter)

    def _line(self, number: int) -> int:
        """Return the last line of a row, counted from 0 without blank ones, by reading the file once more."""
        with self._rows() as reader:
            next(reader, None)
            next(islice(filter(None, reader), number, None))
            return reader.line_num

    def _check_header(self, sample: list[_Row]) -> None:
        if not self._header or not sample:
            raise InputError(f"{self._path} has no readings.", hint="It needs a header line, then numbers.")
        named = [name for name in self._header if name]
        if twice := next((name for name in named if named.count(name) > 1), None):
            raise InputError(f"{self._path} has two columns named {twice!r}.", hint="Rename one of them.")
        if all(is_number(name) for name in named):
            raise InputError(
                f"{self._path} has no header: its first line is numbers.",
                hint="Put a line with the columns' names first.",
            )

    def _require_columns(self) -> None:
        if not self._columns:
            raise InputError(
                f"{self._path} has no column of numbers.", hint="Numbers need a point as decimal mark."
            )

    def _index(self, name: str) -> int:
        if name not in self._header:
            known = f"It has {', '.join(map(repr, self._header))}."
            raise InputError(
                f"{self._path} has no column {name!r}.", hint=nearest(name, self._header) or known
            )
        return self._header.index(name)

    def _timestamp_column(self, name: str) -> int:
        try:
            return self._index(name)
        except InputError as error:
            hint = f'{error.hint} Set timestamp to the column of times, or to "{NO_TIMESTAMP}".'
            raise InputError(error.message, hint=hint) from error

    def _timestamp_reader(self, sample: list[_Row]) -> Reader:
        cell = sample[0][self._time] if self._time is not None and self._time < len(sample[0]) else ""
        try:
            return reader_for(cell)
        except ValueError as error:
            raise InputError(
                f"{self._path}, line 2: {cell!r} in column {self._header[self._time or 0]!r} is no time.",
                hint="Write times as 2026-01-31T12:00:00Z, or in seconds since 1970.",
            ) from error

    def _numeric(self, sample: list[_Row]) -> list[int]:
        """Find the columns, but that of the times, with numbers and nothing else."""
        found = []
        for index, name in enumerate(self._header):
            cells = [row[index].strip() for row in sample if index < len(row)]
            full = [cell for cell in cells if cell]
            if index != self._time and name and full and all(map(is_number, full)):
                found.append(index)
        return found

    def _piece(self, before: int, rows: list[_Row]) -> Piece:
        """Return the numbers of some rows; `before` them come so many others."""
        width = len(self._header)
        if set(map(len, rows)) != {width}:
            place, row = next(found for found in enumerate(rows) if len(found[1]) != width)
            raise InputError(
                f"{self._path}, line {self._line(before + place)}: {plural(len(row), 'cell')} instead of {width}.",
                hint="Complete or remove the line.",
            )
        cells = list(zip(*rows, strict=True))
        numbers = [self._numbers(before, cells[column], column) for column in self._columns]
        values = self._values(numbers, len(rows))
        if self._time is None:
            return Piece(None, values)
        return Piece(self._times(before, cells[self._time]), values)

    def _numbers(self, before: int, cells: Sequence[str], column: int) -> list[float]:
        if codes := self._codes.get(column):
            return list(map(codes.of, cells))
        try:
            return list(map(as_number, cells))
        except ValueError:  # an empty cell, or text: only now look at each one
            return [self._number(number, cell, column) for number, cell in enumerate(cells, before)]

    def _number(self, number: int, cell: str, column: int) -> float:
        try:
            return as_number(cell) if cell.strip() else np.nan
        except ValueError as error:
            raise InputError(
                f"{self._path}, line {self._line(number)}: {cell!r} in column {self._header[column]!r}"
                " is no number.",
                hint="Correct it, leave the cell empty, or name the columns to read in the setting columns.",
            ) from error

    def _times(self, before: int, cells: Sequence[str]) -> NDArray[np.int64]:
        times: list[int] = []
        reader = self._reader
        assert reader is not None  # _time and _reader are set together
        try:
            times.extend(map(reader, cells))
        except ValueError as error:
            place = len(times)  # those before it were taken in
            raise InputError(
                f"{self._path}, line {self._line(before + place)}: {cells[place]!r} is no time like those"
                " before it.",
                hint="Correct it or remove the line.",
            ) from error
        return np.array(times, np.int64)
