"""What is not in a store, told apart by why: missing, dropped by the device, never on the device's disk."""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from lineside_collector.queries import Boot, boots, ranges
from lineside_contract.ranges import SeqRanges


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


def gaps(database: sqlite3.Connection, device: str | None = None) -> list[Gaps]:
    """Return what is not there, boot by boot; boots with nothing amiss are included."""
    database.execute("BEGIN")  # one look at two tables
    try:
        return [_gaps(database, boot) for boot in boots(database, device)]
    finally:
        database.execute("ROLLBACK")


def _gaps(database: sqlite3.Connection, boot: Boot) -> Gaps:
    present = ranges(database, "received", boot.id)
    absent = SeqRanges(present.missing(0, boot.numbered - 1))
    said = ranges(database, "dropped", boot.id)
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
