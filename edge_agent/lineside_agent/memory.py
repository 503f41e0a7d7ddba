"""What waits in memory while the disk takes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from lineside_agent.segment import Entry


class Memory:
    """Entries, oldest first, and how many bytes their payloads are."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    @property
    def oldest(self) -> Entry | None:
        """The entry that has waited longest."""
        return self._entries[0] if self._entries else None

    def add(self, entries: Iterable[Entry]) -> None:
        """Take entries in, each younger than those that are there."""
        for entry in entries:
            self._entries.append(entry)
            self.bytes += len(entry.payload)

    def pop(self) -> Entry:
        """Take the oldest entry out."""
        entry = self._entries.popleft()
        self.bytes -= len(entry.payload)
        return entry
