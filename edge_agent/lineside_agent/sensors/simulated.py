"""A simulated machine as a sensor: its vibration as it is, or as an industrial sensor sums it up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.bearing import Bearing
from lineside_agent.sensors.indicators import INDICATORS, indicators
from lineside_agent.sensors.machine import FAULTS, Design, FaultKind, Frame, Machine
from lineside_agent.sensors.pace import Pace, Speed
from lineside_agent.sensors.sensor import Block, EndOfReadings
from lineside_contract.errors import BadReading, nearest

_SLOW = ("temperature_c", "current_a", "speed_rpm")
CHANNELS = {
    "waveform": ("vibration_x_g", "vibration_y_g", *_SLOW),
    "indicators": (*INDICATORS, *_SLOW),
}
_FRAME_S = 0.1  # how much of a waveform comes at once
_MEASURED_S = 1.0  # the most that is measured for one reading of indicators

Severity = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]


class Fault(Struct, frozen=True, kw_only=True):
    """A fault that the machine has from one moment to another, in seconds since it started."""

    kind: FaultKind
    severity: Severity = 1.0
    from_s: float = 0.0
    until_s: float = math.inf


class Settings(Struct, frozen=True, kw_only=True):
    """What machine, what is measured, and what is wrong with it.

    `output`: "waveform" gives every sample, "indicators" one reading every `interval_s`. `noise` is the RMS of
    the sensor's own in g. `duration_s` 0 is for ever. `control_file` is a TOML file with `fault` and
    `severity` that may come, change and go while the machine runs.
    """

    output: Literal["waveform", "indicators"] = "indicators"
    sample_rate_hz: Annotated[float, Meta(ge=100, le=200_000)] = 12_000.0
    interval_s: Annotated[float, Meta(ge=0.05, le=86400)] = 1.0
    seed: Annotated[int, Meta(ge=0)] = 0
    speed_rpm: Annotated[float, Meta(ge=60, le=60_000)] = 1500.0
    load: Annotated[float, Meta(ge=0, le=2)] = 0.7
    noise: Annotated[float, Meta(ge=0, le=100)] = 0.02
    ambient_c: Annotated[float, Meta(ge=-60, le=100)] = 25.0
    thermal_s: Positive = 300.0
    resonance_hz: Positive = 3000.0
    bearing: Bearing = Bearing()
    duration_s: Annotated[float, Meta(ge=0)] = 0.0
    speed: Speed = 1.0
    faults: list[Fault] = []
    control_file: Path | None = None


class Recording(NamedTuple):
    """A simulated stretch. timestamps: int64 ns from 0, (n,). values: float32, (n, channels)."""

    timestamps: NDArray[np.int64]
    values: NDArray[np.float32]
    channels: tuple[str, ...]


def open(settings: Settings, clock: Clock, stop: Signal) -> Simulated:
    """Start a simulated machine."""
    return Simulated(settings, clock, stop)


def simulate(settings: Settings, seconds: float, faults: Sequence[Fault] = ()) -> Recording:
    """Simulate some seconds at once, for instance to train a model on. The settings' own faults count too."""
    source = _Source(settings)
    blocks = []
    while source.position_s < seconds:
        blocks.append(source.next(_severities([*settings.faults, *faults], source.position_s)))
    timestamps = np.concatenate([block.timestamps for block in blocks] or [np.empty(0, np.int64)])
    width = len(CHANNELS[settings.output])
    values = np.concatenate([block.values for block in blocks] or [np.empty((0, width), np.float32)])
    within = timestamps <= round(seconds * 1e9)
    return Recording(timestamps[within], values[within], CHANNELS[settings.output])


class Simulated:
    """A sensor on a simulated machine."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal) -> None:
        self._settings = settings
        self._clock = clock
        self._pace = Pace(settings.speed, clock, stop)
        self._source = _Source(settings)
        self._control = _Control(settings.control_file) if settings.control_file else None
        self._start_ns: int | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns."""
        return CHANNELS[self._settings.output]

    def read(self) -> Block:
        """Wait until the next stretch has been measured and return it; raise EndOfReadings after the last one.

        Raises BadReading once for a control file that cannot be read.
        """
        settings, source = self._settings, self._source
        if settings.duration_s and source.position_s > settings.duration_s - source.step_s / 2:
            raise EndOfReadings(f"The machine has run for its {settings.duration_s:g} s.")
        if self._start_ns is None:
            self._start_ns = self._clock.wall_ns()
            self._pace.reach(source.position_s)
        if self._pace.reach(source.position_s + source.step_s) is None:
            return Block(np.empty(0, np.int64), np.empty((0, len(self.channels)), np.float32))
        severities = _severities(settings.faults, source.position_s)
        if self._control and (fault := self._control.look()):
            severities[fault.kind] = max(fault.severity, severities.get(fault.kind, 0.0))
        block = source.next(severities)
        return Block(block.timestamps + self._start_ns, block.values)

    def close(self) -> None:
        """Nothing to give back."""


