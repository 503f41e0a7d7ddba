"""An MQTT client for tests: everything waits for the broker's answer, nothing sleeps."""

from __future__ import annotations

import queue
import threading
import time
from typing import NamedTuple

import paho.mqtt.client as paho
from brokers import PASSWORDS, Broker
from paho.mqtt.enums import CallbackAPIVersion

WAIT_S = 10.0


class Message(NamedTuple):
    topic: str
    payload: bytes
    retained: bool


class Client:
    """A connection to a broker. `user` is a user of the TLS configurations."""

    def __init__(
        self,
        broker: Broker,
        *,
        user: str = "",
        password: str | None = None,
        client_id: str = "",
        will: tuple[str, bytes] | None = None,
        keep_session: bool = False,
        port: int | None = None,
    ) -> None:
        self._messages: queue.Queue[Message] = queue.Queue()
        self._answers: queue.Queue[object] = queue.Queue()
        self.lost = threading.Event()
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or user, clean_session=not keep_session
        )
        if user:
            self.paho.username_pw_set(user, PASSWORDS[user] if password is None else password)
        if broker.certificates:
            self.paho.tls_set(ca_certs=str(broker.certificates.ca))
        if will:
            self.paho.will_set(will[0], will[1], qos=1, retain=True)
        self.paho.on_connect = lambda _c, _u, _f, reason, _p: self._answers.put(reason)
        self.paho.on_subscribe = lambda _c, _u, _m, reasons, _p: self._answers.put(reasons)
        self.paho.on_disconnect = lambda *_: self.lost.set()
        self.paho.on_message = lambda _c, _u, message: self._messages.put(
            Message(message.topic, bytes(message.payload), message.retain)
        )
        self.paho.connect("127.0.0.1", port or broker.port, keepalive=30)
        self.paho.loop_start()
        self.reason = self._answers.get(timeout=WAIT_S)

    def __enter__(self) -> Client:
        assert str(self.reason) == "Success", f"refused: {self.reason}"
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect as MQTT wants it: the broker forgets the will."""
        self.paho.disconnect()
        self.paho.loop_stop()

    def crash(self) -> None:
        """Go without a word: the broker says the will."""
        self.paho.loop_stop()
        sock = self.paho.socket()
        assert sock is not None
        sock.close()

    def subscribe(self, *topics: str, qos: int = 1) -> list[bool]:
        """Subscribe, wait for the answer, and return for each topic whether it was granted."""
        self.paho.subscribe([(topic, qos) for topic in topics])
        reasons = self._answers.get(timeout=WAIT_S)
        assert isinstance(reasons, list)
        return [not reason.is_failure for reason in reasons]

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish and wait until the broker has acknowledged it."""
        self.paho.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(WAIT_S)

    def next(self, timeout: float = WAIT_S) -> Message:
        """Return the next message."""
        return self._messages.get(timeout=timeout)

    def until(self, topic: str, payload: bytes, timeout: float = WAIT_S) -> list[Message]:
        """Return every message that came before the one with this topic and payload."""
        deadline = time.monotonic() + timeout
        seen: list[Message] = []
        while True:
            message = self.next(max(deadline - time.monotonic(), 0.001))
            if message[:2] == (topic, payload):
                return seen
            seen.append(message)
