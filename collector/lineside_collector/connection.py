"""One connection to an MQTT broker, from the CONNECT to its end.

    TCP, CONNECT -> CONNACK -> SUBSCRIBE -> messages of the session ... -> SUBACK -> retained `online`
                                         -> messages ... -> last word

A broker may send everything that it kept for the session before it answers the SUBSCRIBE (Mosquitto does, with no
limit), so messages are handed out and acknowledged from the first moment, and the SUBACK comes when it comes.

paho is run by this module's own poll, in the caller's thread: its callbacks only leave a note, because
calling back into paho from a callback can deadlock, and a thread of its own would cost a switch a message.
A connection is never opened twice: a packet id means nothing to the next one, and acknowledging with an old
id could discard a message that was never stored.
"""

from __future__ import annotations

import secrets
import select
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from lineside_collector.credentials import Credentials
from lineside_collector.stop import Stop
from lineside_contract.address import BrokerAddress
from lineside_contract.errors import BrokerRefused, NotDelivered
from lineside_contract.messages import CollectorStatus, decode, encode
from lineside_contract.topics import Kind, collector_status_topic, device_topic

KEEPALIVE_S = 15
HANDSHAKE_S = 10.0
LAST_WORD_S = 2.0
# What waits in memory for the store: past either the socket is not read, and TCP holds the broker back.
MOST_WAITING = 2000
MOST_WAITING_BYTES = 16 * 1024 * 1024
KINDS = (Kind.PREDICTION, Kind.PREDICTIONS, Kind.EVENT, Kind.STATUS, Kind.HEARTBEAT)
# What a broker can say that will be no different next time, and what to do about it.
_REFUSALS = {
    "Unsupported protocol version": "It does not speak MQTT 3.1.1.",
    "Client identifier not valid": "Give another --id.",
    "Bad user name or password": "Check --username and the password.",
    "Not authorized": "Check --username, the password, and what the broker lets this user do.",
}
Note = tuple[str, bytes, bool, Callable[[], None]]


class Settings(NamedTuple):
    """Whose messages to collect, and from where."""

    address: BrokerAddress
    credentials: Credentials
    site: str
    collector: str


