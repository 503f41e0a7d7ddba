from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import START_NS, FakeClock

from lineside_agent.clock import Signal
from lineside_agent.sensors import EndOfReadings, open_sensor
from lineside_agent.sensors.bearing import Bearing, defect_orders
from lineside_agent.sensors.indicators import indicators, velocity_rms
from lineside_agent.sensors.machine import FAULTS
from lineside_agent.sensors.simulated import Fault, Settings, simulate
from lineside_contract.errors import SensorError

CHANNELS = (
    "vibration_rms_g",
    "vibration_peak_g",
    "crest_factor",
    "kurtosis",
    "velocity_rms_mm_s",
    "temperature_c",
    "current_a",
    "speed_rpm",
)
S = 1_000_000_000


def means(fault: str | None = None, severity: float = 0.5, **settings: Any) -> dict[str, float]:
    faults = [Fault(kind=fault, severity=severity)] if fault else []  # type: ignore[arg-type]
    recording = simulate(Settings(**settings), 20, faults)
    assert recording.channels == CHANNELS
    return dict(zip(recording.channels, recording.values.mean(axis=0).tolist(), strict=True))


def spectrum(fault: str | None, *, envelope: bool = False) -> tuple[np.ndarray, np.ndarray, float]:
    faults = [Fault(kind=fault, severity=0.8)] if fault else []  # type: ignore[arg-type]
    recording = simulate(Settings(output="waveform", noise=0.01), 8, faults)
    x = recording.values[:, 0].astype(float)
    if envelope:
        x = x**2
    x = (x - x.mean()) * np.hanning(len(x))
    shaft_hz = float(recording.values[:, 4].mean()) / 60
    return np.fft.rfftfreq(len(x), 1 / 12_000), np.abs(np.fft.rfft(x)) / len(x) * 4, shaft_hz


def peak_near(frequencies: np.ndarray, amplitudes: np.ndarray, hz: float, width: float = 0.02) -> float:
    return float(amplitudes[np.abs(frequencies - hz) < width * hz].max())


def test_the_characteristic_frequencies_are_those_published_for_a_6205_bearing() -> None:
    # Case Western Reserve University, Bearing Data Center: drive end, multiples of the running speed.
    orders = defect_orders(Bearing(balls=9, ball_diameter_mm=7.940, pitch_diameter_mm=39.04))
    assert orders.bpfi == pytest.approx(5.4152, abs=1e-3)
    assert orders.bpfo == pytest.approx(3.5848, abs=1e-3)
    assert orders.ftf == pytest.approx(0.39828, abs=1e-4)
    assert 2 * orders.bsf == pytest.approx(4.7135, abs=1e-3)
    assert orders.bpfo + orders.bpfi == pytest.approx(9)


def test_a_contact_angle_brings_the_races_frequencies_together() -> None:
    flat, steep = defect_orders(Bearing()), defect_orders(Bearing(contact_angle_deg=40))
    assert flat.bpfo < steep.bpfo < steep.bpfi < flat.bpfi


@pytest.mark.parametrize(("fault", "order"), [("imbalance", 1), ("misalignment", 2), ("looseness", 0.5)])
def test_a_shaft_fault_shows_at_its_harmonic(fault: str, order: float) -> None:
    frequencies, healthy, shaft_hz = spectrum(None)
    _, faulty, _ = spectrum(fault)
    there = peak_near(frequencies, faulty, order * shaft_hz)
    assert there > 4 * peak_near(frequencies, healthy, order * shaft_hz)
    if fault != "looseness":
        assert there == pytest.approx(faulty.max())


