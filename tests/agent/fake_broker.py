"""A broker in memory, for what a test must control: when it is there, and what it acknowledges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lineside_agent.broker import Acknowledged, Happening, Lost, Received, Will
from lineside_agent.clock import Signal
from lineside_agent.mqtt_frames import Delivery
from lineside_contract.errors import LinesideError, NotDelivered


class Published(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool


class ManualClock:
    """Time that passes only when something waits."""

    def __init__(self) -> None:
        self.time = 1000.0

    def wall_ns(self) -> int:
        return int(self.time * 1e9)

    def monotonic(self) -> float:
        return self.time

    def wait(self, seconds: float, stop: Signal) -> bool:
        self.time += max(0.0, seconds)
        return stop.raised


class FakeBroker:
    """Implements the `Broker` seam. Acknowledges each message at the next poll unless `hold` is set."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.refusal: LinesideError | None = None
        self.hold = False
        self.published: list[Published] = []
        self.attempts: list[float] = []
        self.wills: list[Will] = []
        self.subscriptions: list[str] = []
        self.said_goodbye = False
        self._connected = False
        self._happenings: list[Happening] = []
        self._unacknowledged: list[int] = []
        self._token = 0

    def connect(self, will: Will, subscriptions: list[str]) -> None:
        self.attempts.append(self.clock.time)
        self.wills.append(will)
        if self.refusal is not None:
            raise self.refusal
        self.subscriptions = subscriptions
        self._connected = True

    def publish(self, delivery: Delivery, payloads: Sequence[bytes]) -> list[int]:
        if not self._connected:
            raise NotDelivered("There is no connection.")
        tokens = list(range(self._token + 1, self._token + len(payloads) + 1))
        self._token += len(payloads)
        self.published += [
            Published(delivery.topic, payload, delivery.qos, delivery.retain) for payload in payloads
        ]
        if delivery.qos:
            self._unacknowledged += tokens
        return tokens

    def poll(self, seconds: float, wake: Signal, *, gather: bool = False) -> list[Happening]:  # noqa: ARG002
        if not self.hold:
            self.acknowledge()
        if not self._happenings and not wake.raised:
            self.clock.time += seconds
        happened, self._happenings = self._happenings, []
        return happened

    def disconnect(self) -> None:
        self.said_goodbye = True
        self._connected = False

    # What a test does to it.

    def acknowledge(self) -> None:
        if self._unacknowledged:
            self._happenings.append(Acknowledged(self._unacknowledged))
        self._unacknowledged = []

    def receive(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        self._happenings.append(Received(topic, payload, retained))

    def lose(self) -> None:
        self._connected = False
        self._unacknowledged.clear()
        self._happenings.append(Lost("the test cut it"))

    def take(self, kind: str) -> list[Published]:
        """Return what was published under a kind of topic, and forget it."""
        found = [message for message in self.published if message.topic.endswith("/" + kind)]
        self.published = [message for message in self.published if message not in found]
        return found
