"""What of the outbox is settled: acknowledged or dropped, by boot. A small file beside the segments.

Losing it means that messages are sent again, never that one is lost; so it is written whole but synced
only while it tells of drops that nobody has acknowledged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from lineside_agent.sealed import read_sealed, write_sealed
from lineside_contract.messages import Range, Ranges
from lineside_contract.ranges import SeqRanges

log = logging.getLogger(__name__)


class _Stored(Struct):
    settled: Ranges
    unannounced: Ranges


class Cursor:
    """Settled sequence numbers by boot, and those dropped ones that nobody is known to have been told of."""

    def __init__(self, path: Path, boot: str) -> None:
        """Read the file if it is there and sound; begin empty otherwise. Raises OSError."""
        self._path = path
        self._boot = boot
        self.settled: dict[str, SeqRanges] = {}
        self.drops_unwritten = False
        self._untold: dict[str, SeqRanges] = {}
        self._announcing: dict[
            int, Ranges
        ] = {}  # by the number of the message of this boot that tells of them
        self._changed = False
        self._unsynced = False
        if (content := read_sealed(path)) is not None:
            try:
                stored = msgspec.json.decode(content, type=_Stored)
                self.settled, self._untold = _from_wire(stored.settled), _from_wire(stored.unannounced)
            except ValueError as error:
                # Another version's, perhaps. Without it everything is only sent again.
                log.warning("%s cannot be used and is begun anew: %s", path.name, error)

    def of(self, boot: str) -> SeqRanges:
        """Return the settled numbers of a boot."""
        found = self.settled.get(boot)
        if found is None:
            found = self.settled[boot] = SeqRanges()
        return found

    def acknowledge(self, boot: str, first: int, last: int) -> None:
        """Note that these have arrived, and with them what they announced."""
        self.of(boot).add(first, last)
        self._changed = True
        if boot == self._boot:
            self._take_announcing(first, last)

    def drop(self, boot: str, first: int, last: int) -> int:
        """Note that what is not settled of these is gone undelivered, and return how many messages that are."""
        lost = self.of(boot).missing(first, last)
        for gap in lost:
            self.of(boot).add(*gap)
            self._owe({boot: [gap]})
            if boot == self._boot:
                # What the lost messages told of has to be told again.
                for ranges in self._take_announcing(*gap):
                    self._owe(ranges)
        return length(lost)

    def forget(self, boot: str) -> None:
        """Note that nothing of this boot is left to be delivered."""
        if self.settled.pop(boot, None) is not None:
            self._changed = True

    def announce(self, seq: int) -> Ranges:
        """Return the dropped numbers that nobody was told of; message `seq` of this boot will tell of them."""
        ranges = _to_wire(self._untold)
        self._untold.clear()
        if ranges:
            self._announcing[seq] = ranges
        return ranges

    def save(self, *, sync: bool = False) -> None:
        """Write the file, if that changes anything. What is announced may not arrive: it counts as untold.

        Raises OSError; the old file remains.
        """
        if not self._changed and not (sync and self._unsynced):
            return
        untold: dict[str, SeqRanges] = {}
        for ranges in (_to_wire(self._untold), *self._announcing.values()):
            _add(untold, ranges)
        sync = sync or bool(untold)
        body = msgspec.json.encode(_Stored(settled=_to_wire(self.settled), unannounced=_to_wire(untold)))
        write_sealed(self._path, body, sync=sync)
        self._changed = self.drops_unwritten = False
        self._unsynced = not sync

    def _owe(self, ranges: Ranges) -> None:
        _add(self._untold, ranges)
        self._changed = self.drops_unwritten = True

    def _take_announcing(self, first: int, last: int) -> list[Ranges]:
        return [self._announcing.pop(seq) for seq in list(self._announcing) if first <= seq <= last]


def length(ranges: Iterable[Range]) -> int:
    """Return how many numbers are in ranges."""
    return sum(last - first + 1 for first, last in ranges)


def _add(numbers: dict[str, SeqRanges], ranges: Ranges) -> None:
    for boot, some in ranges.items():
        numbers.setdefault(boot, SeqRanges()).update(some)


def _to_wire(ranges: dict[str, SeqRanges]) -> Ranges:
    return {boot: list(numbers) for boot, numbers in ranges.items() if numbers}


def _from_wire(ranges: Ranges) -> dict[str, SeqRanges]:
    return {boot: SeqRanges(numbers) for boot, numbers in ranges.items()}
