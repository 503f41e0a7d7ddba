"""Sensors with a driver in the Linux kernel's Industrial I/O: accelerometers, pressure, light, converters."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.polled import Polled, Rate
from lineside_agent.sensors.sysfs import Attribute, Files, choose, find, number
from lineside_contract.errors import SensorError

# What a value is in once the kernel's scale is applied, and how much of the channel's unit that is
# (Documentation/ABI/testing/sysfs-bus-iio).
_UNITS = {
    "accel": ("m_s2", 1.0),
    "anglvel": ("rad_s", 1.0),
    "magn": ("gauss", 1.0),
    "temp": ("c", 1e-3),
    "pressure": ("kpa", 1.0),
    "humidityrelative": ("percent", 1e-3),
    "voltage": ("v", 1e-3),
    "current": ("a", 1e-3),
    "power": ("w", 1e-3),
    "resistance": ("ohm", 1.0),
    "capacitance": ("nf", 1.0),
    "illuminance": ("lux", 1.0),
    "distance": ("m", 1.0),
}
_FILE = re.compile(r"in_(([a-z]+)(\d*(?:-[a-z]+\d*)?)((?:_[a-z0-9]+)*?))_(raw|input)\Z")


class Settings(Struct, frozen=True, kw_only=True):
    """Which device, by its name ("bme280") or its folder ("iio:device0"); the only one if nothing is said."""

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
    folder = find(settings.sysfs / "bus/iio/devices", "iio:device*", settings.device)
    attributes: dict[str, Attribute] = {}
    # "input" comes before "raw": where a driver gives both, the one that it has calibrated itself.
    for match in filter(None, map(_FILE.match, sorted(file.name for file in folder.glob("in_*")))):
        attribute = _attribute(match, folder)
        attributes.setdefault(attribute.channel, attribute)
    if not attributes:
        raise SensorError(f"{folder} measures nothing.", hint="Set device to another one.")
    chosen = choose(list(attributes.values()), settings.columns, str(folder))
    return Polled(Files(chosen), settings.rate_hz, clock, stop)


def _attribute(match: re.Match[str], folder: Path) -> Attribute:
    stem, kind, form = match[1], match[2], match[5]
    unit, factor = _UNITS.get(kind, ("", 1.0))
    channel = f"{stem}_{unit}".rstrip("_")
    file = folder / match[0]
    if form == "input":
        return Attribute(channel, file, factor)
    # Channels of one kind may share scale and offset: in_accel_x_raw, in_accel_scale.
    scale = number(folder / f"in_{stem}_scale", number(folder / f"in_{kind}_scale", 1.0))
    offset = number(folder / f"in_{stem}_offset", number(folder / f"in_{kind}_offset", 0.0))
    return Attribute(channel, file, scale * factor, offset)
