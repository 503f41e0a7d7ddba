"""The connection to a broker: paho-mqtt, driven by our own poll, with no thread and no callback that does work.

    publish --PUBLISH packets, many at once--> [unsent] --.
                                                           >-- socket
    paho ----- CONNECT, SUBSCRIBE, pings ----> [its own] --'     |
      ^                                                          v
      '--- everything else <------- Incoming ------- PUBACK: packet ids, many at once

paho makes the connection (TLS, the log-in, keep-alive) and takes what is published to us. The packets that come
by the thousand are ours: through paho a message costs five times as much. What is cut short on its way out is
ended before the other side's next packet begins. Packet ids cannot collide: paho's are the first few of each
connection.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from lineside_agent.broker import Acknowledged, Happening, Lost, Received, Will
from lineside_agent.clock import Signal
from lineside_agent.mqtt_frames import Delivery, Incoming, publish_packets
from lineside_agent.settings import BrokerSettings
from lineside_contract.errors import BrokerRefused, NotDelivered

log = logging.getLogger(__name__)

# What paho calls the MQTT 3.1.1 return codes that only a person can change: 4 and 5, and 2 for the client id.
_REFUSALS = {
    "Bad user name or password": "does not accept the user name and password",
    "Not authorized": "does not let this user in",
    "Client identifier not valid": "does not accept the device's name as client id",
}
# What paho raises on packets that are too short, too long or otherwise not MQTT.
_NONSENSE = (ValueError, IndexError, KeyError, struct.error)
_HINT = "Check [broker] username and the variable LINESIDE__BROKER__PASSWORD."

_FIRST_ID, _LAST_ID = 256, 65535  # those below are paho's, which needs one: to subscribe
_LARGEST_PACKET = 1024 * 1024  # from the broker; acknowledgements and words of collectors are far smaller
_READ_BYTES = 64 * 1024
_MOST_PACKETS = 1000  # handed to paho before our own turn comes again
_KEEP_ALIVE_CHECK_S = 0.5
_GATHER_S = 0.11  # a little more than the usual interval of commits, so that both are one time to wake


class _Client(Client):
    """paho's client, but what it reads has gone through `incoming` first."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.incoming = Incoming(_LARGEST_PACKET)

    def _sock_recv(self, bufsize: int) -> bytes:
        # The one private hook that we need of paho: versions 2.1 and 2.2 call it for whatever they read.
        if not self.incoming.others:
            data = super()._sock_recv(_READ_BYTES)
            if not data:
                return data
            self.incoming.feed(data)
            if not self.incoming.others:
                raise BlockingIOError
        return self.incoming.take_others(bufsize)