class Connection:
    """An MQTT 3.1.1 connection with a persistent session and acknowledgements by hand."""

    def __init__(self, settings: Settings, stop: Stop) -> None:
        self._settings = settings
        self._stop = stop
        self._run = secrets.token_hex(4)
        self._status_topic = collector_status_topic(settings.site, settings.collector)
        self._waiting: deque[Note] = deque()
        self._waiting_bytes = 0
        self._connack: str | None = None
        self._suback: list[bool] | None = None
        self._answer_by = 0.0
        self._end = ""
        self.online = False
        self._client = self._make_client()

    def open(self) -> None:
        """Connect, subscribe, and say `online` once that is granted: in `receive`, if messages come first.

        Raises NotDelivered if the broker is not there, BrokerRefused if it says no.
        """
        address = self._settings.address
        try:
            self._client.connect(address.host, address.port, KEEPALIVE_S)
        except ssl.SSLCertVerificationError as error:
            raise BrokerRefused(
                f"The certificate of {address} is not to be trusted: {error.verify_message}.",
                hint="Give the authority that signed it with --ca-file.",
            ) from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise NotDelivered(f"The broker {address} is not reachable: {reason}.") from error
        try:
            self._shake_hands(time.monotonic() + HANDSHAKE_S)
        except NotDelivered:
            self._client.disconnect()
            raise

    def _shake_hands(self, deadline: float) -> None:
        self._await(lambda: self._connack is not None, deadline)
        self._check_connack()
        topics = [(device_topic(self._settings.site, "+", kind), 1) for kind in KINDS]
        # Its own status at QoS 0: only what is said while it is here matters.
        self._client.subscribe([*topics, (self._status_topic, 0)])
        self._await(lambda: self._suback is not None or bool(self._waiting), deadline)
        self._answer_by = time.monotonic() + HANDSHAKE_S
        self._greet()

    def _greet(self) -> None:
        """Say `online` once the broker has granted what was asked for."""
        if self._suback is None:
            if self._waiting:
                self._answer_by = time.monotonic() + HANDSHAKE_S
            elif time.monotonic() > self._answer_by:
                self._client.disconnect()
                raise NotDelivered(f"The broker {self._settings.address} does not answer.")
        elif any(self._suback):
            self._client.disconnect()
            raise BrokerRefused(
                f"{self._settings.address} does not let this collector read the topics of its site.",
                hint=f"Give its user the right to read {device_topic(self._settings.site, '+', KINDS[0])}"
                " and the site's other topics.",
            )
        else:
            self._say("online")
            self.online = True

    def receive(self, limit: int, timeout: float) -> list[Note]:
        """Return up to `limit` messages, waiting for the first up to `timeout` seconds.

        Raises NotDelivered, and BrokerRefused if a subscription is refused.
        """
        self._poll(0 if self._waiting else timeout)
        if not self.online:
            self._greet()
        found: list[Note] = []
        while self._waiting and len(found) < limit:
            note = self._waiting.popleft()
            self._waiting_bytes -= len(note[1])
            if note[0] != self._status_topic:
                found.append(note)
            elif not note[2] and _state(note[1]) == "offline":
                # An older connection's last will came late: without this, devices would keep their messages.
                self._say("online")
        return found

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message at most once; it is lost when the connection is."""
        self._client.publish(topic, payload, qos=0)

    def close(self, last_word: str) -> None:
        """Say `stopped` or `offline` and hang up, within two seconds; a broker that is gone is no error."""
        try:
            said = self._say(last_word)
            self._await(said.is_published, time.monotonic() + LAST_WORD_S, heed_stop=False)
        except NotDelivered:
            pass
        self._client.disconnect()

    def _make_client(self) -> mqtt.Client:
        settings, credentials = self._settings, self._settings.credentials
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"lineside-collector-{settings.collector}",
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_socket_open = _send_at_once
        client.will_set(self._status_topic, self._status("offline"), qos=1, retain=True)
        if credentials.username is not None:
            client.username_pw_set(credentials.username, credentials.password)
        if settings.address.tls:
            _use_tls(client, credentials)
        return client

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._connack = reason.getName()

    def _on_subscribe(self, _client: Any, _data: Any, _mid: Any, reasons: Any, _properties: Any) -> None:
        self._suback = [reason.is_failure for reason in reasons]

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # refused further on, like any other topic that is not a device's
        acknowledge = partial(self._acknowledge, message.mid) if message.qos else _nothing
        self._waiting.append((topic, bytes(message.payload), message.retain, acknowledge))
        self._waiting_bytes += len(message.payload)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        # paho's word for a socket that simply closed says nothing to anybody.
        self._end = reason.getName().replace("Unspecified error", "the other side closed it")

    def _acknowledge(self, packet: int) -> None:
        if self._client.socket() is not None:
            self._client.ack(packet, 1)

    def _check_connack(self) -> None:
        answer, address = self._connack, self._settings.address
        if answer in _REFUSALS:
            raise BrokerRefused(f"The broker {address} refused: {answer}.", hint=_REFUSALS[answer])
        if answer != "Success":
            raise NotDelivered(f"The broker {address} is not ready: {answer}.")

    def _await(self, done: Callable[[], bool], deadline: float, *, heed_stop: bool = True) -> None:
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotDelivered(f"The broker {self._settings.address} does not answer.")
            if heed_stop and self._stop.raised:
                raise NotDelivered("Stopped while connecting.")
            try:
                self._poll(min(left, 1.0), heed_stop=heed_stop)
            except NotDelivered:
                if done():  # a refusal comes with the end of the connection
                    return
                raise

    def _poll(self, timeout: float, *, heed_stop: bool = True) -> None:
        """Move what the socket has to move. Raises NotDelivered when the connection has ended."""
        socket: Any = self._client.socket()
        if socket is not None:
            full = self._full()
            wait = [] if full else [socket]
            stop = [self._stop] if heed_stop else []
            write = [socket] if self._client.want_write() else []
            ready, writable, _ = select.select(
                [*wait, *stop], write, [], 0 if full or _buffered(socket) else timeout
            )
            if not full and (socket in ready or _buffered(socket)):
                self._read()
            if writable:
                self._client.loop_write()
            self._client.loop_misc()
        if self._client.socket() is None:
            raise NotDelivered(f"The connection to {self._settings.address} was lost: {self._end}.")

    def _read(self) -> None:
        while True:
            self._client.loop_read()
            socket = self._client.socket()
            if socket is None or self._full():
                return
            if not _buffered(socket) and not select.select([socket], [], [], 0)[0]:
                return

    def _full(self) -> bool:
        return len(self._waiting) >= MOST_WAITING or self._waiting_bytes >= MOST_WAITING_BYTES

    def _say(self, state: str) -> mqtt.MQTTMessageInfo:
        return self._client.publish(self._status_topic, self._status(state), qos=1, retain=True)

    def _status(self, state: Any) -> bytes:
        now = time.time_ns() // 1_000_000
        return encode(CollectorStatus(ts=now, collector=self._settings.collector, run=self._run, state=state))


def _send_at_once(_client: mqtt.Client, _data: Any, socket: Any) -> None:
    # A device's acknowledgement would wait 40 ms for the broker's TCP to acknowledge the one before it.
    socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)


def _use_tls(client: mqtt.Client, credentials: Credentials) -> None:
    try:
        client.tls_set(
            ca_certs=None if credentials.ca_file is None else str(credentials.ca_file),
            certfile=None if credentials.certificate is None else str(credentials.certificate),
            keyfile=None if credentials.key is None else str(credentials.key),
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        raise BrokerRefused(
            f"The certificates cannot be used: {error}.",
            hint="They must be PEM files that this user may read.",
        ) from error


def _buffered(socket: Any) -> bool:
    """Tell whether TLS holds decrypted bytes, which `select` cannot see."""
    return isinstance(socket, ssl.SSLSocket) and socket.pending() > 0


def _state(payload: bytes) -> str:
    try:
        return decode(payload, CollectorStatus).state
    except Exception:  # whatever it is, it is not the word of a collector
        return ""


def _nothing() -> None:
    """Acknowledge a message that needs no acknowledgement (QoS 0)."""