@pytest.mark.parametrize(("fault", "name"), [("bearing_outer", "bpfo"), ("bearing_inner", "bpfi")])
def test_a_bearing_defect_shows_in_the_envelope_and_rings_the_resonance(fault: str, name: str) -> None:
    frequencies, amplitudes, shaft_hz = spectrum(fault, envelope=True)
    strikes_hz = getattr(defect_orders(Bearing()), name) * shaft_hz
    band = (frequencies > 50) & (frequencies < 250)
    found = float(frequencies[band][amplitudes[band].argmax()])
    assert found == pytest.approx(strikes_hz, rel=0.02)
    sideband = peak_near(frequencies, amplitudes, strikes_hz - shaft_hz) / amplitudes[band].max()
    assert sideband > 0.3 if fault == "bearing_inner" else sideband < 0.3
    _, raw, _ = spectrum(fault)
    high = frequencies > 1000
    assert float(frequencies[high][raw[high].argmax()]) == pytest.approx(3000, rel=0.1)


def test_each_fault_moves_the_indicators_that_it_should() -> None:
    healthy = means()
    assert healthy["kurtosis"] == pytest.approx(3, abs=0.3)
    assert healthy["velocity_rms_mm_s"] < 1.4
    assert means("imbalance")["velocity_rms_mm_s"] > 4
    assert means("looseness")["velocity_rms_mm_s"] > 4
    for bearing in ("bearing_outer", "bearing_inner", "bearing_ball"):
        faulty = means(bearing)
        assert faulty["kurtosis"] > 8
        assert faulty["vibration_peak_g"] > 5 * healthy["vibration_peak_g"]
        assert faulty["velocity_rms_mm_s"] < 1.4  # a young bearing defect is inaudible at low frequencies
        assert faulty["current_a"] > healthy["current_a"]


def test_severity_is_graded() -> None:
    grades = [means("bearing_outer", severity)["vibration_peak_g"] for severity in (0.0, 0.2, 0.5, 1.0)]
    assert grades == sorted(grades)
    assert means("imbalance", 0.0) == means()


def test_temperature_follows_load_and_blocked_cooling_as_a_first_order_system() -> None:
    settings = Settings(thermal_s=10.0, interval_s=1.0, load=0.0)
    recording = simulate(settings, 90, [Fault(kind="overheating", severity=1.0, from_s=10)])
    temperature = recording.values[:, CHANNELS.index("temperature_c")].astype(float)
    before, after = temperature[9], temperature[-1]
    assert after - before > 10
    # one time constant after the change, 1 - 1/e of the way
    assert (temperature[19] - before) / (after - before) == pytest.approx(0.632, abs=0.03)
    assert means(load=1.0)["temperature_c"] > means(load=0.3)["temperature_c"] + 10


def test_load_slows_the_shaft_and_draws_current() -> None:
    idle, full = means(load=0.0), means(load=1.0)
    assert full["speed_rpm"] == pytest.approx(1500 * 0.97, rel=0.01)
    assert idle["speed_rpm"] > full["speed_rpm"]
    assert full["current_a"] > 2 * idle["current_a"]


def test_velocity_is_that_of_a_known_vibration() -> None:
    seconds = np.arange(12_000) / 12_000
    acceleration = 0.1 * np.sin(2 * np.pi * 25.3 * seconds)
    expected = 0.1 * 9806.65 / (2 * np.pi * 25.3) / np.sqrt(2)
    assert velocity_rms(acceleration, 12_000) == pytest.approx(expected, rel=0.01)


def test_indicators_of_a_sine_and_of_silence() -> None:
    seconds = np.arange(12_000) / 12_000
    rms, peak, crest, kurtosis, _ = indicators(2 * np.sin(2 * np.pi * 50 * seconds) + 7, 12_000)
    assert (rms, peak) == (pytest.approx(2**0.5), pytest.approx(2, rel=1e-3))
    assert (crest, kurtosis) == (pytest.approx(2**0.5, rel=1e-3), pytest.approx(1.5))
    assert indicators(np.zeros(100), 12_000) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("output", ["waveform", "indicators"])
def test_a_seed_settles_everything(output: Any) -> None:
    settings = Settings(output=output, seed=7)
    faults = [Fault(kind="bearing_inner", severity=0.6, from_s=1, until_s=3)]
    first, again = simulate(settings, 4, faults), simulate(settings, 4, faults)
    assert np.array_equal(first.values, again.values)
    other = simulate(Settings(output=output, seed=8), 4, faults)
    assert not np.array_equal(first.values, other.values)


