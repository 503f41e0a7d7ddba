"""Reading what waits on disk: where a reader has got to, and what should be in a file and is not."""

from __future__ import annotations

import logging
from typing import NamedTuple

from lineside_agent.segment import Entry, read
from lineside_agent.segment_log import Snapshot
from lineside_contract.messages import Range

log = logging.getLogger(__name__)


class Position(NamedTuple):
    """Where a reader has got to: a file, the offset in it, and the number expected next of its boot."""

    segment: int = 0
    offset: int = 0
    boot: str = ""
    seq: int = 0


class Found(NamedTuple):
    """Entries of a file, where the next begin, and the numbers that should have been before there."""

    entries: list[Entry]
    position: Position
    missing: list[Range]


def read_on(snapshot: Snapshot, position: Position, limit: int) -> Found:
    """Read up to `limit` entries of a file; nothing of it is missing if the disk does not give it this time."""
    number, boot = snapshot.number, snapshot.boot
    entries: list[Entry] = []
    missing: list[Range] = []
    if position.segment != number:
        # Some of it may have been read from memory before it came to be on disk.
        seen = position.seq if position.boot == boot else 0
        position = Position(number, 0, boot, max(snapshot.first, seen))
    elif position.boot != boot:
        return Found(entries, position, missing)  # it ended, and memory was read since
    try:
        for entry, after in read(snapshot.path, boot, position.offset, snapshot.size):
            if entry.seq >= position.seq:
                if entry.seq > position.seq:
                    missing.append((position.seq, entry.seq - 1))
                entries.append(entry)
            position = Position(number, after, boot, max(position.seq, entry.last + 1))
            if len(entries) >= limit:
                return Found(entries, position, missing)
    except FileNotFoundError:
        pass  # deleted since the snapshot was taken, which is no damage, or by someone else, which is
    except OSError as error:
        log.error("%s cannot be read: %s", snapshot.path.name, error.strerror)
        return Found(entries, _after(snapshot, position), missing)
    if position.seq < snapshot.end:
        missing.append((position.seq, snapshot.end - 1))
    return Found(entries, _after(snapshot, position), missing)


def _after(snapshot: Snapshot, position: Position) -> Position:
    return Position(snapshot.number, snapshot.size, snapshot.boot, max(position.seq, snapshot.end))