class MqttBroker:
    """A `Broker` over TCP or TLS. Each connection is a new paho client: nothing of the last one lingers."""

    def __init__(self, settings: BrokerSettings, client_id: str) -> None:
        """Prepare for `connect`. Raises InputError if a certificate cannot be read."""
        self._settings = settings
        self._client_id = client_id
        self._tls = settings.tls_context()
        self._client: _Client | None = None
        self._happened: deque[Happening] = deque()
        self._refused: str | None = None
        self._answered = False
        self._unsent = bytearray()
        self._cut_short = False  # whether the socket has taken some of `_unsent`
        self._unacknowledged: set[int] = set()
        self._last_id = _LAST_ID
        self._keep_alive_at = 0.0
        self._look_at = 0.0  # until then acknowledgements may gather

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

    def publish(self, delivery: Delivery, payloads: Sequence[bytes]) -> list[int]:
        """Send messages and return a number for each. Raises NotDelivered if the connection is gone."""
        if self._client is None or self._client.socket() is None:
            raise NotDelivered("There is no connection to the broker.")
        if not self._client.incoming.fed:
            return self._publish_through_paho(self._client, delivery, payloads)
        ids = self._new_ids(len(payloads)) if delivery.qos else [0] * len(payloads)
        self._unsent += publish_packets(delivery, payloads, ids)
        try:
            self._flush(self._client)
        except OSError as error:
            self.drop()
            raise NotDelivered(f"The broker took nothing: {_reason(error)}.") from error
        self._acknowledge_at_once(self._client)
        return ids

    def poll(self, seconds: float, wake: Signal, *, gather: bool = False) -> list[Happening]:
        """Wait until something happens, `wake` is raised or the time is up, and tell what happened.

        With `gather` an acknowledgement is not worth waking for: it may wait for others, a tenth of a second.
        """
        client = self._client
        sock = client.socket() if client is not None else None
        if client is None or sock is None:
            if not self._happened:
                select.select([wake], [], [], seconds)
        else:
            try:
                wait = 0.0 if self._happened else seconds
                self._exchange(client, self._ready(client, sock, wait, wake, gather=gather))
            except (OSError, *_NONSENSE) as error:
                self.drop()
                nonsense = "the broker sent something that is not MQTT ({})"
                self._happened.append(
                    Lost(_reason(error) if isinstance(error, OSError) else nonsense.format(error))
                )
        happened = list(self._happened)
        self._happened.clear()
        if client is not None and (acknowledged := client.incoming.take_acknowledged()):
            self._unacknowledged.difference_update(acknowledged)
            happened.insert(0, Acknowledged(acknowledged))
        return happened

    def disconnect(self) -> None:
        """Say good-bye, so that the will is not published."""
        if self._client is not None:
            self._client.disconnect()
            try:
                self._flush(self._client)
            except OSError as error:
                log.info("the good-bye did not reach the broker: %s", _reason(error))
        self.drop()

    def drop(self) -> None:
        """Close the connection without a word, if there is one."""
        client, self._client = self._client, None
        self._unsent.clear()
        self._cut_short = False
        self._unacknowledged.clear()
        if client is not None and (sock := client.socket()) is not None:
            client.on_disconnect = None
            sock.close()

    def _ready(
        self, client: _Client, sock: Any, seconds: float, wake: Signal, *, gather: bool
    ) -> tuple[bool, bool]:
        """Wait for the socket or for `wake`; return whether to read from the socket and to write to it."""
        # TLS may hold bytes that select cannot see.
        if client.incoming.others or getattr(sock, "pending", int)():
            return True, False
        writers = [sock] if self._unsent or client.want_write() else []
        lie = self._look_at - time.monotonic() if gather and self._unacknowledged and not writers else 0.0
        if lie > 0:
            readable, _, _ = select.select([wake], [], [], min(seconds, lie))
            return not readable, False
        readers: list[Any] = [sock, wake]
        readable, writable, _ = select.select(readers, writers, [], seconds)
        return sock in readable, bool(writable)

    def _exchange(self, client: _Client, ready: tuple[bool, bool]) -> None:
        """Read and write what can be. Raises OSError, and ValueError and its like for what is not MQTT."""
        to_read, to_write = ready
        now = time.monotonic()
        if to_read:
            self._look_at = now + _GATHER_S
            left_out = client.incoming.left_out
            for _ in range(_MOST_PACKETS):
                client.loop_read()
                if not client.incoming.others or client.socket() is None:
                    break
            if client.incoming.left_out > left_out:
                log.warning("a message of more than %d bytes was sent to us and is left out", _LARGEST_PACKET)
            self._acknowledge_at_once(client)
        if to_write:
            self._flush(client)
        if now >= self._keep_alive_at:
            self._keep_alive_at = now + _KEEP_ALIVE_CHECK_S
            client.loop_misc()

    def _acknowledge_at_once(self, client: _Client) -> None:
        """Have the kernel confirm the next bytes that come without its usual delay of 40 ms.

        A broker that leaves Nagle's algorithm on (Mosquitto does) sends the second of several PUBACK packets only
        when the first is confirmed. The kernel forgets it soon: it is asked again with each write and read.
        """
        sock: Any = client.socket()
        if len(self._unacknowledged) > 1 and sock is not None and hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _flush(self, client: _Client) -> None:
        """Send what waits, as far as the socket takes it: a packet that was cut short first. Raises OSError."""
        if not self._cut_short and client.want_write():
            client.loop_write()
            if client.want_write():
                return
        sock: Any = client.socket()
        while self._unsent and sock is not None:
            try:
                sent = sock.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._cut_short = True
                return
            del self._unsent[:sent]
        if self._cut_short:
            self._cut_short = False
            client.loop_write()

    def _publish_through_paho(
        self, client: _Client, delivery: Delivery, payloads: Sequence[bytes]
    ) -> list[int]:
        """Do without our own packets: this paho reads in a way that we do not know. Raises NotDelivered."""
        sent = [
            client.publish(delivery.topic, payload, delivery.qos, delivery.retain) for payload in payloads
        ]
        client.loop_write()
        if failed := next((info for info in sent if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS), None):
            raise NotDelivered(f"The broker took nothing: {failed.rc.name}.")
        return [info.mid for info in sent]

    def _new_ids(self, count: int) -> list[int]:
        """Return packet ids that nothing in flight has. Raises NotDelivered if there are none left."""
        taken = self._unacknowledged
        if not taken:
            self._look_at = time.monotonic() + _GATHER_S
        if len(taken) + count > _LAST_ID - _FIRST_ID:
            raise NotDelivered("Too many messages are in flight.")
        ids: list[int] = []
        while len(ids) < count:
            self._last_id = self._last_id + 1 if self._last_id < _LAST_ID else _FIRST_ID
            if self._last_id not in taken:
                ids.append(self._last_id)
        taken.update(ids)
        return ids

    def _new_client(self, will: Will) -> _Client:
        settings = self._settings
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        client.connect_timeout = settings.connect_timeout_s
        client.max_inflight_messages_set(0)  # the deliver loop bounds what is in flight
        if settings.username:
            client.username_pw_set(settings.username, settings.password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = _note_publish
        client.on_socket_open = self._on_socket_open
        # With one of these paho leaves it to us when to write. `want_write` tells us what the callback would.
        client.on_socket_register_write = _leave_it
        return client

    def _await_answer(self, client: _Client) -> None:
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
            # What paho calls every end that MQTT gives no reason for.
            self._happened.append(Lost(str(code).replace("Unspecified error", "the broker closed it")))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            self._happened.append(Received(message.topic, bytes(message.payload), message.retain))
        except UnicodeDecodeError:
            pass  # no topic that we asked for

    def _on_socket_open(self, _client: Client, _data: Any, sock: Any) -> None:
        # Whatever waits goes out together, and at once.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Without this the kernel retries into a dead link for a quarter of an hour.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(self._settings.keepalive_s * 2000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _note_publish(client: Any, _data: Any, mid: int, _code: Any, _properties: Any) -> None:
    client.incoming.acknowledged.append(mid)


def _leave_it(_client: Client, _data: Any, _sock: Any) -> None:
    """Write nothing now."""


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:1].lower() + str(text)[1:]
