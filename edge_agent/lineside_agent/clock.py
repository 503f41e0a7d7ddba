"""Time as the agent sees it, and the one way to wait: until a time, or until something happens."""

from __future__ import annotations

import os
import select
import time
from typing import Protocol

_SLICE_S = 1.0  # of a wait that a watched clock should know of


class Signal:
    """A flag that can be raised from another thread or a signal handler and waited for beside sockets.

    Raising it twice before it is seen wakes once.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._raised = False

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the flag is raised, for `select`."""
        return self._reader

    @property
    def raised(self) -> bool:
        """Whether the flag is up."""
        return self._raised

    def set(self) -> None:
        """Raise the flag. Costs a system call only if it was down."""
        if not self._raised:
            self._raised = True
            os.write(self._writer, b"!")

    def clear(self) -> None:
        """Lower the flag. Whatever it announced must be looked at after this, not before."""
        try:
            os.read(self._reader, 64)
        except BlockingIOError:
            pass
        self._raised = False

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._reader)
        os.close(self._writer)


class Clock(Protocol):
    """Where the agent gets its time from. Tests have their own and never sleep."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch, UTC. May jump: a label, never for order or intervals."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    def wait(self, seconds: float, stop: Signal) -> bool:
        """Wait, at most until `stop` is raised; return whether it is."""


def readable(descriptor: int, clock: Clock, stop: Signal) -> bool:
    """Wait until a descriptor has something to read; return False if `stop` is raised before."""
    while not clock.wait(0, stop):  # a clock that is watched sees that this waits, and does not hang
        if descriptor in select.select([descriptor, stop.fileno()], [], [], _SLICE_S)[0]:
            return not stop.raised
    return False


class SystemClock:
    """The machine's own clock."""

    def wall_ns(self) -> int:
        """Return nanoseconds since the Unix epoch, UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    def wait(self, seconds: float, stop: Signal) -> bool:
        """Wait, at most until `stop` is raised; return whether it is."""
        if not stop.raised and seconds > 0:
            select.select([stop], [], [], seconds)
        return stop.raised
