"""Questions to a store: read only, while a collector writes to it or not.

Rows are read in pages, each a short transaction of its own: a long one would keep the write-ahead log growing.
Order is by device, boot and sequence number; a clock may jump, so times are only labels.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from lineside_collector.schema import check
from lineside_contract.errors import InputError, nearest
from lineside_contract.messages import Event, Heartbeat, Prediction, Promise, Ranges
from lineside_contract.ranges import SeqRanges

PAGE = 5000


class Device(Struct, frozen=True, kw_only=True):
    """What is known of a device. Times are milliseconds since the Unix epoch by the collector's clock.

    `state` is None if the device never said one. `heartbeat` is the newest.
    """

    device: str
    state: str | None
    first_seen: int
    last_seen: int
    boot: str | None
    boots: int
    messages: int
    repeated: int
    agent_version: str | None
    model: str | None
    model_version: str | None
    promise: Promise | None
    heartbeat: Heartbeat | None


class StoredPrediction(Prediction, frozen=True, kw_only=True, omit_defaults=True):
    """A prediction as its device sent it, and when it was received."""

    received_ts: int


class StoredEvent(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An event as its device sent it, and when it was received."""

    received_ts: int


class Boot(NamedTuple):
    """One run of a device's agent, as a row."""

    id: int
    device: str
    boot: str
    numbered: int
    on_disk: int | None


class Gaps(Struct, frozen=True, kw_only=True):
    """What of one boot is not in the store, of the `numbered` messages that are known to have been made.

    `missing` should be there. `dropped` the device says that it had to drop. `unwritten` never reached the
    device's disk: the power failed first, and the boot after this one says so.
    """

    device: str
    boot: str
    numbered: int
    received: int
    missing: list[tuple[int, int]]
    dropped: list[tuple[int, int]]
    unwritten: list[tuple[int, int]]


class RejectedMessage(Struct, frozen=True, kw_only=True):
    """A message that could not be understood; `payload` is its beginning."""

    received_ts: int
    topic: str
    device: str
    reason: str
    payload: str


def open_store(path: Path) -> sqlite3.Connection:
    """Open a store for reading. Raises InputError if there is none."""
    if not path.is_file():
        raise InputError(
            f"There is no store {path}.",
            hint="Give another with --store, or start `lineside collector run` to make it.",
        )
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        check(database, path)
    except sqlite3.Error as error:
        raise InputError(f"The store {path} cannot be read: {error}.") from error
    return database


def device_ids(database: sqlite3.Connection, device: str | None) -> list[tuple[int, str]]:
    """Return (id, name) of one device or of all, by name. Raises InputError if there is no such device."""
    rows = database.execute("SELECT id, device FROM devices ORDER BY device").fetchall()
    if device is None:
        return rows
    if found := [row for row in rows if row[1] == device]:
        return found
    raise InputError(
        f"The store knows no device {device!r}.",
        hint=nearest(device, [row[1] for row in rows]) or "See `lineside collector devices`.",
    )


def devices(database: sqlite3.Connection) -> list[Device]:
    """Return every device, by name."""
    return [_device(database, id_) for id_, _ in device_ids(database, None)]


def boots(database: sqlite3.Connection, device: str | None = None) -> list[Boot]:
    """Return the boots of one device or of all: by device, then in the order of their starts."""
    return [
        Boot(*row)
        for id_, name in device_ids(database, device)
        for row in database.execute(
            "SELECT id, ?, boot, numbered, on_disk FROM boots WHERE device_id = ? ORDER BY generation, counter",
            (name, id_),
        )
    ]


def predictions(
    database: sqlite3.Connection, device: str | None = None, since_ms: int | None = None
) -> Iterator[StoredPrediction]:
    """Return predictions in order, all or those whose `ts` is not before `since_ms`."""
    for boot in boots(database, device):
        first = 0
        if since_ms is not None:
            first = database.execute(
                "SELECT min(seq) FROM predictions WHERE boot_id = ? AND ts >= ?", (boot.id, since_ms)
            ).fetchone()[0]
        if first is not None:
            yield from between(database, boot, first, boot.numbered - 1, since_ms)


