"""The brokers, from the files that a user gets: who may say and hear what, and what survives a crash."""

from __future__ import annotations

import socket
import time

import pytest
from brokers import PASSWORDS, Broker
from clients import Client, Message

from lineside_cli.broker import answers
from lineside_cli.jetstream import client_port, limit_messages
from lineside_contract.errors import LinesideError

pytestmark = pytest.mark.system

SITE = "lineside/v1/site-1"
SAYS = ["status", "heartbeat", "prediction", "predictions", "event"]
END = f"{SITE}/pump-1/event"


def test_messages_arrive(broker: Broker) -> None:
    with Client(broker) as reader, Client(broker) as writer:
        assert reader.subscribe("lineside/v1/#") == [True]
        writer.publish(f"{SITE}/pump-1/prediction", b"{}")
        assert reader.next() == Message(f"{SITE}/pump-1/prediction", b"{}", False)


def test_retained_messages_and_wills(broker: Broker) -> None:
    topic = f"{SITE}/pump-1/status"
    with Client(broker) as reader:
        device = Client(broker, will=(topic, b"offline"))
        device.publish(topic, b"online", retain=True)
        reader.subscribe(topic)
        assert reader.next() == Message(topic, b"online", True)
        device.crash()
        assert reader.next() == Message(topic, b"offline", False)


def test_a_burst_does_not_wait_for_each_other(broker: Broker) -> None:
    """Nagle's algorithm against delayed acknowledgements costs 40 ms a burst: 20 of them, 0.8 s."""
    with Client(broker) as client:
        started = time.perf_counter()
        for _ in range(20):
            burst = [client.paho.publish(f"{SITE}/pump-1/event", b"x", qos=1) for _ in range(10)]
            for sent in burst:
                sent.wait_for_publish(10)
        assert time.perf_counter() - started < 0.6


def test_an_absent_collector_misses_nothing(broker: Broker) -> None:
    topic = f"{SITE}/pump-1/prediction"
    with Client(broker, client_id="collector", keep_session=True) as collector:
        collector.subscribe(topic)
    with Client(broker) as device:
        for number in range(3000):  # Mosquitto's default would drop two thirds
            sent = device.paho.publish(topic, b"%d" % number, qos=1)
        sent.wait_for_publish(20)
    with Client(broker, client_id="collector", keep_session=True) as collector:
        assert [collector.next().payload for _ in range(3000)] == [b"%d" % number for number in range(3000)]


def test_nats_keeps_through_a_crash_what_it_acknowledged(nats: Broker) -> None:
    topic = f"{SITE}/pump-1/prediction"
    with Client(nats, client_id="collector", keep_session=True) as collector:
        collector.subscribe(topic)
    with Client(nats) as device:
        device.publish(f"{SITE}/pump-1/status", b"online", retain=True)
        for number in range(500):
            sent = device.paho.publish(topic, b"%d" % number, qos=1)
        sent.wait_for_publish(20)
        nats.kill()
    nats.start()
    with Client(nats, client_id="collector", keep_session=True) as collector:
        assert [collector.next().payload for _ in range(500)] == [b"%d" % number for number in range(500)]
        collector.subscribe(f"{SITE}/pump-1/status")
        assert collector.next() == Message(f"{SITE}/pump-1/status", b"online", True)


def test_nats_drops_the_oldest_when_a_collector_stays_away(nats: Broker) -> None:
    """Without the limit the store fills up and nobody can connect any more, the collector neither."""
    topic = f"{SITE}/pump-1/prediction"
    with Client(nats, client_id="collector", keep_session=True) as collector:
        collector.subscribe(topic)
    limit_messages(client_port(nats.folder, nats.pid), 500_000)
    with Client(nats) as device:
        for number in range(1500):
            sent = device.paho.publish(topic, b"%d " % number + bytes(1000), qos=1)
        sent.wait_for_publish(20)
    nats.stop()
    nats.start()
    with Client(nats, client_id="collector", keep_session=True) as collector:
        numbers = [int(collector.next().payload.split()[0])]
        while numbers[-1] < 1499:
            numbers.append(int(collector.next().payload.split()[0]))
    assert 300 < len(numbers) < 500
    assert numbers == list(range(numbers[0], 1500))


