"""Predictions and events as they are in a store, read in pages.

Each page is a short transaction of its own: a long one would keep the write-ahead log growing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from lineside_collector.queries import Boot, boots, device_ids, received
from lineside_contract.messages import Event, Prediction, Ranges
from lineside_contract.ranges import SeqRanges

PAGE = 5000
_PREDICTIONS = (
    "SELECT seq, ts, received_ts, model_id, label, probability, value, score, detail, replayed"
    " FROM predictions"
)
_NAMED = ("probabilities", "values", "scores")


class StoredPrediction(Prediction, frozen=True, kw_only=True, omit_defaults=True):
    """A prediction as its device sent it, and when it was received."""

    received_ts: int


class StoredEvent(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An event as its device sent it, and when it was received."""

    received_ts: int


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


def arrivals(
    database: sqlite3.Connection, device: str | None, seen: dict[int, SeqRanges]
) -> Iterator[StoredPrediction]:
    """Return the predictions whose numbers are not in `seen` (by boot id), late ones too, and note them there."""
    for boot, now in received(database, device).items():
        before = seen.get(boot.id, SeqRanges())
        seen[boot.id] = now
        for first, last in [piece for pair in now for piece in before.missing(*pair)]:
            yield from between(database, boot, first, last)


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
