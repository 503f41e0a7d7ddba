"""The outbox's files: segments in order, the newest appended to, the others only read and deleted."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lineside_agent import segment as files
from lineside_agent.segment import Entry, Segment
from lineside_contract.files import sync_folder

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
        self._newest: int | None = None  # descriptor of the last segment, if this process began it
        # Held while the newest descriptor is synced or closed: another thread may be syncing it.
        self._descriptor_lock = threading.Lock()

    @property
    def complete(self) -> list[Segment]:
        """The segments that nothing will be added to, oldest first."""
        return self.segments[:-1] if self._newest is not None else self.segments[:]

    def room_for(self, record_bytes: int) -> int:
        """Return by how much appending that many bytes would make the log grow."""
        return record_bytes if self._fits(record_bytes) else record_bytes + files.HEADER_BYTES

    def append(self, record: bytes, entries: list[Entry], *, sync_old: bool) -> None:
        """Append the encoded records of entries. Raises OSError and leaves the log as it was.

        If this begins a new segment, the full one is synced first when `sync_old` says that it still matters.
        """
        if not self._fits(len(record)):
            self.end_segment(sync=sync_old)
            self._begin_segment(entries[0].boot, entries[0].seq)
        newest = self.segments[-1]
        assert self._newest is not None
        files.write_all(self._newest, record, newest.size)
        newest.size += len(record)
        newest.end = entries[-1].last + 1
        self.bytes += len(record)

    def sync(self) -> None:
        """Make what was appended survive a power cut. Raises OSError."""
        with self._descriptor_lock:
            if self._newest is not None:
                os.fdatasync(self._newest)

    def end_segment(self, *, sync: bool) -> None:
        """Add nothing more to the newest segment."""
        with self._descriptor_lock:
            if self._newest is not None:
                try:
                    if sync:
                        os.fdatasync(self._newest)
                finally:
                    os.close(self._newest)
                    self._newest = None

    def delete(self, segment: Segment) -> None:
        """Delete a complete segment."""
        self.segments.remove(segment)
        self.bytes -= segment.size
        segment.path.unlink(missing_ok=True)

    def end_of(self, boot: str) -> int:
        """Return one past the last sequence number of a boot that is in the log, or 0."""
        return max((segment.end for segment in self.segments if segment.boot == boot), default=0)

    def snapshot(self, number: int) -> list[Snapshot]:
        """Return the segments from this number on as they are now."""
        return [
            Snapshot(s.path, s.number, s.boot, s.first, s.end, s.size)
            for s in self.segments
            if s.number >= number
        ]

    def _fits(self, record_bytes: int) -> bool:
        if self._newest is None:
            return False
        newest = self.segments[-1]
        return newest.end == newest.first or newest.size + record_bytes <= self._segment_bytes

    def _begin_segment(self, boot: str, first: int) -> None:
        number = self.segments[-1].number + 1 if self.segments else 1
        segment, self._newest = files.create(self._folder / f"{number:012d}.log", boot, first)
        self.segments.append(segment)
        self.bytes += segment.size
        sync_folder(self._folder)


def read(snapshot: Snapshot, offset: int) -> Iterator[tuple[Entry, int]]:
    """Yield the sound entries of a segment from `offset` on, each with the offset after it; none if deleted."""
    try:
        yield from files.read(snapshot.path, snapshot.boot, offset, snapshot.size)
    except FileNotFoundError:
        return


def _find(folder: Path) -> list[Segment]:
    """Return the sound segments, oldest first, each with where it ends. Reads only the last of each boot."""
    found: list[Segment] = []
    for path in sorted(folder.glob("*.log")):
        segment = files.open_existing(path)
        if segment is not None:
            found.append(segment)
            continue
        if path.stat().st_size > files.HEADER_BYTES:
            log.error("%s has a damaged beginning and is left out", path.name)
        path.unlink()
    for segment, following in zip(found, [*found[1:], None], strict=False):
        if following is not None and following.boot == segment.boot:
            segment.end = following.first
        else:
            for entry, _ in files.read(segment.path, segment.boot, 0, segment.size):
                segment.end = entry.last + 1
    return found
