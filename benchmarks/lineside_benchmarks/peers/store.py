"""The database behind the broker for programs that have none: a row for every reading that arrives, repeats as well.

    python store.py PORT STORE

Its session is persistent, so that the broker keeps for it what comes while it is away. Prints `store ready`.
"""

import json
import queue
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

ASKED = "v1/devices/me/rpc/request/"
TOPICS = [("outage/+/reading", 1), ("v1/gateway/telemetry", 1), (f"{ASKED}+", 1)]
# What a ThingsBoard server tells a gateway that asks for its session's limits: there are none.
LIMITS = {"rateLimits": {"messages": ""}, "gatewayRateLimits": {"messages": ""}, "maxInflightMessages": 100}


def main(port: int, path: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE IF NOT EXISTS arrivals (program TEXT, number INTEGER, received_ms REAL)")
    arrived: queue.SimpleQueue[tuple[str, bytes, float]] = queue.SimpleQueue()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def take(message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith(ASKED):
            answer = message.topic.replace("/request/", "/response/")
            client.publish(answer, json.dumps(LIMITS), qos=1)
        else:
            arrived.put((message.topic, bytes(message.payload), time.time_ns() / 1e6))

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="peers-store", clean_session=False)
    client.reconnect_delay_set(1, 1)

    def subscribe(*_: Any) -> None:
        client.subscribe(TOPICS)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: print("store ready", flush=True)
    client.on_message = lambda _c, _d, message: take(message)
    client.connect_async("127.0.0.1", port, keepalive=15)
    client.loop_start()
    while not stop.is_set():
        save(database, arrived, wait_s=0.2)
    client.disconnect()
    client.loop_stop()
    save(database, arrived, wait_s=0.01)
    database.close()


def save(
    database: sqlite3.Connection, arrived: "queue.SimpleQueue[tuple[str, bytes, float]]", wait_s: float
) -> None:
    rows: list[tuple[str, int, float]] = []
    try:
        while len(rows) < 1000:
            topic, payload, at_ms = arrived.get(timeout=wait_s)
            rows.extend((program, number, at_ms) for program, number in readings(topic, json.loads(payload)))
            wait_s = 0.002
    except queue.Empty:
        pass
    if rows:
        database.execute("BEGIN")
        database.executemany("INSERT INTO arrivals VALUES (?, ?, ?)", rows)
        database.execute("COMMIT")


def readings(topic: str, message: dict[str, Any]) -> Iterator[tuple[str, int]]:
    if topic == "v1/gateway/telemetry":
        for device, rows in message.items():
            for row in rows:
                yield device, int(row["values"]["count"])
    else:
        yield topic.split("/")[1], round(message["value"])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
