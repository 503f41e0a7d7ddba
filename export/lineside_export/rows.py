"""Read rows from a CSV file: which delimiter, which columns, and where exactly something is wrong."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_contract.categories import UNKNOWN, Codes
from lineside_contract.errors import InputError, nearest
from lineside_contract.manifest import Channel
from lineside_contract.numbers import is_number

_DELIMITERS = ",;\t|"
_DASH, _STANDARD_INPUT = Path("-"), Path("standard input")


class Table(NamedTuple):
    """A CSV file as text. `lines[i]` is the line of the file on which row i ends."""

    path: Path
    columns: dict[str, Sequence[str]]
    lines: NDArray[np.int64]

    @property
    def names(self) -> list[str]:
        """The names in the first line."""
        return list(self.columns)


def read_table(path: Path) -> Table:
    """Read a CSV file whose first line names its columns; `-` is standard input.

    The delimiter is whichever of comma, semicolon, tab and bar divides the first line most. Raises InputError.
    """
    try:
        # Whole, because a pipe cannot be read twice.
        text = io.StringIO(_content(path).decode("utf-8-sig"), newline="")
        path = _STANDARD_INPUT if path == _DASH else path
        first = next((line for line in text if line.strip()), "")
        text.seek(0)
        reader = csv.reader(text, delimiter=max(_DELIMITERS, key=first.count))
        header = [name.strip() for name in next(filter(None, reader), [])]
        _check_header(header, path)
        rows, lines = _read_rows(reader, len(header), path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} is not a CSV file in UTF-8: {error}.", hint="Save it as CSV, UTF-8."
        ) from error
    if not rows:
        raise InputError(f"{path} has no rows below its first line.", hint="Give it rows of readings.")
    return Table(path, dict(zip(header, zip(*rows, strict=True), strict=True)), np.array(lines))


def _content(path: Path) -> bytes:
    return sys.stdin.buffer.read() if path == _DASH else path.read_bytes()


def require(table: Table, names: Sequence[str], what: str) -> None:
    """Raise InputError if the table lacks one of the columns; `what` says what they are."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        hints = [hint for name in missing if (hint := nearest(name, table.names))]
        raise InputError(
            f"{table.path} has no column {', '.join(map(repr, missing))} ({what}).",
            hint=" ".join(hints) or f"It has: {', '.join(table.names)}.",
        )


def numbers(table: Table, name: str, hint: str = "") -> NDArray[np.float64]:
    """Return a column as numbers; an empty cell is NaN. Raises InputError naming the line of any text."""
    cells = [cell.strip() or "nan" for cell in table.columns[name]]
    try:
        # NumPy takes "\0" for the end of a text, and leaves "_" out.
        if {"\0", "_"} & set("".join(cells)):
            raise ValueError
        return np.array(cells).astype(np.float64)
    except ValueError:
        row = next(row for row, cell in enumerate(cells) if not is_number(cell))
        hint = hint or f"If it is no reading, leave it out: --ignore {name}."
        if is_number(cells[row].replace(",", ".", 1)):
            hint = "Write decimals with a point."
        raise InputError(
            f"{table.path}, line {table.lines[row]}, column {name!r}: {cells[row]!r} is not a number.",
            hint=hint,
        ) from None


def readings(table: Table, channels: Sequence[Channel], hint: str = "") -> NDArray[np.float32]:
    """Return columns as float32, texts as their codes, shape (rows, channels). `hint`: what to do about a text.

    Raises InputError naming the line of what is no float32, or a text that the model has no answer to.
    """
    columns = [
        _codes(table, each) if each.categories else numbers(table, each.name, hint) for each in channels
    ]
    exact = np.column_stack(columns)
    with np.errstate(over="ignore"):
        values = exact.astype(np.float32)
    if np.isinf(values).any():
        row, column = (int(index) for index in np.argwhere(np.isinf(values))[0])
        raise InputError(
            f"{table.path}, line {table.lines[row]}, column {channels[column].name!r}: {exact[row, column]:g} is "
            "beyond what float32 can say.",
            hint="Devices compute in float32; scale the readings.",
        )
    return np.ascontiguousarray(values)


def _codes(table: Table, channel: Channel) -> NDArray[np.float64]:
    """Return a column of text as codes."""
    cells = table.columns[channel.name]
    found = np.array(list(map(Codes(channel.categories).of, cells)))
    refused = np.zeros(len(found), bool)
    if "unknown" in channel.refuses:
        refused |= found == UNKNOWN
    if "missing" in channel.refuses:
        refused |= np.isnan(found)
    if refused.any():
        row = int(refused.argmax())
        known = ", ".join(channel.categories[:5]) + (", ..." if len(channel.categories) > 5 else "")
        raise InputError(
            f"{table.path}, line {table.lines[row]}, column {channel.name!r}: the model has no answer to "
            f"{cells[row]!r}, only to {known}.",
            hint="Remove such rows, or train the encoder with handle_unknown='ignore'.",
        )
    return found


def _read_rows(reader: csv._reader, width: int, path: Path) -> tuple[list[list[str]], list[int]]:  # type: ignore[name-defined]
    rows, lines = [], []
    for row in reader:
        if not row:
            continue  # an empty line
        if len(row) != width:
            raise InputError(
                f"{path}, line {reader.line_num}: {len(row)} fields where the first line has {width}.",
                hint="Give every row the same columns.",
            )
        rows.append(row)
        lines.append(reader.line_num)
    return rows, lines


def _check_header(header: list[str], path: Path) -> None:
    if not header:
        raise InputError(f"{path} is empty.", hint="Its first line names the columns, the others are rows.")
    if all(is_number(name) for name in header):
        raise InputError(f"{path} begins with numbers.", hint="Its first line must name the columns.")
    if repeated := [name for name, count in Counter(header).items() if count > 1]:
        raise InputError(f"{path} has two columns called {repeated[0]!r}.", hint="Rename one of them.")