def test_the_operator_limits_messages_and_nobody_else(nats_tls: Broker) -> None:
    with Client(nats_tls, user="pump-1"):
        port = client_port(nats_tls.folder, nats_tls.pid)
    limit_messages(port, 1_000_000, user="operator", password=PASSWORDS["operator"])
    for user in ("collector", "pump-1", "observer", ""):
        with pytest.raises(LinesideError, match="Authorization Violation"):
            limit_messages(port, 2_000_000, user=user, password=PASSWORDS.get(user, ""))
    assert str(Client(nats_tls, user="operator").reason) == "Not authorized"


def test_a_broker_stopped_and_started_keeps_everything(broker: Broker) -> None:
    topic = f"{SITE}/pump-1/prediction"
    with Client(broker, client_id="collector", keep_session=True) as collector:
        collector.subscribe(topic)
    with Client(broker) as device:
        device.publish(topic, b"1")
    broker.stop()
    broker.start()
    with Client(broker, client_id="collector", keep_session=True) as collector:
        assert collector.next().payload == b"1"


# Permissions. What is forbidden is proven by what is allowed and comes after it: nothing waits for silence.


def test_a_device_speaks_only_for_itself(tls_broker: Broker) -> None:
    with Client(tls_broker, user="collector") as collector, Client(tls_broker, user="pump-1") as device:
        assert collector.subscribe(f"{SITE}/+/+", f"{SITE}/collectors/+/status") == [True, True]
        for topic in [
            *(f"{SITE}/pump-2/{kind}" for kind in [*SAYS, "ack"]),
            f"{SITE}/pump-1/ack",
            f"{SITE}/pump-1/anything",
            f"{SITE}/collectors/main/status",
            f"{SITE}/collectors/pump-1/status",
        ]:
            device.paho.publish(topic, b"forged", qos=0)
        for kind in SAYS:
            device.publish(f"{SITE}/pump-1/{kind}", b"own")
        heard = [collector.next() for _ in SAYS]
        assert heard == [Message(f"{SITE}/pump-1/{kind}", b"own", False) for kind in SAYS]


def test_a_device_speaks_in_no_other_site(tls_broker: Broker) -> None:
    with Client(tls_broker, user="observer") as observer, Client(tls_broker, user="pump-1") as device:
        assert observer.subscribe("lineside/v1/#") == [True]
        device.paho.publish("lineside/v1/site-2/pump-1/event", b"forged", qos=0)
        device.publish(END, b"end")
        assert observer.next() == Message(END, b"end", False)


def test_a_forged_retained_message_is_not_kept(tls_broker: Broker) -> None:
    with Client(tls_broker, user="pump-1") as device:
        device.paho.publish(f"{SITE}/pump-2/status", b"forged", qos=0, retain=True)
        device.publish(f"{SITE}/pump-1/status", b"own", retain=True)
    with Client(tls_broker, user="collector") as collector:
        collector.subscribe(f"{SITE}/+/status")
        assert collector.next() == Message(f"{SITE}/pump-1/status", b"own", True)
        with Client(tls_broker, user="pump-1") as device:
            device.publish(END, b"end")
            collector.subscribe(END)
            device.publish(END, b"end")
        assert collector.until(END, b"end") == []


