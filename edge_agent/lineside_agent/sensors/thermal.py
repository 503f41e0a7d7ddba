"""The temperatures by which Linux protects itself from heat (/sys/class/thermal): the CPU's on a Raspberry Pi."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.polled import Polled, Rate
from lineside_agent.sensors.sysfs import Attribute, Files, choose, text
from lineside_contract.errors import SensorError


class Settings(Struct, frozen=True, kw_only=True):
    """All zones, or those of `columns`: a zone of type cpu-thermal is the column cpu_thermal_c."""

    columns: list[str] = []
    rate_hz: Rate = 1.0
    sysfs: Path = Path("/sys")

    @property
    def known_channels(self) -> tuple[str, ...]:
        """The channels, if they are known before the device is looked at."""
        return tuple(self.columns)


def open(settings: Settings, clock: Clock, stop: Signal) -> Polled:
    """Find the zones. Raises InputError for a column that is not there, SensorError if there is no zone."""
    folder = settings.sysfs / "class/thermal"
    zones = sorted(folder.glob("thermal_zone*"), key=lambda zone: (len(zone.name), zone.name))
    if not zones:
        raise SensorError(
            f"{folder} has no thermal zone.", hint="Virtual machines and some boards have none."
        )
    attributes: dict[str, Attribute] = {}
    for zone in zones:
        channel = re.sub(r"\W", "_", text(zone / "type") or zone.name)
        if f"{channel}_c" in attributes:
            channel += f"_{zone.name.removeprefix('thermal_zone')}"
        attributes[f"{channel}_c"] = Attribute(f"{channel}_c", zone / "temp", 1e-3)
    chosen = choose(list(attributes.values()), settings.columns, str(folder))
    return Polled(Files(chosen), settings.rate_hz, clock, stop)
