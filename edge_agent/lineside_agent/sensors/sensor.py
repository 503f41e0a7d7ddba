"""What every sensor gives: blocks of readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lineside_agent.counters import SensorCounters
from lineside_contract.categories import Codes
from lineside_contract.messages import EventKind


class Block(NamedTuple):
    """Readings in order of time: one or ten thousand, by the same path.

    timestamps: int64 nanoseconds since the Unix epoch, shape (n,). values: float32, shape (n, channels).
    """

    timestamps: NDArray[np.int64]
    values: NDArray[np.float32]


class News(NamedTuple):
    """Something about a sensor that the fleet should know. `sensor` names a part of it, if only that is meant."""

    event: EventKind
    detail: str
    sensor: str | None = None


class EndOfReadings(Exception):
    """The sensor has nothing more to give, and never will."""


class Sensor(Protocol):
    """A source of readings. Everything else (retry, counting, windows) is done once, by its reader."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns."""

    def read(self) -> Block:
        """Wait for readings and return them; an empty block if the agent is to stop.

        Raises BadReading if one is malformed and the next may be good, SensorError if the source has failed (the
        reader then closes the sensor and opens another one), EndOfReadings if there never will be more.
        """

    def close(self) -> None:
        """Give back what the sensor holds. May be called twice."""


@runtime_checkable
class Choosing(Protocol):
    """A sensor that can leave out channels, so that what nobody wants need not even be a number."""

    def choose(self, channels: Sequence[str]) -> None:
        """Give only these channels from now on, in this order."""


@runtime_checkable
class Translating(Protocol):
    """A sensor that reads text, and can give what some columns say as codes."""

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns, if there are such, as text, and have them among the channels. Before any reading."""


@runtime_checkable
class Subscribed(Protocol):
    """A sensor to which somebody else must send, and that can tell what nobody has sent."""

    def silent(self) -> str:
        """Say from where nothing has come, as a part of a sentence, and nothing if something has from everywhere."""


@runtime_checkable
class Composed(Protocol):
    """A sensor that is made of several, and tells how each of them is doing."""

    @property
    def counters(self) -> Mapping[str, SensorCounters]:
        """How each part is doing, by its name."""

    def take_news(self) -> list[News]:
        """Return what happened to the parts since the last call."""

    def take_gap(self) -> bool:
        """Return whether rows are missing between the block that was read last and the one before it."""
