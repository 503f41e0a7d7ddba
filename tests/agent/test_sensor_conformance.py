"""What every kind of sensor promises, tried with each one's real source."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sensor_source import ImpatientClock, Source
from sensor_sources import SOURCES

from lineside_agent import clock as clock_module
from lineside_agent.clock import Signal, SystemClock
from lineside_agent.counters import SensorCounters
from lineside_agent.reader import Reader
from lineside_agent.sensors import JOIN, KINDS, Block, Sensor, join, mqtt
from lineside_agent.settings import SensorSettings
from lineside_contract.errors import InputError, SensorError
from lineside_contract.manifest import Channel

LONGEST_S = 10.0
STOP_WITHIN_S = 1.0


@pytest.fixture(params=SOURCES, ids=lambda source: source.kind)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    made: Source = request.param(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def stop() -> Iterator[Signal]:
    made = Signal()
    yield made
    made.close()


@pytest.fixture(
    params=[source for source in SOURCES if source.mortal], ids=lambda source: source.kind, name="mortal"
)
def mortal_source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    made: Source = request.param(tmp_path)
    made.start()
    yield made
    made.stop()


def blocks(sensor: Sensor, readings: int) -> list[Block]:
    """Read until so many readings have come."""
    found: list[Block] = []
    deadline = time.monotonic() + LONGEST_S
    while sum(len(block.timestamps) for block in found) < readings:
        assert time.monotonic() < deadline, "no readings come"
        found.append(sensor.read())
    return found


def test_every_kind_is_tried() -> None:
    assert {source.kind for source in SOURCES} == {*KINDS, JOIN}


def test_readings_have_their_shape_and_their_order(source: Source, stop: Signal) -> None:
    sensor = source.open(stop)
    try:
        found = blocks(sensor, 20)
    finally:
        sensor.close()
    assert sensor.channels == source.channels
    for block in found:
        assert (block.timestamps.dtype, block.values.dtype) == (np.int64, np.float32)
        assert block.timestamps.shape == (len(block.values),)
        assert block.values.shape[1] == len(source.channels)
    assert np.all(np.diff(np.concatenate([block.timestamps for block in found])) > 0)
    assert np.isfinite(np.concatenate([block.values for block in found])).all()


def test_a_stop_ends_a_waiting_read_within_a_second(source: Source, stop: Signal) -> None:
    sensor = source.open(stop)
    try:
        blocks(sensor, 2)
        source.silence()
        began: list[float] = []

        def raise_it() -> None:
            began.append(time.monotonic())
            stop.set()

        timer = threading.Timer(0.15, raise_it)
        timer.start()
        while len(sensor.read().timestamps):
            pass
        ended = time.monotonic()
        timer.join()
        assert ended - began[0] < STOP_WITHIN_S
        for _ in range(3):  # and then at once, what is still there first
            block = sensor.read()
            assert block.values.shape == (len(block.timestamps), len(source.channels))
    finally:
        sensor.close()


class CountingClock(SystemClock):
    """Raises a signal once somebody has waited by it so many times."""

    left = 0

    def stop_after(self, waits: int, stop: Signal) -> None:
        self.left, self.stop = waits, stop

    def wait(self, seconds: float, stop: Signal) -> bool:
        self.left -= 1
        if self.left == 0:
            self.stop.set()
        return super().wait(seconds, stop)


def test_waiting_for_a_quiet_source_is_progress_so_that_no_watchdog_barks(
    source: Source, stop: Signal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((clock_module, "_SLICE_S"), (join, "_LOOK_UP_S"), (mqtt, "_TICK_S")):
        monkeypatch.setattr(module, name, 0.02)
    clock = CountingClock()
    sensor = source.open(stop, clock)
    try:
        blocks(sensor, 2)
        source.silence()
        clock.stop_after(3, stop)
        timer = threading.Timer(STOP_WITHIN_S * 10, stop.set)
        timer.start()
        while not stop.raised:
            sensor.read()
        assert timer.is_alive()  # it was the third wait that ended it
        timer.cancel()
    finally:
        sensor.close()


def test_closing_twice_is_fine(source: Source, stop: Signal) -> None:
    sensor = source.open(stop)
    sensor.close()
    sensor.close()


def test_a_closed_sensor_leaves_nothing_open(mortal: Source, stop: Signal) -> None:
    def open_and_close() -> tuple[int, int]:
        sensor = mortal.open(stop)
        sensor.read()
        sensor.close()
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    open_and_close()  # what a driver keeps for the next time
    descriptors, threads = open_and_close()
    deadline = time.monotonic() + LONGEST_S
    while (after := open_and_close())[0] > descriptors or after[1] > threads:
        assert time.monotonic() < deadline, f"{descriptors} descriptors and {threads} threads become {after}"
        gc.collect()


def test_a_source_that_dies_is_told_with_a_next_step_and_read_again_when_it_is_back(
    mortal: Source, stop: Signal
) -> None:
    source = mortal
    counters = SensorCounters()
    wanted = [Channel(name=name) for name in reversed(source.channels)]
    settings = SensorSettings(kind=source.kind, options=source.settings())
    reader = Reader(settings, wanted, "skip", counters, ImpatientClock(), stop)
    try:
        reader.open()
        assert next_block(reader).values.shape[1] == len(source.channels)
        source.kill()
        deadline = time.monotonic() + LONGEST_S
        while counters.state != "failed":
            assert time.monotonic() < deadline, "the death is not noticed"
            reader.read()
        assert [news.event for news in reader.take_news()] == ["sensor_failed"]
        assert_sentence_and_hint(counters.detail)
        reader.read()  # opening fails too, and is no news
        assert reader.take_news() == []
        source.start()
        assert next_block(reader).values.shape[1] == len(source.channels)
        assert counters.state == "ok"
        assert [news.event for news in reader.take_news()] == ["sensor_recovered"]
    finally:
        reader.close()


def test_a_source_that_is_not_there_is_a_sensor_error_with_a_next_step(mortal: Source, stop: Signal) -> None:
    mortal.kill()
    with pytest.raises(SensorError) as error:
        blocks(mortal.open(stop), 1)
    assert error.value.hint
    assert_sentence_and_hint(str(error.value))


def test_wrong_settings_are_refused_in_one_sentence_with_a_next_step(source: Source, stop: Signal) -> None:
    right = source.settings
    source.settings = lambda: right(**source.wrong)  # type: ignore[method-assign]
    with pytest.raises(InputError) as error:
        source.open(stop)
    assert "\n" not in str(error.value)
    assert error.value.hint or "[sensors.main]" in str(error.value)  # where to look, if nothing else


def next_block(reader: Reader) -> Block:
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        if (block := reader.read()) is not None:
            return block
    raise AssertionError("no readings come")


def assert_sentence_and_hint(text: str) -> None:
    assert "\n" not in text
    assert text[0].isupper() or text[0] in "'/"
    assert ". " in text.rstrip(".")
