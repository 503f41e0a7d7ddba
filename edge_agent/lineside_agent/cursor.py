"""What of the outbox is settled: acknowledged or dropped, by boot. A small file beside the segments.

Losing it means that messages are sent again, never that one is lost; so it is written whole but synced
only while it tells of drops that nobody has acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lineside_agent.sealed import read_sealed, write_sealed
from lineside_contract.messages import Ranges
from lineside_contract.ranges import SeqRanges


class _Stored(Struct):
    settled: Ranges
    unannounced: Ranges


class Cursor:
    """Settled sequence numbers by boot, and those dropped ones that nobody has been told of."""

    def __init__(self, path: Path) -> None:
        """Read the file if it is there and sound; begin empty otherwise. Raises OSError."""
        self._path = path
        self.settled: dict[str, SeqRanges] = {}
        self.unannounced: dict[str, SeqRanges] = {}
        self.drops_unwritten = False
        self._changed = False
        self._unsynced = False
        if (content := read_sealed(path)) is not None:
            stored = msgspec.json.decode(content, type=_Stored)
            self.settled = _from_wire(stored.settled)
            self.unannounced = _from_wire(stored.unannounced)

    def of(self, boot: str) -> SeqRanges:
        """Return the settled numbers of a boot."""
        return self.settled.setdefault(boot, SeqRanges())

    def settle(self, boot: str, first: int, last: int) -> None:
        """Note that these need no delivery any more."""
        self.of(boot).add(first, last)
        self._changed = True

    def drop(self, boot: str, first: int, last: int) -> None:
        """Note that these are gone undelivered, and have to be announced."""
        self.settle(boot, first, last)
        self.unannounced.setdefault(boot, SeqRanges()).add(first, last)
        self.drops_unwritten = True

    def forget(self, boot: str) -> None:
        """Note that nothing of this boot is left to be delivered."""
        if self.settled.pop(boot, None) is not None:
            self._changed = True

    def take_unannounced(self) -> Ranges:
        """Return the dropped numbers that nobody has been told of, and consider them told."""
        ranges = _to_wire(self.unannounced)
        self.unannounced.clear()
        return ranges

    def save(self, announcing: Sequence[Ranges], *, sync: bool = False) -> None:
        """Write the file, if that changes anything. `announcing` was told of, but may not have arrived.

        Raises OSError; the old file remains.
        """
        if not self._changed and not (sync and self._unsynced):
            return
        untold: dict[str, SeqRanges] = {}
        for ranges in (_to_wire(self.unannounced), *announcing):
            for boot, numbers in ranges.items():
                untold.setdefault(boot, SeqRanges()).update(numbers)
        body = msgspec.json.encode(_Stored(settled=_to_wire(self.settled), unannounced=_to_wire(untold)))
        sync = sync or bool(untold)
        write_sealed(self._path, body, sync=sync)
        self._changed = self.drops_unwritten = False
        self._unsynced = not sync


def _to_wire(ranges: dict[str, SeqRanges]) -> Ranges:
    return {boot: list(numbers) for boot, numbers in ranges.items() if numbers}


def _from_wire(ranges: Ranges) -> dict[str, SeqRanges]:
    return {boot: SeqRanges(numbers) for boot, numbers in ranges.items()}
