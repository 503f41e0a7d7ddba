"""The connection to a broker by paho-mqtt, driven by our own poll: no thread, no callback that does work."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import deque
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from lineside_agent.broker import Acknowledged, Happening, Lost, Received, Will
from lineside_agent.clock import Signal
from lineside_agent.settings import BrokerSettings
from lineside_contract.errors import BrokerRefused, NotDelivered

# What paho calls the MQTT 3.1.1 return codes that only a person can change: 4 and 5, and 2 for the client id.
_REFUSALS = {
    "Bad user name or password": "does not accept the user name and password",
    "Not authorized": "does not let this user in",
    "Client identifier not valid": "does not accept the device's name as client id",
}
# What paho raises on packets that are too short, too long or otherwise not MQTT.
_NONSENSE = (ValueError, IndexError, KeyError, struct.error)
_HINT = "Check [broker] username and the variable LINESIDE__BROKER__PASSWORD."


class MqttBroker:
    """A `Broker` over TCP or TLS. Each connection is a new paho client: nothing of the last one lingers."""

    def __init__(self, settings: BrokerSettings, client_id: str, in_flight: int) -> None:
        """Prepare for `connect`. Raises InputError if a certificate cannot be read."""
        self._settings = settings
        self._client_id = client_id
        self._in_flight = in_flight
        self._tls = settings.tls_context()
        self._client: Client | None = None
        self._happened: deque[Happening] = deque()
        self._refused: str | None = None
        self._answered = False

    def connect(self, will: Will, subscriptions: list[str]) -> None:
        """Connect and subscribe. Raises NotDelivered or BrokerRefused."""
        self.drop()
        self._refused, self._answered = None, False
        self._happened.clear()
        client = self._client = self._new_client(will)
        where = f"the broker {self._settings.url}"
        try:
            client.connect(*self._settings.address[:2], self._settings.keepalive_s)
            self._await_answer(client)
        except (OSError, *_NONSENSE) as error:
            self.drop()
            raise NotDelivered(f"{where} cannot be reached: {_reason(error)}.") from error
        if self._refused is not None:
            refused, self._refused = self._refused, None
            self.drop()
            if refused in _REFUSALS:
                raise BrokerRefused(f"{where} {_REFUSALS[refused]}.", hint=_HINT)
            raise NotDelivered(f"{where} does not accept connections now: {refused}.")
        if not self._answered:
            self.drop()
            raise NotDelivered(f"{where} does not answer.")
        if subscriptions:
            client.subscribe([(topic, 1) for topic in subscriptions])

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> int:
        """Send a message and return its number. Raises NotDelivered if the connection is gone."""
        if self._client is None:
            raise NotDelivered("There is no connection to the broker.")
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NotDelivered(f"The broker took nothing: {info.rc.name}.")
        return info.mid

    def poll(self, seconds: float, wake: Signal) -> list[Happening]:
        """Wait until something happens, `wake` is raised or the time is up, and tell what happened."""
        client = self._client
        sock = client.socket() if client is not None else None
        if client is None or sock is None:
            if not self._happened:
                select.select([wake], [], [], seconds)
        else:
            pending = getattr(sock, "pending", int)()  # TLS may hold bytes that select cannot see
            writers = [sock] if client.want_write() else []
            wait = 0.0 if pending or self._happened else seconds
            readers: list[Any] = [sock, wake]
            readable, writable, _ = select.select(readers, writers, [], wait)
            try:
                if writable:
                    client.loop_write()
                if pending or sock in readable:
                    client.loop_read()
                client.loop_misc()
            except _NONSENSE as error:
                self.drop()
                self._happened.append(Lost(f"the broker sent something that is not MQTT ({error})"))
        happened = list(self._happened)
        self._happened.clear()
        return happened

    def disconnect(self) -> None:
        """Say good-bye, so that the will is not published."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_write()
        self.drop()

    def drop(self) -> None:
        """Close the connection without a word, if there is one."""
        client, self._client = self._client, None
        if client is not None and (sock := client.socket()) is not None:
            client.on_disconnect = None
            sock.close()

    def _new_client(self, will: Will) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        client.connect_timeout = settings.connect_timeout_s
        # The deliver loop bounds what is in flight; paho's own queue stays empty.
        client.max_inflight_messages_set(self._in_flight + 8)
        if settings.username:
            client.username_pw_set(settings.username, settings.password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        return client

    def _await_answer(self, client: Client) -> None:
        """Wait for the broker's CONNACK, as long as a connection may take. Raises OSError if it hangs up."""
        deadline = time.monotonic() + self._settings.connect_timeout_s
        while not self._answered and self._refused is None:
            sock = client.socket()
            left = deadline - time.monotonic()
            if sock is None or left <= 0:
                return
            writers = [sock] if client.want_write() else []
            readable, _, _ = select.select([sock], writers, [], left)
            client.loop_write()
            if readable:
                client.loop_read()

    # paho's callbacks only note what happened: calling back into paho from one can deadlock.

    def _on_connect(
        self, _client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        if code.is_failure:
            self._refused = str(code)
        else:
            self._answered = True

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if self._answered:
            self._happened.append(Lost(str(code)))

    def _on_publish(self, _client: Client, _data: Any, mid: int, _code: Any, _properties: Any) -> None:
        self._happened.append(Acknowledged(mid))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            self._happened.append(Received(message.topic, bytes(message.payload), message.retain))
        except UnicodeDecodeError:
            pass  # no topic that we asked for

    def _on_socket_open(self, _client: Client, _data: Any, sock: Any) -> None:
        # Without this the kernel retries into a dead link for a quarter of an hour.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(self._settings.keepalive_s * 2000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:1].lower() + str(text)[1:]
