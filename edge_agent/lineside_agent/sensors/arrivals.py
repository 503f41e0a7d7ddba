"""Readings that a driver's own thread brings: kept until the sensing thread takes them."""

from __future__ import annotations

import threading

import numpy as np

from lineside_agent.clock import Clock, Signal, readable
from lineside_agent.sensors.sensor import Block
from lineside_contract.errors import BadReading, SensorError

_MOST_BLOCKS = 4096


class Arrivals:
    """A bounded queue of blocks between two threads. When it is full the oldest go, and that is told."""

    def __init__(self, channels: int, clock: Clock, stop: Signal) -> None:
        self._nothing = Block(np.empty(0, np.int64), np.empty((0, channels), np.float32))
        self._clock = clock
        self._stop = stop
        self._arrived = Signal()
        self._lock = threading.Lock()
        self._blocks: list[Block] = []
        self._lost = 0
        self._failure: SensorError | None = None
        self._closed = False

    def put(self, block: Block) -> None:
        """Add readings; from any thread."""
        with self._lock:
            if self._closed:
                return
            if len(self._blocks) == _MOST_BLOCKS:
                self._lost += len(self._blocks.pop(0).timestamps)
            self._blocks.append(block)
            self._arrived.set()

    def fail(self, error: SensorError) -> None:
        """Let the next `take` that finds nothing raise this; from any thread."""
        with self._lock:
            if not self._closed:
                self._failure = self._failure or error
                self._arrived.set()

    def take(self) -> Block:
        """Wait for readings and return all; an empty block if the agent is to stop.

        Raises BadReading if some were lost because nobody took them in time, or what `fail` was given.
        """
        while True:
            if not (self._arrived.raised or self._failure):
                readable(self._arrived.fileno(), self._clock, self._stop)
            self._arrived.clear()
            with self._lock:
                blocks, self._blocks = self._blocks, []
                lost, self._lost = self._lost, 0
                if lost:
                    self._blocks = blocks
                    self._arrived.set()
            if lost:
                raise BadReading(f"{lost} readings were lost: they came faster than they were taken.")
            if blocks:
                return _joined(blocks)
            if self._failure is not None:
                raise self._failure
            if self._stop.raised:
                return self._nothing

    def close(self) -> None:
        """Take nothing more. May be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._arrived.close()


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return Block(
        np.concatenate([block.timestamps for block in blocks]),
        np.concatenate([block.values for block in blocks]),
    )
