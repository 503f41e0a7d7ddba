from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import FakeClock
from sensor_sources import Hwmon, Iio, Thermal

from lineside_agent.clock import Signal
from lineside_agent.sensors import open_sensor, settings_type
from lineside_agent.sensors.polled import Polled
from lineside_agent.sensors.stamps import Stamps
from lineside_contract.errors import InputError, SensorError


def test_iio_scales_and_offsets_apply_by_channel_and_by_kind(tmp_path: Path) -> None:
    source = Iio(tmp_path)
    source.start()
    values = source.open(Signal()).read().values[0]
    assert values == pytest.approx([12 * 0.038, -3 * 0.038, (100 + 400) * 50 / 1000])


def test_iio_differential_channels_and_processed_values(tmp_path: Path) -> None:
    folder = tmp_path / "sys/bus/iio/devices/iio:device3"
    folder.mkdir(parents=True)
    for name, text in {
        "name": "ads1115",
        "in_voltage0-voltage1_raw": "100",
        "in_voltage0-voltage1_scale": "2",
        "in_humidityrelative_input": "45500",
        "in_humidityrelative_raw": "1",
    }.items():
        (folder / name).write_text(text)
    sensor = open_sensor("iio", Iio(tmp_path).settings(device="ads1115"), FakeClock(), Signal())
    assert sensor.channels == ("humidityrelative_percent", "voltage0-voltage1_v")
    assert sensor.read().values[0] == pytest.approx([45.5, 0.2])


def test_hwmon_and_thermal_give_units_that_people_use(tmp_path: Path) -> None:
    for kind, expected in ((Hwmon, [1200, 48.2]), (Thermal, [48.2, 51.0])):
        source = kind(tmp_path)
        source.start()
        assert source.open(Signal()).read().values[0] == pytest.approx(expected)


def test_columns_choose_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    source = Hwmon(tmp_path)
    source.start()
    sensor = open_sensor("hwmon", source.settings(columns=["temp1_c"]), FakeClock(), Signal())
    assert sensor.channels == ("temp1_c",)
    with pytest.raises(InputError, match=r"has no 'temp2_c'. Did you mean 'temp1_c'\?"):
        open_sensor("hwmon", source.settings(columns=["temp2_c"]), FakeClock(), Signal())


def test_a_device_is_found_by_name_or_folder_and_never_guessed(tmp_path: Path) -> None:
    source = Hwmon(tmp_path)
    source.start()
    other = tmp_path / "sys/class/hwmon/hwmon1"
    other.mkdir()
    (other / "name").write_text("nvme")
    (other / "temp1_input").write_text("30000")
    clock, stop = FakeClock(), Signal()
    with pytest.raises(InputError, match=r"There are 2 devices\. .* cpu_thermal \(hwmon0\), nvme \(hwmon1\)"):
        open_sensor("hwmon", source.settings(), clock, stop)
    for wanted in ("nvme", "hwmon1"):
        sensor = open_sensor("hwmon", source.settings(device=wanted), clock, stop)
        assert sensor.read().values.tolist() == [[30.0]]
    with pytest.raises(SensorError, match=r"There is no device 'nvm'. Did you mean 'nvme'\?"):
        open_sensor("hwmon", source.settings(device="nvm"), clock, stop)


@pytest.mark.parametrize(
    ("kind", "device", "place"),
    [("hwmon", "", "class/hwmon"), ("hwmon", "nvme", "class/hwmon"), ("iio", "", "bus/iio/devices")],
)
def test_a_machine_without_devices_is_told_in_one_sentence(
    tmp_path: Path, kind: str, device: str, place: str
) -> None:
    settings = settings_type(kind)(sysfs=tmp_path, device=device)
    with pytest.raises(SensorError) as error:
        open_sensor(kind, settings, FakeClock(), Signal())
    assert error.value.message == f"This machine has no device in {tmp_path / place}."


def test_a_file_without_a_number_is_told(tmp_path: Path) -> None:
    source = Hwmon(tmp_path)
    source.start()
    (tmp_path / "sys/class/hwmon/hwmon0/temp1_input").write_text("hot")
    with pytest.raises(SensorError, match=r"holds no number\. Leave it out with columns"):
        source.open(Signal()).read()


class Slow:
    channels = ("a",)

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.takes_s = 0.0
        self.at: list[float] = []

    def measure(self) -> list[float]:
        self.at.append(self.clock.seconds)
        self.clock.seconds += self.takes_s
        return [1e300]

    def close(self) -> None:
        pass


def test_polling_keeps_its_grid_and_catches_nothing_up() -> None:
    clock = FakeClock()
    probe = Slow(clock)
    sensor = Polled(probe, 10, clock, Signal())
    for takes in (0, 0, 0.35, 0, 0):
        probe.takes_s = takes
        block = sensor.read()
    assert probe.at == pytest.approx([0, 0.1, 0.2, 0.6, 0.7])
    assert np.isinf(block.values).all()


class Wall(FakeClock):
    wall = 10_000

    def wall_ns(self) -> int:
        return self.wall


def test_stamps_follow_the_clock_forward_and_never_back() -> None:
    clock = Wall()
    stamps = Stamps(clock)
    assert (stamps.now(), stamps.now()) == (10_000, 10_001)
    clock.wall = 20_000
    assert stamps.now() == 20_000
    clock.wall, clock.seconds = 10_000, 1e-6  # set back by 10 us, and 1 us has passed
    assert stamps.now() == 20_500  # half as fast
    clock.wall, clock.seconds = 30_000, 3e-5
    assert stamps.now() == 35_000
    clock.wall = 40_000
    assert stamps.now() == 40_000


def test_readings_that_come_at_once_have_times_of_their_own() -> None:
    clock = Wall()
    stamps = Stamps(clock)
    assert stamps.spread(3).tolist() == [9_998, 9_999, 10_000]
    assert stamps.spread(2).tolist() == [10_001, 10_002]
    assert stamps.spread(0).tolist() == []
