"""What of the outbox is sent again, when, and how fast.

A pass goes once over everything that waited when it was called for. Passes are called for by a reconnect, by a
collector that appears, by live messages that did not fit into the queue, and by a long time without an
acknowledgement; never by the mere absence of a collector.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from lineside_agent.outbox import Outbox
from lineside_agent.reading import Position
from lineside_agent.segment import Entry
from lineside_contract.messages import Ranges
from lineside_contract.ranges import SeqRanges

_READ = 256
_MOST_BACKOFF = 16
_SLICE_S = 0.01


class Pass(NamedTuple):
    """One pass: not before `at`, over messages of this boot below `until` and all of earlier boots.

    `unsent` leaves out what the broker has already taken in this boot; `paced` keeps to the pace.
    """

    at: float
    until: int
    unsent: bool
    paced: bool


class CatchUp:
    """Hands out what is to be sent again, a little at a time."""

    def __init__(self, outbox: Outbox, per_second: float, resend_after_s: float) -> None:
        self._outbox = outbox
        self._per_second = per_second
        self._resend_after_s = resend_after_s
        self._current: Pass | None = None
        self._next: Pass | None = None
        self._position = Position()
        self._ready: deque[Entry] = deque()
        self._sent: dict[str, SeqRanges] = {}
        self._allowance = 0.0
        self._paced_at = 0.0
        self._marks: deque[tuple[float, int]] = deque()
        self._resend_at = 0.0
        self._backoff = 1

    @property
    def active(self) -> bool:
        """Whether a pass is under way or called for."""
        return self._current is not None or self._next is not None

    def call(self, wanted: Pass) -> None:
        """Call for a pass. One that is waiting already is widened; one under way is finished first."""
        if self._next is not None:
            wanted = Pass(
                min(wanted.at, self._next.at) if wanted.unsent == self._next.unsent else wanted.at,
                max(wanted.until, self._next.until),
                wanted.unsent and self._next.unsent,
                wanted.paced and self._next.paced,
            )
        self._next = wanted

    def cancel(self) -> None:
        """Forget every pass: the connection is gone, and the next one begins with its own."""
        self._current = self._next = None
        self._ready.clear()
        self._backoff = 1

    def sent(self, ranges: Ranges) -> None:
        """Note that the broker took messages."""
        for boot, some in ranges.items():
            self._sent.setdefault(boot, SeqRanges()).update(some)

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds `take` may have something, or None if there is nothing to do."""
        if self._current is not None:
            if not self._current.paced or self._allowed(now) >= 1:
                return 0.0
            # Waking for each single message would cost more than the messages.
            return max(_SLICE_S, (1 - self._allowance) / self._per_second)
        return max(0.0, self._next.at - now) if self._next is not None else None

    def take(self, now: float, most: int) -> list[Entry]:
        """Return the next messages to send again, at most so many; none if there are none now."""
        self._begin(now)
        current = self._current
        if current is None:
            return []
        if current.paced:
            most = min(most, int(self._allowed(now)))
        taken: list[Entry] = []
        while len(taken) < most:
            if not self._ready and not self._refill(current):
                self._current = None
                break
            some = [self._ready.popleft() for _ in range(min(most - len(taken), len(self._ready)))]
            # They may have been settled, or sent live, since they were read.
            wanted = self._outbox.unsettled(some)
            taken += [entry for entry in wanted if not (current.unsent and self._was_sent(entry))]
        if current.paced:
            self._allowance -= len(taken)
        return taken

    def watch(self, now: float) -> None:
        """Call for a pass over what was put long ago and is still not acknowledged.

        Called every now and then while a collector is online.
        """
        if not self._marks or now - self._marks[-1][0] >= self._resend_after_s / 4:
            self._marks.append((now, self._outbox.next_seq))
        until = None
        while self._marks and self._marks[0][0] <= now - self._resend_after_s:
            until = self._marks.popleft()[1]
        if until is None or self.active or now < self._resend_at or not self._outbox.waiting(below=until):
            return
        self.call(Pass(now, until, unsent=False, paced=True))
        self._resend_at = now + self._resend_after_s * self._backoff
        self._backoff = min(self._backoff * 2, _MOST_BACKOFF)

    def _begin(self, now: float) -> None:
        if self._current is None and self._next is not None and now >= self._next.at:
            self._current, self._next = self._next, None
            self._position = Position()
            self._ready.clear()

    def _refill(self, current: Pass) -> bool:
        """Read on; return False at the end of the pass."""
        entries, position = self._outbox.read(self._position, _READ)
        at_end = position == self._position
        self._position = position
        for entry in entries:
            if entry.boot == self._outbox.boot and entry.seq >= current.until:
                return bool(self._ready)
            self._ready.append(entry)
        return not at_end

    def _was_sent(self, entry: Entry) -> bool:
        ranges = self._sent.get(entry.boot)
        return ranges is not None and ranges.covers(entry.seq, entry.last)

    def _allowed(self, now: float) -> float:
        """Return how many messages may go now: a token bucket of a tenth of a second."""
        most = max(1.0, self._per_second / 10)
        self._allowance = min(most, self._allowance + (now - self._paced_at) * self._per_second)
        self._paced_at = now
        return self._allowance
