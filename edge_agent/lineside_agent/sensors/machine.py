"""The physics of a motor that drives a machine through a bearing: vibration, speed, current, temperature.

Shaft faults show as harmonics of the shaft's frequency (ISO 13373-3): imbalance at once a turn, misalignment
mostly at twice, looseness at many, half orders among them. A rotating unbalanced mass pulls with the square
of the speed. Bearing defects are those of `bearing`. Speed falls with load (the slip of an induction motor),
current rises with it, and temperature follows the losses as a first-order system.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lineside_agent.sensors.bearing import Bearing, Defect, defect_orders

FaultKind: TypeAlias = Literal[
    "imbalance",
    "misalignment",
    "looseness",
    "bearing_outer",
    "bearing_inner",
    "bearing_ball",
    "overheating",
]
FAULTS: tuple[str, ...] = get_args(FaultKind)

_RATED_RPM = 1500.0
_SLIP = 0.03  # at full load
_LOAD_SWING = 0.05  # standard deviation of the load around its mean
_LOAD_MEMORY_S = 20.0
_RATED_A = 8.0
_NO_LOAD_A = 0.4  # magnetising current, as a share of the rated one
_RISE_IRON_C, _RISE_COPPER_C, _RISE_FRICTION_C = 8.0, 37.0, 15.0  # above the ambient, in the end


class Harmonic(NamedTuple):
    """A vibration at `order` times the shaft's frequency: peak in g along x and y, and how far y lags."""

    order: float
    x_g: float
    y_g: float
    lag: float


_QUARTER = math.pi / 2
_HEALTHY = (
    Harmonic(1, 0.020, 0.018, _QUARTER),
    Harmonic(2, 0.008, 0.007, 0.3),
    Harmonic(3, 0.003, 0.003, 1.1),
)
# At severity 1, on top of what a healthy machine shows.
_HARMONICS: dict[str, tuple[Harmonic, ...]] = {
    "imbalance": (Harmonic(1, 0.20, 0.19, _QUARTER),),
    "misalignment": (
        Harmonic(1, 0.05, 0.04, math.pi),
        Harmonic(2, 0.30, 0.22, math.pi),
        Harmonic(3, 0.08, 0.06, math.pi),
    ),
    "looseness": tuple(Harmonic(order / 2, 0.24 / order, 0.40 / order, 0.0) for order in range(1, 21)),
}
# How much of the severity is friction that heats.
_FRICTION = {"misalignment": 0.6, "bearing_outer": 0.8, "bearing_inner": 0.8, "bearing_ball": 0.8}


class Design(Struct, frozen=True, kw_only=True):
    """What the machine is. `speed_rpm` is that without load, `load` 1.0 is the rated one, `noise_g` an RMS."""

    speed_rpm: float = 1500.0
    load: float = 0.7
    noise_g: float = 0.02
    sample_rate_hz: float = 12_000.0
    bearing: Bearing = Bearing()
    resonance_hz: float = 3000.0
    ambient_c: float = 25.0
    thermal_s: float = 300.0


class Frame(NamedTuple):
    """A stretch of the machine's life. x_g, y_g: vibration, shape (n,). The others: where they ended."""

    x_g: NDArray[np.float64]
    y_g: NDArray[np.float64]
    temperature_c: float
    current_a: float
    speed_rpm: float


