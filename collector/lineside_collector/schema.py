"""The SQLite store's tables, and how a store is made and recognised."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from lineside_contract.errors import InputError

VERSION = 1
# "Line" in ASCII: what `file` and SQLite's own tools show as the application's id.
APPLICATION_ID = 0x4C696E65

# Times are milliseconds since the Unix epoch, UTC: `ts` by the device's clock, `received_ts` by the collector's.
# A column without a type keeps the type of what is put into it: a label 1 stays a number, "1" a text.
TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE devices (
  id INTEGER PRIMARY KEY,
  device TEXT NOT NULL UNIQUE,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  repeated INTEGER NOT NULL DEFAULT 0       -- messages that came again and were ignored
);

-- One run of an agent. Order: generation, counter.
CREATE TABLE boots (
  id INTEGER PRIMARY KEY,
  device_id INTEGER NOT NULL REFERENCES devices (id),
  boot TEXT NOT NULL,
  lineage TEXT NOT NULL,
  counter INTEGER NOT NULL,
  generation INTEGER NOT NULL,              -- 1 for the device's first lineage, 2 after its first wipe
  first_seen INTEGER NOT NULL,
  numbered INTEGER NOT NULL DEFAULT 0,      -- at least this many messages were made: 0 to numbered - 1
  on_disk INTEGER,                          -- how many of them reached the device's disk, by the next boot
  UNIQUE (device_id, boot)
);

-- A device's model and the columns of its answers: {"label": TYPE, "probabilities": [NAME...], ...}.
CREATE TABLE models (
  id INTEGER PRIMARY KEY,
  device_id INTEGER NOT NULL REFERENCES devices (id),
  model TEXT NOT NULL,
  model_version TEXT NOT NULL,
  columns TEXT NOT NULL,
  UNIQUE (device_id, model, model_version, columns)
);

CREATE TABLE predictions (
  boot_id INTEGER NOT NULL REFERENCES boots (id),
  seq INTEGER NOT NULL,
  ts INTEGER NOT NULL,
  received_ts INTEGER NOT NULL,
  model_id INTEGER NOT NULL REFERENCES models (id),
  label,
  probability REAL,
  value REAL,
  score REAL,
  detail TEXT,                              -- JSON array: probabilities, values, scores, as in models.columns
  replayed INTEGER NOT NULL,
  PRIMARY KEY (boot_id, seq)
) WITHOUT ROWID;
CREATE INDEX predictions_by_time ON predictions (boot_id, ts);

CREATE TABLE events (
  boot_id INTEGER NOT NULL REFERENCES boots (id),
  seq INTEGER NOT NULL,
  ts INTEGER NOT NULL,
  received_ts INTEGER NOT NULL,
  event TEXT NOT NULL,
  detail TEXT NOT NULL,
  sensor TEXT,
  dropped TEXT,                             -- JSON: ranges by boot
  replayed INTEGER NOT NULL,
  PRIMARY KEY (boot_id, seq)
) WITHOUT ROWID;

CREATE TABLE heartbeats (
  boot_id INTEGER NOT NULL REFERENCES boots (id),
  seq INTEGER NOT NULL,
  ts INTEGER NOT NULL,
  received_ts INTEGER NOT NULL,
  heartbeat TEXT NOT NULL,                  -- the whole message, JSON
  PRIMARY KEY (boot_id, seq)
) WITHOUT ROWID;

-- The newest word of each device about itself.
CREATE TABLE statuses (
  device_id INTEGER PRIMARY KEY REFERENCES devices (id),
  boot_id INTEGER NOT NULL REFERENCES boots (id),
  connection INTEGER NOT NULL,
  state TEXT NOT NULL,
  ts INTEGER NOT NULL,
  received_ts INTEGER NOT NULL,
  agent_version TEXT NOT NULL,
  model TEXT NOT NULL,
  model_version TEXT NOT NULL,
  promise TEXT
);

-- Which numbers were received, as closed ranges that neither overlap nor touch. Kept apart from the rows, so that
-- finding gaps reads no rows and old rows may be deleted without becoming gaps.
CREATE TABLE received (
  boot_id INTEGER NOT NULL REFERENCES boots (id),
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (boot_id, first)
) WITHOUT ROWID;

-- Which numbers the device said that it had to drop.
CREATE TABLE dropped (
  boot_id INTEGER NOT NULL REFERENCES boots (id),
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (boot_id, first, last)
) WITHOUT ROWID;

-- The newest messages that could not be understood; the largest id counts them all.
CREATE TABLE rejected (
  id INTEGER PRIMARY KEY,
  received_ts INTEGER NOT NULL,
  topic TEXT NOT NULL,
  device TEXT NOT NULL,
  reason TEXT NOT NULL,
  payload BLOB NOT NULL                     -- its beginning
);
"""


def prepare(database: sqlite3.Connection, path: Path, site: str) -> None:
    """Make the tables in an empty database, or check that these are they. Raises InputError."""
    database.execute("BEGIN IMMEDIATE")
    try:
        if _is_empty(database):
            for statement in TABLES.split(";\n"):
                database.execute(statement)
            database.execute("INSERT INTO about VALUES ('site', ?)", (site,))
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")
        check(database, path)
        found = stored_site(database)
        if found != site:
            raise InputError(
                f"The store {path} belongs to the site {found!r}, not to {site!r}.",
                hint="Give another --store: one store holds one site.",
            )
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def check(database: sqlite3.Connection, path: Path) -> None:
    """Raise InputError if this is not a store that this version can use."""
    if _pragma(database, "application_id") != APPLICATION_ID:
        raise InputError(f"{path} is a database, but not a collector's store.", hint="Give another --store.")
    version = _pragma(database, "user_version")
    if version > VERSION:
        raise InputError(
            f"The store {path} was made by a newer Lineside (its version is {version}; this one knows {VERSION}).",
            hint="Upgrade Lineside here: pip install --upgrade lineside",
        )


def stored_site(database: sqlite3.Connection) -> str:
    """Return the site whose devices the store holds."""
    site: str = database.execute("SELECT value FROM about WHERE name = 'site'").fetchone()[0]
    return site


def _is_empty(database: sqlite3.Connection) -> bool:
    return (
        _pragma(database, "application_id") == 0
        and not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    )


def _pragma(database: sqlite3.Connection, name: str) -> int:
    value: int = database.execute(f"PRAGMA {name}").fetchone()[0]
    return value