def test_the_sensor_gives_what_simulate_does() -> None:
    settings = Settings(duration_s=5, faults=[Fault(kind="imbalance", from_s=2)], speed="fast")
    sensor = open_sensor("simulated", settings, FakeClock(), Signal())
    blocks = [sensor.read() for _ in range(5)]
    with pytest.raises(EndOfReadings):
        sensor.read()
    values = [block.values for block in blocks]
    stamps = [stamp for block in blocks for stamp in block.timestamps.tolist()]
    expected = simulate(settings, 5)
    assert np.array_equal(np.concatenate(values), expected.values)
    assert stamps == (expected.timestamps + START_NS).tolist()


@pytest.mark.parametrize(("output", "step_s"), [("indicators", 2.0), ("waveform", 0.1)])
def test_a_reading_comes_when_it_has_been_measured(output: Any, step_s: float) -> None:
    clock = FakeClock()
    sensor = open_sensor("simulated", Settings(output=output, interval_s=2.0, speed=4.0), clock, Signal())
    for number in range(1, 4):
        block = sensor.read()
        assert clock.seconds == pytest.approx(number * step_s / 4)
        assert block.timestamps[-1] == START_NS + round(number * step_s * S)
        assert block.values.shape == (len(block.timestamps), len(sensor.channels))
        assert block.values.dtype == np.float32


def test_waveform_samples_are_evenly_spaced_across_blocks() -> None:
    recording = simulate(Settings(output="waveform", sample_rate_hz=3333.0), 1.0)
    steps = np.diff(recording.timestamps)
    assert abs(steps - 1e9 / 3333).max() <= 1
    assert len(recording.values) == 3333


def test_a_stop_ends_the_wait() -> None:
    stop = Signal()
    sensor = open_sensor("simulated", Settings(interval_s=60), FakeClock(stop_at=5), stop)
    assert sensor.read().values.shape == (0, 8)


def test_faults_come_and_go_by_a_file(tmp_path: Path) -> None:
    control = tmp_path / "fault.toml"
    settings = Settings(control_file=control, speed="fast")
    sensor = open_sensor("simulated", settings, FakeClock(), Signal())
    kurtosis = CHANNELS.index("kurtosis")
    assert sensor.read().values[0, kurtosis] < 4
    control.write_text('fault = "bearing_outer"\nseverity = 0.8\n')
    assert sensor.read().values[0, kurtosis] > 8
    assert sensor.read().values[0, kurtosis] > 8
    control.unlink()
    sensor.read()  # what rang still fades
    assert sensor.read().values[0, kurtosis] < 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fault = ", "cannot be used"),
        ('fault = "bearing_outr"', "Did you mean 'bearing_outer'?"),
        ("severity = 2.0", "cannot be used"),
    ],
)
def test_a_control_file_that_makes_no_sense_is_told_once(tmp_path: Path, text: str, message: str) -> None:
    control = tmp_path / "fault.toml"
    control.write_text(text)
    sensor = open_sensor("simulated", Settings(control_file=control, speed="fast"), FakeClock(), Signal())
    with pytest.raises(SensorError) as error:
        sensor.read()
    assert message in str(error.value)
    assert len(sensor.read().values) == 1


def test_a_low_sampling_rate_shows_no_aliases_of_the_shafts_harmonics() -> None:
    # At 24.4 turns a second 100 samples show orders 1 and 2; the third would come back as a false vibration.
    settings = Settings(output="waveform", sample_rate_hz=100, noise=0)
    slow = simulate(settings, 20, [Fault(kind="misalignment")])
    pull = (float(slow.values[:, 4].mean()) / 1500) ** 2
    expected = np.hypot(0.020 + 0.05, 0.008 + 0.30) / 2**0.5 * pull
    assert float(slow.values[:, 0].std()) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_gives_finite_values(fault: str) -> None:
    assert all(np.isfinite(list(means(fault, 1.0).values())))
