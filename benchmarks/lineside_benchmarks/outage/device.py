"""A device of the outage: a program, its sensor, its disk, its clock."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import NamedTuple

from lineside_benchmarks.outage.disk import Disk
from lineside_benchmarks.outage.feed import Pipe
from lineside_benchmarks.outage.link import Link
from lineside_benchmarks.outage.systems import SYSTEMS, Place
from lineside_benchmarks.programs import MEASURED, Program

_RESTART_S = 1.0
# Readings with numbers below 0 only show that a program runs, and are not accounted for.
FIRST_WORD = -1


class Wants(NamedTuple):
    """What a scenario needs of devices: a disk that can fail, a clock that can be set."""

    disk: bool
    clock: bool


class Peak(NamedTuple):
    """The most memory and disk that a program has taken, in MB of 1,000,000 bytes."""

    memory_mb: float = 0.0
    disk_mb: float = 0.0


class Device:
    """Runs one program, and starts it again when it ends by itself. All methods may be called from any thread."""

    def __init__(self, name: str, folder: Path, models: Path, link: Link, wants: Wants) -> None:
        self.name = name
        folder.mkdir()
        self.pipe = Pipe(folder / "sensor")
        self.disk = Disk(folder, real=wants.disk)
        self.killed_ms: list[float] = []  # when it was killed on purpose, Unix milliseconds
        self.peak = Peak()
        self.restarts = 0
        place = Place(folder, self.disk.path, self.pipe.path, models, link.host, link.port)
        self._launch = SYSTEMS[name].launch(place)
        self._inside = link.inside
        self._clock = folder / "clock"
        self._env = {**self._launch.env, **(_fake_clock(self._clock) if wants.clock else {})}
        self._program: Program | None = None
        self._gone_at: float | None = None
        self._wanted = False
        self._lock = threading.RLock()
        self.set_clock(0)

    def start(self) -> None:
        """Start the program."""
        with self._lock:
            self._wanted = True
            self._start()

    def kill(self) -> None:
        """Kill it and everything that it has started, and leave it down."""
        with self._lock:
            self._goes_down()
            if self._program is not None:
                self._program.kill()

    def cut_power(self) -> None:
        """Kill it, and take back what was not on its disk at that moment."""
        with self._lock:
            self._goes_down()
            if self._program is not None:
                self._program.send(signal.SIGSTOP)
                self.disk.freeze()
                self._program.kill()
                self.disk.cut()

    def restart(self) -> None:
        """Start what was killed."""
        with self._lock:
            self.start()
            self.pipe.knock(FIRST_WORD)

    def set_clock(self, offset_s: float) -> None:
        """Let the program see another wall clock; the clock that measures time is as it was."""
        part = self._clock.with_suffix(".part")
        part.write_text(f"{offset_s:+.0f}\n")
        part.replace(self._clock)

    def look(self) -> None:
        """Note what it takes; start it again a second after it has ended by itself."""
        with self._lock:
            memory_mb = _group_mb(self._program.pid) if self._program is not None else 0.0
            disk_mb = self.disk.bytes_used() / 1e6
            self.peak = Peak(max(self.peak.memory_mb, memory_mb), max(self.peak.disk_mb, disk_mb))
            if not self._wanted or (self._program is not None and self._program.running):
                self._gone_at = None
            elif self._gone_at is None:
                self._gone_at = time.monotonic()
            elif time.monotonic() - self._gone_at >= _RESTART_S:
                self._gone_at = None
                self.restarts += 1
                self._start()

    def finish(self) -> None:
        """Let the sensor end. What ends by itself now is not started again."""
        with self._lock:
            self._wanted = False
            self.pipe.end()

    def ended(self) -> bool:
        """Tell whether its program has ended."""
        with self._lock:
            return self._program is None or not self._program.running

    def output(self) -> str:
        """Return what its program has printed since it was started last."""
        with self._lock:
            return self._program.output() if self._program is not None else ""

    def close(self) -> None:
        """End everything."""
        with self._lock:
            self._wanted = False
            self._stop()
            self.pipe.end()
            self.disk.close()

    def _goes_down(self) -> None:
        self._wanted = False
        self.killed_ms.append(time.time_ns() / 1e6)
        self.pipe.leave()

    def _start(self) -> None:
        self._stop()
        with self.pipe.path.open("rb", 0) as stdin:
            command = self._inside(self._launch.command)
            self._program = Program(command, MEASURED, stdin, env=self._env, folder=self.disk.path)

    def _stop(self) -> None:
        if self._program is not None:
            self._program.stop()
            self._program = None


def fake_time_library() -> Path | None:
    """Return libfaketime, which gives a program another clock, or None if it is not installed."""
    found = (
        path
        for root in ("/usr/lib", "/usr/local/lib")
        for path in Path(root).glob("**/faketime/libfaketime.so.1")
    )
    return next(found, None)


def _fake_clock(file: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(fake_time_library()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _group_mb(group: int) -> float:
    """Return the resident memory of a process group, in MB of 1,000,000 bytes."""
    pages = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ProcessLookupError):
            if os.getpgid(int(entry.name)) == group:
                pages += int(Path(entry.path, "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
