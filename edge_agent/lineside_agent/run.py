"""The agent as a process: put together, started, stopped."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
from pathlib import Path

from lineside_agent.admission import admit
from lineside_agent.clock import Clock, Signal, SystemClock
from lineside_agent.counters import Counters
from lineside_agent.deliver import Address, Deliver
from lineside_agent.encode import Encoder, Identity
from lineside_agent.heartbeat import Heartbeats
from lineside_agent.model import Model
from lineside_agent.mqtt import MqttBroker
from lineside_agent.outbox import Limits, Outbox
from lineside_agent.presence import Presence
from lineside_agent.progress import Progress, WatchedClock
from lineside_agent.reader import Reader
from lineside_agent.reconnect import Reconnect
from lineside_agent.sense import Sense
from lineside_agent.settings import Settings
from lineside_agent.windows import Windows
from lineside_contract.errors import InputError

log = logging.getLogger(__name__)

# After a request to stop, how long what is in flight may still be acknowledged.
_LAST_WORDS_S = 2.0
_INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


def run(settings: Settings) -> int:
    """Run the agent until it is told to stop or its sensor has ended; return the exit code, 130 for Ctrl-C.

    Raises InputError (before anything is published) if the bundle, the sensor's channels or the state folder
    cannot be used.
    """
    stop = Signal()
    clock = SystemClock()
    lock = _lock_state(settings.state)
    try:
        agent = Agent(settings, clock, stop)
        numbers: list[int] = []

        def on_signal(number: int, _frame: object) -> None:
            numbers.append(number)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, on_signal)
        agent.run()
    finally:
        os.close(lock)
    return _INTERRUPTED if signal.SIGINT in numbers else 0


class Agent:
    """Two threads and what they share: the outbox."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal) -> None:
        """Load the model, open the sensor and begin a new boot. Raises InputError."""
        admitted = admit(settings)
        manifest = admitted.bundle.manifest
        model = Model.open(admitted.bundle, threads=settings.input.threads)
        name, sensor = next(iter(settings.sensors.items()))
        counters = Counters(name)
        channels = manifest.channels
        self._clock = clock
        self._stop = stop
        self._progress = Progress(os.environ)
        watched = WatchedClock(clock, self._progress)
        self._reader = Reader(
            sensor, channels, settings.input.non_finite, counters.sensors[name], watched, stop
        )
        self._reader.open()
        delivery = settings.delivery
        limits = Limits(delivery.outbox_bytes, delivery.memory_bytes, delivery.durability_s)
        broker = MqttBroker(settings.broker, settings.device)
        self.outbox = Outbox(settings.state / "outbox", limits, clock.monotonic)
        admitted.remember(settings.state)
        identity = Identity(settings.device, self.outbox.boot, manifest.name, manifest.version)
        self._deliver = Deliver(
            Address(settings.site, settings.device),
            broker,
            self.outbox,
            Presence(settings.site, identity, delivery.promise, self.outbox.previous),
            Heartbeats(identity, counters, settings.state, settings.heartbeat.every_s, clock),
            (delivery, Reconnect(settings.broker)),
            clock,
        )
        self._sense = Sense(
            (name, self._reader),
            Windows(len(channels), manifest.window.length, manifest.window.hop),
            (model, Encoder(identity, manifest, delivery.messages)),
            (self.outbox, self._deliver.offer),
            identity,
            counters,
            clock,
        )
        self._identity = identity
        self._counters = counters
        self._ended = threading.Event()
        self._failure: Exception | None = None

    def run(self) -> None:
        """Sense in this thread and deliver in another until stopped, or until all of a recording is delivered."""
        delivering = threading.Thread(target=self._deliver_all, name="deliver")
        delivering.start()
        try:
            identity = self._identity
            log.info("%s runs %s %s", identity.device, identity.model, identity.model_version)
            self._sense.tell("model_activated", f"{identity.model} {identity.model_version}")
            self._progress.begin(self._status)
            while not self._stop.raised and self._sense.sense_once():
                self._progress.made()
        except BaseException:
            self._stop.set()
            raise
        finally:
            self._ended.set()
            self._deliver.wake()
            self._progress.wait_for(delivering)
            self._progress.end()
            self._reader.close()
            self.outbox.close()
        if self._failure is not None:
            raise self._failure

    def _status(self) -> str:
        return f"{self._counters.predictions} predictions, {self.outbox.waiting()} messages wait for delivery"

    def _deliver_all(self) -> None:
        told = False
        try:
            while not self._stop.raised:
                self._deliver.deliver_once()
                if self._ended.is_set():
                    waiting = self.outbox.waiting()
                    if not waiting:
                        break
                    if not told and not self._stop.raised:
                        log.info(
                            "the sensor has ended; %d messages wait to be acknowledged"
                            " (stopped now, they go out at the next start)",
                            waiting,
                        )
                        told = True
        except Exception as error:
            # A bug. Going on without delivery would hide it: stop, and let the supervisor start anew.
            self._failure = error
            self._stop.set()
        finally:
            self._deliver.stop(_LAST_WORDS_S)
            waiting = self.outbox.waiting()
            log.info(
                "stopped; %s", f"{waiting} messages wait for the next start" if waiting else "all delivered"
            )


def _lock_state(folder: Path) -> int:
    """Take the state folder for this process. Raises InputError if another agent has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(
            f"The state folder {folder} cannot be used: {error.strerror}.",
            hint="Set `state` to a folder that this user may write to.",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InputError(
            f"Another agent uses the state folder {folder}.",
            hint="Stop it, or give this one a `state` folder of its own.",
        ) from error
    return descriptor
