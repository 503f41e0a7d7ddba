"""What every sensor gives: blocks of readings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class Block(NamedTuple):
    """Readings in order of time: one or ten thousand, by the same path.

    timestamps: int64 nanoseconds since the Unix epoch, shape (n,). values: float32, shape (n, channels).
    """

    timestamps: NDArray[np.int64]
    values: NDArray[np.float32]


class EndOfReadings(Exception):
    """The sensor has nothing more to give, and never will."""


class Sensor(Protocol):
    """A source of readings. Everything else (retry, counting, windows) is done once, by its reader."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns."""

    def read(self) -> Block:
        """Wait for readings and return them; an empty block if the agent is to stop.

        Raises SensorError if there are none this time, EndOfReadings if there never will be.
        """

    def close(self) -> None:
        """Give back what the sensor holds. May be called twice."""


@runtime_checkable
class Choosing(Protocol):
    """A sensor that can leave out channels, so that what nobody wants need not even be a number."""

    def choose(self, channels: Sequence[str]) -> None:
        """Give only these channels from now on, in this order."""
