"""From a sensor's readings to the model's inputs: choose channels, deal with NaN, cut windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lineside_agent.sensors.sensor import Block
from lineside_contract.errors import InputError, nearest


class Inputs(NamedTuple):
    """k windows. timestamps: of each one's newest reading, int64 ns, shape (k,). values: float32 (k, features)."""

    timestamps: NDArray[np.int64]
    values: NDArray[np.float32]


class Windows:
    """Cuts a stream of readings into windows, the same ones however the stream is split into blocks.

    The first window ends at reading number `length`, the next ones every `hop` readings; `hop` may exceed
    `length`. Holds at most `length` - 1 readings between two blocks. Raises InputError for a length or hop
    below 1.
    """

    def __init__(self, channels: int, length: int, hop: int) -> None:
        if min(channels, length, hop) < 1:
            raise InputError(
                f"A window of {length} readings of {channels} channels every {hop} is impossible."
            )
        self._length, self._hop = length, hop
        self._tail = np.empty((0, channels), np.float32)
        self._skip = 0  # how many coming readings belong to no window, when hop exceeds length

    def push(self, block: Block) -> Inputs:
        """Take readings in and return the windows that they complete.

        The values have shape (k, length * channels), C-contiguous: reading by reading, each with its
        channels in order. They may be the block's own memory.
        """
        skipped = min(self._skip, len(block.values))
        self._skip -= skipped
        fresh = block.values[skipped:]
        readings = np.concatenate([self._tail, fresh]) if len(self._tail) else fresh
        count = (len(readings) - self._length) // self._hop + 1 if len(readings) >= self._length else 0
        # Readings in the tail have no timestamps: a window's newest reading is never among them.
        newest = skipped - len(self._tail) + self._length - 1
        timestamps = block.timestamps[newest :: self._hop] if count else block.timestamps[:0]
        inputs = self._cut(readings, count)
        self._keep(readings, count * self._hop)
        return Inputs(timestamps, inputs)

    def clear(self) -> None:
        """Forget the readings taken in: the next window begins with the next reading."""
        self._tail = self._tail[:0]
        self._skip = 0

    def _cut(self, readings: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        features = self._length * readings.shape[1]
        if not count:
            return np.empty((0, features), np.float32)
        if self._length == 1:
            return np.ascontiguousarray(readings[:: self._hop])
        if count == 1:  # a reading at a time: what follows would cost four times as much
            return np.ascontiguousarray(readings[: self._length]).reshape(1, features)
        flat = np.ascontiguousarray(readings).reshape(-1)
        step = self._hop * readings.shape[1]
        return np.ascontiguousarray(sliding_window_view(flat, features)[::step])

    def _keep(self, readings: NDArray[np.float32], used: int) -> None:
        self._skip += max(0, used - len(readings))
        # A copy: a view would keep the whole block alive.
        self._tail = readings[used:].copy()


def select_channels(
    available: Sequence[str], wanted: Sequence[str], renames: Mapping[str, str]
) -> NDArray[np.intp]:
    """Return the columns of a sensor that are the model's channels, in the model's order.

    `renames` maps a sensor's column names to the model's channel names. Raises InputError if it names a
    column that the sensor lacks, if two columns claim one channel, or if a wanted channel is missing.
    """
    for column in renames:
        if column not in available:
            raise InputError(
                f"The setting channels renames {column!r}, which the sensor does not have.",
                hint=nearest(column, available) or _known("The sensor has", available),
            )
    names = [renames.get(column, column) for column in available]
    for channel in wanted:
        if names.count(channel) > 1:
            raise InputError(
                f"The sensor gives the channel {channel!r} twice.", hint="Correct the setting channels."
            )
    if missing := [channel for channel in wanted if channel not in names]:
        raise InputError(
            f"The model needs {', '.join(map(repr, missing))}, which the sensor does not give.",
            hint=" ".join(
                [
                    *dict.fromkeys(filter(None, (nearest(channel, names) for channel in missing))),
                    _known("The sensor gives", names),
                    'Rename with channels = { "sensor column" = "model channel" }.',
                ]
            ),
        )
    return np.array([names.index(channel) for channel in wanted], np.intp)


def finite_rows(block: Block, mode: Literal["skip", "pass"]) -> tuple[Block, int]:
    """Return a block without its readings that hold a NaN or an infinity (`skip`) or as it is (`pass`).

    Also returns how many such readings there were.
    """
    cells = np.isfinite(block.values)
    if np.logical_and.reduce(cells, axis=None):
        return block, 0
    finite: NDArray[np.bool_] = np.logical_and.reduce(cells, axis=1)
    bad = len(finite) - int(np.count_nonzero(finite))
    if mode == "skip":
        return Block(block.timestamps[finite], block.values[finite]), bad
    return block, bad


def _known(introduction: str, names: Sequence[str]) -> str:
    return f"{introduction} {', '.join(map(repr, names)) or 'none'}."
