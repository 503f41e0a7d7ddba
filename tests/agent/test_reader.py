from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes import FakeClock

from lineside_agent import reader as module
from lineside_agent.clock import Signal
from lineside_agent.counters import SensorCounters
from lineside_agent.reader import Reader
from lineside_agent.sensors import Block, EndOfReadings
from lineside_agent.settings import SensorSettings
from lineside_contract.errors import BadReading, InputError, SensorError
from lineside_contract.manifest import Channel


class ScriptedSensor:
    """Gives, raises and ends as the test says."""

    channels = ("b", "a", "other")

    def __init__(self, script: list[Any]) -> None:
        self.script = script
        self.closed = False

    def read(self) -> Block:
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        values = np.array(step, np.float32).reshape(-1, 3)
        return Block(np.arange(len(values), dtype=np.int64), values)

    def close(self) -> None:
        self.closed = True


class Rig:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *script: Any, non_finite: Any = "skip") -> None:
        self.clock = FakeClock()
        self.counters = SensorCounters()
        self.sensor = ScriptedSensor(list(script))
        self.openings: list[Exception] = []

        def open_sensor(*_: object) -> ScriptedSensor:
            if self.openings:
                raise self.openings.pop(0)
            return self.sensor

        monkeypatch.setattr(module, "open_sensor", open_sensor)
        self.reader = Reader(
            SensorSettings(kind="replay"),
            [Channel(name="a"), Channel(name="b")],
            non_finite,
            self.counters,
            self.clock,
            Signal(),
        )


def test_channels_come_in_the_models_order(monkeypatch: pytest.MonkeyPatch) -> None:
    block = Rig(monkeypatch, [[1, 2, 3], [4, 5, 6]]).reader.read()
    assert block is not None
    assert block.values.tolist() == [[2, 1], [5, 4]]


@pytest.mark.parametrize(("mode", "left"), [("skip", 1), ("pass", 3)])
def test_nan_and_infinities_are_counted_and_skipped_or_passed_on(
    monkeypatch: pytest.MonkeyPatch, mode: str, left: int
) -> None:
    rig = Rig(monkeypatch, [[1, np.nan, 3], [np.inf, 5, 6], [7, 8, np.nan]], non_finite=mode)
    block = rig.reader.read()
    assert block is not None
    assert len(block.values) == left  # a NaN in a channel that no model wants costs nothing
    assert rig.counters.non_finite == 2
    assert rig.counters.readings == 3


def test_a_failing_sensor_is_told_once_retried_with_growing_pauses_and_its_recovery_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = [SensorError("The line is dead.") for _ in range(9)]
    rig = Rig(monkeypatch, *failures, [[1, 2, 3]])
    times = []
    for _ in failures:
        assert rig.reader.read() is None
        times.append(rig.clock.monotonic())
    pauses = np.diff(times)
    assert pauses[0] == pytest.approx(0.5)
    assert pauses[-1] == pytest.approx(30.0)
    assert [news.event for news in rig.reader.take_news()] == ["sensor_failed"]
    assert rig.counters.state == "failed"
    assert rig.counters.failures == 9
    assert rig.reader.read() is not None
    assert [news.event for news in rig.reader.take_news()] == ["sensor_recovered"]
    assert rig.reader.take_gap()
    assert not rig.reader.take_gap()
    assert rig.counters.state == "ok"


def test_a_sensor_that_cannot_be_opened_yet_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, [[1, 2, 3]])
    rig.openings = [SensorError("Not plugged in.")]
    rig.reader.open()
    assert rig.counters.state == "failed"
    assert rig.reader.read() is not None


def test_a_malformed_reading_costs_that_reading_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, BadReading("Line 3 is no reading."), [[1, 2, 3]])
    began = rig.clock.monotonic()
    assert rig.reader.read() is None
    assert rig.reader.read() is not None
    assert rig.clock.monotonic() == began
    assert rig.counters.failures == 1
    assert rig.reader.take_news() == []
    assert not rig.reader.take_gap()


def test_missing_channels_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    rig.reader._wanted = ["a", "pressure"]
    with pytest.raises(InputError, match="pressure"):
        rig.reader.open()
    assert rig.sensor.closed


def test_the_end_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, EndOfReadings("Over."))
    with pytest.raises(EndOfReadings):
        rig.reader.read()
    assert rig.counters.state == "ended"


def test_a_failed_sensor_is_closed_and_another_one_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, SensorError("Gone."), [[1, 2, 3]])
    rig.reader.open()
    assert rig.reader.read() is None
    assert rig.sensor.closed
    assert rig.reader.read() is not None


def test_a_source_that_comes_back_as_something_else_does_not_end_the_agent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(monkeypatch, SensorError("Gone."), [[1, 2, 3]])
    rig.reader.open()
    assert rig.reader.read() is None
    rig.openings = [InputError("It has no column 'a' any more.", hint="Look at it.")]
    assert rig.reader.read() is None
    assert rig.counters.detail == "It has no column 'a' any more. Look at it."
    assert rig.reader.read() is not None
