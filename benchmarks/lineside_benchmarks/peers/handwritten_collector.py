"""What someone writes to store predictions without Lineside: a callback, a row a prediction, a commit a message.

    python handwritten_collector.py PORT STORE PREDICTIONS

Ends after so many new predictions and prints the seconds of time and of CPU from its connection until then, as
JSON; 0 only leaves its session at the broker.
"""

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main(port: int, path: str, predictions: int) -> None:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS predictions (device TEXT, boot TEXT, seq INTEGER, ts INTEGER, label TEXT,"
        " probability REAL, probabilities TEXT, PRIMARY KEY (device, boot, seq)) WITHOUT ROWID"
    )
    done = threading.Event()
    left = predictions
    start = (0.0, 0.0)

    def on_connect(*_: Any) -> None:
        nonlocal start
        start = time.monotonic(), time.process_time()

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        nonlocal left
        database.execute("BEGIN")
        added = database.executemany(
            "INSERT OR IGNORE INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows(json.loads(message.payload)),
        )
        database.execute("COMMIT")
        left -= added.rowcount
        if left == 0:
            done.set()

    def on_subscribe(*_: Any) -> None:
        if predictions == 0:
            done.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="by-hand", clean_session=False)
    client.on_connect, client.on_message, client.on_subscribe = on_connect, on_message, on_subscribe
    client.connect("127.0.0.1", port)
    client.subscribe([("lineside/v1/bench/+/prediction", 1), ("lineside/v1/bench/+/predictions", 1)])
    client.loop_start()
    done.wait()
    print(json.dumps({"wall_s": time.monotonic() - start[0], "cpu_s": time.process_time() - start[1]}))
    client.disconnect()
    client.loop_stop()
    database.close()


def rows(message: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    columns = [message["ts"], message["label"], message["probability"], *message["probabilities"].values()]
    if not isinstance(message["ts"], list):
        columns = [[cell] for cell in columns]
    for at, (ts, label, probability, *shares) in enumerate(zip(*columns, strict=True)):
        by_class = json.dumps(dict(zip(message["probabilities"], shares, strict=True)))
        yield message["device"], message["boot"], message["seq"] + at, ts, label, probability, by_class


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
