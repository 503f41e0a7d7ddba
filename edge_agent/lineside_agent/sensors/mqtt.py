"""Topics of an MQTT broker, as other devices and gateways publish them: plain numbers, or values within JSON."""

from __future__ import annotations

import secrets
import select
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.line_feed import float32
from lineside_agent.sensors.sensor import Block
from lineside_agent.sensors.stamps import Stamps
from lineside_agent.sensors.topic_values import Gather, Value, subscriptions
from lineside_agent.settings import BrokerSettings
from lineside_agent.tables import Seconds
from lineside_contract.errors import BadReading, SensorError

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

_TICK_S = 1.0  # how often paho looks whether the connection lives


class Settings(Struct, frozen=True, kw_only=True):
    """Which broker, which of its topics are channels, and what makes a reading.

    `reading` "complete": once every channel has a new value; "each": at every message, the other channels keeping
    their last value, which after `max_age_s` is NaN. `client_id` is the sensor's own, by default a new one each time.

    Raises ValueError for what cannot be, as for the agent's own [broker].
    """

    url: str
    values: dict[str, Value]
    reading: Literal["complete", "each"] = "complete"
    max_age_s: Seconds = 60.0
    qos: Literal[0, 1, 2] = 1
    client_id: str = ""
    username: str = ""
    password: str = ""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: Annotated[int, Meta(ge=1, le=65535)] = 15
    connect_timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values names no channel")
        self.broker()

    def __repr__(self) -> str:
        """Show the address and nothing secret."""
        return f"Settings(url={self.url!r}, username={self.username!r}, values={self.values!r})"

    @property
    def known_channels(self) -> tuple[str, ...]:
        """The channels."""
        return tuple(self.values)

    def broker(self) -> BrokerSettings:
        """Return how to reach the broker, as the agent says it of its own."""
        return BrokerSettings(
            url=self.url,
            username=self.username,
            password=self.password,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            keepalive_s=self.keepalive_s,
            connect_timeout_s=self.connect_timeout_s,
        )


def open(settings: Settings, clock: Clock, stop: Signal) -> MqttTopics:
    """Connect and subscribe. Raises InputError for a certificate that cannot be read, SensorError."""
    return MqttTopics(settings, clock, stop)


class MqttTopics:
    """A sensor that subscribes. It runs paho by its own poll, in the thread that reads it."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal) -> None:
        self.channels = tuple(settings.values)
        self._settings = settings
        self._clock = clock
        self._stop = stop
        self._gather = Gather(settings.values, settings.reading == "each", settings.max_age_s, clock)
        self._stamps = Stamps(clock)
        self._messages: deque[tuple[str, bytes]] = deque()
        self._refused = ""
        self._subscribed = self._lost = False
        self._client = self._new_client()
        self._connect()

    def read(self) -> Block:
        """Wait for messages and return the readings that they make.

        Raises BadReading for a payload that holds no number where one should be, SensorError if the broker is gone.
        """
        while not self._clock.wait(0, self._stop):  # a watched clock sees that this waits
            rows = self._take()
            if rows:
                return Block(self._stamps.spread(len(rows)), float32(rows, len(self.channels)))
            self._poll(_TICK_S)
            if self._lost and not self._messages:
                raise self._unreachable("the connection is lost")
        return Block(np.empty(0, np.int64), np.empty((0, len(self.channels)), np.float32))

    def silent(self) -> str:
        """Say to which topics nothing was published since this sensor subscribed."""
        topics = dict.fromkeys(self._gather.silent)
        return f"nothing was published on {', '.join(topics)}" if topics else ""

    def close(self) -> None:
        """Leave the broker. May be called twice."""
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_write()
        if (sock := self._client.socket()) is not None:
            sock.close()

    def _take(self) -> list[list[float]]:
        rows: list[list[float]] = []
        while self._messages:
            topic, payload = self._messages[0]
            try:
                row = self._gather.take(topic, payload)
            except ValueError as error:
                if rows:
                    break
                self._messages.popleft()
                raise BadReading(f"The topic {topic!r} gave no reading: {error}.") from error
            self._messages.popleft()
            if row is not None:
                rows.append(row)
        return rows

    def _connect(self) -> None:
        address = self._settings.broker().address
        try:
            self._client.connect(address.host, address.port, self._settings.keepalive_s)
        except (OSError, ValueError) as error:
            raise self._unreachable(str(getattr(error, "strerror", None) or error)) from error
        deadline = time.monotonic() + self._settings.connect_timeout_s
        while not (self._subscribed or self._refused or self._lost or self._stop.raised):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._poll(left)
        if self._refused or not self._subscribed:
            self.close()
            raise self._unreachable(self._refused or "it does not answer")

    def _poll(self, seconds: float) -> None:
        sock = self._client.socket()
        if sock is None:
            self._lost = True
            return
        if getattr(sock, "pending", int)():  # TLS may hold bytes that select cannot see
            seconds = 0.0
        readers: list[Any] = [sock, self._stop]
        readable, _, _ = select.select(readers, [sock] if self._client.want_write() else [], [], seconds)
        self._client.loop_write()
        if sock in readable or not seconds:
            self._client.loop_read()
        self._client.loop_misc()

    def _new_client(self) -> Client:
        from paho.mqtt.client import Client  # noqa: PLC0415 - not before somebody has an MQTT sensor
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion  # noqa: PLC0415

        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id or f"lineside-sensor-{secrets.token_hex(4)}",
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        client.connect_timeout = settings.connect_timeout_s
        if settings.username:
            client.username_pw_set(settings.username, settings.password)
        if (tls := settings.broker().tls_context()) is not None:
            client.tls_set_context(tls)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._refused = f"it refuses ({code})"
            return
        qos: int = self._settings.qos
        topics = subscriptions(each.topic for each in self._settings.values.values())
        client.subscribe([(topic, qos) for topic in topics])

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, codes: Any, _properties: Any) -> None:
        if any(code.is_failure for code in codes):
            self._refused = "it lets this user subscribe to none of the topics, or not to all"
        self._subscribed = True

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, _code: Any, _properties: Any) -> None:
        self._lost = True

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            self._messages.append((message.topic, bytes(message.payload)))
        except UnicodeDecodeError:
            pass  # no topic that we asked for

    def _unreachable(self, why: str) -> SensorError:
        return SensorError(
            f"The broker {self._settings.url} of the sensor cannot be read: {why}.",
            hint="Is it running, are url, username and password right, and may this user read the topics?",
        )
