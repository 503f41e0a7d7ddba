"""A rolling-element bearing with a local defect: when it strikes, and how the structure answers.

R. B. Randall and J. Antoni, Rolling element bearing diagnostics - a tutorial, Mechanical Systems and Signal
Processing 25 (2011) 485-520: the frequencies, the random slip, and the modulation by the load zone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

_SLIP = 0.01  # standard deviation of the interval between two strikes: rolling elements slip by 1 to 2 %
_DAMPING = 0.04  # of the structural resonance, relative to critical
_STRIKE_G = 3.0  # peak of the answer to a defect of severity 1 at full load and rated speed


class Bearing(Struct, frozen=True, kw_only=True):
    """Geometry. The default is the widely used type 6205. Raises ValueError for one that cannot be built."""

    balls: int = 9
    ball_diameter_mm: float = 7.94
    pitch_diameter_mm: float = 39.04
    contact_angle_deg: float = 0.0

    def __post_init__(self) -> None:
        if self.balls < 3 or not 0 < self.ball_diameter_mm < self.pitch_diameter_mm:
            raise ValueError("a bearing needs 3 balls or more, smaller than the pitch diameter")
        if not 0 <= self.contact_angle_deg < 90:
            raise ValueError("contact_angle_deg must be at least 0 and less than 90")


class Orders(NamedTuple):
    """How often something happens in one turn of the shaft.

    bpfo, bpfi: a ball passes a point of the outer or inner race. bsf: a ball turns once. ftf: the cage does.
    """

    bpfo: float
    bpfi: float
    bsf: float
    ftf: float


def defect_orders(bearing: Bearing) -> Orders:
    """Return the characteristic frequencies in units of the shaft's (Randall and Antoni 2011)."""
    ratio = bearing.ball_diameter_mm / bearing.pitch_diameter_mm
    across = ratio * math.cos(math.radians(bearing.contact_angle_deg))
    return Orders(
        bpfo=bearing.balls / 2 * (1 - across),
        bpfi=bearing.balls / 2 * (1 + across),
        bsf=(1 - across**2) / (2 * ratio),
        ftf=(1 - across) / 2,
    )


class Defect:
    """A local defect that strikes `order` times a turn, each strike ringing a resonance of the structure.

    The strike is strongest when the defect passes the load zone, which it does `zone_order` times a turn; 0 if
    it stands still in it. Continues from call to call, ringing included.
    """

    def __init__(self, order: float, zone_order: float, rate_hz: float, resonance_hz: float) -> None:
        self._interval = 2 * math.pi / order
        self._zone_order = zone_order
        self._next = 0.0  # shaft angle of the next strike
        self._answer = _impulse_response(rate_hz, resonance_hz)
        self._ringing = np.zeros(len(self._answer) - 1)

    def vibration(
        self, angles: NDArray[np.float64], strength: float, random: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return the acceleration in g at each sample; `angles` are the shaft's, rising, in radians."""
        strikes = np.zeros(len(angles))
        if strength > 0:
            self._strike(strikes, angles, strength, random)
        else:
            self._next = float(angles[-1])
        ringing = np.convolve(strikes, self._answer)
        ringing[: len(self._ringing)] += self._ringing
        self._ringing = ringing[len(angles) :]
        return ringing[: len(angles)]

    def _strike(
        self,
        strikes: NDArray[np.float64],
        angles: NDArray[np.float64],
        strength: float,
        random: np.random.Generator,
    ) -> None:
        """Add the strikes up to the last angle, each shared by the two samples between which it falls."""
        count = max(0, math.ceil((angles[-1] - self._next) / self._interval * 1.1)) + 8
        steps = self._interval * (1 + _SLIP * random.standard_normal(count))
        at = self._next + np.concatenate([[0.0], np.cumsum(steps)])
        here = at[at < angles[-1]]
        self._next = float(at[len(here)])
        size = strength * _STRIKE_G * (1 + 0.1 * random.standard_normal(len(here)))
        if self._zone_order:
            size *= (1 + np.cos(self._zone_order * here)) / 2
        place = np.interp(here, angles, np.arange(len(angles), dtype=np.float64))
        before = place.astype(np.intp)
        after = np.minimum(before + 1, len(angles) - 1)
        np.add.at(strikes, before, size * (1 - (place - before)))
        np.add.at(strikes, after, size * (place - before))


def _impulse_response(rate_hz: float, resonance_hz: float) -> NDArray[np.float64]:
    """Return the answer of a damped second-order system until it has died away to a thousandth.

    A resonance that the sampling cannot show is taken at 0.4 of the sampling rate.
    """
    natural = 2 * math.pi * min(resonance_hz, 0.4 * rate_hz)
    decay = _DAMPING * natural
    times = np.arange(max(2, math.ceil(math.log(1000) / decay * rate_hz))) / rate_hz
    return np.exp(-decay * times) * np.sin(natural * math.sqrt(1 - _DAMPING**2) * times)
