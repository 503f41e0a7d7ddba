from __future__ import annotations

import os
import pty
import re
import selectors
import socket
import struct
import threading
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.server import ModbusSerialServer
from sensor_servers import Looped, ModbusTcp, modbus_devices

from lineside_agent.clock import Signal, SystemClock
from lineside_agent.sensors import open_sensor
from lineside_agent.sensors.modbus import Register, Settings, requests
from lineside_contract.errors import SensorError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ModbusTcp]:
    made = ModbusTcp(tmp_path)
    made.start()
    yield made
    made.stop()


def measure(url: str, registers: dict[str, Any], **options: Any) -> list[float]:
    table = {"url": url, "registers": registers, **options}
    sensor = open_sensor("modbus", msgspec.convert(table, Settings), SystemClock(), Signal())
    try:
        values: list[float] = sensor.read().values[0].tolist()
        return values
    finally:
        sensor.close()


REGISTERS = {
    "scaled": {"address": 10, "type": "uint16", "scale": 0.1, "offset": -1},
    "negative": {"address": 11, "type": "int16"},
    "long": {"address": 10, "type": "uint32"},
    "float": {"address": 20, "type": "float32"},
    "swapped": {"address": 22, "type": "float32", "word_order": "little"},
    "input": {"address": 1, "table": "input", "unit": 2},
    "on": {"address": 1, "table": "discrete", "type": "bool", "unit": 2},
    "coil": {"address": 0, "table": "coil", "type": "bool", "unit": 2},
}
VALUES = [20.5, -5, 215 * 65536 + 65531, 1.5, 1.5, 8, 1, 1]


def test_every_type_and_table_of_two_units_on_one_line(server: ModbusTcp) -> None:
    assert measure(server.options["url"], REGISTERS) == pytest.approx(VALUES)


def test_a_serial_line(tmp_path: Path) -> None:
    """Two pseudo-terminals and a wire between them: the server's port and ours."""
    with Wire() as wire:
        server = Looped(lambda: serve_rtu(wire.ports[1]))
        try:
            assert measure(f"rtu://{wire.ports[0]}", REGISTERS, timeout_s=2, parity="none") == pytest.approx(
                VALUES
            )
        finally:
            server.stop()


def test_an_address_that_the_device_lacks_is_told(server: ModbusTcp) -> None:
    with pytest.raises(
        SensorError, match=r"does not give holding 900 to 901: it has no such address"
    ) as error:
        measure(server.options["url"], {"a": {"address": 900, "type": "int32"}})
    assert "40001" in error.value.hint


def test_a_unit_that_is_not_there_is_told(server: ModbusTcp) -> None:
    with pytest.raises(SensorError, match="unit 9"):
        measure(server.options["url"], {"a": {"address": 1}}, unit=9, retries=0)


def test_neighbours_are_read_at_once_and_nothing_between() -> None:
    registers = {
        "c": Register(address=4),
        "a": Register(address=0, type="float32"),
        "b": Register(address=2),
        "in": Register(address=3, table="input"),
        "other": Register(address=5, unit=7),
    }
    asked = [(each.unit, each.table, each.first, each.end) for each in requests(registers, 1)]
    assert asked == [(1, "holding", 0, 3), (1, "holding", 4, 5), (1, "input", 3, 4), (7, "holding", 5, 6)]


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.sampled_from(["int16", "float32", "float64"])), min_size=1)
)
def test_requests_cover_every_register_and_stay_within_what_one_may_ask(items: list[tuple[int, Any]]) -> None:
    registers = {str(n): Register(address=address, type=kind) for n, (address, kind) in enumerate(items)}
    asked = list(requests(registers, 1))
    assert sorted(name for each in asked for name, _ in each.channels) == sorted(registers)
    for each in asked:
        assert each.end - each.first <= 125
        for _, register in each.channels:
            assert each.first <= register.address
            assert register.address + register.count <= each.end


@given(
    st.integers(-(2**31), 2**31 - 1), st.sampled_from(["big", "little"]), st.sampled_from(["big", "little"])
)
def test_a_number_comes_back_in_whatever_order_it_was_written(value: int, words: Any, octets: Any) -> None:
    data = value.to_bytes(4, "big", signed=True)
    pairs = [data[:2], data[2:]] if words == "big" else [data[2:], data[:2]]
    registers = [int.from_bytes(pair if octets == "big" else pair[::-1], "big") for pair in pairs]
    register = Register(address=0, type="int32", word_order=words, byte_order=octets)
    assert register.value(registers) == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "plc:502"}, "no Modbus address; write url as tcp://"),
        ({"url": "tcp://plc:port"}, "no valid port"),
        ({"url": "rtu:"}, "no Modbus address"),
        ({"registers": {}}, "names no channel"),
        ({"registers": {"a": {"address": 1, "type": "bool"}}}, 'goes with table = "coil"'),
        ({"registers": {"a": {"address": 65535, "type": "int32"}}}, "after the last address"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: Any, message: str) -> None:
    table = {"url": "tcp://plc", "registers": {"a": {"address": 1}}, **options}
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(table, Settings)


@pytest.mark.parametrize(("scheme", "of_the_line"), [("tcp", False), ("rtu+tcp", True)])
def test_a_device_that_never_answers_does_not_hold_up_a_stop(scheme: str, *, of_the_line: bool) -> None:
    import time

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings(url=url, registers={"a": Register(address=1)})
        sensor = open_sensor("modbus", settings, FakeClock(), Signal())
        began = time.monotonic()
        with pytest.raises(SensorError, match=re.escape(f"unit 1 of {url} does not answer.")) as error:
            sensor.read()
        assert ("parity" in error.value.hint) == of_the_line
        assert time.monotonic() - began < 1
        sensor.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"\x04\x04\0\1\0\2",  # as if input registers had been asked for
        b"\x03\x08" + bytes(8),
        b"\x03\x02\0\1",
        b"\x01\x01\xff",
    ],
)
def test_the_answer_to_another_request_is_no_reading(answer: bytes) -> None:
    """As a slow device gives it on a serial line, where nothing says which request an answer is to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                asked = connection.recv(100)
                connection.sendall(asked[:4] + struct.pack(">H", len(answer) + 1) + asked[6:7] + answer)
                connection.recv(100)

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(SensorError, match="answers something else than was asked"):
            measure(f"tcp://127.0.0.1:{server.getsockname()[1]}", {"a": {"address": 0, "type": "float32"}})
        serving.join()


@asynccontextmanager
async def serve_rtu(port: str) -> AsyncIterator[Any]:
    server = ModbusSerialServer(modbus_devices(), port=port, baudrate=19200, parity="N")
    await server.serve_forever(background=True)
    yield server
    await server.shutdown()


class Wire:
    """Passes bytes between two pseudo-terminals."""

    def __enter__(self) -> Wire:
        pairs = [pty.openpty() for _ in range(2)]
        for _, slave in pairs:
            tty.setraw(slave)
        self.ports = [os.ttyname(slave) for _, slave in pairs]
        self._ends = [master for master, _ in pairs]
        self._all = [end for pair in pairs for end in pair]
        self._stop = Signal()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for here, there in zip(self._ends, reversed(self._ends), strict=True):
                selector.register(here, selectors.EVENT_READ, there)
            selector.register(self._stop, selectors.EVENT_READ)
            while not self._stop.raised:
                for key, _ in selector.select():
                    if key.data is not None:
                        os.write(key.data, os.read(key.fd, 4096))

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for end in self._all:
            os.close(end)
        self._stop.close()
