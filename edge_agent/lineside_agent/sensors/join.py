"""Several sensors as one: each read in its own thread, their readings brought onto one grid of times.

sensor -> Part (thread, Reader) -.
sensor -> Part (thread, Reader) --+-> Resampler -> rows at rate_hz
sensor -> Part (thread, Reader) -'
"""

from __future__ import annotations

import select
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from lineside_agent.clock import Clock, Signal
from lineside_agent.counters import SensorCounters
from lineside_agent.sensors import resample
from lineside_agent.sensors.part import Part
from lineside_agent.sensors.runs import Runs
from lineside_agent.sensors.sensor import Block, EndOfReadings, News
from lineside_agent.settings import JoinedSensors
from lineside_contract.categories import Codes
from lineside_contract.errors import InputError, LinesideError, SensorError

_OPENING_S = 5.0
_LOOK_UP_S = 1.0  # how often somebody who waits says so
_MOST_AHEAD = 100_000  # readings of one part that wait for another; then it is not read on
_LONGEST_STALL_S = 10.0  # for how long such a part stands still before the others are said to be out of step


def open(settings: JoinedSensors, clock: Clock, stop: Signal) -> Join:
    """Open all parts. Raises InputError if one can never work, SensorError if it is not known what one gives."""
    return Join(settings, clock, stop)


