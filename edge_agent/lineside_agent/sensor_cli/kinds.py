"""What each kind of sensor reads and needs, and whether that is here. Imports no driver."""

from __future__ import annotations

import ctypes.util
import importlib.util
from pathlib import Path

from msgspec import Struct

SYSFS = Path("/sys")


class Need(Struct, frozen=True):
    """What a kind reads; the extra that installs its packages; a library and what installs it; a folder of Linux."""

    reads: str
    extra: str = ""
    modules: tuple[str, ...] = ()
    library: str = ""
    package: str = ""
    folder: str = ""


class State(Struct, frozen=True):
    """Whether a kind can be used here, and if not, what to do about it."""

    kind: str
    reads: str
    needs: str
    ready: bool
    hint: str


NEEDS = {
    "audio": Need(
        "a microphone, or any sound input", "audio", ("sounddevice",), "portaudio", "libportaudio2"
    ),
    "exec": Need("the lines of a program that the agent starts"),
    "hwmon": Need("temperatures, voltages, fans of this machine", folder="class/hwmon"),
    "i2c": Need("registers of devices on an I2C bus", "i2c", ("smbus2",)),
    "iio": Need("sensors with a Linux kernel driver", folder="bus/iio/devices"),
    "modbus": Need("registers, over TCP or a serial line", "modbus", ("pymodbus", "serial")),
    "mqtt": Need("topics of any MQTT broker"),
    "opcua": Need("variables of an OPC UA server", "opcua", ("asyncua",)),
    "replay": Need("a recording: a CSV file"),
    "serial": Need("lines from a serial port", "serial", ("serial",)),
    "simulated": Need("a simulated motor with bearings"),
    "stdin": Need("lines that another program pipes in"),
    "thermal": Need("temperatures by which Linux protects this machine", folder="class/thermal"),
}


def states() -> list[State]:
    """Look at every kind."""
    return [_state(kind, need) for kind, need in NEEDS.items()]


def _state(kind: str, need: Need) -> State:
    hints = []
    if not all(map(importlib.util.find_spec, need.modules)):
        hints.append(f"pip install 'lineside[{need.extra}]'")
    if need.library and ctypes.util.find_library(need.library) is None:
        hints.append(f"sudo apt-get install {need.package}")
    if need.folder and not any((SYSFS / need.folder).glob("*")):
        hints.append(f"this machine has no device in {SYSFS / need.folder}")
    needs = [f"lineside[{need.extra}]"] if need.extra else []
    if need.package:
        needs.append(need.package)
    if need.folder:
        needs.append("Linux")
    return State(kind, need.reads, ", ".join(needs), not hints, "; ".join(hints))
