"""Predictions out of a store into one file, a page at a time: the file appears whole or not at all."""

from __future__ import annotations

import csv
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import msgspec

from lineside_collector.queries import device_ids
from lineside_collector.stored import StoredPrediction
from lineside_contract.errors import InputError
from lineside_contract.files import sync_folder
from lineside_contract.plurals import plural

ROWS = 10_000
# A column's prefix for each of a prediction's named groups.
_GROUPS = {"probabilities": "probability_", "values": "value_", "scores": "score_"}
_FIRST = ("device", "boot", "seq", "ts", "received_ts", "model", "model_version")
_LAST = ("label", "probability", "value", "score", "replayed")


class Columns(NamedTuple):
    """The columns of an export: those that every one has, then one for each (group, name) in use.

    Labels that are all numbers stay numbers (`label_type` int); otherwise all are text.
    """

    label_type: type
    named: list[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        """The header."""
        return [*_FIRST, *_LAST, *(_GROUPS[group] + name for group, name in self.named)]

    def row(self, one: StoredPrediction) -> tuple[Any, ...]:
        """Return one prediction's cells, in the order of `names`. Raises InputError."""
        if self.label_type is int and isinstance(one.label, str):
            raise InputError(
                "A model with labels of another type began during the export.", hint="Run it again."
            )
        label = None if one.label is None else self.label_type(one.label)
        cells = [(getattr(one, group) or {}).get(name) for group, name in self.named]
        fixed = [getattr(one, name) for name in _FIRST]
        return (*fixed, label, one.probability, one.value, one.score, one.replayed, *cells)


def find_columns(database: sqlite3.Connection, device: str | None) -> Columns:
    """Return the columns that the predictions of one device, or of all, need. Reads no predictions."""
    named: dict[tuple[str, str], None] = {}
    labels: set[str] = set()
    for id_, _ in device_ids(database, device):
        for (text,) in database.execute("SELECT columns FROM models WHERE device_id = ? ORDER BY id", (id_,)):
            columns = msgspec.json.decode(text)
            labels.add(columns.get("label", "int"))
            named |= {(group, name): None for group in _GROUPS for name in columns.get(group, ())}
    return Columns(int if labels <= {"int"} else str, list(named))


def write_csv(path: Path, columns: Columns, rows: Iterable[StoredPrediction]) -> None:
    """Write RFC 4180 CSV with a header; a missing value is an empty cell, times are RFC 3339 in UTC."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns.names)
        for one in rows:
            cells = list(columns.row(one))
            cells[3:5] = [_rfc3339(cells[3]), _rfc3339(cells[4])]
            writer.writerow(cells)


def write_parquet(path: Path, columns: Columns, rows: Iterable[StoredPrediction]) -> None:
    """Write Parquet in row groups of 10,000; times are UTC timestamps in milliseconds. Raises InputError."""
    pa, pq = _pyarrow()
    text, number, time = pa.string(), pa.float64(), pa.timestamp("ms", tz="UTC")
    types = {
        **dict.fromkeys(_FIRST, text),
        **{"seq": pa.int64(), "ts": time, "received_ts": time, "replayed": pa.bool_()},
        "label": pa.int64() if columns.label_type is int else text,
    }
    schema = pa.schema([(name, types.get(name, number)) for name in columns.names])
    rows = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while page := [columns.row(one) for one in islice(rows, ROWS)]:
            cells = zip(*page, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(cells, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


FORMATS: dict[str, Callable[[Path, Columns, Iterable[StoredPrediction]], None]] = {
    "csv": write_csv,
    "parquet": write_parquet,
}


def check_format(name: str) -> None:
    """Raise InputError if a format needs what is not installed: before an hour's work, not after it."""
    if name == "parquet":
        _pyarrow()


def counted(rows: Iterable[StoredPrediction], stream: TextIO) -> Iterator[StoredPrediction]:
    """Pass rows through; say how many there were, on a terminal also in between."""
    count = 0
    for count, row in enumerate(rows, 1):
        if count % ROWS == 0 and stream.isatty():
            stream.write(f"\r{plural(count, 'row')}")
            stream.flush()
        yield row
    stream.write(f"{chr(13) if stream.isatty() else ''}{plural(count, 'row')}\n")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that replaces it at the end, or disappears. Raises InputError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        yield temporary
        os.fsync(descriptor)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InputError(
            "Parquet needs the package pyarrow, which is not installed.",
            hint="Run: pip install 'lineside[parquet]'",
        ) from error
    return pyarrow, parquet


def _rfc3339(ms: int) -> str:
    try:
        return (
            datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )
    except (ValueError, OverflowError, OSError):
        return str(ms)  # a device with a broken clock
