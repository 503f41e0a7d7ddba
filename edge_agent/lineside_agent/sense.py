"""The sensing thread: readings become windows, windows become predictions, predictions go into the outbox.

    sensor --block--> windows --batch--> model --answers--> messages --put--> [outbox] --offer--> delivery

It never touches the network: whatever happens there, this goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from lineside_agent.clock import Clock
from lineside_agent.counters import Counters
from lineside_agent.encode import Code, Encoder, Identity
from lineside_agent.model import Model
from lineside_agent.outbox import Outbox
from lineside_agent.reader import Reader
from lineside_agent.segment import Entry
from lineside_agent.sensors import EndOfReadings
from lineside_agent.windows import Inputs, Windows
from lineside_contract.messages import Event, EventKind, Ranges, encode

log = logging.getLogger(__name__)

# A larger batch is no faster, and would make what comes after it wait.
_MOST_IN_BATCH = 1000


class Sense:
    """Reads, predicts and puts."""

    def __init__(
        self,
        reader: tuple[str, Reader],
        windows: Windows,
        model: tuple[Model, Encoder],
        outbox: tuple[Outbox, Callable[[list[Entry]], None]],
        identity: Identity,
        counters: Counters,
        clock: Clock,
    ) -> None:
        """`outbox` comes with the function that is offered each entry for immediate delivery."""
        self._sensor, self._reader = reader
        self._windows = windows
        self._model, self._encoder = model
        self._outbox, self._offer = outbox
        self._identity = identity
        self._counters = counters
        self._clock = clock
        self._disk_failing = False

    def sense_once(self) -> bool:
        """Take in what the sensor has. Returns False if it will never have more."""
        try:
            block = self._reader.read()
        except EndOfReadings as end:
            self.tell("sensor_ended", str(end), sensor=self._sensor)
            return False
        for news in self._reader.take_news():
            self.tell(news.event, news.detail, sensor=news.sensor or self._sensor)
        if self._reader.take_gap():
            # A window that spans an outage would be one that the machine never showed.
            self._windows.clear()
        if block is not None:
            self._predict(self._windows.push(block))
        self._tell_of_outbox()
        commit_at = self._outbox.commit_at
        if commit_at is not None and self._clock.monotonic() >= commit_at:
            self._outbox.commit()
        return True

    def tell(
        self, event: EventKind, detail: str, *, sensor: str | None = None, dropped: Ranges | None = None
    ) -> None:
        """Put an event into the outbox."""
        message = Event(
            ts=self._clock.wall_ns() // 1_000_000,
            device=self._identity.device,
            boot=self._identity.boot,
            seq=self._outbox.next_seq,
            event=event,
            detail=detail,
            sensor=sensor,
            dropped=dropped,
        )
        self._offer(self._outbox.put([(Code.EVENT, 1, encode(message))]))

    def _predict(self, inputs: Inputs) -> None:
        for start in range(0, len(inputs.timestamps), _MOST_IN_BATCH):
            timestamps = inputs.timestamps[start : start + _MOST_IN_BATCH]
            began = time.perf_counter_ns()
            answers = self._model.predict(inputs.values[start : start + _MOST_IN_BATCH])
            self._counters.inference_ns += time.perf_counter_ns() - began
            self._offer(self._outbox.put(self._encoder.encode(timestamps, answers, self._outbox.next_seq)))
            self._counters.predictions += len(timestamps)

    def _tell_of_outbox(self) -> None:
        if self._outbox.disk_failing != self._disk_failing:
            self._disk_failing = self._outbox.disk_failing
            if self._disk_failing:
                self.tell("disk_full", "The disk takes nothing; messages wait in memory.")
            else:
                self.tell("disk_recovered", "The disk takes messages again.")
        if dropped := self._outbox.take_dropped():
            count = sum(last - first + 1 for ranges in dropped.values() for first, last in ranges)
            log.error("the outbox dropped %d messages undelivered; their numbers are announced", count)
            self.tell("outbox_dropped", f"{count} messages were dropped.", dropped=dropped)