class _Source:
    """The machine, measured step by step; the steps do not depend on who reads or when."""

    def __init__(self, settings: Settings) -> None:
        design = Design(
            speed_rpm=settings.speed_rpm,
            load=settings.load,
            noise_g=settings.noise,
            sample_rate_hz=settings.sample_rate_hz,
            bearing=settings.bearing,
            resonance_hz=settings.resonance_hz,
            ambient_c=settings.ambient_c,
            thermal_s=settings.thermal_s,
        )
        self._machine = Machine(design, settings.seed)
        self._settings = settings
        waveform = settings.output == "waveform"
        measured_s = _FRAME_S if waveform else min(settings.interval_s, _MEASURED_S)
        self._samples = max(2, round(measured_s * settings.sample_rate_hz))
        self._rate_hz = settings.sample_rate_hz
        self.step_s = self._samples / self._rate_hz if waveform else settings.interval_s
        self._steps = 0

    @property
    def position_s(self) -> float:
        """For how long the machine has run."""
        return self._steps * self.step_s

    def next(self, severities: Mapping[str, float]) -> Block:
        """Measure the next step; its timestamps count from the machine's start."""
        unseen_s = max(0.0, self.step_s - self._samples / self._rate_hz)
        frame = self._machine.run(self._samples, severities, unseen_s=unseen_s)
        first, self._steps = self._steps, self._steps + 1
        if self._settings.output == "indicators":
            at = np.array([round(self._steps * self.step_s * 1e9)])
            return Block(at, self._summary(frame))
        samples = np.arange(1, self._samples + 1, dtype=np.int64) + first * self._samples
        # Rounded from each sample's own number, so that no error adds up.
        return Block(np.rint(samples * (1e9 / self._rate_hz)).astype(np.int64), _waveform(frame))

    def _summary(self, frame: Frame) -> NDArray[np.float32]:
        measured = indicators(frame.x_g, self._rate_hz)
        return np.array(
            [[*measured, frame.temperature_c, frame.current_a, frame.speed_rpm]], dtype=np.float32
        )


class _Control:
    """A file with which a person gives the running machine a fault."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: int | None = None
        self._fault: Fault | None = None

    def look(self) -> Fault | None:
        """Return the fault that the file asks for. Raises BadReading, once for each change of the file."""
        try:
            changed = self._path.stat().st_mtime_ns
        except OSError:
            self._seen = self._fault = None
            return None
        if changed != self._seen:
            self._seen = changed
            self._fault = self._read()
        return self._fault

    def _read(self) -> Fault | None:
        try:
            table = msgspec.toml.decode(self._path.read_bytes(), type=_Wish)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadReading(
                f"{self._path} cannot be used: {error}.", hint='It needs fault = "imbalance", severity = 0.8.'
            ) from error
        if table.fault in ("", "none"):
            return None
        if table.fault not in FAULTS:
            hint = nearest(table.fault, FAULTS) or f"Known: {', '.join(FAULTS)}."
            raise BadReading(f"{self._path}: there is no fault {table.fault!r}.", hint=hint)
        return msgspec.convert({"kind": table.fault, "severity": table.severity}, Fault)


class _Wish(Struct, frozen=True):
    fault: str = ""
    severity: Severity = 1.0


def _severities(faults: Sequence[Fault], at_s: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for fault in faults:
        if fault.from_s <= at_s < fault.until_s:
            found[fault.kind] = max(fault.severity, found.get(fault.kind, 0.0))
    return found


def _waveform(frame: Frame) -> NDArray[np.float32]:
    slow = (frame.temperature_c, frame.current_a, frame.speed_rpm)
    values = np.empty((len(frame.x_g), 2 + len(slow)), np.float32)
    values[:, 0], values[:, 1] = frame.x_g, frame.y_g
    values[:, 2:] = slow
    return values
