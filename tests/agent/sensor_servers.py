"""Sources that are reached over a network: real servers, on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import asyncua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from cryptography.x509.oid import ExtendedKeyUsageOID
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from sensor_source import Feeder, Source


class Mqtt(Source):
    """A real Mosquitto, and a device that publishes to it."""

    kind = "mqtt"
    channels = ("vibration_g", "temperature_c")
    wrong: ClassVar[dict[str, Any]] = {"url": "http://broker"}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    @property
    def options(self) -> dict[str, Any]:
        return {
            "url": f"mqtt://127.0.0.1:{self.port}",
            "values": {
                "vibration_g": {"topic": "press/+/vibration"},
                "temperature_c": {"topic": "press/1/state", "path": "data.temperatures[1]"},
            },
        }

    def start(self) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") or "mosquitto"
        self._broker = subprocess.Popen([program, "-p", str(self.port)], stderr=subprocess.DEVNULL)
        self._device = Client(CallbackAPIVersion.VERSION2)
        deadline = time.monotonic() + 10
        while True:
            try:
                self._device.connect("127.0.0.1", self.port)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.005)
        self._device.loop_start()
        self._feeder = Feeder(self._publish, str)

    def _publish(self, line: bytes) -> None:
        self._device.publish("press/7/vibration", line)
        self._device.publish("press/1/state", b'{"data": {"temperatures": [1, 20.5]}}')

    def silence(self) -> None:
        self._feeder.stop()

    def kill(self) -> None:
        if self._broker.poll() is None:
            self._feeder.stop()
            self._device.disconnect()
            self._device.loop_stop()
            self._broker.kill()
            self._broker.wait()


class Looped:
    """Runs a server of asyncio in a thread, and ends it."""

    def __init__(self, serve: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._serve = serve
        self.server: Any = None
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._leaving = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(20)
        assert self.server is not None, "the server does not start"

    def _run(self) -> None:
        async def stay() -> None:
            async with self._serve() as self.server:
                self._up.set()
                await self._leaving.wait()

        try:
            self._loop.run_until_complete(stay())
        finally:
            self._up.set()
            self._loop.close()

    def do(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Await something in the server's thread."""
        return asyncio.run_coroutine_threadsafe(make(), self._loop).result(10)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._leaving.set)
            self._thread.join()


def modbus_devices() -> list[SimDevice]:
    """Unit 1: 16-bit values from 10, a float in both word orders at 20 and 22; unit 2: inputs and bits."""
    big = list(struct.unpack(">HH", struct.pack(">f", 1.5)))
    none = [_words(0, [0])]
    bits = [SimData(0, values=[True, True], datatype=DataType.BITS)]
    return [
        SimDevice(1, simdata=(bits, bits, [_words(10, [215, 65531]), _words(20, [*big, *big[::-1]])], none)),
        SimDevice(2, simdata=(bits, bits, none, [_words(0, [7, 8, 9])])),
    ]


def _words(address: int, values: list[int]) -> SimData:
    return SimData(address, values=values, datatype=DataType.REGISTERS)


class ModbusTcp(Source):
    kind = "modbus"
    channels = ("temperature_c", "pressure_bar")
    wrong: ClassVar[dict[str, Any]] = {"url": "modbus://plc"}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    @property
    def options(self) -> dict[str, Any]:
        return {
            "url": f"tcp://127.0.0.1:{self.port}",
            "rate_hz": 200,
            "registers": {
                "temperature_c": {"address": 10, "type": "int16", "scale": 0.1},
                "pressure_bar": {"address": 20, "type": "float32"},
            },
        }

    def start(self) -> None:
        self._server = Looped(self._serve)

    @asynccontextmanager
    async def _serve(self) -> AsyncIterator[Any]:
        server = ModbusTcpServer(modbus_devices(), address=("127.0.0.1", self.port))
        await server.serve_forever(background=True)
        yield server
        await server.shutdown()

    def kill(self) -> None:
        self._server.stop()


class Users:
    """Lets in whoever says nothing, and `reader` with the right password."""

    def get_user(self, _server: Any, username: Any = None, password: Any = None, **_: Any) -> User | None:
        known = username is None or (username, password) == ("reader", "right")
        return User(role=UserRole.User) if known else None


class OpcUaServer:
    """A real server, with two variables. It takes seconds to start: one serves all tests, each behind a relay."""

    def __init__(self) -> None:
        self.port = free_port()
        self.looped = Looped(self._serve)

    @asynccontextmanager
    async def _serve(self) -> AsyncIterator[Any]:
        server = asyncua.Server(user_manager=Users())
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}")
        kinds = asyncua.ua.SecurityPolicyType
        server.set_security_policy([kinds.NoSecurity, kinds.Basic256Sha256_SignAndEncrypt])
        with tempfile.TemporaryDirectory() as folder:
            await server.load_certificate(str(certificate(Path(folder), "urn:freeopcua:python:server")[0]))
            await server.load_private_key(str(Path(folder) / "key.pem"))
        press = await server.nodes.objects.add_object(await server.register_namespace("press"), "Press")
        self.temperature = await press.add_variable("ns=2;s=Press.Temperature", "Temperature", 21.5)
        await press.add_variable("ns=2;s=Press.Running", "Running", True)
        async with server:
            yield server

    def write(self, value: Any) -> None:
        """Let the temperature be a value, or an asyncua DataValue."""
        self.looped.do(lambda: self.temperature.write_value(value))


def certificate(folder: Path, uri: str) -> tuple[Path, Path]:
    """Make a self-signed certificate of an OPC UA application, and its key."""
    files = folder / "cert.der", folder / "key.pem"
    use = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    made = setup_self_signed_certificate(
        files[1], files[0], uri, "localhost", use, {"organizationName": "Lineside"}
    )
    with ThreadPoolExecutor(1) as pool:  # also from within a running loop
        pool.submit(asyncio.run, made).result()
    return files


opc_ua_server = functools.cache(OpcUaServer)


class Relay:
    """Passes a TCP port on to another, until it is cut."""

    def __init__(self, port: int, to: int) -> None:
        self._port, self._to = port, to
        self._looped = Looped(self._serve)
        self.stop = self._looped.stop

    @asynccontextmanager
    async def _serve(self) -> AsyncIterator[Any]:
        self._writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", self._port)
        yield server
        server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, back]
        await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


class OpcUa(Source):
    kind = "opcua"
    channels = ("temperature_c", "running")
    wrong: ClassVar[dict[str, Any]] = {"nodes": {"temperature_c": "Press.Temperature"}}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    @property
    def options(self) -> dict[str, Any]:
        nodes = {"temperature_c": "ns=2;s=Press.Temperature", "running": "ns=2;s=Press.Running"}
        return {"url": f"opc.tcp://127.0.0.1:{self.port}", "nodes": nodes, "interval_s": 0.01}

    def start(self) -> None:
        self._relay = Relay(self.port, opc_ua_server().port)

    def kill(self) -> None:
        self._relay.stop()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
