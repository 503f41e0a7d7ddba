from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sensor_fakes import FakeBus, I2cBus

from lineside_agent.clock import Signal, SystemClock
from lineside_agent.sensors import open_sensor
from lineside_agent.sensors.i2c import Register, Settings
from lineside_contract.errors import SensorError


@pytest.fixture
def source(tmp_path: Path) -> Iterator[I2cBus]:
    made = I2cBus(tmp_path)
    made.start()
    yield made
    made.stop()


def test_two_devices_are_woken_and_read_as_their_map_says(source: I2cBus) -> None:
    sensor = source.open(Signal())
    assert FakeBus.written == [(0x48, 1, [0x60, 0xA0])]
    assert sensor.read().values[0] == pytest.approx([25.0, -1.0])


def test_neighbours_may_be_read_in_one_go(source: I2cBus) -> None:
    registers = {name: {"register": 0x3B + 2 * n} for n, name in enumerate("xyz")}
    FakeBus.devices = {0x68: {0x3B: [0, 1, 0, 2, 0xFF, 0xFF], 0x3D: [0, 2], 0x3F: [0xFF, 0xFF]}}
    for burst, reads in ((True, [(0x68, 0x3B, 6)]), (False, [(0x68, at, 2) for at in (0x3B, 0x3D, 0x3F)])):
        FakeBus.reads.clear()
        settings = msgspec.convert({"address": 0x68, "registers": registers, "burst": burst}, Settings)
        assert open_sensor("i2c", settings, SystemClock(), Signal()).read().values.tolist() == [[1, 2, -1]]
        assert FakeBus.reads == reads


@pytest.mark.parametrize(
    ("options", "data", "value"),
    [
        ({"type": "uint8"}, [200], 200),
        ({"type": "int8"}, [200], -56),
        ({"type": "int24"}, [0xFF, 0xFF, 0xFE], -2),
        ({"type": "uint24", "shift": 4}, [0x80, 0x00, 0x10], 0x80001),
        ({"type": "int16", "shift": 4}, [0xE7, 0x00], -400),
        ({"type": "uint32", "endian": "little"}, [1, 0, 0, 0], 1),
        ({"type": "float32", "scale": 2.0, "offset": 1.0}, [0x3F, 0xC0, 0, 0], 4),
    ],
)
def test_numbers_are_read_as_their_type_says(options: Any, data: list[int], value: float) -> None:
    assert msgspec.convert({"register": 0, **options}, Register).value(data) == value


def test_a_device_that_does_not_answer_is_told_by_its_address(source: I2cBus) -> None:
    source.kill()
    with pytest.raises(
        SensorError, match=r"The device 0x48 on /dev/i2c-1 does not answer \(Remote I/O error\)"
    ):
        source.open(Signal())


def test_a_bus_that_is_not_there_is_told(source: I2cBus) -> None:
    with pytest.raises(
        SensorError, match=r"/dev/i2c-7 cannot be opened: No such file.* Buses of this machine"
    ):
        open_sensor("i2c", source.settings(bus=7), SystemClock(), Signal())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": 0x90}, "Expected `int` <= 119"),
        ({"registers": {}}, "names no channel"),
        ({"registers": {"a": {"register": 0, "type": "float32", "shift": 2}}}, "cannot be shifted"),
        ({"init": [{"register": 0, "bytes": []}]}, "holds 1 to 32"),
        ({"init": [{"register": 0, "bytes": [256]}]}, "Expected `int` <= 255"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: Any, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({"address": 0x48, "registers": {"a": {"register": 0}}, **options}, Settings)
