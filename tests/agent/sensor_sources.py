"""A real source for each kind of sensor, for the conformance tests."""

from __future__ import annotations

import os
import pty
import sys
import tty
from typing import Any, ClassVar

from sensor_fakes import I2cBus, SoundCard
from sensor_servers import ModbusTcp, Mqtt, OpcUa
from sensor_source import Feeder, Source

from lineside_agent.clock import Clock, Signal, SystemClock
from lineside_agent.sensors import Sensor
from lineside_agent.sensors.stdin import Settings as StdinSettings
from lineside_agent.sensors.stdin import Stdin
from lineside_agent.settings import JoinedSensors, JoinSettings, SensorSettings
from lineside_agent.tables import Source as Origin
from lineside_agent.tables import decode


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
