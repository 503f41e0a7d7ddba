"""The sensing loop with a real model and a real outbox; only the sensor and the clock are the test's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeClock
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LinearRegression

from lineside_agent.clock import Signal
from lineside_agent.counters import Counters
from lineside_agent.encode import Code, Encoder, Identity
from lineside_agent.model import Model
from lineside_agent.outbox import Limits, Outbox
from lineside_agent.reading import Position
from lineside_agent.segment import Entry
from lineside_agent.sense import Sense
from lineside_agent.sensors import Block, EndOfReadings
from lineside_agent.sensors.sensor import News
from lineside_agent.windows import Windows
from lineside_contract.manifest import Channel, Manifest, Outputs
from lineside_contract.messages import Event, Prediction, decode

OUTPUTS = Outputs(values="variable", targets=["sum"])
IDENTITY = Identity("dev", "b-1", "adder", "1.0.0")
MANIFEST = Manifest(
    name="adder",
    version="1.0.0",
    created="",
    task="regression",
    estimator="",
    input="input",
    channels=[Channel(name="a")],
    outputs=OUTPUTS,
)


@pytest.fixture(scope="module")
def model() -> Model:
    """A trained regression that adds up a window of two readings."""
    inputs = np.random.default_rng(0).random((100, 2)).astype(np.float32)
    trained = LinearRegression().fit(inputs, inputs.sum(axis=1))
    graph = to_onnx(
        trained, initial_types=[("input", FloatTensorType([None, 2]))], target_opset={"": 21, "ai.onnx.ml": 3}
    )
    return Model(graph.SerializeToString(), "input", OUTPUTS)


class ScriptedReader:
    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.news: list[News] = []
        self.gap = False

    def read(self) -> Block | None:
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, News):
            self.news.append(step)
            self.gap = step.sensor is None
            return None
        values = np.array(step, np.float32).reshape(-1, 1)
        return Block(np.arange(len(values), dtype=np.int64) * 1_000_000, values)

    def take_news(self) -> list[News]:
        news, self.news = self.news, []
        return news

    def take_gap(self) -> bool:
        gap, self.gap = self.gap, False
        return gap


class Rig:
    def __init__(self, folder: Path, model: Model, *script: Any, limits: Limits | None = None) -> None:
        self.clock = FakeClock()
        self.outbox = Outbox(folder, limits or Limits(), self.clock.monotonic)
        self.offered: list[Entry] = []
        self.counters = Counters("main")
        self.sense = Sense(
            ("main", ScriptedReader(*script)),  # type: ignore[arg-type]
            Windows(1, 2, 1),
            (model, Encoder(IDENTITY, MANIFEST, "single")),
            (self.outbox, self.offered.extend),
            IDENTITY,
            self.counters,
            self.clock,
        )

    def values(self) -> list[float]:
        predictions = [decode(e.payload, Prediction) for e in self.offered if e.kind == Code.PREDICTION]
        return [round(prediction.value or 0, 3) for prediction in predictions]

    def events(self) -> list[Event]:
        return [decode(entry.payload, Event) for entry in self.offered if entry.kind == Code.EVENT]


def test_readings_become_predictions_in_the_outbox_and_are_offered(tmp_path: Path, model: Model) -> None:
    rig = Rig(tmp_path, model, [1, 2, 3], [4])
    assert rig.sense.sense_once()
    assert rig.sense.sense_once()
    assert rig.values() == [3, 5, 7]
    entries, _ = rig.outbox.read(Position(), 100)
    assert entries == rig.offered
    assert [entry.seq for entry in entries] == [0, 1, 2]
    assert rig.counters.predictions == 3


def test_a_block_larger_than_a_batch_is_predicted_in_order(tmp_path: Path, model: Model) -> None:
    rig = Rig(tmp_path, model, list(range(5000)))
    rig.sense.sense_once()
    assert rig.values() == pytest.approx([2 * n + 1 for n in range(4999)], abs=0.1)


def test_no_window_spans_an_outage_of_the_sensor(tmp_path: Path, model: Model) -> None:
    rig = Rig(tmp_path, model, [1, 2], News("sensor_failed", "The line is dead."), [10, 20])
    for _ in range(3):
        rig.sense.sense_once()
    assert rig.values() == [3, 30]
    assert [event.event for event in rig.events()] == ["sensor_failed"]
    assert [entry.seq for entry in rig.offered] == [0, 1, 2]  # events are numbered with the predictions


def test_a_part_that_fails_is_named_and_breaks_no_window_if_rows_go_on(tmp_path: Path, model: Model) -> None:
    rig = Rig(tmp_path, model, [1, 2], News("sensor_failed", "The line is dead.", "press"), [10, 20])
    for _ in range(3):
        rig.sense.sense_once()
    assert rig.values() == [3, 12, 30]
    assert [(event.event, event.sensor) for event in rig.events()] == [("sensor_failed", "press")]


def test_the_end_of_a_recording_is_told(tmp_path: Path, model: Model) -> None:
    rig = Rig(tmp_path, model, EndOfReadings("The recording has ended."))
    assert not rig.sense.sense_once()
    assert [(event.event, event.sensor) for event in rig.events()] == [("sensor_ended", "main")]


def test_what_the_outbox_drops_is_announced(tmp_path: Path, model: Model) -> None:
    rig = Rig(tmp_path, model, list(range(500)), list(range(500)), limits=Limits(disk_bytes=32_768))
    rig.sense.sense_once()
    rig.sense.sense_once()
    announced = {
        seq
        for event in rig.events()
        for ranges in (event.dropped or {}).values()
        for first, last in ranges
        for seq in range(first, last + 1)
    }
    entries, _ = rig.outbox.read(Position(), 10_000)
    kept = {entry.seq for entry in entries}
    assert announced
    assert announced | kept == set(range(rig.outbox.next_seq))
    assert announced.isdisjoint(kept)


def test_what_was_put_is_committed_when_it_is_due(tmp_path: Path, model: Model) -> None:
    rig = Rig(tmp_path, model, [1, 2], [3], [4])
    rig.sense.sense_once()
    assert rig.outbox.commit_at is not None
    rig.clock.wait(0.2, Signal())
    rig.sense.sense_once()
    assert rig.outbox.commit_at is None
