"""Receive, commit, acknowledge: in that order, so that whatever fails in between is only repeated.

    inbox -> read -> store.save -> broker's acknowledgement -> device's acknowledgement

Killed before the commit: the broker and the device still have everything. Killed after it: they send it
again, and the store ignores what it has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from lineside_collector.inbox import Inbox, Received
from lineside_collector.records import Batch, Rejected
from lineside_collector.stop import Stop
from lineside_collector.store import Saved, Store, StoreUnavailable
from lineside_contract.messages import Ack, encode
from lineside_contract.topics import Kind, device_topic

LOG = logging.getLogger(__name__)
BATCH = 1000
RECEIVE_S = 1.0
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
# Devices whose bad messages are each logged once; past it nobody reads the log anyway.
MOST_COMPLAINTS = 10_000


class Collected(NamedTuple):
    """What one turn did: messages received, rows added, repeats ignored, messages not understood."""

    messages: int = 0
    stored: int = 0
    repeated: int = 0
    rejected: int = 0


class Collector:
    """Moves messages from an inbox into a store, and tells everyone when they are safe there."""

    def __init__(
        self,
        inbox: Inbox,
        store: Store,
        *,
        site: str,
        collector: str,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._inbox = inbox
        self._store = store
        self._site = site
        self._collector = collector
        self._wall_ns = wall_ns
        self._complained: set[str] = set()

    def collect_once(self, stop: Stop) -> Collected:
        """Receive what is there, up to a batch, and commit and acknowledge it.

        While the store cannot be written, the inbox is closed (so that devices keep their messages instead
        of sending them again and again) and the same batch is tried until it is committed or `stop` is raised.
        Raises LinesideError if the store or the broker needs a person.
        """
        received = self._inbox.receive(BATCH, RECEIVE_S)
        if not received:
            return Collected()
        batch = Batch.read(
            [(message.topic, message.payload) for message in received], self._wall_ns() // 1_000_000
        )
        saved = self._save(batch, stop)
        if saved is None:
            return Collected()
        self._acknowledge(received, batch)
        self._complain(batch.rejected)
        return Collected(len(received), saved.stored, saved.repeated, len(batch.rejected))

    def _save(self, batch: Batch, stop: Stop) -> Saved | None:
        """Commit a batch, however long it takes; None if told to stop before it could be."""
        delay, said = FIRST_DELAY_S, ""
        while True:
            try:
                saved = self._store.save(batch)
            except StoreUnavailable as error:
                if not said:
                    self._inbox.close("offline")
                if error.message != said:
                    said = error.message
                    LOG.error("%s Nothing is acknowledged until it can be written; trying again.", error)
            else:
                if said:
                    LOG.info("The store can be written again.")
                return saved
            if stop.wait(delay):
                return None
            delay = min(LONGEST_DELAY_S, delay * 2)

    def _acknowledge(self, received: list[Received], batch: Batch) -> None:
        for message in received:
            message.acknowledge()
        now = self._wall_ns() // 1_000_000
        for device, ranges in batch.committed().items():
            ack = Ack(ts=now, collector=self._collector, committed=ranges)
            self._inbox.publish(device_topic(self._site, device, Kind.ACK), encode(ack))

    def _complain(self, rejected: list[Rejected]) -> None:
        for one in rejected:
            who = one.device or one.topic
            if who not in self._complained and len(self._complained) < MOST_COMPLAINTS:
                self._complained.add(who)
                LOG.warning(
                    "A message on %r could not be read and was set aside: %s"
                    " (Further ones of this device are only counted: see `lineside collector rejected`.)",
                    one.topic,
                    one.reason,
                )


def collect(collector: Collector, stop: Stop, report: Callable[[Collected], None]) -> None:
    """Collect until `stop` is raised, and report each turn."""
    while not stop.raised:
        report(collector.collect_once(stop))
