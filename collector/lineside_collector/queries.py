"""Questions to a store: read only, while a collector writes to it or not.

Order is by device, boot and sequence number; a clock may jump, so times are only labels.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from lineside_collector.schema import check
from lineside_contract.errors import InputError, nearest
from lineside_contract.messages import Heartbeat, Promise
from lineside_contract.ranges import SeqRanges


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


class Boot(NamedTuple):
    """One run of a device's agent, as a row."""

    id: int
    device: str
    boot: str
    numbered: int
    on_disk: int | None


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


def received(database: sqlite3.Connection, device: str | None = None) -> dict[Boot, SeqRanges]:
    """Return which numbers of each boot are in the store."""
    return {boot: ranges(database, "received", boot.id) for boot in boots(database, device)}


def ranges(database: sqlite3.Connection, table: str, boot: int) -> SeqRanges:
    """Return the ranges of one boot in `received` or `dropped`."""
    return SeqRanges(
        database.execute(f"SELECT first, last FROM {table} WHERE boot_id = ? ORDER BY first", (boot,))
    )


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


def _device(database: sqlite3.Connection, id_: int) -> Device:
    row = database.execute(
        "SELECT device, state, devices.first_seen, last_seen, boot, repeated,"
        " agent_version, model, model_version, promise"
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
