"""The SQLite store: write-ahead log, every commit on the disk before it returns (https://sqlite.org/wal.html)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import msgspec

from lineside_collector.records import Batch, Record, Rejected
from lineside_collector.registry import Registry
from lineside_collector.schema import prepare
from lineside_collector.store import Saved, StoreUnavailable
from lineside_contract.errors import InputError, LinesideError
from lineside_contract.ids import Boot
from lineside_contract.messages import Event, Heartbeat, Predictions, Status, encode
from lineside_contract.ranges import SeqRanges

# A lock held longer than this (a `VACUUM`, a copy) is reported and waited for by the caller.
LOCK_WAIT_S = 5.0
MOST_REJECTED = 1000
REJECTED_BYTES = 4096
# SQLite's words for a file that no retry will mend.
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
# Only a birth names the software and the model; the words that follow it leave them as they were.
_SAVE_STATUS = """
INSERT INTO statuses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (device_id) DO UPDATE SET
  boot_id = excluded.boot_id,
  connection = excluded.connection,
  state = excluded.state,
  ts = excluded.ts,
  received_ts = excluded.received_ts,
  agent_version = coalesce(nullif(excluded.agent_version, ''), agent_version),
  model = coalesce(nullif(excluded.model, ''), model),
  model_version = coalesce(nullif(excluded.model_version, ''), model_version),
  promise = coalesce(excluded.promise, promise)