class Join:
    """A sensor that has parts. A dead part is told of, and its gap filled as the rules say; the others go on."""

    def __init__(self, settings: JoinedSensors, clock: Clock, stop: Signal) -> None:
        self._rules = settings.rules
        self._clock = clock
        self._stop = stop
        self._stopping = Signal()  # the parts' own: they also end when this sensor is closed
        self._arrived = Signal()
        self._codes: Mapping[str, Codes] = {}
        self._resampler: resample.Resampler | None = None
        self._order: list[int] | None = None
        self._news: list[News] = []
        rate = _exact(settings.rules.rate_hz)
        self._runs = Runs(round(10**9 / rate))
        self._resampling = resample.Rules(rate, round(settings.rules.max_gap_s * 1e9), settings.rules.gap)
        self._stalled_at: float | None = None
        self._out_of_step: set[int] = set()
        self._closed = False
        self._parts = [
            Part(name, each, clock, self._stopping, self._arrived) for name, each in settings.parts.items()
        ]
        try:
            self._await_open()
            self._check_names()
        except BaseException:
            self.close()
            raise

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns: those of the parts, side by side."""
        return tuple(channel for part in self._parts for channel in part.channels)

    @property
    def counters(self) -> Mapping[str, SensorCounters]:
        """How each part is doing, by its name."""
        return {part.name: part.counters for part in self._parts}

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these channels, if there are such, as text."""
        for part in self._parts:
            part.translate(columns)

    def choose(self, channels: Sequence[str]) -> None:
        """Give only these channels; a part that has none of them is not waited for."""
        self._begin(channels)

    def read(self) -> Block:
        """Wait for rows; an empty block if the agent is to stop, or if there is news of a part.

        Raises EndOfReadings if no row can come any more, InputError for what only a person can mend.
        """
        resampler = self._resampler or self._begin(self.channels)
        while not self._clock.wait(0, self._stop):  # by a clock that is watched, waiting is progress
            self._arrived.clear()
            self._take_in(resampler)
            now = self._clock.monotonic()
            self._runs.add(resampler.take(self._awaited(now)))
            if (rows := self._runs.take()) is not None:
                return self._ordered(rows)
            if self._news:
                break
            self._raise_failure()
            if self._over(resampler):
                raise EndOfReadings("The sensors that are joined have ended.")
            self._wait(now)
        return resampler.nothing()

    def take_news(self) -> list[News]:
        """Return what happened to the parts since the last call."""
        news, self._news = self._news, []
        return news

    def take_gap(self) -> bool:
        """Return whether rows were left out between the block that was read last and the one before it."""
        return self._runs.take_gap()

    def close(self) -> None:
        """End the parts. May be called twice."""
        if not self._closed:
            self._closed = True
            self._stopping.set()
            closed = [part.close() for part in self._parts]
            if all(closed):
                self._stopping.close()
                self._arrived.close()

    def _await_open(self) -> None:
        deadline = self._clock.monotonic() + _OPENING_S
        while not all(part.opened for part in self._parts):
            left = deadline - self._clock.monotonic()
            if left <= 0 or self._clock.wait(0, self._stop):
                break
            select.select([self._arrived, self._stop], [], [], min(left, _LOOK_UP_S))
            self._arrived.clear()

    def _check_names(self) -> None:
        self._raise_failure()
        for part in self._parts:
            if not part.channels:
                raise SensorError(
                    f"The sensor {part.name} is not there yet, and what it gives is not known before.",
                    hint=f"With columns in [sensors.{part.name}] the others need not wait for it.",
                )
        names = self.channels
        if twice := next((name for name in names if names.count(name) > 1), None):
            givers = " and ".join(part.name for part in self._parts if twice in part.channels)
            raise InputError(
                f"The channel {twice!r} comes from {givers}.",
                hint=f'Rename one: channels = {{ "{twice}" = "another name" }} in its section.',
            )

    def _begin(self, channels: Sequence[str]) -> resample.Resampler:
        """Let the parts be read that have one of these channels."""
        self._active: list[Part] = []
        given: list[str] = []
        shapes = []
        for part in self._parts:
            wanted = [channel for channel in part.channels if channel in channels]
            if wanted:
                self._active.append(part)
                given += wanted
                shapes.append(resample.Part(part.settings.method, len(wanted)))
                part.begin(wanted)
        self._order = [given.index(channel) for channel in channels]
        self._resampler = resample.Resampler(shapes, self._resampling)
        return self._resampler

    def _take_in(self, resampler: resample.Resampler) -> None:
        blocked = False
        for number, part in enumerate(self._active):
            while resampler.ahead(number) < _MOST_AHEAD and (block := part.take()) is not None:
                resampler.push(number, block)
            blocked |= part.full
            self._news += [news._replace(sensor=part.name) for news in part.take_news()]
        self._watch_step(resampler, blocked)

    def _watch_step(self, resampler: resample.Resampler, blocked: bool) -> None:
        """Find parts whose times are so far behind that they would hold the others up for ever."""
        newest = [resampler.newest(number) for number in range(len(self._active))]
        tolerated = max(newest) - round(self._rules.max_gap_s * 1e9)
        for number in [number for number in self._out_of_step if newest[number] >= tolerated]:
            self._out_of_step.discard(number)
            self._news.append(News("sensor_recovered", "It is in step again.", self._active[number].name))
        if not blocked:
            self._stalled_at = None
            return
        now = self._clock.monotonic()
        self._stalled_at = self._stalled_at or now
        if now - self._stalled_at < _LONGEST_STALL_S:
            return
        for number, part in enumerate(self._active):
            if newest[number] < tolerated and number not in self._out_of_step:
                self._out_of_step.add(number)
                behind = (max(newest) - newest[number]) / 1e9
                detail = f"Its readings are {behind:.0f} s older than those of the others."
                hint = "Look at its clock, or leave its timestamp out."
                self._news.append(News("sensor_failed", f"{detail} {hint}", part.name))

    def _awaited(self, now: float) -> list[int]:
        """Return the parts for which a row waits: not the dead, nor those that have been silent for too long."""
        return [
            number
            for number, part in enumerate(self._active)
            if not part.ended
            and part.counters.state != "failed"
            and number not in self._out_of_step
            and now - part.last_at <= self._patience_s(part)
        ]

    def _patience_s(self, part: Part) -> float:
        # On a line a value needs the reading after it.
        return self._rules.max_gap_s if part.settings.method == "linear" else self._rules.wait_s

    def _wait(self, now: float) -> None:
        """Wait for readings, for news, or until a part has been silent for too long."""
        ends = [part.last_at + self._patience_s(part) for part in self._active]
        left = [end - now + 0.001 for end in ends if end > now]
        select.select([self._arrived, self._stop], [], [], min([_LOOK_UP_S, *left]))

    def _raise_failure(self) -> None:
        for part in self._parts:
            failure = part.failure
            if isinstance(failure, LinesideError):
                raise type(failure)(f"Sensor {part.name}: {failure.message}", hint=failure.hint) from failure
            if failure is not None:
                raise failure

    def _over(self, resampler: resample.Resampler) -> bool:
        ended = [number for number, part in enumerate(self._active) if part.ended]
        if len(ended) == len(self._active):
            return True
        if self._rules.gap != "drop":
            return False
        leader = max(resampler.newest(number) for number in range(len(self._active)))
        gap = round(self._rules.max_gap_s * 1e9)
        return any(resampler.newest(number) + gap < leader for number in ended)

    def _ordered(self, rows: Block) -> Block:
        if self._order is None or self._order == list(range(rows.values.shape[1])):
            return rows
        return Block(rows.timestamps, np.ascontiguousarray(rows.values[:, self._order]))


def _exact(rate_hz: float) -> Fraction:
    # What was meant by 0.1 or 0.0166667, so that the grid is at whole seconds or minutes.
    if rate_hz >= 1:
        return Fraction(rate_hz).limit_denominator(1000)
    return 1 / Fraction(1 / rate_hz).limit_denominator(1000)
