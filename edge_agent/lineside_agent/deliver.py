"""The delivering thread: everything that was predicted arrives, live if it can, later if it must.

    sensing thread --offer--> live queue --.
                                            >-- in flight (bounded) --> broker --> collector
    outbox --read--> catch-up, paced ------'          |                               |
        ^                                             v                               v
        '---------- acknowledge <---- promise "broker": PUBACK      promise "collector": its ack message

Live messages go first; what is sent again waits for a free place and for its pace.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from lineside_agent.broker import Acknowledged, Broker, Happening, Lost, Received
from lineside_agent.catch_up import CatchUp, Pass
from lineside_agent.clock import Clock, Signal
from lineside_agent.encode import TOPICS
from lineside_agent.heartbeat import Heartbeats
from lineside_agent.mqtt_frames import Delivery
from lineside_agent.outbox import Outbox
from lineside_agent.presence import Presence
from lineside_agent.reconnect import Reconnect
from lineside_agent.segment import Entry, ranges_of
from lineside_agent.settings import DeliverySettings
from lineside_contract import messages
from lineside_contract.errors import BrokerRefused, InputError, NotDelivered
from lineside_contract.topics import Kind, collector_status_topic, device_topic

log = logging.getLogger(__name__)

# More than this waits in the outbox, not in memory.
_LIVE_ENTRIES = 2000
# How long a collector that appears has to acknowledge what the broker kept for it, before we send again.
_SETTLE_S = 1.0
# A retained word may be stale: after a crash of the broker the collector itself may still be on its way back.
_SETTLE_RETAINED_S = 5.0
_SAVE_CURSOR_S = 1.0
_LONGEST_POLL_S = 1.0
_MOST_COLLECTORS = 100
_WARN_EVERY_S = 60.0  # of messages that others sent: they must not fill the disk with our log
_KIND = attrgetter("kind")


class Address(NamedTuple):
    """Where a device stands."""

    site: str
    device: str


class Deliver:
    """Delivers from the outbox through a broker. Used by one thread, but for `offer`."""

    def __init__(
        self,
        address: Address,
        broker: Broker,
        outbox: Outbox,
        presence: Presence,
        heartbeats: Heartbeats,
        settings: tuple[DeliverySettings, Reconnect],
        clock: Clock,
    ) -> None:
        self._broker = broker
        self._outbox = outbox
        self._presence = presence
        self._heartbeats = heartbeats
        self._settings, self._reconnect = settings
        self._clock = clock
        self._wake = Signal()
        self._deliveries = {
            int(code): Delivery(device_topic(*address, kind)) for code, kind in TOPICS.items()
        }
        self._heartbeat = Delivery(device_topic(*address, Kind.HEARTBEAT), qos=0)
        self._status = Delivery(presence.topic, retain=True)
        self._ack_topic = device_topic(*address, Kind.ACK)
        self._collector_topics = collector_status_topic(address.site, "+")
        self._promise_collector = self._settings.promise == "collector"
        self._catch_up = CatchUp(outbox, self._settings.replay_per_s, self._settings.resend_after_s)
        self._live: deque[Entry] = deque()
        self._overflowed = False
        self._in_flight: dict[int, Entry] = {}
        self._collectors: dict[str, str] = {}  # run by id of those online
        self._save_at = 0.0
        self._warn_at = 0.0
        self.connected = False
        self.replayed = 0

    # From the sensing thread.

    def offer(self, entries: list[Entry]) -> None:
        """Have entries that are in the outbox published at once, if there is a connection."""
        if self.connected:
            if len(self._live) + len(entries) <= _LIVE_ENTRIES:
                self._live.extend(entries)
            else:
                self._overflowed = True
        self._wake.set()

    # The loop.

    def deliver_once(self, longest_s: float = _LONGEST_POLL_S) -> None:
        """Send what can be sent, wait until something happens, and deal with it."""
        now = self._clock.monotonic()
        if not self.connected and now >= self._reconnect.due_at:
            self._connect(now)
        if self.connected:
            self._send(now)
        # Here and not after the wait: what the sensing thread wakes this one for goes out first.
        self._housekeep(now)
        for happening in self._broker.poll(
            min(longest_s, self._patience(now)), self._wake, gather=not self._short_of_room()
        ):
            try:
                self._on(happening)
            except NotDelivered as error:  # an answer to it found the connection gone
                self._on_lost(str(error))
        self._wake.clear()

    def wake(self) -> None:
        """End the wait of `deliver_once`, from any thread."""
        self._wake.set()

    def stop(self, seconds: float) -> None:
        """Deliver what is on its way for at most that long, say good-bye and disconnect."""
        deadline = self._clock.monotonic() + seconds
        while self.connected and self._on_its_way():
            left = deadline - self._clock.monotonic()
            if left <= 0:
                break
            self.deliver_once(left)
        self._beat(self._clock.monotonic())  # so that nobody goes on believing the one before
        if self.connected:
            try:
                token = self._publish_status(self._presence.farewell(self._now_ms(), self._outbox.next_seq))
                self._await(token, deadline)
                self._broker.disconnect()
            except NotDelivered as error:
                log.warning("the clean stop could not be announced: %s", error)
        self.connected = False

    def _on_its_way(self) -> bool:
        """Whether something that was sent may still be acknowledged."""
        if self._live or self._in_flight:
            return True
        return bool(self._promise_collector and self._collectors and self._outbox.waiting())

    def _await(self, token: int, deadline: float) -> None:
        while (left := deadline - self._clock.monotonic()) > 0:
            happened = self._broker.poll(left, self._wake)
            self._wake.clear()
            if any(isinstance(what, Lost) or token in getattr(what, "tokens", ()) for what in happened):
                return

    def _connect(self, now: float) -> None:
        subscriptions = [self._presence.topic]
        if self._promise_collector:
            subscriptions += [self._ack_topic, self._collector_topics]
        try:
            self._broker.connect(self._presence.next_will(self._now_ms()), subscriptions)
            # From here on `offer` queues; whatever was put before is below `until`.
            self.connected = True
            until = self._outbox.next_seq
            self._publish_status(self._presence.birth(self._now_ms()))
        except (NotDelivered, BrokerRefused) as error:
            self.connected = False
            self._reconnect.failed(now, error)
            return
        self._reconnect.succeeded(now)
        self._collectors.clear()
        self._catch_up.call(Pass(now, until, unsent=self._promise_collector, paced=True))

    # Sending.

    def _send(self, now: float) -> None:
        try:
            self._send_live()
            self._send_again(now)
        except NotDelivered as error:
            self._on_lost(str(error))

    def _send_live(self) -> None:
        if (room := self._settings.in_flight - len(self._in_flight)) > 0:
            live = self._live
            self._publish([live.popleft() for _ in range(min(room, len(live)))])
        if self._overflowed and not self._live:
            self._overflowed = False
            self._catch_up.call(
                Pass(self._clock.monotonic(), self._outbox.next_seq, unsent=True, paced=False)
            )

    def _send_again(self, now: float) -> None:
        if (room := max(1, self._settings.in_flight // 2) - len(self._in_flight)) > 0:
            entries = self._catch_up.take(now, room)
            if entries and self._in_flight:
                on_their_way = {entry[:2] for entry in self._in_flight.values()}
                entries = [entry for entry in entries if entry[:2] not in on_their_way]
            self._publish(entries, replayed=True)
            self.replayed += sum(entry.messages for entry in entries)

    def _publish(self, entries: list[Entry], *, replayed: bool = False) -> None:
        for kind, group in groupby(entries, key=_KIND):
            some = list(group)
            payloads = [entry.payload for entry in some]
            if replayed:
                payloads = [messages.mark_replayed(payload) for payload in payloads]
            tokens = self._broker.publish(self._deliveries[kind], payloads)
            self._in_flight.update(zip(tokens, some, strict=True))

    def _publish_status(self, payload: bytes) -> int:
        return self._broker.publish(self._status, [payload])[0]

    # What happens.

    def _on(self, happening: Happening) -> None:
        match happening:
            case Acknowledged(tokens):
                self._on_acknowledged(tokens)
            case Received(topic, payload, retained):
                self._on_received(topic, payload, retained)
            case Lost(reason):
                self._on_lost(reason)

    def _on_acknowledged(self, tokens: Sequence[int]) -> None:
        arrived = ranges_of(self._in_flight.pop(token) for token in tokens if token in self._in_flight)
        self._catch_up.sent(arrived)
        if not self._promise_collector:
            for boot, ranges in arrived.items():
                self._outbox.acknowledge(boot, ranges)

    def _on_received(self, topic: str, payload: bytes, retained: bool) -> None:
        try:
            if topic == self._ack_topic:
                for boot, ranges in messages.decode(payload, messages.Ack).committed.items():
                    self._outbox.acknowledge(boot, ranges)
            elif topic == self._presence.topic:
                self._on_own_status(messages.decode(payload, messages.Status), retained)
            elif payload:
                self._on_collector(messages.decode(payload, messages.CollectorStatus), retained)
        except InputError as error:
            self._warn(f"{topic}: {error}")

    def _warn(self, text: str) -> None:
        now = self._clock.monotonic()
        if now >= self._warn_at:
            self._warn_at = now + _WARN_EVERY_S
            log.warning("%s More of this kind is not told for %.0f s.", text, _WARN_EVERY_S)

    def _on_own_status(self, status: messages.Status, retained: bool) -> None:
        if retained or not self.connected:
            return
        if status.state == "offline":
            # An old connection's will, published late, stands where our birth should.
            self._publish_status(self._presence.birth(self._now_ms()))
        elif status.boot != self._outbox.boot:
            log.error("another agent calls itself %r: give each device a name of its own", status.device)

    def _on_collector(self, status: messages.CollectorStatus, retained: bool) -> None:
        if status.state != "online":
            self._collectors.pop(status.collector, None)
        elif len(self._collectors) >= _MOST_COLLECTORS and status.collector not in self._collectors:
            self._warn(f"More than {_MOST_COLLECTORS} collectors say that they are there.")
        elif self._collectors.get(status.collector) != status.run:
            self._collectors[status.collector] = status.run
            at = self._clock.monotonic() + (_SETTLE_RETAINED_S if retained else _SETTLE_S)
            self._catch_up.call(Pass(at, self._outbox.next_seq, unsent=False, paced=True))

    def _on_lost(self, reason: str) -> None:
        if not self.connected:
            return
        self.connected = False
        self._in_flight.clear()
        self._live.clear()
        self._catch_up.cancel()
        self._reconnect.lost(self._clock.monotonic(), reason)

    # What is done every now and then.

    def _short_of_room(self) -> bool:
        """Whether acknowledgements make room for what waits to be sent, or soon will."""
        busy = bool(self._live) or self._catch_up.active
        return busy or len(self._in_flight) >= self._settings.in_flight // 4

    def _patience(self, now: float) -> float:
        """Return how long nothing needs doing, in seconds."""
        times = [self._heartbeats.due_at, self._save_at]
        if not self.connected:
            times.append(self._reconnect.due_at)
        if (commit_at := self._outbox.commit_at) is not None:
            times.append(commit_at)
        waits = [time - now for time in times]
        if self.connected and len(self._in_flight) < max(1, self._settings.in_flight // 2):
            waits += [0.0] if self._live else []
            if (due_in := self._catch_up.due_in(now)) is not None:
                waits.append(due_in)
        return max(0.0, min(waits))

    def _housekeep(self, now: float) -> None:
        commit_at = self._outbox.commit_at
        if commit_at is not None and now >= commit_at:
            self._outbox.commit()
        if now >= self._save_at:
            self._save_at = now + _SAVE_CURSOR_S
            self._outbox.save_cursor()
            if self._promise_collector and self._collectors:
                self._catch_up.watch(now)
        if now >= self._heartbeats.due_at:
            self._beat(now)

    def _beat(self, now: float) -> None:
        payload = self._heartbeats.next(now, self._outbox, self._presence.connection, self.replayed)
        if self.connected:
            try:
                self._broker.publish(self._heartbeat, [payload])
            except NotDelivered as error:
                self._on_lost(str(error))

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // 1_000_000
