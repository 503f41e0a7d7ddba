"""One of several sensors: read in a thread of its own, so that a dead one holds nobody up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence

from lineside_agent.clock import Clock, Signal
from lineside_agent.counters import SensorCounters
from lineside_agent.reader import Reader
from lineside_agent.sensors import EndOfReadings, Sensor, open_sensor
from lineside_agent.sensors.sensor import Block, News, Translating
from lineside_agent.settings import SensorSettings
from lineside_contract.categories import Codes
from lineside_contract.errors import SensorError
from lineside_contract.manifest import Channel

_MOST_BLOCKS = 64
_LOOK_S = 0.1  # how often a part that nobody empties looks whether it is to stop
_PARTING_S = 1.0


class Part:
    """Opens a sensor at once, and reads it once `begin` has said which channels are wanted.

    `arrived` is raised whenever there is something to look at. `failure` is what only a person can mend.
    """

    def __init__(
        self, name: str, settings: SensorSettings, clock: Clock, stop: Signal, arrived: Signal
    ) -> None:
        self.name = name
        self.settings = settings
        self.counters = SensorCounters()
        self.failure: Exception | None = None
        self.opened = False  # or the first attempt has failed
        self.last_at = clock.monotonic()  # when readings came
        self._clock = clock
        self._stop = stop
        self._arrived = arrived
        self._sensor: Sensor | None = None
        self._codes: Mapping[str, Codes] = {}
        self._wanted: Sequence[str] = ()
        self._begun = threading.Event()
        self._blocks: queue.Queue[Block] = queue.Queue(_MOST_BLOCKS)
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._done = False
        self._thread = threading.Thread(target=self._run, name=f"sensor-{name}", daemon=True)
        self._thread.start()

    @property
    def channels(self) -> tuple[str, ...]:
        """What it gives, by the model's names; nothing if that is not known before it has been open once."""
        sensor = self._sensor
        known = getattr(self.settings.options, "known_channels", ())
        columns = known if sensor is None else sensor.channels
        return tuple(self.settings.channels.get(column, column) for column in columns)

    @property
    def ended(self) -> bool:
        """Whether it will give nothing more."""
        return self._done and self._blocks.empty()

    @property
    def full(self) -> bool:
        """Whether it waits for somebody to take what it has."""
        return self._blocks.full()

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these channels, if there are such, as text. Before `begin`."""
        self._codes = columns
        if isinstance(self._sensor, Translating):
            renames = self.settings.channels
            back = {channel: column for column, channel in renames.items()}
            self._sensor.translate({back.get(channel, channel): codes for channel, codes in columns.items()})

    def begin(self, wanted: Sequence[str]) -> None:
        """Begin to read these channels."""
        self._wanted = wanted
        self._begun.set()

    def take(self) -> Block | None:
        """Return the next block if there is one."""
        try:
            return self._blocks.get_nowait()
        except queue.Empty:
            return None

    def take_news(self) -> list[News]:
        """Return what happened since the last call."""
        news = []
        while not self._news.empty():
            news.append(self._news.get())
        return news

    def close(self) -> bool:
        """Wait a little until it has ended, once its `stop` is raised; return whether it has."""
        self._begun.set()
        self._thread.join(_PARTING_S)
        return not self._thread.is_alive()

    # What follows runs on the part's own thread.

    def _run(self) -> None:
        try:
            try:
                self._sensor = open_sensor(self.settings.kind, self.settings.options, self._clock, self._stop)
            except SensorError:
                pass  # the reader will find out, tell of it and go on trying
            self.opened = True
            self._arrived.set()
            self._begun.wait()
            if self._stop.raised and self._sensor is not None:
                self._sensor.close()
            if not self._stop.raised:
                self._read_all()
        except EndOfReadings:
            pass
        except Exception as error:
            self.failure = error
        finally:
            self.opened = self._done = True
            self._arrived.set()

    def _read_all(self) -> None:
        reader = Reader(self.settings, self._channels(), "skip", self.counters, self._clock, self._stop)
        reader.name = f"the sensor {self.name}"
        reader.advice = "What becomes of the rows, gap in [join] says."
        try:
            if self._sensor is None:
                reader.open()
            else:
                reader.adopt(self._sensor)
            while not self._stop.raised:
                block = reader.read()
                for news in reader.take_news():
                    self._news.put(news)
                    self._arrived.set()
                if block is not None and len(block.timestamps):
                    self._give(block)
        finally:
            for news in reader.take_news():
                self._news.put(news)
            reader.close()

    def _channels(self) -> list[Channel]:
        return [
            Channel(name=name, categories=list(self._codes[name].categories) if name in self._codes else [])
            for name in self._wanted
        ]

    def _give(self, block: Block) -> None:
        self.last_at = self._clock.monotonic()
        while not self._stop.raised:
            try:
                self._blocks.put(block, timeout=_LOOK_S)
            except queue.Full:
                continue
            self._arrived.set()
            return
