"""The outbox, and the queue in SQLite that a user would write instead, behind the same few verbs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lineside_agent.outbox import Limits, Outbox
from lineside_agent.reading import Position

_PREDICTION = 1


class Queue(Protocol):
    """Messages that wait on disk. Opened when it is made."""

    def put(self, payloads: Sequence[bytes]) -> None:
        """Take messages in; they are on disk after the next `commit`."""

    def commit(self) -> None:
        """Make what was put survive a power cut."""

    def settle(self) -> None:
        """Forget everything that was put so far: it has been delivered."""

    def save(self) -> None:
        """Write down what is settled, as the agent does every second; a power cut may take it back."""

    def count(self) -> int:
        """Return how many messages wait."""

    def first(self, count: int) -> list[bytes]:
        """Return the oldest waiting messages."""

    def close(self) -> None:
        """Close the files."""


class LinesideOutbox:
    """The agent's own."""

    def __init__(self, folder: Path) -> None:
        # The benchmarks commit themselves, and fill it with a million messages.
        self._outbox = Outbox(folder / "outbox", Limits(disk_bytes=2**30, commit_after_s=3600.0))

    def put(self, payloads: Sequence[bytes]) -> None:
        self._outbox.put([(_PREDICTION, 1, payload) for payload in payloads])

    def commit(self) -> None:
        self._outbox.commit()

    def settle(self) -> None:
        if self._outbox.next_seq:
            self._outbox.acknowledge(self._outbox.boot, [(0, self._outbox.next_seq - 1)])

    def save(self) -> None:
        self._outbox.save_cursor()

    def count(self) -> int:
        return self._outbox.waiting()

    def first(self, count: int) -> list[bytes]:
        entries, _ = self._outbox.read(Position(), count)
        return [entry.payload for entry in entries]

    def close(self) -> None:
        self._outbox.close()


class SQLiteQueue:
    """A table, write-ahead log, every commit synced (https://sqlite.org/pragma.html#pragma_synchronous)."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "queue.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("CREATE TABLE IF NOT EXISTS queue (seq INTEGER PRIMARY KEY, payload BLOB)")

    def put(self, payloads: Sequence[bytes]) -> None:
        self._begin()
        self._database.executemany(
            "INSERT INTO queue (payload) VALUES (?)", ((payload,) for payload in payloads)
        )

    def commit(self) -> None:
        if self._database.in_transaction:
            self._database.execute("COMMIT")

    def settle(self) -> None:
        self._begin()  # committed with what is put next
        self._database.execute("DELETE FROM queue WHERE seq <= (SELECT max(seq) FROM queue)")

    def save(self) -> None:
        """Do nothing: the deletion is committed with everything else."""

    def count(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM queue").fetchone()[0])

    def first(self, count: int) -> list[bytes]:
        found = self._database.execute("SELECT payload FROM queue ORDER BY seq LIMIT ?", (count,))
        return [payload for (payload,) in found]

    def close(self) -> None:
        self.commit()
        self._database.close()

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN")
