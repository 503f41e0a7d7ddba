from __future__ import annotations

import os
import pty
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fakes import START_NS, FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside_agent.clock import Signal
from lineside_agent.sensors import EndOfReadings
from lineside_agent.sensors.stdin import Settings, Stdin
from lineside_contract.categories import Codes
from lineside_contract.errors import InputError, SensorError

S = 1_000_000_000


class Pipe:
    """The writing end of what the sensor reads."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self.stop = Signal()

    def write(self, text: str | bytes) -> None:
        os.write(self._writer, text.encode() if isinstance(text, str) else text)

    def end(self) -> None:
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def open(self, **options: Any) -> Stdin:
        return Stdin(Settings(**options), FakeClock(), self.stop, self.reader)

    def close(self) -> None:
        self.end()
        os.close(self.reader)
        self.stop.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@pytest.mark.parametrize("terminal", [True, False])
def test_who_sits_at_a_terminal_is_told_once_what_is_waited_for(
    pipe: Pipe, caplog: pytest.LogCaptureFixture, *, terminal: bool
) -> None:
    master, slave = pty.openpty()
    try:
        os.write(master, b"a\n1\n")
        pipe.write("a\n1\n")
        sensor = Stdin(Settings(), FakeClock(), pipe.stop, slave if terminal else pipe.reader)
        sensor.read()
    finally:
        os.close(master)
        os.close(slave)
    assert ["waiting for readings on standard input" in text for text in caplog.messages] == [True] * terminal


def test_csv_lines_that_are_there_come_as_one_block(pipe: Pipe) -> None:
    pipe.write("timestamp,a,b\n1,2,3\n2,4,5\n3,6")
    sensor = pipe.open()
    assert sensor.channels == ("a", "b")
    block = sensor.read()
    assert block.timestamps.tolist() == [S, 2 * S]
    assert block.values.tolist() == [[2, 3], [4, 5]]
    assert (block.timestamps.dtype, block.values.dtype) == (np.int64, np.float32)
    pipe.write(",7\n")
    assert sensor.read().values.tolist() == [[6, 7]]


def test_json_lines_may_say_when_or_not(pipe: Pipe) -> None:
    pipe.write('{"timestamp": "2020-01-01T00:00:00Z", "a": 1, "who": "me", "b": null}\n{"b": 2.5, "a": -1}\n')
    sensor = pipe.open()
    assert sensor.channels == ("a", "b")
    block = sensor.read()
    assert block.timestamps.tolist() == [1_577_836_800 * S, START_NS]
    assert np.isnan(block.values[0, 1])
    assert block.values[1].tolist() == [-1, 2.5]


def test_columns_and_time_may_be_chosen(pipe: Pipe) -> None:
    pipe.write("a;when;b\n1;5;2\n")
    sensor = pipe.open(timestamp="when", columns=["b"])
    assert sensor.channels == ("b",)
    block = sensor.read()
    assert (block.timestamps.tolist(), block.values.tolist()) == ([5 * S], [[2]])


@pytest.mark.parametrize(
    "lines", ["a,state,b\n1,fine,2\n3,,4\n", '{"a": 1, "b": 2}\n{"a": 3, "b": 4, "state": "fine"}\n']
)
def test_what_nobody_chose_need_not_be_a_number(pipe: Pipe, lines: str) -> None:
    pipe.write(lines)
    sensor = pipe.open()
    sensor.choose(["b", "a"])
    assert sensor.channels == ("b", "a")
    assert sensor.read().values.tolist() == [[2, 1], [4, 3]]


def test_without_times_readings_have_the_present_one(pipe: Pipe) -> None:
    pipe.write("a\r\n1\r\n\r\n2\r\n")
    assert pipe.open().read().timestamps.tolist() == [START_NS - 1, START_NS]  # none at the same time


def test_a_malformed_line_is_told_after_what_came_before_it_and_the_rest_goes_on(pipe: Pipe) -> None:
    pipe.write("a,b\n1,2\n\noops,3\n4\n5,6\n")
    sensor = pipe.open()
    assert sensor.read().values.tolist() == [[1, 2]]
    with pytest.raises(SensorError, match=r"Standard input gave 'oops,3', .* 'oops' in 'a' is no number"):
        sensor.read()
    with pytest.raises(SensorError, match=r"Standard input gave '4', .* it has 1 cell instead of 2"):
        sensor.read()
    assert sensor.read().values.tolist() == [[5, 6]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": "x"}', "'a' is no number"),
        ('{"a": true}', "'a' is no number"),
        ('{"b": 1}', "it lacks 'a'"),
        ("[1]", "it is no JSON object"),
        ('{"a": 1', "it is no JSON object"),
        (b'{"\xff": 1}', "it is no JSON object"),
        ('{"a": ' + "[" * 50_000, "it is no JSON object"),
        ('{"a": 1, "timestamp": "soon"}', "'soon' is no time"),
        ('{"a": 1, "timestamp": true}', "'True' is no time"),
    ],
)
def test_a_malformed_json_line_is_told(pipe: Pipe, line: str | bytes, message: str) -> None:
    pipe.write('{"a": 1}\n')
    pipe.write(line)
    pipe.write('\n{"a": 2}\n')
    sensor = pipe.open()
    assert sensor.read().values.tolist() == [[1]]
    with pytest.raises(SensorError) as error:
        sensor.read()
    assert message in str(error.value)
    assert sensor.read().values.tolist() == [[2]]


def test_a_line_without_an_end_is_bounded(pipe: Pipe) -> None:
    pipe.write("a\n")
    sensor = pipe.open()
    flood = threading.Thread(target=lambda: [pipe.write(b"9" * 50_000) for _ in range(21)])
    flood.start()
    with pytest.raises(SensorError, match="longer than a reading"):
        sensor.read()
    flood.join()


def test_the_end_comes_after_the_last_line_even_without_its_newline(pipe: Pipe) -> None:
    pipe.write("a\n1\n2")
    pipe.end()
    sensor = pipe.open()
    assert [v for _ in range(2) for (v,) in sensor.read().values.tolist()] == [1, 2]
    for _ in range(2):
        with pytest.raises(EndOfReadings):
            sensor.read()


def test_a_stop_ends_the_wait_for_a_line(pipe: Pipe) -> None:
    pipe.write("a,b\n1,2\n")
    sensor = pipe.open()
    sensor.read()
    pipe.write("3,")
    pipe.stop.set()
    assert sensor.read().values.shape == (0, 2)
    pipe.stop.clear()
    pipe.write("4\n")
    assert sensor.read().values.tolist() == [[3, 4]]


def test_a_stop_ends_the_wait_for_the_first_line(pipe: Pipe) -> None:
    pipe.stop.set()
    with pytest.raises(SensorError, match=r"no line yet\. Pipe a program"):
        pipe.open()


@pytest.mark.parametrize(
    ("lines", "rows"), [("a,state,b\n1,on,2\n3,off,4\n", 2), ('{"a": 1, "b": 2, "state": "on"}\n', 1)]
)
def test_channels_that_the_settings_name_need_no_line(pipe: Pipe, lines: str, rows: int) -> None:
    sensor = pipe.open(columns=["a", "b", "state"])
    assert sensor.channels == ("a", "b", "state")
    sensor.translate({"state": Codes(["off", "on"])})
    sensor.choose(["state", "b"])
    pipe.stop.set()
    assert sensor.read().values.shape == (0, 2)
    pipe.stop.clear()
    pipe.write(lines)
    assert sensor.read().values.tolist() == [[1, 2], [0, 4]][:rows]
    assert sensor.channels == ("state", "b")


@pytest.mark.parametrize(
    ("first", "message"), [("a,c\n", "it has no 'b'"), ("", "ended before its first line")]
)
def test_a_first_line_that_cannot_be_used_is_told_when_it_comes(pipe: Pipe, first: str, message: str) -> None:
    sensor = pipe.open(columns=["a", "b"])
    pipe.write(first)
    pipe.end()
    with pytest.raises(InputError, match=message):
        sensor.read()


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("", "ended before its first line"),
        ("\n\n", "ended before its first line"),
        ("1,2\n", "it must name the columns, and has numbers"),
        ("a,a\n", "no two alike"),
        ("a,,b\n", "it must name each column"),
        ("timestamp\n", "names nothing but the time"),
        ('{"timestamp": 1}\n', "names nothing but the time"),
        ('{"a": \n', "it is no JSON object"),
        (b"\xff\xfe\n", "cannot be used"),
    ],
)
def test_a_first_line_that_cannot_be_used_is_told(pipe: Pipe, first: str | bytes, message: str) -> None:
    pipe.write(first)
    pipe.end()
    with pytest.raises(InputError) as error:
        pipe.open()
    assert message in str(error.value)


def test_a_column_that_is_not_there_is_told(pipe: Pipe) -> None:
    pipe.write("presure,b\n")
    with pytest.raises(InputError, match=r"it has no 'pressure'; Did you mean 'presure'\?"):
        pipe.open(columns=["pressure"]).read()


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300), form=st.sampled_from(["csv", "json"]))
def test_no_bytes_end_in_a_traceback(data: bytes, form: str) -> None:
    pipe = Pipe()
    try:
        pipe.write(b"a,b\n" if form == "csv" else b'{"a": 1}\n')
        pipe.write(data)
        pipe.end()
        sensor = pipe.open(format=form)
        ended = False
        for _ in range(600):
            try:
                block = sensor.read()
                assert block.values.shape == (len(block.timestamps), len(sensor.channels))
            except SensorError:
                continue
            except EndOfReadings:
                ended = True
                break
        assert ended
    finally:
        pipe.close()