class Machine:
    """A machine in motion. The same design, seed and calls give the same vibration, bit for bit."""

    def __init__(self, design: Design, seed: int) -> None:
        self._design = design
        self._random = np.random.default_rng(seed)
        self._angle = 0.0
        self._load = design.load
        self._speed_hz = self._running_hz()
        self._temperature_c = self._final_temperature({})
        orders = defect_orders(design.bearing)
        rings = (design.sample_rate_hz, design.resonance_hz)
        # A defect of the inner race turns with the shaft, one of a ball with the cage, and a ball strikes
        # both races in a turn of its own.
        self._defects = {
            "bearing_outer": Defect(orders.bpfo, 0, *rings),
            "bearing_inner": Defect(orders.bpfi, 1, *rings),
            "bearing_ball": Defect(2 * orders.bsf, orders.ftf, *rings),
        }

    def run(self, samples: int, severities: Mapping[str, float], *, unseen_s: float = 0.0) -> Frame:
        """Let the machine run for `unseen_s` seconds that nobody measures, then measure some samples.

        `severities` are those of the faults that it has meanwhile, 0 to 1.
        """
        rate = self._design.sample_rate_hz
        seconds = unseen_s + samples / rate
        before = self._speed_hz
        self._vary_load(seconds)
        self._speed_hz = self._running_hz()
        self._angle += 2 * math.pi * before * unseen_s
        speed = np.linspace(before, self._speed_hz, samples)
        angles = self._angle + np.cumsum(2 * math.pi * speed / rate)
        self._angle = float(angles[-1])
        x, y = self._vibration(angles, severities)
        self._warm(seconds, severities)
        return Frame(x, y, self._temperature_c, self._current(severities), self._speed_hz * 60)

    def _vary_load(self, seconds: float) -> None:
        """Let the load wander around its mean (an Ornstein-Uhlenbeck process, exact for any step)."""
        kept = math.exp(-seconds / _LOAD_MEMORY_S)
        push = _LOAD_SWING * math.sqrt(1 - kept**2) * self._random.standard_normal()
        self._load = max(0.0, self._design.load + (self._load - self._design.load) * kept + push)

    def _running_hz(self) -> float:
        return self._design.speed_rpm * (1 - _SLIP * self._load) / 60

    def _vibration(
        self, angles: NDArray[np.float64], severities: Mapping[str, float]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x = self._random.standard_normal(len(angles)) * self._design.noise_g
        y = self._random.standard_normal(len(angles)) * self._design.noise_g
        pull = (self._speed_hz * 60 / _RATED_RPM) ** 2
        for harmonic, share in self._harmonics(severities):
            phase = harmonic.order * angles
            x += pull * share * harmonic.x_g * np.cos(phase)
            y += pull * share * harmonic.y_g * np.cos(phase - harmonic.lag)
        for kind, defect in self._defects.items():
            strength = severities.get(kind, 0.0) * (0.5 + 0.5 * self._load) * pull
            ringing = defect.vibration(angles, strength, self._random)
            x += ringing
            y += 0.6 * ringing
        return x, y

    def _harmonics(self, severities: Mapping[str, float]) -> list[tuple[Harmonic, float]]:
        """Return what vibrates at orders that the sampling can show, and how much of it there is."""
        found = [(harmonic, 1.0) for harmonic in _HEALTHY]
        for kind, severity in severities.items():
            # What is loose rattles differently all the time.
            rattle = 1 + 0.3 * self._random.standard_normal() if kind == "looseness" else 1.0
            found += [(harmonic, severity * abs(rattle)) for harmonic in _HARMONICS.get(kind, ())]
        highest = self._design.sample_rate_hz / 2 / max(self._speed_hz, 1e-9)
        return [(harmonic, share) for harmonic, share in found if harmonic.order < highest]

    def _friction(self, severities: Mapping[str, float]) -> float:
        return sum(share * severities.get(kind, 0.0) for kind, share in _FRICTION.items())

    def _final_temperature(self, severities: Mapping[str, float]) -> float:
        losses = _RISE_IRON_C + _RISE_COPPER_C * self._load**2 + _RISE_FRICTION_C * self._friction(severities)
        blocked = 1 + 1.5 * severities.get("overheating", 0.0)  # cooling that no longer reaches the motor
        return self._design.ambient_c + losses * blocked

    def _warm(self, seconds: float, severities: Mapping[str, float]) -> None:
        """Go towards the final temperature as a first-order system does, exact for any step."""
        share = -math.expm1(-seconds / self._design.thermal_s)
        self._temperature_c += (self._final_temperature(severities) - self._temperature_c) * share

    def _current(self, severities: Mapping[str, float]) -> float:
        torque = 0.9 * (self._load + 0.1 * self._friction(severities))
        return _RATED_A * math.hypot(_NO_LOAD_A, torque) * (1 + 0.005 * self._random.standard_normal())
