"""A sensor with all the worrying done: opened again after a failure, its channels put in order, NaN counted."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lineside_agent.clock import Clock, Signal
from lineside_agent.counters import SensorCounters
from lineside_agent.left_out import LeftOut
from lineside_agent.sensors import Block, EndOfReadings, Sensor, open_sensor
from lineside_agent.sensors.sensor import Choosing, Composed, News
from lineside_agent.sensors.texts import refused, translate
from lineside_agent.settings import NonFinite, SensorSettings
from lineside_agent.windows import finite_rows, select_channels
from lineside_contract.errors import BadReading, InputError, SensorError
from lineside_contract.manifest import Channel

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


class Reader:
    """Reads one sensor. Never raises for what may pass; raises InputError for what only a person can mend."""

    def __init__(
        self,
        settings: SensorSettings,
        channels: Sequence[Channel],
        non_finite: NonFinite,
        counters: SensorCounters,
        clock: Clock,
        stop: Signal,
    ) -> None:
        self._settings = settings
        self._channels = channels
        self._wanted = [channel.name for channel in channels]
        self._refusing = any(channel.refuses for channel in channels)
        self._non_finite = non_finite
        self._counters = counters
        self._clock = clock
        self._stop = stop
        self.name = "the sensor"  # in the log
        self.advice = 'With non_finite = "pass" in [input] the model gets such readings.'  # on a NaN
        self._left_out = LeftOut(self._wanted, clock)
        self._sensor: Sensor | None = None
        self._composed: Composed | None = None  # the sensor, if it is
        self._opened = False  # once, at least
        self._columns: list[int] | None = None  # None: as they come
        self._pause_s = 0.0
        self._pause_until = 0.0
        self._news: list[News] = []
        self._gap = False

    def open(self) -> None:
        """Try to open the sensor. Raises InputError if its settings or channels can never work."""
        try:
            self._open()
        except SensorError as error:
            self._fail(error)

    def adopt(self, sensor: Sensor) -> None:
        """Read a sensor that is open already. Raises InputError if it lacks a channel."""
        self._arrange(sensor)

    def read(self) -> Block | None:
        """Wait for readings of the wanted channels, in their order; None if there are none this time.

        Raises EndOfReadings if there never will be more.
        """
        if self._clock.wait(self._pause_until - self._clock.monotonic(), self._stop):
            return None
        try:
            sensor = self._sensor or self._open_again()
            block = sensor.read()
        except BadReading as error:
            self._counters.failures += 1
            self._counters.detail = str(error)
            log.warning("a reading of %s is left out: %s", self.name, error)
            return None
        except SensorError as error:
            self._fail(error)
            return None
        except EndOfReadings:
            self._counters.state = "ended"
            self._log_left_out()
            raise
        if not len(block.timestamps):
            return None
        return self._take(block)

    def take_news(self) -> list[News]:
        """Return what happened to the sensor since the last call."""
        news, self._news = self._news, []
        if self._composed is not None:
            news += self._composed.take_news()
        return news

    def take_gap(self) -> bool:
        """Return whether what was read last does not follow on what was read before: in between it had failed."""
        gap, self._gap = self._gap, False
        return (self._composed is not None and self._composed.take_gap()) or gap

    def close(self) -> None:
        """Close the sensor."""
        if self._sensor is not None:
            self._sensor.close()
            self._sensor = self._composed = None
        self._log_left_out()

    def _open_again(self) -> Sensor:
        try:
            return self._open()
        except InputError as error:
            # What a source gives may change while the agent runs. That is no reason to end it.
            if self._opened:
                raise SensorError(error.message, hint=error.hint) from error
            raise

    def _open(self) -> Sensor:
        return self._arrange(
            open_sensor(self._settings.kind, self._settings.options, self._clock, self._stop)
        )

    def _arrange(self, sensor: Sensor) -> Sensor:
        """Have a sensor give the wanted channels, in their order."""
        try:
            translate(sensor, self._channels, self._settings.channels)
            columns = select_channels(sensor.channels, self._wanted, self._settings.channels).tolist()
        except InputError:
            sensor.close()
            raise
        if isinstance(sensor, Choosing):
            sensor.choose([sensor.channels[column] for column in columns])
            columns = list(range(len(columns)))
        self._columns = None if columns == list(range(len(sensor.channels))) else columns
        if isinstance(sensor, Composed):  # which takes too long to ask for each reading
            self._counters.parts = sensor.counters
            self._composed = sensor
        self._sensor, self._opened = sensor, True
        return sensor

    def _take(self, block: Block) -> Block:
        counters = self._counters
        if counters.state != "ok":
            if counters.state == "failed":
                self._news.append(News("sensor_recovered", ""))
                log.info("%s gives readings again", self.name)
            counters.state, counters.detail = "ok", ""
        self._pause_s = 0.0
        counters.readings += len(block.timestamps)
        counters.last_reading_at = self._clock.monotonic()
        if self._columns is not None:
            block = Block(block.timestamps, block.values[:, self._columns])
        kept, bad = finite_rows(block, self._non_finite)
        if bad:
            counters.non_finite += bad
            if self._non_finite == "skip":
                self._leave_out(block.values)
        elif self._left_out.lasting and self._left_out.look_over():
            self._log_left_out()
            self._news.append(News("readings_complete", ""))
            log.info("%s gives complete readings again", self.name)
        return self._without_refused(kept) if self._refusing else kept

    def _leave_out(self, values: NDArray[np.float32]) -> None:
        """Tell of readings that are left out: as an event when it begins, and in the log now and then."""
        begins = not self._left_out.lasting
        if self._left_out.add(values) and (said := self._log_left_out()) and begins:
            self._news.append(News("readings_left_out", said))

    def _log_left_out(self) -> str:
        if said := self._left_out.take():
            log.warning("%s: %s %s", self.name, said, self.advice)
        return said

    def _without_refused(self, block: Block) -> Block:
        bad = refused(block.values, self._channels)
        if not bad.any():
            return block
        self._counters.failures += int(bad.sum())
        self._counters.detail = "a text is none that the model has an answer to"
        log.warning("%d readings are left out: %s", bad.sum(), self._counters.detail)
        return Block(block.timestamps[~bad], block.values[~bad])

    def _fail(self, error: SensorError) -> None:
        """Tell of the failure, and open the sensor anew after a pause: nothing of the last one lingers."""
        self.close()
        self._gap = True
        counters = self._counters
        counters.failures += 1
        if counters.state != "failed":
            self._news.append(News("sensor_failed", str(error)))
            log.warning("%s failed and is opened again from time to time: %s", self.name, error)
        counters.state, counters.detail = "failed", str(error)
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2 or _FIRST_PAUSE_S)
        self._pause_until = self._clock.monotonic() + self._pause_s
