"""Reads a sensor and shows what it gives: as a table that moves, as CSV, or as JSON lines."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

from lineside_agent.clock import Signal, SystemClock
from lineside_agent.sensors import Block, EndOfReadings, Sensor, open_sensor
from lineside_agent.sensors.sensor import Composed, Subscribed
from lineside_agent.settings import SensorSettings
from lineside_contract.errors import BadReading, SensorError
from lineside_contract.plurals import plural

Form: TypeAlias = Literal["table", "csv", "json"]

_REDRAW_S = 0.25


class Order(NamedTuple):
    """What to show: at most so many readings, for at most `seconds`; 0 is without end."""

    sensor: SensorSettings
    form: Form
    readings: int
    seconds: float


class _View(Protocol):
    """A way to show readings."""

    def add(self, block: Block) -> None: ...

    def end(self) -> None: ...


class Ranges:
    """What has come so far, a column a channel."""

    def __init__(self, channels: Sequence[str]) -> None:
        self.channels = channels
        self.count = 0
        self.last = np.full(len(channels), np.nan)
        self.least = np.full(len(channels), np.nan)
        self.most = np.full(len(channels), np.nan)
        self.missing = np.zeros(len(channels), np.int64)
        self._first_ns = self._last_ns = 0

    def add(self, block: Block) -> None:
        """Take readings in."""
        self._first_ns = self._first_ns or int(block.timestamps[0])
        self._last_ns = int(block.timestamps[-1])
        self.count += len(block.timestamps)
        self.last = block.values[-1].astype(np.float64)
        self.least = np.fmin(self.least, np.fmin.reduce(block.values, axis=0))
        self.most = np.fmax(self.most, np.fmax.reduce(block.values, axis=0))
        self.missing += np.count_nonzero(~np.isfinite(block.values), axis=0)

    @property
    def rate_hz(self) -> float:
        """Readings a second, by their own times; NaN as long as there are too few to tell."""
        seconds = (self._last_ns - self._first_ns) / 1e9
        return (self.count - 1) / seconds if seconds > 0 else math.nan

    def lines(self) -> list[str]:
        """Return a table of the channels, and a line on all of them."""
        width = max(7, *map(len, self.channels))
        rows = [f"{'channel':<{width}} {'now':>12} {'least':>12} {'most':>12} {'missing':>8}"]
        for number, channel in enumerate(self.channels):
            values = (self.last[number], self.least[number], self.most[number])
            shown = " ".join(f"{'-' if math.isnan(value) else f'{value:.6g}':>12}" for value in values)
            rows.append(f"{channel:<{width}} {shown} {self.missing[number]:>8}")
        rate = "" if math.isnan(self.rate_hz) else f", {self.rate_hz:.4g} a second"
        return [*rows, f"{plural(self.count, 'reading')}{rate}"]


def show(order: Order, stop: Signal) -> int:
    """Read until told to stop, or until there is enough; return how many readings came.

    Raises InputError or SensorError as the sensor does, and SensorError if no reading came in `seconds`.
    """
    with _timer(order.seconds, stop):
        sensor = open_sensor(order.sensor.kind, order.sensor.options, SystemClock(), stop)
        try:
            names = [order.sensor.channels.get(channel, channel) for channel in sensor.channels]
            ranges = Ranges(names)
            view = _FORMS[order.form](ranges)
            reading = _Reading(sensor)
            while not stop.raised and not (order.readings and ranges.count >= order.readings):
                block = reading.read()
                if isinstance(sensor, Composed):
                    for news in sensor.take_news():
                        print(f"{news.event}: {news.sensor}: {news.detail}", file=sys.stderr)
                left = order.readings - ranges.count if order.readings else len(block.timestamps)
                if len(block.timestamps):
                    block = Block(block.timestamps[:left], block.values[:left])
                    ranges.add(block)
                    view.add(block)
        except EndOfReadings:
            pass
        finally:
            sensor.close()
    view.end()
    if not ranges.count and order.seconds:
        raise reading.none_came(order.seconds)
    return ranges.count


class _Reading:
    """Reads past what is malformed, which is told and counted."""

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor
        self._left_out = 0

    def read(self) -> Block:
        """Return the next readings."""
        while True:
            try:
                return self._sensor.read()
            except BadReading as error:
                self._left_out += 1
                print(f"left out: {error}", file=sys.stderr)

    def none_came(self, seconds: float) -> SensorError:
        """Return why there is no reading after so many seconds, as far as it is known."""
        reasons, hints = [], []
        if self._left_out:
            reasons.append(f"all that came ({self._left_out}) was left out, as told above")
            hints.append("Correct the sensor's settings, or what it sends.")
        if isinstance(self._sensor, Subscribed) and (silent := self._sensor.silent()):
            reasons.append(silent)
            hints.append("Is that spelled right? Else wait longer with --seconds.")
        why = f": {'; '.join(reasons)}" if reasons else ""
        hint = " ".join(hints) or "Wait longer with --seconds."
        return SensorError(f"No reading came in {seconds:g} s{why}.", hint=hint)


@contextmanager
def _timer(seconds: float, stop: Signal) -> Iterator[None]:
    timer = threading.Timer(seconds, stop.set) if seconds else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
            timer.join()


class _Table:
    """A table that is drawn over itself, a few times a second."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._height = 0
        self._due = 0.0

    def add(self, _block: Block) -> None:
        if time.monotonic() >= self._due:
            self._draw()

    def end(self) -> None:
        self._draw()

    def _draw(self) -> None:
        lines = self._ranges.lines()
        up = f"\033[{self._height}F" if self._height else ""
        sys.stdout.write(up + "".join(f"{line}\033[K\n" for line in lines))
        sys.stdout.flush()
        self._height = len(lines)
        self._due = time.monotonic() + _REDRAW_S


class _Csv:
    """What `kind = "replay"` plays."""

    def __init__(self, ranges: Ranges) -> None:
        print(",".join(["timestamp", *map(_cell, ranges.channels)]), flush=True)

    def add(self, block: Block) -> None:
        rows = zip(block.timestamps.tolist(), block.values.tolist(), strict=True)
        print("\n".join(",".join([_iso(at), *map(_plain, row)]) for at, row in rows), flush=True)

    def end(self) -> None:
        pass


class _JsonLines:
    def __init__(self, ranges: Ranges) -> None:
        self._channels = ranges.channels

    def add(self, block: Block) -> None:
        for at, row in zip(block.timestamps.tolist(), block.values.tolist(), strict=True):
            values = [value if math.isfinite(value) else None for value in map(_short, row)]
            reading = {"timestamp": _iso(at), **dict(zip(self._channels, values, strict=True))}
            print(json.dumps(reading, ensure_ascii=False), flush=True)

    def end(self) -> None:
        pass


_FORMS: dict[Form, Callable[[Ranges], _View]] = {"table": _Table, "csv": _Csv, "json": _JsonLines}


def _iso(at_ns: int) -> str:
    seconds, rest = divmod(at_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def _short(value: float) -> float:
    """Return a float32 as the shortest number that means the same one."""
    return float(str(np.float32(value)))


def _plain(value: float) -> str:
    return "" if math.isnan(value) else str(np.float32(value))


def _cell(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if set(name) & set(',"\n') else name
