from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from collector_messages import prediction, status, wire
from collector_processes import Broker, Peer, free_port

from lineside_collector import inbox as inbox_module
from lineside_collector.connection import Settings
from lineside_collector.credentials import Credentials
from lineside_collector.inbox import MqttInbox, Received
from lineside_collector.stop import Stop
from lineside_contract.address import BrokerAddress
from lineside_contract.errors import BrokerRefused
from lineside_contract.messages import CollectorStatus, decode, encode
from lineside_contract.topics import collector_status_topic

Peers = Callable[..., Peer]
Inboxes = Callable[..., MqttInbox]


@pytest.fixture
def stop() -> Iterator[Stop]:
    stop = Stop()
    yield stop
    stop.close()


@pytest.fixture
def inbox(broker: Broker, stop: Stop) -> Iterator[Inboxes]:
    made: list[MqttInbox] = []

    def make(
        site: str, *, port: int = broker.port, collector: str = "c", credentials: Credentials | None = None
    ) -> MqttInbox:
        address = BrokerAddress("127.0.0.1", port, False)
        made.append(
            MqttInbox(Settings(address, credentials or Credentials(), site, f"{collector}-{site}"), stop)
        )
        return made[-1]

    yield make
    for one in made:
        one.close("stopped")


def receive(inbox: MqttInbox, count: int) -> list[Received]:
    """Receive at least so many messages."""
    found: list[Received] = []
    deadline = time.monotonic() + 20
    while len(found) < count:
        found += inbox.receive(1000, 1.0)
        assert time.monotonic() < deadline, f"only {len(found)} of {count} came"
    return found


def word(peer: Peer) -> CollectorStatus:
    return decode(peer.messages.get(timeout=10)[1], CollectorStatus)


def test_messages_come_in_and_stay_away_once_acknowledged(inbox: Inboxes, peer: Peers) -> None:
    one = inbox("in-1")
    one.receive(10, 0)
    device = peer("none")
    for seq in range(50):
        device.send(prediction(seq), "in-1")
    found = receive(one, 50)
    assert [(message.topic, message.payload) for message in found] == [
        wire(prediction(seq), "in-1") for seq in range(50)
    ]
    for message in found:
        message.acknowledge()
    one.close("stopped")
    device.send(prediction(99), "in-1")
    assert [message.payload for message in receive(one, 1)] == [wire(prediction(99))[1]]


def test_what_is_not_acknowledged_comes_again_and_an_old_acknowledgement_does_no_harm(
    inbox: Inboxes, peer: Peers
) -> None:
    one = inbox("in-2")
    one.receive(10, 0)
    device = peer("none")
    for seq in range(3):
        device.send(prediction(seq), "in-2")
    before = receive(one, 3)
    one.close("offline")
    after = receive(one, 3)
    # The broker uses the same packet ids again: an acknowledgement of the first delivery must not count here.
    for message in before:
        message.acknowledge()
    one.close("offline")
    assert [message.payload for message in receive(one, 3)] == [message.payload for message in after]


def test_its_status_is_retained_and_each_connection_is_a_new_run(inbox: Inboxes, peer: Peers) -> None:
    watcher = peer(collector_status_topic("in-3", "+"))
    one = inbox("in-3")
    one.receive(10, 0)
    first = word(watcher)
    one.close("stopped")
    assert (word(watcher).state, first.state, first.collector) == ("stopped", "online", "c-in-3")
    one.receive(10, 0)
    assert word(watcher).run != first.run
    assert word(peer(collector_status_topic("in-3", "+"))).state == "online"


def test_a_late_will_of_an_older_connection_is_contradicted(inbox: Inboxes, peer: Peers) -> None:
    topic = collector_status_topic("in-4", "c-in-4")
    watcher = peer(topic)
    one = inbox("in-4")
    one.receive(10, 0)
    assert word(watcher).state == "online"
    will = CollectorStatus(ts=1, collector="c-in-4", run="old", state="offline")
    watcher.client.publish(topic, encode(will), qos=1, retain=True)
    assert word(watcher).state == "offline"
    deadline = time.monotonic() + 10
    while watcher.messages.empty():
        assert one.receive(10, 0.1) == []
        assert time.monotonic() < deadline
    assert word(watcher).state == "online"


def test_a_broker_that_is_away_is_waited_for_and_said_once(
    inbox: Inboxes, peer: Peers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker = Broker(tmp_path)
    one = inbox("in-5", port=broker.port)
    one.receive(10, 0)
    assert one.connected
    broker.kill()
    deadline = time.monotonic() + 20
    while len(caplog.records) < 3:
        assert one.receive(10, 0.2) == []
        assert time.monotonic() < deadline
    broker.start()
    peer("none", broker.port).send(status("online"), "in-5")
    assert receive(one, 1)[0].retained
    broker.kill()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("lineside")]
    assert [text.partition(":")[0].partition(" to ")[0] for text in said] == [
        "collector ready",
        "The connection",
        "The broker mqtt",
        "collector ready",
    ]


def test_a_stop_ends_the_wait_at_once(inbox: Inboxes, stop: Stop) -> None:
    one = inbox("in-6")
    one.receive(10, 0)
    stop.set()
    began = time.monotonic()
    assert one.receive(10, 30.0) == []
    assert time.monotonic() - began < 5


def test_an_unreachable_broker_gives_nothing_and_no_error(inbox: Inboxes) -> None:
    one = inbox("in-7", port=free_port())
    assert one.receive(10, 0) == []
    assert not one.connected


def test_a_refused_password_needs_a_person(inbox: Inboxes, tmp_path: Path) -> None:
    broker = Broker(tmp_path, "allow_anonymous false\n")
    try:
        with pytest.raises(BrokerRefused, match="refused: Not authorized"):
            inbox("in-8", port=broker.port, credentials=Credentials("u", "wrong")).receive(10, 0)
    finally:
        broker.kill()


def test_two_with_one_id_are_told_so(
    inbox: Inboxes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inbox_module, "FIRST_DELAY_S", 0.001)
    one, other = inbox("in-9"), inbox("in-9")
    deadline = time.monotonic() + 20
    while "does another collector use the id 'c-in-9'?" not in caplog.text:
        for each in (one, other):
            each.receive(10, 0.05)
        assert time.monotonic() < deadline
