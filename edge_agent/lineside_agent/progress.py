"""The sensing thread's progress, told to whoever supervises the agent: by that thread itself, never by a timer.

    sensing thread --made()--> every few seconds --+--> WATCHDOG=1 to systemd, which kills an agent that is silent
         '-- waits by WatchedClock --made()-->     '--> RUNTIME_DIRECTORY/alive, for `lineside agent health`

A thread that hangs in a driver, a model or a lock says nothing, however well the other thread delivers.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from lineside_agent.clock import Clock, Signal
from lineside_agent.notify import Notify, watchdog_s
from lineside_contract.files import write_whole

log = logging.getLogger(__name__)

SIGN = "alive"
LONGEST_SILENCE_S = 15.0
# A message may be lost, or a batch take long: several chances before the watchdog's time is over.
_CHANCES = 4


class Alive(msgspec.Struct, frozen=True):
    """What stands in the file: when progress was last made, by this machine's monotonic clock, and a sentence."""

    monotonic_s: float
    pid: int
    status: str


class Progress:
    """Tells of progress, but not at every step: at most every `every_s` seconds."""

    def __init__(
        self, environment: Mapping[str, str], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._notify = Notify(environment)
        self.every_s = min(LONGEST_SILENCE_S, (watchdog_s(environment) or 3600.0) / _CHANCES)
        folder = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        self._sign = Path(folder) / SIGN if folder else None
        self._monotonic = monotonic
        self._due_at = float("inf")  # until it has begun there is nothing to tell
        self._thread = 0
        self._describe: Callable[[], str] = str

    def begin(self, describe: Callable[[], str]) -> None:
        """Say that the agent is ready. The calling thread's progress counts; `describe` words its status."""
        self._describe = describe
        self._thread = threading.get_ident()
        self._due_at = self._monotonic()
        self._notify.send("READY=1")
        self.made()

    def made(self) -> None:
        """Count progress of the calling thread, if it is the one that counts."""
        now = self._monotonic()
        if now < self._due_at or threading.get_ident() != self._thread:
            return
        self._due_at = now + self.every_s
        status = self._describe()
        self._notify.send("WATCHDOG=1", f"STATUS={status}")
        self._write(Alive(now, os.getpid(), status))

    def wait_for(self, thread: threading.Thread) -> None:
        """Wait until another thread has ended. That is progress: nothing else is left to do."""
        while thread.is_alive():
            thread.join(self.every_s)
            self.made()

    def end(self) -> None:
        """Say that the agent is about to end."""
        self._notify.send("STOPPING=1")
        self._notify.close()
        if self._sign is not None:
            self._sign.unlink(missing_ok=True)

    def _write(self, alive: Alive) -> None:
        if self._sign is None:
            return
        try:
            write_whole(self._sign, msgspec.json.encode(alive), sync=False)
        except OSError as error:
            log.warning(
                "%s cannot be written, so nobody can ask for this agent's health: %s", self._sign, error
            )
            self._sign = None


class WatchedClock:
    """A clock by which waiting is progress: a sensor that gives a reading an hour is well."""

    def __init__(self, clock: Clock, progress: Progress) -> None:
        self._clock = clock
        self._progress = progress
        self.wall_ns = clock.wall_ns
        self.monotonic = clock.monotonic

    def wait(self, seconds: float, stop: Signal) -> bool:
        """Wait, at most until `stop` is raised; return whether it is."""
        until = self.monotonic() + seconds
        self._progress.made()
        while not self._clock.wait(min(seconds, self._progress.every_s), stop):
            self._progress.made()
            if (seconds := until - self.monotonic()) <= 0:
                return False
        return True
