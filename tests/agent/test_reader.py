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


NAN_IN_A, COMPLETE = [[1, np.nan, 3]], [[1, 2, 3]]


def events(rig: Rig) -> list[tuple[str, str]]:
    return [(news.event, news.detail) for news in rig.reader.take_news()]


def test_readings_that_are_left_out_are_told_with_channel_count_and_setting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(monkeypatch, [[1, np.nan, 3], [np.inf, np.nan, 6], [7, 8, np.nan]])
    rig.reader.read()
    said = "2 readings are left out for a NaN or an infinity in a (2), b (1)."
    assert events(rig) == [("readings_left_out", said)]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message == (
        f'the sensor: {said} With non_finite = "pass" in [input] the model gets such readings.'
    )


def test_readings_that_go_on_being_left_out_are_told_once_a_minute_and_their_end_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(monkeypatch, *[NAN_IN_A, COMPLETE] * 70, *[COMPLETE] * 70, NAN_IN_A)
    caplog.set_level("INFO")
    told = []
    for _ in range(209):
        rig.reader.read()
        told += events(rig)
        rig.clock.seconds += 1
    assert [event for event, _ in told] == ["readings_left_out", "readings_complete"]
    logged = [record.message.partition(" left out")[0] for record in caplog.records]
    assert logged == [
        "the sensor: 1 reading is",
        "the sensor: 30 readings are",
        "the sensor: 30 readings are",
        "the sensor: 9 readings are",
        "the sensor gives complete readings again",
    ]
    rig.clock.seconds += 1
    rig.reader.read()
    assert [event for event, _ in events(rig)] == []
    rig.reader.read()
    assert [event for event, _ in events(rig)] == ["readings_left_out"]  # it has begun anew


@pytest.mark.parametrize("ends", [True, False])
def test_what_was_left_out_at_last_is_told_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, ends: bool
) -> None:
    rig = Rig(monkeypatch, NAN_IN_A, NAN_IN_A, NAN_IN_A, EndOfReadings("Over."))
    for _ in range(3):
        rig.reader.read()
    if ends:
        with pytest.raises(EndOfReadings):
            rig.reader.read()
    else:
        rig.reader.close()
    assert [record.message.partition(" left out")[0] for record in caplog.records] == [
        "the sensor: 1 reading is",
        "the sensor: 2 readings are",
    ]
    rig.reader.close()
    assert len(caplog.records) == 2


def test_what_the_model_gets_is_not_told_as_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(monkeypatch, NAN_IN_A, non_finite="pass")
    rig.reader.read()
    assert events(rig) == []
    assert caplog.records == []


def test_a_failing_sensor_is_told_once_retried_with_growing_pauses_and_its_recovery_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
    assert caplog.messages == ["the sensor failed and is opened again from time to time: The line is dead."]
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
