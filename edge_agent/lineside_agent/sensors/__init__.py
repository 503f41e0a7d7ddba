"""The kinds of sensor, one file each, and the table that names them."""

from __future__ import annotations

import importlib
from typing import Any

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.sensor import Block, EndOfReadings, Sensor
from lineside_contract.errors import InputError, nearest

__all__ = ["KINDS", "Block", "EndOfReadings", "Sensor", "open_sensor", "settings_type"]

# A new kind of sensor is one file and one line: its module has `Settings` (a msgspec struct) and
# `open(settings, clock, stop)`. The module, and with it any driver, is imported when it is used.
KINDS = {
    "audio": "lineside_agent.sensors.audio",
    "exec": "lineside_agent.sensors.exec",
    "hwmon": "lineside_agent.sensors.hwmon",
    "i2c": "lineside_agent.sensors.i2c",
    "iio": "lineside_agent.sensors.iio",
    "modbus": "lineside_agent.sensors.modbus",
    "mqtt": "lineside_agent.sensors.mqtt",
    "opcua": "lineside_agent.sensors.opcua",
    "replay": "lineside_agent.sensors.replay",
    "serial": "lineside_agent.sensors.serial",
    "simulated": "lineside_agent.sensors.simulated",
    "stdin": "lineside_agent.sensors.stdin",
    "thermal": "lineside_agent.sensors.thermal",
}

# Not a kind that a person writes: what several sensors and a section [join] become.
JOIN = "join"
_MODULES = {**KINDS, JOIN: "lineside_agent.sensors.join"}


def settings_type(kind: str) -> Any:
    """Return the settings struct of a kind of sensor. Raises InputError if there is no such kind."""
    if kind not in KINDS:
        raise InputError(
            f"There is no sensor of kind {kind!r}.",
            hint=nearest(kind, KINDS) or f"Known: {', '.join(KINDS)}.",
        )
    return _module(kind).Settings


def open_sensor(kind: str, settings: Any, clock: Clock, stop: Signal) -> Sensor:
    """Open a sensor. Raises InputError for settings that cannot work, SensorError if it may work later."""
    sensor: Sensor = _module(kind).open(settings, clock, stop)
    return sensor


def _module(kind: str) -> Any:
    return importlib.import_module(_MODULES[kind])
