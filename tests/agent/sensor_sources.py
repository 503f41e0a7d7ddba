"""A real source for each kind of sensor: started, silenced, killed and brought back by the conformance tests."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import pty
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tty
import types
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import asyncua
import numpy as np
import pytest
import smbus2
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from lineside_agent.clock import Clock, Signal, SystemClock
from lineside_agent.sensors import Sensor, open_sensor, settings_type
from lineside_agent.sensors.stdin import Settings as StdinSettings
from lineside_agent.sensors.stdin import Stdin
from lineside_agent.settings import JoinedSensors, JoinSettings, SensorSettings
from lineside_agent.tables import Source as Origin
from lineside_agent.tables import decode


class ImpatientClock(SystemClock):
    """The machine's clock, for which every pause is short."""

    def wait(self, seconds: float, stop: Signal) -> bool:
        return super().wait(min(seconds, 0.01), stop)


class Source:
    """One kind's source. `options` are its section of agent.toml, `wrong` what may not stand there.

    `mortal`: whether it can die and come back. `channels` are what it gives.
    """

    kind: ClassVar[str]
    channels: ClassVar[tuple[str, ...]]
    mortal: ClassVar[bool] = True
    wrong: ClassVar[dict[str, Any]]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def options(self) -> dict[str, Any]:
        raise NotImplementedError

    def start(self) -> None:
        """Be there, and give readings."""

    def silence(self) -> None:
        """Be there, and give no readings any more. Kinds that are asked give what they have for ever."""

    def kill(self) -> None:
        """Be gone, as by a pulled plug."""

    def stop(self) -> None:
        """Leave nothing behind."""
        self.kill()

    def settings(self, **changes: Any) -> Any:
        table = {**self.options, **changes}
        return decode(settings_type(self.kind), table, Origin(self.folder / "agent.toml", {}), "sensors.main")

    def open(self, stop: Signal, clock: Clock | None = None) -> Sensor:
        return open_sensor(self.kind, self.settings(), clock or SystemClock(), stop)


class Feeder:
    """Writes a line every 5 ms until it is told to stop."""

    def __init__(self, write: Callable[[bytes], object], line: Callable[[int], str]) -> None:
        self._write = write
        self._line = line
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(0.005):
            try:
                self._write(self._line(number).encode())
            except OSError:
                return
            number += 1

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


class Simulated(Source):
    kind = "simulated"
    channels = ("vibration_x_g", "vibration_y_g", "temperature_c", "current_a", "speed_rpm")
    mortal = False
    wrong: ClassVar[dict[str, Any]] = {"sample_rate_hz": 0}

    @property
    def options(self) -> dict[str, Any]:
        return {"output": "waveform", "sample_rate_hz": 1000}

    def kill(self) -> None:
        pass


class Replay(Source):
    kind = "replay"
    channels = ("a", "b")
    mortal = False
    wrong: ClassVar[dict[str, Any]] = {"file": "none.csv"}

    @property
    def options(self) -> dict[str, Any]:
        return {
            "file": str(self.folder / "readings.csv"),
            "loop": True,
            "interval_s": 0.01,
            "timestamp": "none",
        }

    def start(self) -> None:
        (self.folder / "readings.csv").write_text("a,b\n" + "".join(f"{n},{n * n}\n" for n in range(100)))

    def kill(self) -> None:
        pass


class StandardInput(Source):
    kind = "stdin"
    channels = ("a", "b")
    mortal = False
    wrong: ClassVar[dict[str, Any]] = {"format": "xml"}

    @property
    def options(self) -> dict[str, Any]:
        return {}

    def start(self) -> None:
        self._reader, self._writer = os.pipe()
        os.write(self._writer, b"timestamp,a,b\n")
        self._feeder = Feeder(lambda line: os.write(self._writer, line), lambda n: f"{n},{n},2\n")

    def silence(self) -> None:
        self._feeder.stop()

    def kill(self) -> None:
        self._feeder.stop()
        os.close(self._writer)
        os.close(self._reader)

    def open(self, stop: Signal, clock: Clock | None = None) -> Sensor:
        settings: StdinSettings = self.settings()
        return Stdin(settings, clock or SystemClock(), stop, self._reader)


PROGRAM = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / "pid").write_text(str(__import__("os").getpid()))
print("a,b", flush=True)
for n in range(10**6):
    while (folder / "silent").exists():
        time.sleep(0.005)
    if (folder / "dead").exists():
        sys.exit("the probe has come loose")
    print(f"{n},2", flush=True)
    time.sleep(0.005)
