from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector_messages import SITE, Wire, prediction, predictions, status, wire

from lineside_collector.collect import Collected, Collector, collect
from lineside_collector.inbox import Received
from lineside_collector.progress import Progress
from lineside_collector.records import Batch
from lineside_collector.sqlite_store import SQLiteStore
from lineside_collector.stop import Stop
from lineside_collector.store import Saved, StoreUnavailable
from lineside_contract.errors import LinesideError
from lineside_contract.messages import Ack, decode


class FakeInbox:
    """An inbox that gives the batches it was made with, and writes down what happens to it."""

    def __init__(self, log: list[object], *batches: list[Wire]) -> None:
        self.log = log
        self.batches = list(batches)

    def receive(self, limit: int, timeout: float) -> list[Received]:  # noqa: ARG002
        messages = self.batches.pop(0) if self.batches else []
        return [
            Received(topic, payload, False, lambda at=at: self.log.append(f"acknowledged {at}"))  # type: ignore[misc]
            for at, (topic, payload) in enumerate(messages)
        ]

    def publish(self, topic: str, payload: bytes) -> None:
        self.log.append((topic, payload))

    def close(self, last_word: str) -> None:
        self.log.append(last_word)


class FakeStore:
    """A store that fails so many times before it saves."""

    def __init__(self, log: list[object], failures: int = 0) -> None:
        self.log = log
        self.failures = failures

    def save(self, batch: Batch) -> Saved:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("The store cannot be written now: disk full.")
        self.log.append("saved")
        return Saved(len(batch.records), 0)

    def close(self) -> None: ...


class FakeStop(Stop):
    """Time that passes at once; raised after so many waits, if at all."""

    def __init__(self, after: int = 100) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.after = after

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        if len(self.waits) >= self.after:
            self.set()
        return self.raised


@pytest.fixture
def stop() -> Iterator[FakeStop]:
    stop = FakeStop()
    yield stop
    stop.close()


def collector(inbox: FakeInbox, store: FakeStore | SQLiteStore) -> Collector:
    return Collector(inbox, store, site=SITE, collector="c", wall_ns=lambda: 5_000_000)


def test_commit_comes_first_then_the_broker_then_the_device(stop: FakeStop) -> None:
    log: list[object] = []
    inbox = FakeInbox(log, [wire(predictions(3, 5)), wire(prediction(9)), wire(prediction(0, "other"))])
    assert collector(inbox, FakeStore(log)).collect_once(stop) == Collected(3, 3, 0, 0)
    assert log[:4] == ["saved", "acknowledged 0", "acknowledged 1", "acknowledged 2"]
    acks = {topic: decode(payload, Ack) for topic, payload in log[4:]}  # type: ignore[misc]
    assert acks == {
        f"lineside/v1/{SITE}/press-4/ack": Ack(ts=5, collector="c", committed={"aa-1": [(3, 5), (9, 9)]}),
        f"lineside/v1/{SITE}/other/ack": Ack(ts=5, collector="c", committed={"aa-1": [(0, 0)]}),
    }


def test_repeats_are_acknowledged_too(store: SQLiteStore, stop: FakeStop) -> None:
    log: list[object] = []
    one = collector(FakeInbox(log, [wire(prediction(0))], [wire(prediction(0))]), store)
    assert one.collect_once(stop) == Collected(1, 1, 0, 0)
    assert one.collect_once(stop) == Collected(1, 0, 1, 0)
    assert log[0:2] == log[2:4]


def test_nothing_received_is_nothing_done(stop: FakeStop) -> None:
    log: list[object] = []
    assert collector(FakeInbox(log), FakeStore(log)).collect_once(stop) == Collected()
    assert log == []


def test_only_the_devices_own_messages_are_acknowledged_to_it(stop: FakeStop) -> None:
    log: list[object] = []
    collector(FakeInbox(log, [wire(status("online"))]), FakeStore(log)).collect_once(stop)
    assert log == ["saved", "acknowledged 0"]


def test_what_cannot_be_read_is_acknowledged_to_the_broker_and_logged_once(
    stop: FakeStop, store: SQLiteStore, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[object] = []
    bad = (f"lineside/v1/{SITE}/press-4/event", b"{")
    one = collector(FakeInbox(log, [bad, bad], [bad]), store)
    assert one.collect_once(stop) == Collected(2, 0, 0, 2)
    assert one.collect_once(stop) == Collected(1, 0, 0, 1)
    assert log == ["acknowledged 0", "acknowledged 1", "acknowledged 0"]
    assert [record.getMessage().count("could not be read") for record in caplog.records] == [1]


def test_while_the_store_fails_nothing_is_acknowledged_and_devices_are_told(
    stop: FakeStop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log: list[object] = []
    one = collector(FakeInbox(log, [wire(prediction(0))]), FakeStore(log, failures=7))
    assert one.collect_once(stop).stored == 1
    assert log[:3] == ["offline", "saved", "acknowledged 0"]
    assert stop.waits == [1, 2, 4, 8, 16, 30, 30]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_a_stop_while_the_store_fails_acknowledges_nothing() -> None:
    log: list[object] = []
    stop = FakeStop(after=3)
    one = collector(FakeInbox(log, [wire(prediction(0))]), FakeStore(log, failures=99))
    turns: list[Collected] = []
    collect(one, stop, turns.append)
    stop.close()
    assert turns == [Collected()]
    assert log == ["offline"]


def test_a_store_that_needs_a_person_ends_the_collector(
    store: SQLiteStore, path: Path, stop: FakeStop
) -> None:
    log: list[object] = []
    path.unlink()
    with pytest.raises(LinesideError, match="removed"):
        collector(FakeInbox(log, [wire(prediction(0))]), store).collect_once(stop)
    assert log == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_logged_each_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    times = iter([0.0, 30.0, 60.0, 61.0, 120.0])
    progress = Progress(io.StringIO(), lambda: next(times))
    for turn in (Collected(6, 600), Collected(6, 600, 5, 1), Collected(60, 60), Collected()):
        progress.add(turn)
    assert [record.getMessage() for record in caplog.records] == [
        "20.0 rows/s in 0.2 messages/s, 5 repeats ignored, 1 not understood",
        "1.0 rows/s in 1.0 messages/s",
    ]


def test_progress_stands_on_one_line_of_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 0.5, 1.0])
    terminal = Terminal()
    progress = Progress(terminal, lambda: next(times))
    progress.add(Collected(1, 10))
    progress.add(Collected(1, 10))
    progress.close()
    assert terminal.getvalue() == "\r\x1b[K20.0 rows/s in 2.0 messages/s\r\x1b[K"
    assert caplog.records == []
