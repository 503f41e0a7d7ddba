"""The outbox's files: segments in order, the newest appended to, the others only read and deleted."""

from __future__ import annotations

import errno
import logging
import os
import threading
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from lineside_agent import segment as files
from lineside_agent.segment import Entry, Segment

log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """A segment as it was at one moment; it may grow or be deleted while it is read."""

    path: Path
    number: int
    boot: str
    first: int
    end: int
    size: int


class SegmentLog:
    """An append-only log in files of a bounded size. One thread appends, rotates and deletes the newest."""

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        """Find what is there. Raises OSError."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self.segments = _find(folder)
        self.bytes = sum(segment.size for segment in self.segments)
        self.end = 0  # one past the last sequence number appended by this process
        self._newest: int | None = None  # descriptor of the last segment, if this process began it
        # Never given twice, also when every file is deleted: readers know their place by it.
        self._last_number = self.segments[-1].number if self.segments else 0
        # Held while the newest descriptor is synced or closed: another thread may be syncing it.
        self._descriptor_lock = threading.Lock()

    @property
    def newest(self) -> Segment | None:
        """The segment that is being appended to."""
        return self.segments[-1] if self._newest is not None else None

    @property
    def complete(self) -> list[Segment]:
        """The segments that nothing will be added to, oldest first."""
        return self.segments[:-1] if self._newest is not None else self.segments[:]

    def fits(self, record_bytes: int) -> bool:
        """Tell whether that many bytes may still be added to the newest segment."""
        newest = self.newest
        return newest is not None and (not newest.size or newest.size + record_bytes <= self._segment_bytes)

    def append(self, record: bytes, entries: list[Entry]) -> None:
        """Append the encoded records of entries. Raises OSError and leaves the log as it was."""
        if self._newest is not None and not os.fstat(self._newest).st_nlink:
            # Someone deleted it: what is written to it now would be gone with this process.
            self.end_segment(sync=False)
        if self._newest is None:
            first = entries[0]
            segment, self._newest = files.create(self._folder, self._last_number + 1, first.boot, first.seq)
            self._last_number = segment.number
            self.segments.append(segment)
        newest = self.segments[-1]
        files.write_all(self._newest, record, newest.size)
        newest.size += len(record)
        newest.end = self.end = entries[-1].last + 1
        self.bytes += len(record)

    def sync(self) -> None:
        """Make what was appended survive a power cut. Raises OSError."""
        with self._descriptor_lock:
            if self._newest is not None:
                os.fdatasync(self._newest)

    def end_segment(self, *, sync: bool) -> None:
        """Add nothing more to the newest segment. Raises OSError; it is ended all the same."""
        with self._descriptor_lock:
            descriptor, self._newest = self._newest, None
            if descriptor is not None:
                try:
                    if sync:
                        os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)

    def delete(self, segment: Segment) -> None:
        """Delete a complete segment. Raises OSError; it is still there then."""
        segment.path.unlink(missing_ok=True)
        self.segments.remove(segment)
        self.bytes -= segment.size

    def end_of(self, boot: str) -> int:
        """Return one past the last sequence number of a boot that is in the log, or 0."""
        return max((segment.end for segment in self.segments if segment.boot == boot), default=0)

    def has(self, number: int) -> bool:
        """Tell whether a segment has not been deleted."""
        return any(segment.number == number for segment in self.segments)

    def snapshot(self, number: int) -> list[Snapshot]:
        """Return the segments from this number on as they are now."""
        return [
            Snapshot(s.path, s.number, s.boot, s.first, s.end, s.size)
            for s in self.segments
            if s.number >= number
        ]


def _find(folder: Path) -> list[Segment]:
    """Return the segments, oldest first, each with where it ends. Reads few of them."""
    found = files.find(folder)
    for segment, following in zip_longest(found, found[1:]):
        # Across a missing number this is not so: what was between is settled, and must not be missed.
        if following and following.boot == segment.boot and following.number == segment.number + 1:
            segment.end = following.first
        else:
            segment.end = _scan_end(segment)
    if found:
        # A killed process may have left it to the page cache, where no later commit would reach it.
        files.sync(found[-1].path)
    return found


def _scan_end(segment: Segment) -> int:
    end, sound = segment.first, 0
    try:
        for entry, after in files.read(segment.path, segment.boot, 0, segment.size):
            end, sound = max(end, entry.last + 1), after
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        log.error("%s cannot be read beyond byte %d: %s", segment.path.name, sound, error.strerror)
    else:
        if sound < segment.size:
            log.warning(
                "%s: the last %d bytes never reached the disk", segment.path.name, segment.size - sound
            )
    return end
