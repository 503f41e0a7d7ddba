"""The health of the device, as it tells it: from /proc and /sys, without a package."""

from __future__ import annotations

import os
import resource
from bisect import bisect_right
from pathlib import Path

from lineside_agent.clock import Clock
from lineside_agent.counters import Counters, SensorCounters
from lineside_agent.encode import Identity
from lineside_agent.outbox import Outbox
from lineside_contract.messages import Heartbeat, SensorHealth, encode

_MOST_MARKS = 4096
_PAGE_BYTES = resource.getpagesize()
_TEMPERATURE = Path("/sys/class/thermal/thermal_zone0/temp")  # millidegrees; the CPU on a Raspberry Pi


class Heartbeats:
    """Words a heartbeat at regular intervals."""

    def __init__(
        self, identity: Identity, counters: Counters, state: Path, every_s: float, clock: Clock
    ) -> None:
        self._identity = identity
        self._counters = counters
        self._state = state
        self._every_s = every_s
        self._clock = clock
        self._started = self._last_at = clock.monotonic()
        self._last_cpu_s = _cpu_s()
        self._last = (0, 0)  # predictions and nanoseconds of inference at the last heartbeat
        self._marks: list[tuple[float, int]] = []  # when, and which number was next
        self._seq = 0
        self.due_at = self._started + min(1.0, every_s)

    def next(self, now: float, outbox: Outbox, connection: int, replayed: int) -> bytes:
        """Return a heartbeat and set when the next one is due."""
        elapsed = max(now - self._last_at, 1e-9)
        predictions, inference_ns = self._counters.predictions, self._counters.inference_ns
        done, spent_ns = predictions - self._last[0], inference_ns - self._last[1]
        cpu_s = _cpu_s()
        heartbeat = Heartbeat(
            ts=self._clock.wall_ns() // 1_000_000,
            **self._identity._asdict(),
            seq=self._seq,
            uptime_s=round(now - self._started, 3),
            next_seq=outbox.next_seq,
            predictions=predictions,
            predictions_per_s=round(done / elapsed, 3),
            inference_us=round(spent_ns / done / 1000, 3) if done else None,
            outbox_messages=outbox.waiting(),
            outbox_bytes=outbox.disk_bytes,
            outbox_oldest_age_s=self._oldest_age_s(now, outbox),
            outbox_in_memory=outbox.disk_failing,
            dropped=outbox.dropped,
            replayed=replayed,
            connection=connection,
            cpu_percent=round(100 * (cpu_s - self._last_cpu_s) / elapsed, 2),
            memory_bytes=_memory_bytes(),
            cpu_temperature_c=_temperature_c(),
            disk_free_bytes=_disk_free_bytes(self._state),
            sensors={name: self._sensor(now, of) for name, of in self._counters.every_sensor()},
        )
        self._seq += 1
        self._last_at, self._last_cpu_s, self._last = now, cpu_s, (predictions, inference_ns)
        self.due_at = max(self.due_at + self._every_s, now)
        return encode(heartbeat)

    def _sensor(self, now: float, counters: SensorCounters) -> SensorHealth:
        at = counters.last_reading_at
        return SensorHealth(
            state=counters.state,
            readings=counters.readings,
            non_finite=counters.non_finite,
            failures=counters.failures,
            last_reading_age_s=None if at is None else round(now - at, 3),
            detail=counters.detail,
        )

    def _oldest_age_s(self, now: float, outbox: Outbox) -> float:
        """Return how long the oldest message has waited: to within one interval, at most."""
        self._marks.append((now, outbox.next_seq))
        oldest = outbox.oldest()
        if oldest is None:
            self._marks = self._marks[-1:]
            return 0.0
        boot, seq, written = oldest
        if boot != self._identity.boot:
            return round(max(0.0, self._clock.wall_ns() / 1e9 - written), 3)
        before = bisect_right(self._marks, seq, key=lambda mark: mark[1]) - 1
        # While nothing is acknowledged for days, every second mark is as good.
        self._marks = self._marks[max(before, 0) :: 2 if len(self._marks) > _MOST_MARKS else 1]
        return round(now - (self._marks[0][0] if before >= 0 else self._started), 3)


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _memory_bytes() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return None


def _temperature_c() -> float | None:
    try:
        return int(_TEMPERATURE.read_text()) / 1000
    except (OSError, ValueError):
        return None


def _disk_free_bytes(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
