"""A collector that comes back to more than it can hold at once."""

from __future__ import annotations

from pathlib import Path

import paho.mqtt.client as paho
import pytest
from brokers import Broker
from line import DEVICE, SITE, Line
from paho.mqtt.enums import CallbackAPIVersion
from processes import Processes

from lineside_contract.messages import Prediction, encode

pytestmark = pytest.mark.system

MESSAGES = 30_000


def publish(broker: Broker, count: int) -> None:
    """Publish as a device would, and wait for the broker's word for each."""
    left = count
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=DEVICE)
    client.max_inflight_messages_set(500)

    def on_publish(*_: object) -> None:
        nonlocal left
        left -= 1

    client.on_publish = on_publish
    client.connect("127.0.0.1", broker.port)
    for seq in range(count):
        message = Prediction(
            ts=seq, device=DEVICE, boot="b0b0b0b0-1", seq=seq, model="m", model_version="1", value=float(seq)
        )
        client.publish(f"lineside/v1/{SITE}/{DEVICE}/prediction", encode(message), qos=1)
        if seq % 100 == 0:
            client.loop(0)
    while left:
        assert client.loop(1.0) == 0
    client.disconnect()
    client.loop(0.1)


def test_a_killed_collector_comes_back_to_a_large_backlog(
    tmp_path: Path, processes: Processes, broker: Broker
) -> None:
    """Mosquitto sends a session's whole queue before it answers the new connection's SUBSCRIBE."""
    line = Line(tmp_path, processes, tmp_path / "none")
    line.start_collector(broker.url).stop()
    publish(broker, MESSAGES)
    for rows in (2_000, 6_000):
        collector = line.start_collector(broker.url, ready=False)
        line.wait_for_rows(rows)
        collector.kill()
    line.start_collector(broker.url, ready=False)
    line.wait_for_rows(MESSAGES, timeout=60)
    assert line.stored()[1] == [(seq, seq) for seq in range(MESSAGES)]
