"""Replays a recording: a CSV file, at the speed at which it was recorded or any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.csv_file import CsvFile, Piece
from lineside_agent.sensors.pace import Pace, Speed
from lineside_agent.sensors.sensor import Block, EndOfReadings
from lineside_contract.categories import Codes

_S = 1_000_000_000


class Settings(Struct, frozen=True, kw_only=True):
    """Which file, which columns, how fast.

    `block` is the most readings given at once at speed "fast". `interval_s` is the time between two readings
    of a file without times (`timestamp = "none"`). `restamp` gives readings the present time.
    """

    file: Path
    timestamp: str = "timestamp"
    delimiter: Literal["auto", ",", ";", "tab", "\t"] = "auto"
    columns: list[str] = []
    speed: Speed = 1.0
    loop: bool = False
    block: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    restamp: bool = False
    interval_s: Annotated[float, Meta(gt=0, le=86400)] = 1.0


def open(settings: Settings, clock: Clock, stop: Signal) -> Replay:
    """Open a recording. Raises InputError if it cannot be read."""
    return Replay(settings, clock, stop)


class Replay:
    """A sensor that gives what a file holds, when it is due.

    Readings keep the file's order and times, also where times repeat or go back; those that go back are due
    with the reading before them.
    """

    def __init__(self, settings: Settings, clock: Clock, stop: Signal) -> None:
        delimiter = settings.delimiter.replace("tab", "\t")
        self._file = CsvFile(settings.file, delimiter, settings.timestamp, settings.columns)
        self._settings = settings
        self._clock = clock
        self._pace = Pace(settings.speed, clock, stop)
        self._pieces: Iterator[tuple[Block, NDArray[np.float64]]] = self._play()
        self._block = _nothing(0)
        self._due = np.empty(0)  # seconds since the first reading, never falling

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns."""
        return self._file.channels

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns, if there are such, as text, and have them among the channels."""
        self._file.translate(columns)

    def read(self) -> Block:
        """Wait until a reading is due and return all that are; raise EndOfReadings after the last one.

        Raises InputError naming the line that cannot be read.
        """
        while not len(self._due):
            try:
                self._block, self._due = next(self._pieces)
            except StopIteration:
                raise EndOfReadings(f"{self._settings.file} has ended.") from None
        reached = self._pace.reach(float(self._due[0]))
        if reached is None:
            return _nothing(len(self.channels))
        count = int(np.searchsorted(self._due, reached, "right"))
        if self._settings.speed == "fast":
            count = min(count, self._settings.block)
        due, self._due = self._due[:count], self._due[count:]
        timestamps, values = self._block.timestamps[:count], self._block.values[:count]
        self._block = Block(self._block.timestamps[count:], self._block.values[count:])
        return Block(self._present(due, reached) if self._settings.restamp else timestamps, values)

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._pieces = iter(())
        self._block, self._due = _nothing(0), np.empty(0)

    def _play(self) -> Iterator[tuple[Block, NDArray[np.float64]]]:
        """Give the file's pieces with the seconds at which each reading is due; again and again if looping."""
        shift = 0  # ns by which this round comes after the first
        origin = self._clock.wall_ns()
        while True:
            count, start, newest = 0, 0, 0
            for piece in self._file.pieces():
                stamps = self._stamps(piece, origin, count)
                if not count:
                    start = newest = int(stamps[0])
                rising = np.maximum.accumulate(np.maximum(stamps, newest))
                newest = int(rising[-1])
                count += len(stamps)
                yield Block(stamps + shift, piece.values), (rising - start + shift) / _S
            if not self._settings.loop:
                return
            shift += newest - start + self._step(newest - start, count)

    def _stamps(self, piece: Piece, origin: int, before: int) -> NDArray[np.int64]:
        if piece.timestamps is not None:
            return piece.timestamps
        steps = np.arange(before, before + len(piece.values), dtype=np.int64)
        return origin + (steps * (self._settings.interval_s * _S)).astype(np.int64)

    def _step(self, span: int, count: int) -> int:
        """Return the time in ns between the last reading and the first one of the next round."""
        return span // (count - 1) if span and count > 1 else int(self._settings.interval_s * _S)

    def _present(self, due: NDArray[np.float64], reached: float) -> NDArray[np.int64]:
        now = self._clock.wall_ns()
        if self._settings.speed == "fast":
            return np.full(len(due), now)
        late = (reached - due) / self._settings.speed
        return now - (late * _S).astype(np.int64)


def _nothing(channels: int) -> Block:
    return Block(np.empty(0, np.int64), np.empty((0, channels), np.float32))