"""


class SQLiteStore:
    """One site's messages in one SQLite file. For one thread; other processes may read meanwhile."""

    def __init__(self, path: Path, site: str, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        """Open or make the store. Raises InputError if the file cannot be one, StoreUnavailable if not now."""
        self._path = path
        if not path.parent.is_dir():
            raise InputError(
                f"There is no folder {path.parent} for the store.", hint="Make it, or give another."
            )
        try:
            self._database = sqlite3.connect(path, timeout=lock_wait_s, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA cache_size = -32768")
            prepare(self._database, path, site)
        except sqlite3.Error as error:
            raise _translate(error, path) from error
        self._files = self._identity()
        self._registry = Registry(self._database)

    def save(self, batch: Batch) -> Saved:
        """Commit a batch; see `Store.save`."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            saved = self._write(batch)
            self._database.execute("COMMIT")
        except BaseException as error:
            self._registry.forget()
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise _translate(error, self._path) from error
            raise
        self._check_file()
        return saved

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _write(self, batch: Batch) -> Saved:
        ids = [self._ids(record) for record in batch.records]
        numbered = list(zip(batch.records, ids, strict=True))
        self._insert(
            "INSERT OR IGNORE INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            chain.from_iterable(
                _prediction_rows(
                    record.message, boot, self._registry.model(device, record.message), record.received_ts
                )
                for record, (device, boot) in numbered
                if isinstance(record.message, Predictions)
            ),
        )
        for record, (device, boot) in numbered:
            message = record.message
            if isinstance(message, Event):
                self._save_event(message, device, boot, record.received_ts)
            elif isinstance(message, Heartbeat):
                self._save_heartbeat(message, boot, record.received_ts)
            elif isinstance(message, Status):
                self._save_status(message, device, boot, record)
        self._save_rejected(batch.rejected)
        return self._save_received(numbered)

    def _ids(self, record: Record) -> tuple[int, int]:
        device = self._registry.device(record.device, record.received_ts)
        return device, self._registry.boot(device, record.boot, record.message.boot, record.received_ts)

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._database.executemany(statement, rows)

    def _save_event(self, event: Event, device: int, boot: int, received_ts: int) -> None:
        dropped = None if event.dropped is None else msgspec.json.encode(event.dropped).decode()
        self._database.execute(
            "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                boot,
                event.seq,
                event.ts,
                received_ts,
                event.event,
                event.detail,
                event.sensor,
                dropped,
                event.replayed,
            ),
        )
        for text, ranges in (event.dropped or {}).items():
            of = self._registry.boot(device, Boot.parse(text), text, received_ts)
            self._insert(
                "INSERT OR IGNORE INTO dropped VALUES (?, ?, ?)",
                ((of, first, last) for first, last in ranges),
            )
            self._note_numbered(of, max((last + 1 for _, last in ranges), default=0))

    def _save_heartbeat(self, heartbeat: Heartbeat, boot: int, received_ts: int) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO heartbeats VALUES (?, ?, ?, ?, ?)",
            (boot, heartbeat.seq, heartbeat.ts, received_ts, encode(heartbeat).decode()),
        )
        self._note_numbered(boot, heartbeat.next_seq)

    def _save_status(self, status: Status, device: int, boot: int, record: Record) -> None:
        self._note_numbered(boot, status.end or 0)
        if status.previous is not None:
            text = status.previous.boot
            before = self._registry.boot(device, Boot.parse(text), text, record.received_ts)
            self._note_numbered(before, status.previous.end)
            self._database.execute("UPDATE boots SET on_disk = ? WHERE id = ?", (status.previous.end, before))
        if self._is_news(status, device, boot):
            self._database.execute(
                _SAVE_STATUS,
                (
                    *(device, boot, status.connection, status.state, status.ts, record.received_ts),
                    *(status.agent_version, status.model, status.model_version, status.promise),
                ),
            )

    def _is_news(self, status: Status, device: int, boot: int) -> bool:
        """Tell whether a status is not older than the newest one: a last will may come after the next birth."""
        order = "SELECT generation, counter FROM boots WHERE id = ?"
        known = self._database.execute(
            "SELECT boot_id, connection, state FROM statuses WHERE device_id = ?", (device,)
        ).fetchone()
        if known is None:
            return True
        newest = (*self._database.execute(order, (known[0],)).fetchone(), known[1])
        this = (*self._database.execute(order, (boot,)).fetchone(), status.connection)
        # A boot that has said that it stopped says nothing afterwards, though its will may still be sent.
        return this > newest or (this == newest and known[2] != "stopped")

    def _save_rejected(self, rejected: list[Rejected]) -> None:
        if not rejected:
            return
        self._insert(
            "INSERT INTO rejected (received_ts, topic, device, reason, payload) VALUES (?, ?, ?, ?, ?)",
            (one._replace(payload=one.payload[:REJECTED_BYTES]) for one in rejected),
        )
        self._database.execute(
            "DELETE FROM rejected WHERE id <= (SELECT max(id) FROM rejected) - ?", (MOST_REJECTED,)
        )

    def _save_received(self, numbered: list[tuple[Record, tuple[int, int]]]) -> Saved:
        """Note which numbers are there, and when each device was last heard; return what was new."""
        heard: dict[int, int] = {}  # device -> messages of its sequence in this batch
        boots: dict[int, tuple[int, SeqRanges]] = {}
        for record, (device, boot) in numbered:
            heard.setdefault(device, 0)
            if seqs := record.seqs:
                heard[device] += seqs[1] - seqs[0] + 1
                boots.setdefault(boot, (device, SeqRanges()))[1].add(*seqs)
        total, stored = sum(heard.values()), 0
        for boot, (device, ranges) in boots.items():
            new = sum(self._add_range(boot, first, last) for first, last in ranges)
            self._note_numbered(boot, ranges.end)
            heard[device] -= new
            stored += new
        now = max((record.received_ts for record, _ in numbered), default=0)
        self._insert(
            "UPDATE devices SET last_seen = max(last_seen, ?), repeated = repeated + ? WHERE id = ?",
            ((now, repeated, device) for device, repeated in heard.items()),
        )
        return Saved(stored, total - stored)

    def _add_range(self, boot: int, first: int, last: int) -> int:
        """Merge a range into `received`; return how many of its numbers were not there before."""
        rows = self._database.execute(
            "SELECT first, last FROM received WHERE boot_id = ?1 AND first BETWEEN coalesce("
            "(SELECT max(first) FROM received WHERE boot_id = ?1 AND first < ?2), ?2) AND ?3",
            (boot, first, last + 1),
        ).fetchall()
        touching = [row for row in rows if row[1] >= first - 1]
        before = SeqRanges(touching)
        new = sum(end - start + 1 for start, end in before.missing(first, last))
        if new:
            before.add(first, last)
            self._insert(
                "DELETE FROM received WHERE boot_id = ? AND first = ?", ((boot, row[0]) for row in touching)
            )
            self._insert("INSERT INTO received VALUES (?, ?, ?)", ((boot, *merged) for merged in before))
        return new

    def _note_numbered(self, boot: int, end: int) -> None:
        self._database.execute("UPDATE boots SET numbered = ?1 WHERE id = ?2 AND numbered < ?1", (end, boot))

    def _roll_back(self) -> None:
        try:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite rolls back by itself after the errors that make ROLLBACK fail

    def _check_file(self) -> None:
        """Raise LinesideError if a file is gone: SQLite would go on writing to what nobody can open again."""
        if self._identity() != self._files:
            raise LinesideError(
                f"The store {self._path} was removed or replaced while the collector wrote to it.",
                hint="Nothing of the last batch was acknowledged; start the collector again.",
            )

    def _identity(self) -> list[int | None]:
        """Return which files the database and its write-ahead log are; None for one that is gone or emptied."""
        return [_inode(self._path, filled=True), _inode(Path(f"{self._path}-wal"))]


def _inode(path: Path, *, filled: bool = False) -> int | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return None if filled and not found.st_size else found.st_ino


def _prediction_rows(
    message: Predictions, boot: int, model: int, received_ts: int
) -> Iterator[tuple[Any, ...]]:
    none = repeat(None)
    return zip(
        repeat(boot),
        range(message.seq, message.seq + len(message.ts)),
        message.ts,
        repeat(received_ts),
        repeat(model),
        message.label or none,
        message.probability or none,
        message.value or none,
        message.score or none,
        _details(message),
        repeat(message.replayed),
        strict=False,  # the endless ones are as long as the numbers
    )


def _details(message: Predictions) -> Iterator[str | None]:
    """Return each row's probabilities, values and scores as one JSON array, in the order of `models.columns`."""
    named = (message.probabilities or {}, message.values or {}, message.scores or {})
    columns = [column for group in named for column in group.values()]
    if not columns:
        return repeat(None)
    write = msgspec.json.Encoder().encode
    return (write(cells).decode() for cells in zip(*columns, strict=True))


def _translate(error: sqlite3.Error, path: Path) -> LinesideError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(_DAMAGED):
        return InputError(
            f"The store {path} is damaged, or is not a database: {error}.",
            hint="Move it away, or put back a copy of it; devices keep what was not acknowledged.",
        )
    if name == "SQLITE_CANTOPEN" or name.startswith("SQLITE_READONLY"):
        return InputError(
            f"The store {path} cannot be written: {error}.", hint="Check who owns it and its folder."
        )
    if isinstance(error, sqlite3.OperationalError):
        return StoreUnavailable(f"The store {path} cannot be written now: {error}.", hint=_free(path))
    raise error


def _free(path: Path) -> str:
    try:
        space = os.statvfs(path.parent)
    except OSError:
        return ""
    return f"{space.f_bavail * space.f_frsize / 1e6:.0f} MB are free there."