"""


class Program(Source):
    kind = "exec"
    channels = ("a", "b")
    wrong: ClassVar[dict[str, Any]] = {"command": ["no-such-program-here"]}

    @property
    def options(self) -> dict[str, Any]:
        program = str(self.folder / "program.py")
        return {"command": [sys.executable, "-S", program, str(self.folder)], "folder": str(self.folder)}

    def start(self) -> None:
        (self.folder / "program.py").write_text(PROGRAM)
        (self.folder / "dead").unlink(missing_ok=True)

    def silence(self) -> None:
        (self.folder / "silent").touch()

    def kill(self) -> None:
        (self.folder / "dead").touch()


class SerialPort(Source):
    """A pseudo-terminal behind a link, as a USB adapter is behind /dev/serial/by-id."""

    kind = "serial"
    channels = ("a", "b")
    wrong: ClassVar[dict[str, Any]] = {"columns": []}

    @property
    def options(self) -> dict[str, Any]:
        return {"port": str(self.folder / "port"), "baud": 115200, "columns": ["a", "b"]}

    def start(self) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        (self.folder / "port").unlink(missing_ok=True)
        (self.folder / "port").symlink_to(os.ttyname(slave))
        self._slave = slave
        self._feeder = Feeder(lambda line: os.write(self._master, line), lambda n: f"{n},2\r\n")

    def silence(self) -> None:
        self._feeder.stop()

    def kill(self) -> None:
        if self._master >= 0:
            # First what may be stuck in a full line, then the one who writes it.
            self._feeder.stop()
            (self.folder / "port").unlink()
            os.close(self._slave)
            os.close(self._master)
            self._master = -1


class SysfsTree(Source):
    files: ClassVar[dict[str, str]]

    @property
    def options(self) -> dict[str, Any]:
        return {"sysfs": str(self.folder / "sys"), "rate_hz": 200}

    def start(self) -> None:
        for name, content in self.files.items():
            file = self.folder / "sys" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{content}\n")

    def kill(self) -> None:
        for name in self.files:
            (self.folder / "sys" / name).unlink(missing_ok=True)


class Iio(SysfsTree):
    kind = "iio"
    channels = ("accel_x_m_s2", "accel_y_m_s2", "temp_c")
    wrong: ClassVar[dict[str, Any]] = {"columns": ["temp_f"]}
    files: ClassVar[dict[str, str]] = {
        "bus/iio/devices/iio:device0/name": "adxl345",
        "bus/iio/devices/iio:device0/in_accel_x_raw": "12",
        "bus/iio/devices/iio:device0/in_accel_y_raw": "-3",
        "bus/iio/devices/iio:device0/in_accel_scale": "0.038",
        "bus/iio/devices/iio:device0/in_accel_x_calibbias": "0",
        "bus/iio/devices/iio:device0/in_temp_raw": "100",
        "bus/iio/devices/iio:device0/in_temp_offset": "400",
        "bus/iio/devices/iio:device0/in_temp_scale": "50",
    }


class Hwmon(SysfsTree):
    kind = "hwmon"
    channels = ("fan1_rpm", "temp1_c")
    wrong: ClassVar[dict[str, Any]] = {"columns": ["temp9_c"]}
    files: ClassVar[dict[str, str]] = {
        "class/hwmon/hwmon0/name": "cpu_thermal",
        "class/hwmon/hwmon0/temp1_input": "48200",
        "class/hwmon/hwmon0/temp1_max": "90000",
        "class/hwmon/hwmon0/fan1_input": "1200",
    }


class Thermal(SysfsTree):
    kind = "thermal"
    channels = ("cpu_thermal_c", "gpu_thermal_c")
    wrong: ClassVar[dict[str, Any]] = {"columns": ["cpu_c"]}
    files: ClassVar[dict[str, str]] = {
        "class/thermal/thermal_zone0/type": "cpu-thermal",
        "class/thermal/thermal_zone0/temp": "48200",
        "class/thermal/thermal_zone1/type": "gpu-thermal",
        "class/thermal/thermal_zone1/temp": "51000",
    }


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


class OpcUaServer:
    """A real server, with two variables. It takes seconds to start: one serves all tests, each behind a relay."""

    def __init__(self) -> None:
        self.port = free_port()
        self.looped = Looped(self._serve)

    @asynccontextmanager
    async def _serve(self) -> AsyncIterator[Any]:
        server = asyncua.Server()
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


class I2cBus(Source):
    """Only the bus is not real: what stands in for smbus2.SMBus answers as a TMP102 and an LIS3DH would."""

    kind = "i2c"
    channels = ("temperature_c", "x_g")
    wrong: ClassVar[dict[str, Any]] = {"address": 0x78}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        FakeBus.reset()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(smbus2, "SMBus", FakeBus)

    @property
    def options(self) -> dict[str, Any]:
        return {
            "address": 0x48,
            "rate_hz": 200,
            "init": [{"register": 1, "bytes": [0x60, 0xA0], "wait_ms": 1}],
            "registers": {
                "temperature_c": {"register": 0, "shift": 4, "scale": 0.0625},
                "x_g": {"address": 0x18, "register": 0xA8, "endian": "little", "scale": 0.001},
            },
        }

    def start(self) -> None:
        FakeBus.devices = {0x48: {0: [0x19, 0x00]}, 0x18: {0xA8: [0x18, 0xFC]}}

    def kill(self) -> None:
        FakeBus.devices = {}

    def stop(self) -> None:
        self._patch.undo()


class FakeBus:
    """What the sensor uses of smbus2.SMBus. `devices`: address, then register, then the bytes from there."""

    devices: ClassVar[dict[int, dict[int, list[int]]]] = {}
    written: ClassVar[list[tuple[int, int, list[int]]]] = []
    reads: ClassVar[list[tuple[int, int, int]]] = []

    @classmethod
    def reset(cls) -> None:
        cls.devices, cls.written, cls.reads = {}, [], []

    def __init__(self, bus: int) -> None:
        if bus != 1:
            raise FileNotFoundError(2, "No such file or directory")

    def _device(self, address: int) -> dict[int, list[int]]:
        if address not in self.devices:
            raise OSError(121, "Remote I/O error")
        return self.devices[address]

    def read_i2c_block_data(self, address: int, register: int, length: int) -> list[int]:
        self.reads.append((address, register, length))
        return self._device(address)[register][:length]

    def write_i2c_block_data(self, address: int, register: int, data: list[int]) -> None:
        self._device(address)
        self.written.append((address, register, data))

    def close(self) -> None:
        pass


class SoundCard(Source):
    """Only PortAudio is not real: what stands in for sounddevice calls back with blocks, as it does."""

    kind = "audio"
    channels = ("audio_1", "audio_2")
    wrong: ClassVar[dict[str, Any]] = {"inputs": 0}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._patch = pytest.MonkeyPatch()
        self.there = self.speaking = True
        self.streams: list[FakeStream] = []
        module = types.ModuleType("sounddevice")
        module.InputStream = lambda **options: FakeStream(self, **options)  # type: ignore[attr-defined]
        module.PortAudioError = FakePortAudioError  # type: ignore[attr-defined]
        self._patch.setitem(sys.modules, "sounddevice", module)

    @property
    def options(self) -> dict[str, Any]:
        return {"inputs": 2, "sample_rate_hz": 8000, "block_s": 0.01, "device": "USB"}

    def start(self) -> None:
        self.there = self.speaking = True

    def silence(self) -> None:
        self.speaking = False

    def kill(self) -> None:
        self.there = False

    def stop(self) -> None:
        self._patch.undo()


class FakePortAudioError(Exception):
    pass


class FakeStream:
    """What the sensor uses of sounddevice.InputStream: a thread that calls back until the card is gone."""

    def __init__(self, card: SoundCard, **options: Any) -> None:
        if not card.there:
            raise FakePortAudioError("Error querying device 'USB'")
        self._card = card
        self._options = options
        self._closing = threading.Event()
        self._memory = np.empty((options["blocksize"], options["channels"]), np.float32)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.wait(0.005) and self._card.there:
            if self._card.speaking:
                self._memory[:] = 0.25
                self._options["callback"](self._memory, len(self._memory), None, None)
                self._memory[:] = np.nan  # PortAudio uses the memory again
        self._options["finished_callback"]()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Joined(Source):
    """Two trees of sysfs, brought onto one grid. One that dies does not end the other: `mortal` is not for it."""

    kind = "join"
    channels = ("temp1_c", "cpu_thermal_c")
    mortal = False
    wrong: ClassVar[dict[str, Any]] = {"rate_hz": -1}

    @property
    def options(self) -> dict[str, Any]:
        return {"rate_hz": 100, "max_gap_s": 1}

    def start(self) -> None:
        Hwmon(self.folder).start()
        Thermal(self.folder).start()

    def kill(self) -> None:
        pass

    def settings(self, **changes: Any) -> JoinedSensors:
        rules = decode(
            JoinSettings, {**self.options, **changes}, Origin(self.folder / "agent.toml", {}), "sensors.main"
        )
        parts: dict[str, SensorSettings] = {
            source.kind: SensorSettings(
                kind=source.kind, options=source(self.folder).settings(columns=[column])
            )
            for source, column in zip((Hwmon, Thermal), self.channels, strict=True)
        }
        return JoinedSensors(rules=rules, parts=parts)


SOURCES: list[type[Source]] = [
    Simulated,
    Replay,
    StandardInput,
    Program,
    SerialPort,
    Iio,
    Hwmon,
    Thermal,
    Mqtt,
    ModbusTcp,
    OpcUa,
    I2cBus,
    SoundCard,
    Joined,
]
