"""The agent's connection to its broker, as the deliver loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from lineside_agent.clock import Signal
from lineside_agent.mqtt_frames import Delivery


class Acknowledged(NamedTuple):
    """The broker took the messages that `publish` gave these numbers to."""

    tokens: Sequence[int]


class Received(NamedTuple):
    """A message for us; `retained` if the broker kept it from before we asked for it."""

    topic: str
    payload: bytes
    retained: bool


class Lost(NamedTuple):
    """The connection is gone. What was published and not acknowledged may or may not have arrived."""

    reason: str


Happening: TypeAlias = Acknowledged | Received | Lost


class Will(NamedTuple):
    """What the broker is to publish, retained, if we vanish."""

    topic: str
    payload: bytes


class Broker(Protocol):
    """MQTT 3.1.1 without a session: every connection begins with nothing in flight."""

    def connect(self, will: Will, subscriptions: list[str]) -> None:
        """Connect. Raises NotDelivered if the broker cannot be reached, BrokerRefused if it says no."""

    def publish(self, delivery: Delivery, payloads: Sequence[bytes]) -> list[int]:
        """Send messages and return a number for each. Raises NotDelivered if the connection is gone."""

    def poll(self, seconds: float, wake: Signal, *, gather: bool = False) -> list[Happening]:
        """Wait until something happens, `wake` is raised or the time is up, and tell what happened.

        With `gather` an acknowledgement is not worth waking for: it may wait for others, for a moment.
        """

    def disconnect(self) -> None:
        """Say good-bye, so that the will is not published."""
