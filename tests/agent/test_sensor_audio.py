from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import START_NS, FakeClock
from sensor_fakes import SoundCard

from lineside_agent.clock import Signal, SystemClock
from lineside_agent.sensors import drivers
from lineside_agent.sensors.arrivals import Arrivals
from lineside_agent.sensors.audio import SampleTimes
from lineside_agent.sensors.sensor import Block
from lineside_contract.errors import BadReading, InputError, SensorError


@pytest.fixture
def card(tmp_path: Path) -> Iterator[SoundCard]:
    made = SoundCard(tmp_path)
    made.start()
    yield made
    made.stop()


def test_samples_are_kept_though_portaudio_uses_their_memory_again(card: SoundCard) -> None:
    sensor = card.open(Signal())
    for _ in range(5):
        block = sensor.read()
        assert len(block.values) % 80 == 0
        assert np.all(block.values == 0.25)
    sensor.close()


def test_a_missing_portaudio_is_told_with_what_to_install(
    card: SoundCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: str) -> Any:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(drivers, "importlib", type("", (), {"import_module": staticmethod(missing)}))
    assert importlib.import_module is not missing
    with pytest.raises(InputError, match=r"PortAudio.* not installed.* apt-get install libportaudio2"):
        card.open(Signal())


def test_sample_times_are_even_and_follow_the_clock_when_it_runs_away() -> None:
    clock = FakeClock()
    times = SampleTimes(1000, clock)
    first = times.next(100)
    assert first[-1] == START_NS
    assert np.all(np.diff(first) == 1_000_000)
    clock.seconds = 0.103  # 3 ms late: jitter of the call, not of the samples
    second = times.next(100)
    assert second[0] - first[-1] == 1_000_000
    clock.seconds = 5.0
    assert times.next(100)[-1] == START_NS + 5 * 10**9
    clock.seconds = 1.0  # set back: times go on
    third = times.next(100)
    assert third[0] > START_NS + 5 * 10**9
    assert np.all(np.diff(third) == 1_000_000)


def test_what_nobody_takes_in_time_is_told_and_bounded() -> None:
    stop = Signal()
    arrivals = Arrivals(1, SystemClock(), stop)
    for number in range(5000):
        arrivals.put(Block(np.array([number]), np.array([[number]], np.float32)))
    with pytest.raises(BadReading, match="904 readings were lost"):
        arrivals.take()
    block = arrivals.take()
    assert block.timestamps.tolist() == list(range(904, 5000))
    arrivals.fail(SensorError("gone"))
    for _ in range(2):
        with pytest.raises(SensorError, match="gone"):
            arrivals.take()
    arrivals.close()
    arrivals.close()
    arrivals.put(block)
    stop.close()