def between(
    database: sqlite3.Connection, boot: Boot, first: int, last: int, since_ms: int | None = None
) -> Iterator[StoredPrediction]:
    """Return the predictions of one boot from number `first` to `last`, both included."""
    models = _Models(database)
    while first <= last:
        rows = database.execute(
            f"{_PREDICTIONS} WHERE boot_id = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
            (boot.id, first, last, PAGE),
        ).fetchall()
        for row in rows:
            if since_ms is None or row[1] >= since_ms:
                yield models.prediction(boot, row)
        if len(rows) < PAGE:
            return
        first = rows[-1][0] + 1


def newest(
    database: sqlite3.Connection, device: str | None = None, count: int = 20
) -> Iterator[StoredPrediction]:
    """Return each device's newest predictions, `count` of each."""
    for _, name in device_ids(database, device):
        left, pieces = count, []
        for boot in reversed(boots(database, name)):
            if left <= 0:
                break
            rows = database.execute(
                f"{_PREDICTIONS} WHERE boot_id = ? ORDER BY seq DESC LIMIT ?", (boot.id, left)
            ).fetchall()
            left -= len(rows)
            pieces.append((boot, rows))
        models = _Models(database)
        for boot, rows in reversed(pieces):
            yield from (models.prediction(boot, row) for row in reversed(rows))


def events(database: sqlite3.Connection, device: str | None = None) -> Iterator[StoredEvent]:
    """Return events in order."""
    for boot in boots(database, device):
        for row in database.execute(
            "SELECT seq, ts, received_ts, event, detail, sensor, dropped, replayed FROM events"
            " WHERE boot_id = ? ORDER BY seq",
            (boot.id,),
        ).fetchall():
            yield StoredEvent(
                device=boot.device,
                boot=boot.boot,
                seq=row[0],
                ts=row[1],
                received_ts=row[2],
                event=row[3],
                detail=row[4],
                sensor=row[5],
                dropped=None if row[6] is None else msgspec.json.decode(row[6], type=Ranges),
                replayed=bool(row[7]),
            )


def received(database: sqlite3.Connection, device: str | None = None) -> dict[Boot, SeqRanges]:
    """Return which numbers of each boot are in the store."""
    return {boot: _ranges(database, "received", boot.id) for boot in boots(database, device)}


def gaps(database: sqlite3.Connection, device: str | None = None) -> list[Gaps]:
    """Return what is not there, boot by boot; boots with nothing amiss are included."""
    database.execute("BEGIN")  # one look at two tables
    try:
        return [_gaps(database, boot) for boot in boots(database, device)]
    finally:
        database.execute("ROLLBACK")


def rejected(database: sqlite3.Connection) -> list[RejectedMessage]:
    """Return the newest messages that could not be understood, oldest first."""
    rows = database.execute("SELECT received_ts, topic, device, reason, payload FROM rejected ORDER BY id")
    return [
        RejectedMessage(
            received_ts=ts,
            topic=topic,
            device=device,
            reason=reason,
            payload=payload.decode("utf-8", "backslashreplace"),
        )
        for ts, topic, device, reason, payload in rows
    ]


def rejected_ever(database: sqlite3.Connection) -> int:
    """Return how many messages could not be understood since the store was made."""
    return int(database.execute("SELECT coalesce(max(id), 0) FROM rejected").fetchone()[0])


_PREDICTIONS = "SELECT seq, ts, received_ts, model_id, label, probability, value, score, detail, replayed FROM predictions"
_NAMED = ("probabilities", "values", "scores")


