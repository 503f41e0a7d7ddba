from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncua
import pytest
from sensor_servers import OpcUa, certificate, opc_ua_server

from lineside_agent.clock import Signal, SystemClock
from lineside_agent.sensors import open_sensor
from lineside_agent.sensors.opcua import Settings
from lineside_contract.errors import InputError, SensorError


@pytest.fixture
def source(tmp_path: Path) -> Iterator[OpcUa]:
    made = OpcUa(tmp_path)
    made.start()
    yield made
    made.stop()


def until(sensor: Any, wanted: float) -> None:
    for _ in range(1000):
        values = sensor.read().values[-1]
        if values[0] == wanted or (math.isnan(wanted) and math.isnan(values[0])):
            assert values[1] == 1
            return
    raise AssertionError(f"{wanted} never comes")


def test_readings_follow_the_server_and_what_is_bad_is_nan(source: OpcUa) -> None:
    server = opc_ua_server()
    sensor = source.open(Signal())
    try:
        until(sensor, 21.5)
        server.write(asyncua.ua.DataValue(22.5))
        until(sensor, 22.5)
        bad = asyncua.ua.DataValue(
            StatusCode=asyncua.ua.StatusCode(asyncua.ua.UInt32(asyncua.ua.StatusCodes.BadSensorFailure))
        )
        server.write(bad)
        until(sensor, math.nan)
    finally:
        server.write(asyncua.ua.DataValue(21.5))
        sensor.close()


def test_a_variable_that_the_server_lacks_is_told(source: OpcUa) -> None:
    settings = source.settings(nodes={"a": "ns=2;s=Press.Presure"})
    with pytest.raises(SensorError, match=r"does not give 'ns=2;s=Press.Presure'.*Unknown") as error:
        open_sensor("opcua", settings, SystemClock(), Signal())
    assert "namespaces" in error.value.hint


def test_a_stop_ends_the_wait_for_a_server_that_does_not_answer() -> None:
    import socket
    import threading

    stop = Signal()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Settings(
            url=f"opc.tcp://127.0.0.1:{silent.getsockname()[1]}", nodes={"a": "i=1"}, timeout_s=30
        )
        timer = threading.Timer(0.1, stop.set)
        timer.start()
        with pytest.raises(SensorError, match="has not answered yet"):
            open_sensor("opcua", settings, SystemClock(), stop)
        timer.join()


def test_a_user_and_a_password(source: OpcUa) -> None:
    sensor = open_sensor(
        "opcua", source.settings(username="reader", password="right"), SystemClock(), Signal()
    )
    sensor.close()
    with pytest.raises(SensorError, match=r"cannot be read: .*BadUserAccessDenied") as error:
        open_sensor("opcua", source.settings(username="reader", password="wrong"), SystemClock(), Signal())
    assert "let this user in" in error.value.hint
    assert "right" not in repr(source.settings(username="reader", password="right"))


def test_an_encrypted_connection_with_a_certificate_of_our_own(tmp_path: Path) -> None:
    cert_file, key_file = certificate(tmp_path, "urn:plant-1:pump-1")
    settings = Settings(
        url=f"opc.tcp://127.0.0.1:{opc_ua_server().port}",
        nodes={"temperature_c": "ns=2;s=Press.Temperature", "running": "ns=2;s=Press.Running"},
        security="Basic256Sha256",
        cert_file=cert_file,
        key_file=key_file,
    )
    sensor = open_sensor("opcua", settings, SystemClock(), Signal())
    try:
        until(sensor, 21.5)
    finally:
        sensor.close()
    cert_file.write_bytes(b"no certificate")
    with pytest.raises(InputError, match=r"The certificate .*cert\.der or its key cannot be used"):
        open_sensor("opcua", settings, SystemClock(), Signal())


def test_a_certificate_that_cannot_be_read_is_told(source: OpcUa, tmp_path: Path) -> None:
    settings = source.settings(
        security="Basic256Sha256", cert_file=str(tmp_path / "none.pem"), key_file=str(tmp_path / "none.key")
    )
    with pytest.raises(InputError, match=r"none\.pem or its key cannot be used: No such file"):
        open_sensor("opcua", settings, SystemClock(), Signal())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "http://plc"}, "is no OPC UA address; write url as opc.tcp://host:4840"),
        ({"nodes": {}}, "names no channel"),
        ({"password": "x"}, "password needs username"),
        ({"security": "Basic256Sha256"}, "goes with cert_file and key_file"),
        ({"cert_file": Path("x")}, "goes with cert_file and key_file"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**{"url": "opc.tcp://plc", "nodes": {"a": "i=1"}, **options})
