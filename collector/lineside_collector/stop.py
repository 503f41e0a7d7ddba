"""How the collector is told to stop: a flag that a signal handler raises and that `select` can wait for."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """A flag that goes up once and stays up."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._raised = False
        self.interrupted = False  # by Ctrl-C, which a shell wants to know

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the flag is raised."""
        return self._reader

    @property
    def raised(self) -> bool:
        """Whether the flag is up."""
        return self._raised

    def set(self) -> None:
        """Raise the flag. Safe in a signal handler."""
        if not self._raised:
            self._raised = True
            os.write(self._writer, b"!")

    def wait(self, seconds: float) -> bool:
        """Wait, at most until the flag is raised; return whether it is."""
        if not self._raised and seconds > 0:
            select.select([self], [], [], seconds)
        return self._raised

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Raise the flag at SIGTERM and SIGINT; afterwards the handlers are as they were."""
    stop = Stop()
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(kind) for kind in kinds]

    def handle(number: int, _frame: object) -> None:
        stop.interrupted = number == signal.SIGINT
        stop.set()
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)  # a second one ends the program at once

    for kind in kinds:
        signal.signal(kind, handle)
    try:
        yield stop
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
        stop.close()
