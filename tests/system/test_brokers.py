"""The brokers, from the files that a user gets: who may say and hear what, and what survives a crash."""

from __future__ import annotations

import pytest
from brokers import Broker
from clients import Client, Message
from proxy import Proxy

pytestmark = pytest.mark.system

SITE = "lineside/v1/site-1"
SAYS = ["status", "heartbeat", "prediction", "predictions", "event"]
END = (f"{SITE}/pump-1/event", b"end")


def test_messages_arrive(broker: Broker) -> None:
    with Client(broker) as reader, Client(broker) as writer:
        assert reader.subscribe("lineside/v1/#") == [True]
        writer.publish(f"{SITE}/pump-1/prediction", b"{}")
        assert reader.next() == Message(f"{SITE}/pump-1/prediction", b"{}", False)


def test_a_cut_network_is_noticed(broker: Broker, proxy: Proxy) -> None:
    with Client(broker, port=proxy.port) as client:
        client.publish(f"{SITE}/pump-1/event", b"1")
        proxy.cut()
        assert client.lost.wait(10)
        with pytest.raises(ConnectionRefusedError):
            Client(broker, port=proxy.port)
        proxy.restore()
        with Client(broker, port=proxy.port) as again:
            again.publish(f"{SITE}/pump-1/event", b"2")
