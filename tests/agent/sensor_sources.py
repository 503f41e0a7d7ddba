"""A real source for each kind of sensor: started, silenced, killed and brought back by the conformance tests."""

from __future__ import annotations

import os
import pty
import sys
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from lineside_agent.clock import Clock, Signal, SystemClock
from lineside_agent.sensors import Sensor, open_sensor, settings_type
from lineside_agent.sensors.stdin import Settings as StdinSettings
from lineside_agent.sensors.stdin import Stdin
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


SOURCES: list[type[Source]] = [
    Simulated,
    Replay,
    StandardInput,
    Program,
    SerialPort,
    Iio,
    Hwmon,
    Thermal,
]
