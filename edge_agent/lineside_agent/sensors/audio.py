"""A microphone or any other input of a sound card: every sample is a reading.

PortAudio brings the samples in blocks, on a thread of its own.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.arrivals import Arrivals
from lineside_agent.sensors.drivers import driver
from lineside_agent.sensors.sensor import Block
from lineside_contract.errors import InputError, SensorError

_FURTHEST_OFF_NS = (
    50_000_000  # how far the card's clock and the machine's may run apart before times are set anew
)


class Settings(Struct, frozen=True, kw_only=True):
    """Which input ("" is the system's, else its number or a part of its name), and how it is sampled.

    Samples are -1 to 1; the channels are called audio_1, audio_2, ... `block_s` is how long the card collects.
    """

    device: str = ""
    sample_rate_hz: Annotated[int, Meta(ge=1000, le=384_000)] = 16_000
    inputs: Annotated[int, Meta(ge=1, le=64)] = 1
    block_s: Annotated[float, Meta(gt=0, le=10)] = 0.1

    @property
    def known_channels(self) -> tuple[str, ...]:
        """The channels."""
        return tuple(f"audio_{number}" for number in range(1, self.inputs + 1))


def open(settings: Settings, clock: Clock, stop: Signal) -> Audio:
    """Start recording. Raises InputError without sounddevice or PortAudio, SensorError if there is no such input."""
    return Audio(settings, clock, stop)


class Audio:
    """A sensor that is an input of a sound card."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal) -> None:
        self.channels = settings.known_channels
        self._settings = settings
        self._arrivals = Arrivals(len(self.channels), clock, stop)
        self._times = SampleTimes(settings.sample_rate_hz, clock)
        self._closing = False
        self._stream = self._start()

    def read(self) -> Block:
        """Wait for samples and return all that are there.

        Raises BadReading if some were lost, SensorError if the card is gone.
        """
        return self._arrivals.take()

    def close(self) -> None:
        """Stop recording. May be called twice."""
        if not self._closing:
            self._closing = True
            self._stream.close()
            self._arrivals.close()

    def _start(self) -> Any:
        sounddevice = _sounddevice()
        settings = self._settings
        try:
            stream = sounddevice.InputStream(
                samplerate=settings.sample_rate_hz,
                blocksize=max(1, round(settings.block_s * settings.sample_rate_hz)),
                device=_device(settings.device),
                channels=settings.inputs,
                dtype="float32",
                callback=self._on_samples,
                finished_callback=self._on_end,
            )
            stream.start()
        except (sounddevice.PortAudioError, ValueError, OSError) as error:
            self._arrivals.close()
            raise SensorError(
                f"The sound input {settings.device or 'of the system'} cannot be opened: {error}.",
                hint="`python3 -m sounddevice` lists the inputs; the agent's user must be in the group audio.",
            ) from error
        return stream

    # PortAudio calls these on its own thread.

    def _on_samples(self, samples: NDArray[np.float32], count: int, _time: Any, _status: Any) -> None:
        # A copy: PortAudio uses the memory again.
        self._arrivals.put(Block(self._times.next(count), samples.copy()))

    def _on_end(self) -> None:
        if not self._closing:
            self._arrivals.fail(SensorError("The sound input has ended.", hint="Look at its cable."))


class SampleTimes:
    """Times of samples: counted from the first by the rate, so that they are even; anew if the clocks run apart."""

    def __init__(self, rate_hz: float, clock: Clock) -> None:
        self._interval_ns = 1e9 / rate_hz
        self._clock = clock
        self._origin = 0
        self._count = 0
        self._last = 0

    def next(self, count: int) -> NDArray[np.int64]:
        """Return the times of so many samples, of which the last was taken just now: int64 ns, shape (count,)."""
        now = self._clock.wall_ns()
        expected = self._origin + round((self._count + count) * self._interval_ns)
        if not self._count or now - expected > _FURTHEST_OFF_NS or expected - now > _FURTHEST_OFF_NS:
            self._origin = max(now - round(count * self._interval_ns), self._last)
            self._count = 0
        numbers = np.arange(self._count + 1, self._count + count + 1)
        times: NDArray[np.int64] = self._origin + np.rint(numbers * self._interval_ns).astype(np.int64)
        self._count += count
        self._last = int(times[-1])
        return times


def _device(name: str) -> str | int | None:
    if not name:
        return None
    return int(name) if name.isdigit() else name


def _sounddevice() -> Any:
    try:
        return driver("sounddevice", "audio", "sounddevice")
    except OSError as error:
        raise InputError(
            "The library PortAudio, by which sound cards are read, is not installed.",
            hint="Run: sudo apt-get install libportaudio2",
        ) from error