def test_a_device_hears_only_what_is_meant_for_it(tls_broker: Broker) -> None:
    own = [f"{SITE}/pump-1/ack", f"{SITE}/pump-1/status", f"{SITE}/collectors/+/status"]
    others = [
        "#",
        "lineside/#",
        f"{SITE}/+/+",
        f"{SITE}/pump-2/ack",
        f"{SITE}/pump-2/prediction",
        "$MQTT/#",
        "$MQTT/sub/#",
    ]
    with (
        Client(tls_broker, user="pump-1") as spy,
        Client(tls_broker, user="pump-2") as device,
        Client(tls_broker, user="collector") as collector,
    ):
        assert spy.subscribe(*own) == [True, True, True]
        spy.subscribe(*others, qos=0)  # granted by Mosquitto, refused by NATS: neither delivers
        for topic in others:
            spy.subscribe(topic)
        for kind in SAYS:
            device.publish(f"{SITE}/pump-2/{kind}", b"secret")
        collector.publish(f"{SITE}/pump-2/ack", b"secret")
        spy.publish(f"{SITE}/pump-1/status", b"own")
        collector.publish(f"{SITE}/collectors/main/status", b"here")
        collector.publish(f"{SITE}/pump-1/ack", b"end")
        heard = {(message.topic, message.payload) for message in spy.until(f"{SITE}/pump-1/ack", b"end")}
        assert heard <= {
            (f"{SITE}/pump-1/status", b"own"),
            (f"{SITE}/collectors/main/status", b"here"),
        }
        # The order between topics is the broker's; what is missing must still come.
        while len(heard) < 2:
            message = spy.next()
            heard.add((message.topic, message.payload))


def test_a_device_cannot_take_what_waits_for_the_collector(tls_broker: Broker) -> None:
    own = f"{SITE}/pump-2/status"
    with Client(tls_broker, user="collector", keep_session=True) as collector:
        collector.subscribe(f"{SITE}/+/event")
    with Client(tls_broker, user="pump-1") as device:
        device.publish(END, b"1")
    with Client(tls_broker, user="pump-2", client_id="collector", keep_session=True) as thief:
        thief.subscribe(own)
        with Client(tls_broker, user="pump-1") as device:
            device.publish(END, b"2")
        thief.publish(own, b"end")
        assert thief.until(own, b"end") == []
    with Client(tls_broker, user="collector", keep_session=True) as collector:
        collector.subscribe(f"{SITE}/+/event")
        assert [collector.next().payload for _ in range(2)] == [b"1", b"2"]


def test_a_will_is_said(tls_broker: Broker) -> None:
    topic = f"{SITE}/pump-1/status"
    with Client(tls_broker, user="collector") as collector:
        collector.subscribe(topic)
        Client(tls_broker, user="pump-1", will=(topic, b"offline")).crash()
        assert collector.next() == Message(topic, b"offline", False)


def test_a_will_for_another_device_is_not_said(tls_broker: Broker) -> None:
    with Client(tls_broker, user="collector") as collector:
        collector.subscribe(f"{SITE}/+/+")
        forger = Client(tls_broker, user="pump-1", will=(f"{SITE}/pump-2/status", b"offline"))
        if str(forger.reason) == "Success":
            forger.crash()
        with Client(tls_broker, user="pump-2") as device:
            device.publish(f"{SITE}/pump-2/event", b"end")
        assert collector.until(f"{SITE}/pump-2/event", b"end") == []


@pytest.mark.parametrize(("user", "password"), [("pump-1", "wrong"), ("pump-1", "second-pump"), ("", None)])
def test_a_wrong_password_is_refused(tls_broker: Broker, user: str, password: str | None) -> None:
    refused = Client(tls_broker, user=user, password=password)
    assert str(refused.reason) == "Not authorized"
    refused.close()


def test_no_tls_is_refused(tls_broker: Broker) -> None:
    assert not answers("127.0.0.1", tls_broker.port)
    with socket.create_connection(("127.0.0.1", tls_broker.port), 5) as plain:
        plain.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00")
        plain.settimeout(15)
        try:
            answer = plain.recv(64)
        except ConnectionResetError:
            answer = b""
        assert answer[:1] in (b"", b"\x15")  # closed, or a TLS alert: never an MQTT CONNACK
