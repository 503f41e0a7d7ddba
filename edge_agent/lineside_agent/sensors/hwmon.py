"""What Linux monitors of its own hardware: temperatures, voltages, fans, currents, power (/sys/class/hwmon)."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.polled import Polled, Rate
from lineside_agent.sensors.sysfs import Attribute, Files, choose, find
from lineside_contract.errors import SensorError

# What an attribute counts in, and what a channel gives (Documentation/hwmon/sysfs-interface.rst).
_UNITS = {
    "temp": ("c", 1e-3),
    "in": ("v", 1e-3),
    "fan": ("rpm", 1.0),
    "curr": ("a", 1e-3),
    "power": ("w", 1e-6),
    "energy": ("j", 1e-6),
    "humidity": ("percent", 1e-3),
}
_INPUT = re.compile(r"([a-z]+)(\d+)_input\Z")


class Settings(Struct, frozen=True, kw_only=True):
    """Which device, by its name ("coretemp") or its folder ("hwmon2"); the only one if nothing is said."""

    device: str = ""
    columns: list[str] = []
    rate_hz: Rate = 1.0
    sysfs: Path = Path("/sys")

    @property
    def known_channels(self) -> tuple[str, ...]:
        """The channels, if they are known before the device is looked at."""
        return tuple(self.columns)


def open(settings: Settings, clock: Clock, stop: Signal) -> Polled:
    """Find the device. Raises InputError for a column that it lacks, SensorError if it is not there."""
    folder = find(settings.sysfs / "class/hwmon", "hwmon*", settings.device)
    attributes = [_attribute(match, folder) for match in map(_INPUT.match, _names(folder)) if match]
    if not attributes:
        raise SensorError(f"{folder} measures nothing.", hint="Set device to another one.")
    return Polled(Files(choose(attributes, settings.columns, str(folder))), settings.rate_hz, clock, stop)


def _names(folder: Path) -> list[str]:
    return sorted((file.name for file in folder.glob("*_input")), key=lambda name: (len(name), name))


def _attribute(match: re.Match[str], folder: Path) -> Attribute:
    unit, scale = _UNITS.get(match[1], ("", 1.0))
    channel = f"{match[1]}{match[2]}_{unit}".rstrip("_")
    return Attribute(channel, folder / match[0], scale)