class _Models:
    """The rows of `models`, each read once."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._known: dict[int, tuple[str, str, dict[str, Any]]] = {}

    def prediction(self, boot: Boot, row: tuple[Any, ...]) -> StoredPrediction:
        seq, ts, received_ts, model_id, label, probability, value, score, detail, replayed = row
        model, version, columns = self._model(model_id)
        return StoredPrediction(
            ts=ts,
            device=boot.device,
            boot=boot.boot,
            seq=seq,
            model=model,
            model_version=version,
            label=label,
            probability=probability,
            value=value,
            score=score,
            replayed=bool(replayed),
            received_ts=received_ts,
            **_named(columns, detail),
        )

    def _model(self, id_: int) -> tuple[str, str, dict[str, Any]]:
        if id_ not in self._known:
            model, version, columns = self._database.execute(
                "SELECT model, model_version, columns FROM models WHERE id = ?", (id_,)
            ).fetchone()
            self._known[id_] = (model, version, msgspec.json.decode(columns))
        return self._known[id_]


def _named(columns: dict[str, Any], detail: str | None) -> dict[str, dict[str, float | None]]:
    if detail is None:
        return {}
    cells = iter(msgspec.json.decode(detail))
    return {group: {name: next(cells) for name in columns[group]} for group in _NAMED if columns.get(group)}


def _ranges(database: sqlite3.Connection, table: str, boot: int) -> SeqRanges:
    return SeqRanges(
        database.execute(f"SELECT first, last FROM {table} WHERE boot_id = ? ORDER BY first", (boot,))
    )


def _gaps(database: sqlite3.Connection, boot: Boot) -> Gaps:
    present = _ranges(database, "received", boot.id)
    absent = SeqRanges(present.missing(0, boot.numbered - 1))
    said = _ranges(database, "dropped", boot.id)
    dropped = [piece for first, last in absent for piece in said.covered(first, last)]
    rest = SeqRanges(piece for first, last in absent for piece in said.missing(first, last))
    on_disk = boot.numbered if boot.on_disk is None else boot.on_disk
    return Gaps(
        device=boot.device,
        boot=boot.boot,
        numbered=boot.numbered,
        received=present.count,
        missing=rest.covered(0, on_disk - 1),
        dropped=dropped,
        unwritten=rest.covered(on_disk, boot.numbered - 1),
    )


def _device(database: sqlite3.Connection, id_: int) -> Device:
    row = database.execute(
        "SELECT device, state, devices.first_seen, last_seen, boot, repeated, agent_version, model, model_version, promise"
        " FROM devices LEFT JOIN statuses ON statuses.device_id = devices.id"
        " LEFT JOIN boots ON boots.id = statuses.boot_id WHERE devices.id = ?",
        (id_,),
    ).fetchone()
    runs = [
        boot[0]
        for boot in database.execute(
            "SELECT id FROM boots WHERE device_id = ? ORDER BY generation DESC, counter DESC", (id_,)
        )
    ]
    messages = database.execute(
        "SELECT coalesce(sum(last - first + 1), 0) FROM received WHERE boot_id IN"
        " (SELECT id FROM boots WHERE device_id = ?)",
        (id_,),
    ).fetchone()[0]
    return Device(
        device=row[0],
        state=row[1],
        first_seen=row[2],
        last_seen=row[3],
        boot=row[4],
        boots=len(runs),
        messages=messages,
        repeated=row[5],
        agent_version=row[6],
        model=row[7],
        model_version=row[8],
        promise=row[9],
        heartbeat=_newest_heartbeat(database, runs),
    )


def _newest_heartbeat(database: sqlite3.Connection, runs: list[int]) -> Heartbeat | None:
    for boot in runs:
        row = database.execute(
            "SELECT heartbeat FROM heartbeats WHERE boot_id = ? ORDER BY seq DESC LIMIT 1", (boot,)
        ).fetchone()
        if row is not None:
            return msgspec.json.decode(row[0], type=Heartbeat)
    return None
