"""The sensor: readings at a steady rate, into a pipe for each program. It waits for nobody."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import termios
import threading
import time
from collections.abc import Iterable
from pathlib import Path

_LINE_BYTES = 100
# What a sensor's driver and the kernel may keep for a program that is busy: 160 readings.
_PIPE_BYTES = 16_384


class Pipe:
    """A named pipe with readings in it, which outlives the program that reads it.

    given: Unix milliseconds of every reading by its number. refused: those for which there was no room, because
    the program did not read. While a program is away that was killed on purpose, and until it reads again, nothing
    is given: how long it takes to start is not what is measured.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.given: dict[int, float] = {}
        self.refused: set[int] = set()
        self._away = False
        self._knocked = False
        self._lock = threading.Lock()
        os.mkfifo(path)
        # Open for both: nobody has to read yet, and nobody sees an end while programs come and go.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def give(self, number: int) -> None:
        """Put a reading in, or lose it."""
        with self._lock:
            if self._away or (self._knocked and self._waiting_bytes()):
                return
            self._knocked = False
            self._put(number)

    def leave(self) -> None:
        """Give nothing until `knock`: the program has gone, and what it had not read with it."""
        with self._lock:
            self._away = True
            with contextlib.suppress(BlockingIOError):
                while os.read(self._descriptor, _PIPE_BYTES):
                    pass

    def knock(self, number: int) -> None:
        """Put one reading in, and give more when the program has taken that."""
        with self._lock:
            self._away = False
            self._knocked = True
            self._put(number)

    def _waiting_bytes(self) -> int:
        count = bytearray(4)
        fcntl.ioctl(self._descriptor, termios.FIONREAD, count)
        return int.from_bytes(count, sys.byteorder)

    def _put(self, number: int) -> None:
        line = json.dumps({"count": number}).ljust(_LINE_BYTES - 1) + "\n"
        self.given[number] = time.time_ns() / 1e6
        try:
            os.write(self._descriptor, line.encode())
        except BlockingIOError:
            self.refused.add(number)

    def end(self) -> None:
        """Let whoever reads see the end."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Feed:
    """Gives every pipe the same readings, from number 0 on, in a thread of its own."""

    def __init__(self, pipes: Iterable[Pipe], per_s: float) -> None:
        self._pipes = list(pipes)
        self._period_s = 1 / per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._give, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give no more."""
        self._stop.set()
        self._thread.join()

    def _give(self) -> None:
        start = time.monotonic()
        number = 0
        while not self._stop.wait(max(0.0, start + number * self._period_s - time.monotonic())):
            for pipe in self._pipes:
                pipe.give(number)
            number += 1
