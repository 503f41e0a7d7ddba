from __future__ import annotations

import os
import pty
import threading
import tty
from collections.abc import Iterator
from typing import Any

import pytest

from lineside_agent.clock import Signal, SystemClock
from lineside_agent.sensors import drivers
from lineside_agent.sensors.serial import SerialLines, Settings
from lineside_contract.errors import BadReading, InputError, SensorError


class Line:
    """A device at the other end of a pseudo-terminal."""

    def __init__(self) -> None:
        self.device, slave = pty.openpty()
        tty.setraw(slave)
        self._slave = slave
        self.port = os.ttyname(slave)
        self.stop = Signal()
        self.sensors: list[SerialLines] = []

    def open(self, **options: Any) -> SerialLines:
        self.sensors.append(SerialLines(Settings(port=self.port, **options), SystemClock(), self.stop))
        return self.sensors[-1]

    def write(self, text: str) -> None:
        os.write(self.device, text.encode())

    def close(self) -> None:
        for sensor in self.sensors:
            sensor.close()
        os.close(self.device)
        os.close(self._slave)
        self.stop.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def test_the_end_of_a_line_that_began_before_us_is_no_reading(line: Line) -> None:
    sensor = line.open(columns=["temperature_c", "humidity"])
    assert sensor.channels == ("temperature_c", "humidity")
    line.write("1.5,40\r\n21.5,41\r\n21.6,")
    assert sensor.read().values.tolist() == [[21.5, 41]]
    line.write("42\r\n")
    assert sensor.read().values[:, 1].tolist() == [42]


@pytest.mark.parametrize(
    ("options", "text", "row"),
    [
        ({"columns": ["a", "b"], "delimiter": ";"}, "1;2\n", [1, 2]),
        ({"columns": ["a"], "line_end": "cr"}, "7\r", [7]),
        ({"format": "json", "columns": ["b"]}, '{"a": 1, "b": 2}\n', [2]),
        ({"format": "json"}, '{"a": 1, "b": 2, "who": "me"}\n', [1, 2]),
        ({"format": "regex", "pattern": r"(?P<level>[-\d.]+) mm"}, "hello\nL -3.5 mm\n", [-3.5]),
        ({"columns": ["timestamp", "a"]}, "1700000000,5\n", [5]),
    ],
)
def test_lines_are_read_as_the_settings_say(line: Line, options: Any, text: str, row: list[float]) -> None:
    writer = threading.Timer(0.05, line.write, [text])  # opening a port throws away what is in it
    writer.start()
    sensor = line.open(skip=0, **options)
    while not len(block := sensor.read()):
        pass
    while not len(block.values):
        block = sensor.read()
    assert block.values.tolist() == [row]
    writer.join()


def test_what_is_to_be_sent_is_sent(line: Line) -> None:
    line.open(columns=["a"], send="START\r\n")
    assert os.read(line.device, 100) == b"START\r\n"


def test_a_malformed_line_costs_itself(line: Line) -> None:
    sensor = line.open(columns=["a", "b"], skip=0)
    line.write("1,2\n#!3\n4,5\n")
    assert sensor.read().values.tolist() == [[1, 2]]
    with pytest.raises(BadReading, match=r"gave '#!3', which is no reading: it has 1 cell instead of 2"):
        sensor.read()
    assert sensor.read().values.tolist() == [[4, 5]]


def test_a_port_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(
        SensorError, match=r"/dev/none cannot be opened: there is no such port. Ports of this machine"
    ):
        SerialLines(Settings(port="/dev/none", columns=["a"]), SystemClock(), Signal())


def test_a_port_in_use_is_told(line: Line) -> None:
    line.open(columns=["a"])
    with pytest.raises(SensorError, match="another program uses it"):
        line.open(columns=["a"])


def test_a_missing_driver_is_told_with_what_to_install() -> None:
    with pytest.raises(InputError, match=r"needs the package pynone.* pip install 'lineside\[none\]'"):
        drivers.driver("no_such_module", "none", "pynone")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "csv needs columns"),
        ({"columns": ["a", "a"]}, "no two alike"),
        ({"columns": ["a"], "pattern": "x"}, "pattern needs format"),
        ({"format": "regex", "pattern": "x"}, "no named group"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(port="/dev/ttyUSB0", **options)


def test_channels_are_known_before_a_line_where_they_can_be() -> None:
    assert Settings(port="x", columns=["timestamp", "a"]).known_channels == ("a",)
    assert Settings(port="x", format="json", columns=["b"]).known_channels == ("b",)
    assert Settings(port="x", format="json").known_channels == ()
