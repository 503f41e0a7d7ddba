"""What waits to be delivered: an append-only log on disk, bounded in bytes, that survives kills.

    put  --write--> newest segment ...... oldest segment --read--> deliver
                     | fdatasync, many puts at once                  |
                     '-- disk full: memory, bounded             settled: acknowledged or dropped
                                                                  '--> a segment all settled is deleted

`put` hands its bytes to the operating system before it returns, so a killed process loses nothing; `commit`
makes everything put so far survive a power cut. One thread puts; another reads and acknowledges.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lineside_agent.boot_file import begin_boot
from lineside_agent.cursor import Cursor, length
from lineside_agent.memory import Memory
from lineside_agent.reading import Position, read_on
from lineside_agent.segment import Entry, Segment, encode_batch
from lineside_agent.segment_log import SegmentLog, Snapshot
from lineside_contract.errors import InputError
from lineside_contract.files import remove_parts
from lineside_contract.ids import Boot
from lineside_contract.messages import PreviousBoot, Range, Ranges

log = logging.getLogger(__name__)

_LARGEST_SEGMENT = 4 * 1024 * 1024
_SMALLEST_SEGMENT = 4096
_RETRY_DISK_S = 1.0
_MOST_NAMED = 10  # ranges of lost messages in one line of the log


class Limits(NamedTuple):
    """Bounds of an outbox: bytes on disk; bytes in memory while the disk takes nothing; seconds to a commit."""

    disk_bytes: int = 256 * 1024 * 1024
    memory_bytes: int = 8 * 1024 * 1024
    commit_after_s: float = 0.1


class Outbox:
    """Messages of this boot and of earlier ones that are not yet acknowledged, oldest first."""

    def __init__(self, folder: Path, limits: Limits, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Open or make the outbox and begin a new boot, which is on disk when this returns.

        Raises InputError if the folder cannot be used: without it no id is safe.
        """
        self._limits = limits
        self._monotonic = monotonic
        self._segment_bytes = max(_SMALLEST_SEGMENT, min(_LARGEST_SEGMENT, limits.disk_bytes // 8))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            remove_parts(folder)
            previous, boot = begin_boot(folder / "boot")
            self._cursor = Cursor(folder / "cursor", str(boot))
            self._log = SegmentLog(folder, self._segment_bytes)
        except OSError as error:
            raise InputError(
                f"The outbox cannot be used: {error.filename or folder}: {error.strerror}.",
                hint="Make room, remove what is in the way, or set `state` to a folder that this user may write to.",
            ) from error
        self.boot = str(boot)
        self.previous = self._end_of(previous)
        self.dropped = 0
        self._next_seq = 0
        self._memory = Memory()
        self._disk_failing = False
        self._cursor_failing = False
        self._retry_at = 0.0
        self._synced = 0  # everything below is on disk
        self._commit_at: float | None = None
        self._lock = threading.Lock()
        for name in {segment.boot for segment in self._log.segments} | set(self._cursor.settled):
            self._delete_settled(name)

    # What the sensing thread does.

    @property
    def next_seq(self) -> int:
        """The number that the next message will get."""
        return self._next_seq

    @property
    def disk_failing(self) -> bool:
        """Whether the disk takes nothing at the moment and the outbox goes on in memory."""
        return self._disk_failing

    def put(self, messages: Iterable[tuple[int, int, bytes]]) -> list[Entry]:
        """Take messages as (kind, how many, payload), numbered from `next_seq` on, and return their entries.

        They survive this process when this returns, and a power cut after the next commit. If the disk takes
        nothing they are kept in memory. Past the limits the oldest are dropped: see `take_dropped`.
        """
        entries = []
        with self._lock:
            for kind, count, payload in messages:
                entries.append(Entry(self.boot, self._next_seq, count, kind, payload))
                self._next_seq += count
            self._keep(entries)
        if self._commit_at is None:
            self._commit_at = self._monotonic() + self._limits.commit_after_s
        if self._limits.commit_after_s == 0:
            self.commit()
        return entries

    @property
    def commit_at(self) -> float | None:
        """The monotonic time by which to call `commit`; None if there is nothing to commit."""
        return self._commit_at

    def commit(self) -> None:
        """Make everything put so far survive a power cut. What is already acknowledged costs no write."""
        with self._lock:
            self._commit_at = None
            waiting = self._memory.oldest
            upto = waiting.seq if waiting else self._next_seq
            unsettled = self._cursor.of(self.boot).missing(self._synced, upto - 1)
        if unsettled:
            try:
                self._log.sync()
            except OSError as error:
                log.error("the outbox could not be synced to disk: %s", error.strerror)
                self._commit_at = self._monotonic() + _RETRY_DISK_S
                return
        with self._lock:
            self._synced = max(self._synced, upto)

    def take_dropped(self) -> Ranges:
        """Return what was dropped and not yet announced. The caller must put the event that tells of it next."""
        with self._lock:
            return self._cursor.announce(self._next_seq)

    # What the delivering thread does.

    def read(self, position: Position, limit: int) -> tuple[list[Entry], Position]:
        """Look at up to `limit` entries from `position` on, oldest first.

        Returns the unsettled ones among them and where the next begin: the same position at the end. What the
        disk does not give is left out this time: a later reader may fare better.
        """
        with self._lock:
            snapshots = self._log.snapshot(position.segment)
            waiting = list(self._memory)
        found: list[Entry] = []
        for snapshot in snapshots:
            entries, position, missing = read_on(snapshot, position, limit - len(found))
            found += entries
            self._note_damage(snapshot, missing)
            if len(found) >= limit:
                break
        else:
            start = position.seq if position.boot == self.boot else 0
            found += [entry for entry in waiting if entry.seq >= start][: limit - len(found)]
            if found and found[-1].boot == self.boot:
                position = position._replace(boot=self.boot, seq=found[-1].last + 1)
        with self._lock:
            return [entry for entry in found if not self._settled(entry)], position

    def acknowledge(self, boot: str, ranges: Sequence[Range]) -> None:
        """Note that these messages need no delivery any more, and delete what is done with.

        Numbers that were never given are ignored: nobody can make us forget a message before it exists.
        """
        with self._lock:
            known = self._next_seq if boot == self.boot else self._log.end_of(boot)
            if not known:
                return
            for first, last in ranges:
                if 0 <= first <= last and first < known:
                    self._cursor.acknowledge(boot, first, min(last, known - 1))
            while (oldest := self._memory.oldest) and self._settled(oldest):
                self._memory.pop()
            self._delete_settled(boot)

    def unsettled(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return those entries that still need delivery."""
        with self._lock:
            return [entry for entry in entries if not self._settled(entry)]

    def waiting(self, below: int | None = None) -> int:
        """Return how many messages are not settled; with `below`, of this boot only those numbered lower."""
        with self._lock:
            spans = [(s.boot, s.first, s.end) for s in self._log.segments]
            spans += [(entry.boot, entry.seq, entry.last + 1) for entry in self._memory]
            count = 0
            for boot, first, end in spans:
                last = (end if below is None or boot != self.boot else min(end, below)) - 1
                count += length(self._cursor.of(boot).missing(first, last))
            return count

    def oldest(self) -> tuple[str, int, float] | None:
        """Return boot and number of the oldest unsettled message, and when its file was last written to.

        The time is in seconds since the Unix epoch; None if nothing waits.
        """
        with self._lock:
            for segment in self._log.segments:
                missing = self._cursor.of(segment.boot).missing(segment.first, segment.end - 1)
                if missing:
                    return segment.boot, missing[0][0], _written_at(segment)
            for entry in self._memory:
                if not self._settled(entry):
                    return entry.boot, entry.seq, time.time()
        return None

    @property
    def disk_bytes(self) -> int:
        """How many bytes the files take."""
        return self._log.bytes

    def save_cursor(self, *, sync: bool = False) -> None:
        """Write down what is settled. Raises nothing: what is not written down is only sent again."""
        with self._lock:
            self._save_cursor(sync=sync)

    def close(self) -> None:
        """Put everything on disk and close the files."""
        with self._lock:
            self._keep([], now=True)
        self.commit()
        self.save_cursor(sync=True)
        self._log.end_segment(sync=False)
        with self._lock:
            self._delete_settled(self.boot)

    # Keeping: on disk, in memory while the disk takes nothing.

    def _keep(self, entries: list[Entry], *, now: bool = False) -> None:
        if self._disk_failing and not now and self._monotonic() < self._retry_at:
            self._remember(entries)
            return
        kept = self._store([*self._memory, *entries])
        from_memory = min(kept, len(self._memory))
        for _ in range(from_memory):
            self._memory.pop()
        self._remember(entries[kept - from_memory :])

    def _store(self, entries: list[Entry]) -> int:
        """Append entries to the log and return how many of them the disk took."""
        kept = 0
        while kept < len(entries):
            record, upto = encode_batch(entries, kept, self._segment_bytes)
            try:
                self._make_room(len(record))
                self._prepare(len(record), entries[kept].seq)
                self._log.append(record, entries[kept:upto])
            except OSError as error:
                if not self._disk_failing:
                    log.error("the disk takes nothing (%s): going on in memory", error.strerror)
                self._disk_failing = True
                self._retry_at = self._monotonic() + _RETRY_DISK_S
                return kept
            kept = upto
        if self._disk_failing and kept:
            log.warning("the disk takes data again; %d entries were waiting", len(entries))
            self._disk_failing = False
        return kept

    def _make_room(self, size: int) -> None:
        """Drop the oldest complete segments until `size` more bytes fit. Raises OSError."""
        while self._log.bytes + size > self._limits.disk_bytes and self._log.complete:
            oldest = self._log.complete[0]
            self._drop(oldest.boot, oldest.first, oldest.end - 1)
            self._delete(oldest)

    def _prepare(self, size: int, seq: int) -> None:
        """Bring the log to where a record of that size and number can follow. Raises OSError."""
        if seq != self._log.end and not self._save_cursor(sync=True):
            # Those in between were settled in memory. Found as a hole later, they would pass for damage.
            raise OSError(errno.ENOSPC, "the cursor could not be written")
        newest = self._log.newest
        if newest is not None and not self._log.fits(size):
            # What is all settled is deleted here and now, and need not be synced.
            settled = self._cursor.of(self.boot)
            self._log.end_segment(sync=bool(settled.missing(newest.first, newest.end - 1)))
            self._delete_settled(self.boot)

    def _remember(self, entries: list[Entry]) -> None:
        self._memory.add(entries)
        while self._memory.bytes > self._limits.memory_bytes and len(self._memory) > 1:
            oldest = self._memory.pop()
            self._drop(oldest.boot, oldest.seq, oldest.last)

    def _drop(self, boot: str, first: int, last: int) -> None:
        self.dropped += self._cursor.drop(boot, first, last)

    # Reading and settling.

    def _note_damage(self, snapshot: Snapshot, holes: list[Range]) -> None:
        """Drop the messages that should be in a file and are not there, so that nobody waits for them."""
        if not holes:
            return
        with self._lock:
            # What is settled may be missing: its file is deleted, or it was never written.
            settled = self._cursor.of(snapshot.boot)
            missing = [gap for hole in holes for gap in settled.missing(*hole)]
            if missing and self._log.has(snapshot.number):
                ranges = ", ".join(f"{first} to {last}" for first, last in missing[:_MOST_NAMED])
                more = ", ..." if len(missing) > _MOST_NAMED else ""
                log.error("%s is damaged: messages %s%s are lost", snapshot.path.name, ranges, more)
                for gap in missing:
                    self._drop(snapshot.boot, *gap)

    def _settled(self, entry: Entry) -> bool:
        return self._cursor.of(entry.boot).covers(entry.seq, entry.last)

    def _delete_settled(self, boot: str) -> None:
        settled = self._cursor.of(boot)
        for segment in [segment for segment in self._log.complete if segment.boot == boot]:
            if not settled.missing(segment.first, segment.end - 1):
                try:
                    self._delete(segment)
                except OSError:
                    return  # A disk that lets nothing be deleted takes nothing either: `put` tells of it.
        if boot != self.boot and not self._log.end_of(boot):
            self._cursor.forget(boot)

    def _delete(self, segment: Segment) -> None:
        """Delete a segment. What was dropped is written down before or, if the disk is full, right after."""
        written = not self._cursor.drops_unwritten or self._save_cursor(sync=True)
        self._log.delete(segment)
        if not written:
            self._save_cursor(sync=True)

    def _save_cursor(self, *, sync: bool) -> bool:
        """Return whether what is settled is now written down."""
        try:
            self._cursor.save(sync=sync)
        except OSError as error:
            if not self._cursor_failing:
                log.warning("the outbox's cursor cannot be written: %s", error.strerror)
            self._cursor_failing = True
            return False
        self._cursor_failing = False
        return True

    def _end_of(self, boot: Boot | None) -> PreviousBoot | None:
        if boot is None:
            return None
        name = str(boot)
        return PreviousBoot(boot=name, end=max(self._log.end_of(name), self._cursor.of(name).end))


def _written_at(segment: Segment) -> float:
    try:
        return segment.path.stat().st_mtime
    except OSError:
        return time.time()
