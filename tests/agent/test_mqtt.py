"""The connection as the deliver loop uses it, with a broker that does what the test says."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from mqtt_packets import Packet, ScriptedBroker
from paho.mqtt.client import Client

from lineside_agent import mqtt
from lineside_agent.broker import Acknowledged, Happening, Lost, Received, Will
from lineside_agent.clock import Signal
from lineside_agent.mqtt import MqttBroker
from lineside_agent.mqtt_frames import Delivery
from lineside_agent.settings import BrokerSettings
from lineside_contract.errors import NotDelivered

WILL = Will("will", b"gone")
TOPIC = Delivery("topic")


class Pair:
    """An agent's end and a broker's end of one connection."""

    def __init__(self, folder: Path, *, tls: bool) -> None:
        context, files = None, {}
        if tls:
            authority = trustme.CA()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            authority.cert_pem.write_to_path(str(folder / "ca.pem"))
            files = {"ca_file": folder / "ca.pem"}
        self.far = ScriptedBroker(context)
        scheme = "mqtts" if tls else "mqtt"
        self.near = MqttBroker(BrokerSettings(url=f"{scheme}://127.0.0.1:{self.far.port}", **files), "dev")
        self.wake = Signal()

    def connect(self, subscriptions: list[str] | None = None) -> None:
        accepting = self.far.accept()
        self.near.connect(WILL, subscriptions or [])
        accepting.join()

    def poll(self) -> list[Happening]:
        """Wait until something happens."""
        for _ in range(100):
            if happened := self.near.poll(10.0, self.wake):
                return happened
        raise AssertionError("nothing happens")

    def acknowledged(self, count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            for what in self.poll():
                assert isinstance(what, Acknowledged)
                found += what.tokens
        return found

    def close(self) -> None:
        self.near.drop()
        self.far.close()
        self.wake.close()


@pytest.fixture(params=["plain", "TLS"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    found = Pair(tmp_path, tls=request.param == "TLS")
    yield found
    found.close()


def test_many_messages_and_many_acknowledgements(pair: Pair) -> None:
    pair.connect()
    payloads = [b"%d" % number for number in range(300)]
    tokens = pair.near.publish(TOPIC, payloads)
    published = [packet.published() for packet in pair.far.read(300)]
    assert published == [
        ("topic", 1, False, token, payload) for token, payload in zip(tokens, payloads, strict=True)
    ]
    pair.far.acknowledge(*tokens)
    assert pair.acknowledged(300) == tokens


def test_quality_of_service_0_is_not_acknowledged(pair: Pair) -> None:
    pair.connect()
    pair.near.publish(Delivery("beat", qos=0), [b"b"])
    (token,) = pair.near.publish(Delivery("status", retain=True), [b"s"])
    beat, status = (packet.published() for packet in pair.far.read(2))
    assert beat == ("beat", 0, False, None, b"b")
    assert status == ("status", 1, True, token, b"s")


def test_packet_ids_are_not_those_of_paho(pair: Pair) -> None:
    pair.connect(["ack", "status"])
    tokens = pair.near.publish(TOPIC, [b""] * 10)
    assert pair.near.poll(0, pair.wake) == []
    packets = pair.far.read(11)
    (subscription,) = (packet for packet in packets if packet.first == 0x82)
    assert int.from_bytes(subscription.body[:2], "big") not in tokens


def test_packet_ids_in_flight_are_left_out_when_they_come_round_again(pair: Pair) -> None:
    pair.connect()
    slow = pair.near.publish(TOPIC, [b"slow"] * 3)
    pair.far.read(3)
    for _ in range(70):
        tokens = pair.near.publish(TOPIC, [b""] * 1000)
        assert len(set(tokens)) == 1000
        assert not set(tokens) & set(slow)
        pair.far.acknowledge(*(packet.published()[3] for packet in pair.far.read(1000)))
        assert pair.acknowledged(1000) == tokens
    pair.far.acknowledge(*slow)
    assert pair.acknowledged(3) == slow


def test_more_in_flight_than_there_are_packet_ids_is_refused(pair: Pair) -> None:
    pair.connect()
    with pytest.raises(NotDelivered):
        pair.near.publish(TOPIC, [b""] * 65_536)


def test_what_the_socket_does_not_take_goes_out_whole_and_in_order(pair: Pair) -> None:
    pair.connect()
    large = [bytes([number]) * 500_000 for number in range(20)]
    tokens = pair.near.publish(TOPIC, large[:10])
    # Between them paho has something to say: not in the middle of a packet.
    assert pair.near._client is not None
    pair.near._client.subscribe("more")
    tokens += pair.near.publish(TOPIC, large[10:])
    packets: list[Packet] = []
    pair.far.connection.settimeout(0.05)
    while len(packets) < 21:
        assert pair.near.poll(0, pair.wake) == []
        try:
            packets += pair.far.read(1)
        except TimeoutError:
            continue
    (subscription,) = (packet for packet in packets if packet.first == 0x82)
    assert subscription.body.endswith(b"more\0")
    packets.remove(subscription)
    assert [packet.published()[3:] for packet in packets] == list(zip(tokens, large, strict=True))


def test_a_connection_that_ends_within_a_burst_is_lost_and_the_next_one_begins_clean(pair: Pair) -> None:
    pair.connect()
    pair.near.publish(TOPIC, [b"x" * 500_000] * 20)
    pair.far.hang_up()
    while not any(isinstance(what, Lost) for what in pair.poll()):
        pass
    with pytest.raises(NotDelivered):
        pair.near.publish(TOPIC, [b"after"])
    pair.connect()
    tokens = pair.near.publish(TOPIC, [b"new"])
    assert [packet.published()[3:] for packet in pair.far.read(1)] == [(tokens[0], b"new")]


def test_acknowledgements_before_the_end_count(pair: Pair) -> None:
    pair.connect()
    tokens = pair.near.publish(TOPIC, [b"a", b"b"])
    pair.far.read(2)
    pair.far.acknowledge(tokens[0])
    pair.far.hang_up()
    happened: list[Happening] = []
    while not any(isinstance(what, Lost) for what in happened):
        happened += pair.poll()
    assert happened[0] == Acknowledged([tokens[0]])
    assert happened[-1] == Lost("the broker closed it")


def test_what_is_published_to_us_is_taken_and_acknowledged_among_acknowledgements(pair: Pair) -> None:
    pair.connect()
    tokens = pair.near.publish(TOPIC, [b"a", b"b"])
    pair.far.read(2)
    message = Packet(0x32, b"\0\x03ack" + b"\0\x09" + b"payload")
    pair.far.send(Packet(0x40, tokens[0].to_bytes(2, "big")), message)
    pair.far.acknowledge(tokens[1])
    happened: list[Happening] = []
    while len(happened) < 2 or sum(isinstance(what, Acknowledged) for what in happened) < 1:
        happened += pair.poll()
    acknowledged = [token for what in happened if isinstance(what, Acknowledged) for token in what.tokens]
    while len(acknowledged) < 2:
        acknowledged += pair.acknowledged(1)
    assert acknowledged == tokens
    assert Received("ack", b"payload", False) in happened
    pair.near.poll(0, pair.wake)
    assert pair.far.read(1) == [Packet(0x40, b"\0\x09")]


def test_a_giant_message_is_left_out(pair: Pair) -> None:
    pair.connect()
    (token,) = pair.near.publish(TOPIC, [b"a"])
    pair.far.read(1)
    giant = Packet(0x30, b"\0\x03ack" + bytes(3 * 1024 * 1024)).encoded()
    for start in range(0, len(giant), 32 * 1024):
        pair.far.connection.sendall(giant[start : start + 32 * 1024])
        assert pair.near.poll(0, pair.wake) == []
        assert pair.near._client is not None
        assert len(pair.near._client.incoming.others) == 0
    pair.far.acknowledge(token)
    assert pair.acknowledged(1) == [token]


def test_what_is_no_mqtt_ends_the_connection(pair: Pair) -> None:
    pair.connect()
    pair.far.connection.sendall(b"\x30\xff\xff\xff\xff\x01")
    (lost,) = pair.poll()
    assert isinstance(lost, Lost)
    assert "not MQTT" in lost.reason


def test_a_paho_that_reads_in_another_way_delivers_all_the_same(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt._Client, "_sock_recv", Client._sock_recv)
    pair.connect()
    tokens = pair.near.publish(TOPIC, [b"%d" % number for number in range(100)])
    packets = [packet.published() for packet in pair.far.read(100)]
    assert [packet[3] for packet in packets] == tokens
    pair.far.acknowledge(*tokens)
    assert pair.acknowledged(100) == tokens
    pair.far.hang_up()
    assert any(isinstance(what, Lost) for what in pair.poll())
    with pytest.raises(NotDelivered):
        pair.near.publish(TOPIC, [b"after"])


def test_acknowledgements_gather_while_there_is_nothing_to_send(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(mqtt.time, "monotonic", lambda: clock[0])
    pair.connect()
    tokens = pair.near.publish(TOPIC, [b"a", b"b"])
    pair.far.read(2)
    pair.far.acknowledge(*tokens)
    pair.wake.set()  # something to send: not the time for acknowledgements
    assert pair.near.poll(10.0, pair.wake, gather=True) == []
    clock[0] += 0.2
    found: list[int] = []
    while len(found) < 2:
        found += [
            token
            for what in pair.near.poll(10.0, pair.wake, gather=True)
            for token in getattr(what, "tokens", ())
        ]
    assert found == tokens


def test_acknowledgements_are_taken_when_the_time_is_up(pair: Pair) -> None:
    pair.connect()
    tokens = pair.near.publish(TOPIC, [b"a"])
    pair.far.read(1)
    pair.far.acknowledge(*tokens)
    found: list[Happening] = []
    while not found:
        found = pair.near.poll(0.001, pair.wake, gather=True)
    assert found == [Acknowledged(tokens)]


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux can be asked")
def test_a_broker_that_waits_for_the_confirmation_of_each_acknowledgement_gets_it_at_once(pair: Pair) -> None:
    pair.connect()
    times = []
    for _ in range(9):
        tokens = pair.near.publish(TOPIC, [b"a", b"b", b"c"])
        pair.far.read(3)
        began = time.perf_counter()
        for token in tokens:  # the far end's socket keeps each but the first until that one is confirmed
            pair.far.acknowledge(token)
        assert pair.acknowledged(3) == tokens
        times.append(time.perf_counter() - began)
    assert sorted(times)[4] < 0.03  # the kernel's delay is 0.04 s
