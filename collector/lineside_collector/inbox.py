"""Where messages come in: each stays the broker's until it is acknowledged."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from lineside_collector.connection import Connection, Settings
from lineside_collector.stop import Stop
from lineside_contract.errors import NotDelivered

LOG = logging.getLogger(__name__)
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
# A connection that lasted this long was a good one: the next failure starts with the first delay again.
GOOD_CONNECTION_S = 10.0


class Received(NamedTuple):
    """One message. `acknowledge` tells the broker that it need not keep it any longer."""

    topic: str
    payload: bytes
    retained: bool
    acknowledge: Callable[[], None]


class Inbox(Protocol):
    """Where the collector's messages come from, and where its answers go."""

    def receive(self, limit: int, timeout: float) -> list[Received]:
        """Wait up to `timeout` seconds for messages and return up to `limit` of them, as soon as there are any.

        Raises BrokerRefused if the broker says no; a broker that is away is waited for.
        """

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message at most once: it is lost when the connection is."""

    def close(self, last_word: str) -> None:
        """Say `stopped` or `offline` and hang up. A later `receive` connects again."""


class MqttInbox:
    """The collector's session with an MQTT broker, which keeps messages for it while it is away.

    Each connection is a new `Connection` with its own run id; this keeps one open, with jittered exponential
    back-off in between (AWS Architecture Blog, 2015, "Exponential Backoff And Jitter").
    """

    def __init__(
        self, settings: Settings, stop: Stop, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._connection: Connection | None = None
        self._connected_at = 0.0
        self._retry_at = 0.0
        self._failures = 0
        self._short_lived = 0
        self._said = ""

    @property
    def connected(self) -> bool:
        """Whether the broker is there and has granted the subscriptions."""
        return self._connection is not None and self._connection.online

    def receive(self, limit: int, timeout: float) -> list[Received]:
        """Wait for messages; see `Inbox.receive`."""
        if self._connection is None and not self._connect(timeout):
            return []
        assert self._connection is not None
        try:
            found = self._connection.receive(limit, timeout)
        except NotDelivered as error:
            self._lost(str(error))
            return []
        if self._connection.online:
            self._say(logging.INFO, "collector ready")
        return [Received(*message) for message in found]

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message at most once; see `Inbox.publish`."""
        if self._connection is not None:
            self._connection.publish(topic, payload)

    def close(self, last_word: str) -> None:
        """Say a last word and hang up; see `Inbox.close`."""
        if self._connection is not None:
            self._connection.close(last_word)
            self._connection = None

    def _connect(self, timeout: float) -> bool:
        wait = self._retry_at - self._clock()
        if wait > 0:
            self._stop.wait(min(wait, timeout))
            if self._stop.raised or self._clock() < self._retry_at:
                return False
        try:
            connection = Connection(self._settings, self._stop)
            connection.open()
        except NotDelivered as error:
            if self._stop.raised:
                return False
            self._say(logging.WARNING, f"{error} Trying again until it is there.")
            self._back_off()
            return False
        self._connection = connection
        self._connected_at = self._clock()
        return True

    def _lost(self, reason: str) -> None:
        self._connection = None
        if self._clock() - self._connected_at >= GOOD_CONNECTION_S:
            self._failures = self._short_lived = 0
        else:
            self._short_lived += 1
        if self._short_lived >= 3:
            reason += f" It never lasts: does another collector use the id {self._settings.collector!r}?"
        self._say(logging.WARNING, reason)
        self._back_off()

    def _back_off(self) -> None:
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(self._failures, 16))
        self._failures += 1
        self._retry_at = self._clock() + delay * random.uniform(0.5, 1.0)

    def _say(self, level: int, text: str) -> None:
        if text != self._said:
            LOG.log(level, text)
        self._said = text
