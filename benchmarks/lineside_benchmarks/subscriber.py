"""Who listens at the broker, and when what arrives."""

from __future__ import annotations

import queue
import threading
import time
from types import TracebackType
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from lineside_benchmarks.programs import Failed

_WAIT_S = 20.0


class Arrived(NamedTuple):
    """A message, and the monotonic nanosecond at which it was here."""

    at_ns: int
    topic: str
    payload: bytes


class Subscriber:
    """Subscribed when it is entered; the time of arrival is taken in the thread that reads the socket."""

    def __init__(self, port: int, *topics: str) -> None:
        self._port = port
        self._topics = [(topic, 1) for topic in topics]
        self._arrived: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(1000)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._ready.set()

    def __enter__(self) -> Subscriber:
        self._client.connect("127.0.0.1", self._port)
        self._client.subscribe(self._topics)
        self._client.loop_start()
        if not self._ready.wait(_WAIT_S):
            raise Failed("the broker grants no subscription")
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def next(self, kind: str, timeout_s: float = _WAIT_S) -> Arrived:
        """Return the next message whose topic ends with `kind`, and forget those before it. Raises Failed."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise Failed(f"no {kind} within {timeout_s:g} s") from None
            if found.topic.endswith(kind):
                return found

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        at_ns = time.monotonic_ns()
        self._arrived.put(Arrived(at_ns, message.topic, bytes(message.payload)))
