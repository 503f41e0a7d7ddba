"""Predictions a second from a broker into SQLite: the collector beside a hand-written one."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import paho.mqtt.client as mqtt
from msgspec import Struct
from paho.mqtt.enums import CallbackAPIVersion

from lineside_benchmarks.brokers import BROKERS
from lineside_benchmarks.programs import HANDWRITTEN_COLLECTOR, LINESIDE, MEASURED, Cost, Failed, running
from lineside_benchmarks.subscriber import Subscriber
from lineside_benchmarks.table import Cell, Table, middle
from lineside_benchmarks.workshop import SITE, Workshop
from lineside_contract.messages import Ack, Prediction, Predictions, decode, encode
from lineside_contract.topics import Kind, device_topic

_DEVICES = 4
_IN_COLUMNS = 100
_SHARES = {"bearing": 97, "imbalance": 89, "normal": 83}  # no two payloads alike
_ROUNDS = 3
_IDLE_STARTS = 4
_MESSAGES = {"single": 6_000, "columns": 2_000}
_QUICK_MESSAGES = {"single": 1_000, "columns": 100}


class Message(NamedTuple):
    """A topic and a payload."""

    topic: str
    payload: bytes


class Rate(NamedTuple):
    """Predictions a second, and CPU microseconds of the collector for each."""

    per_s: float
    cpu_us: float


def run(workshop: Workshop) -> Table:
    """Let messages wait at the broker while both collectors are away, then time how fast each takes them."""
    found: dict[tuple[str, str, str], list[Rate]] = {}
    boots = itertools.count(1)
    amounts = _QUICK_MESSAGES if workshop.quick else _MESSAGES
    for broker, start in BROKERS.items():
        folder = workshop.new_folder()
        with start(folder) as port:
            idle = _begin_sessions(port, folder)
            for _ in range(1 if workshop.quick else _ROUNDS):
                for kind, count in amounts.items():
                    _publish(port, list(_messages(kind, count, f"1f2e3d4c-{next(boots)}")))
                    predictions = count * (_IN_COLUMNS if kind == "columns" else 1)
                    lineside = _time_collector(port, folder, predictions, idle)
                    by_hand = _time_by_hand(port, folder, predictions)
                    found.setdefault((broker, kind, "collector"), []).append(lineside)
                    found.setdefault((broker, kind, "hand-written"), []).append(by_hand)
            _check(folder)
    return _table(found)


def _collector(port: int, folder: Path) -> list[str]:
    command = [*LINESIDE, "collector", "run", "--broker", f"mqtt://127.0.0.1:{port}", "--site", SITE]
    return [*command, "--id", "c1", "--store", str(folder / "store.sqlite")]


def _by_hand(port: int, folder: Path, predictions: int) -> list[str]:
    return [*HANDWRITTEN_COLLECTOR, str(port), str(folder / "by-hand.sqlite"), str(predictions)]


def _begin_sessions(port: int, folder: Path) -> Cost:
    """Have both collectors known to the broker, so that it keeps messages for them.

    Return what the collector takes until it is ready when nothing waits.
    """
    starts = []
    for _ in range(_IDLE_STARTS):
        with running(_collector(port, folder), MEASURED) as program:
            program.wait_for("collector ready")
            starts.append(Cost((time.monotonic_ns() - program.started_ns) / 1e9, program.cpu_s()))
    with running(_by_hand(port, folder, 0), MEASURED) as program:
        program.end()
    return Cost(middle([one.wall_s for one in starts]), middle([one.cpu_s for one in starts]))


def _messages(kind: str, count: int, boot: str) -> Iterator[Message]:
    for number in range(count):
        device = f"pump-{number % _DEVICES}"
        if kind == "single":
            message: Struct = _single(number, device, boot)
            topic = device_topic(SITE, device, Kind.PREDICTION)
        else:
            message = _columns(number, device, boot)
            topic = device_topic(SITE, device, Kind.PREDICTIONS)
        yield Message(topic, encode(message))


def _single(number: int, device: str, boot: str) -> Prediction:
    return Prediction(
        ts=number,
        device=device,
        boot=boot,
        seq=number // _DEVICES,
        model="forest",
        model_version="1.0.0",
        label="normal",
        probability=number % 101 / 101,
        probabilities={name: number % prime / prime for name, prime in _SHARES.items()},
    )


def _columns(number: int, device: str, boot: str) -> Predictions:
    rows = range(number, number + _IN_COLUMNS)
    return Predictions(
        ts=list(rows),
        device=device,
        boot=boot,
        seq=number // _DEVICES * _IN_COLUMNS,
        model="forest",
        model_version="1.0.0",
        label=["normal"] * _IN_COLUMNS,
        probability=[row % 101 / 101 for row in rows],
        probabilities={name: [row % prime / prime for row in rows] for name, prime in _SHARES.items()},
    )


def _publish(port: int, messages: list[Message]) -> None:
    """Publish and return when the broker has acknowledged every message."""
    room = threading.Semaphore(100)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(100)
    client.on_publish = lambda *_: room.release()
    client.connect("127.0.0.1", port)
    client.loop_start()
    for message in messages:
        room.acquire()
        client.publish(message.topic, message.payload, qos=1)
    for _ in range(100):
        room.acquire()
    client.disconnect()
    client.loop_stop()


def _time_collector(port: int, folder: Path, predictions: int, idle: Cost) -> Rate:
    """Time from the collector's start to its acknowledgement of the last prediction, without what it takes to start.

    Its own word that it is ready would not do: it may take the backlog first.
    """
    topic = f"lineside/v1/{SITE}/+/ack"
    with Subscriber(port, topic) as subscriber, running(_collector(port, folder), MEASURED) as program:
        committed = 0
        while committed < predictions:
            ack = subscriber.next("/ack")
            ranges = decode(ack.payload, Ack).committed.values()
            committed += sum(last - first + 1 for spans in ranges for first, last in spans)
        cpu_s = program.cpu_s() - idle.cpu_s
        wall_s = (ack.at_ns - program.started_ns) / 1e9 - idle.wall_s
    return Rate(predictions / wall_s, 1e6 * cpu_s / predictions)


def _time_by_hand(port: int, folder: Path, predictions: int) -> Rate:
    with running(_by_hand(port, folder, predictions), MEASURED) as program:
        program.end()
        cost = msgspec.json.decode(program.output(), type=Cost)
    return Rate(predictions / cost.wall_s, 1e6 * cost.cpu_s / predictions)


def _check(folder: Path) -> None:
    """Raise Failed unless both stores hold the same number of predictions."""
    counts = []
    for name in ("store", "by-hand"):
        with sqlite3.connect(f"file:{folder / name}.sqlite?mode=ro", uri=True) as database:
            counts.append(database.execute("SELECT count(*) FROM predictions").fetchone()[0])
    if counts[0] != counts[1]:
        raise Failed(f"the collector stored {counts[0]} predictions, the hand-written one {counts[1]}")


def _table(found: dict[tuple[str, str, str], list[Rate]]) -> Table:
    rows: list[list[Cell]] = [
        [*key, *(middle(column) for column in zip(*rates, strict=True))] for key, rates in found.items()
    ]
    return Table(
        title="Collecting into SQLite",
        how="Predictions wait at the broker for a collector that was away; timed from its return (less what it"
        " takes to start when nothing waits) until the"
        " last one is committed. `columns` are 100 predictions a message. Write-ahead log, every commit"
        " synced. The hand-written one (`peers/handwritten_collector.py`) commits each message and tells"
        " nobody; the collector commits what has come, up to 1000 messages at once, notes what is missing and"
        f" acknowledges to the devices. Medians of {len(next(iter(found.values())))} rounds.",
        columns=["broker", "messages", "program", "predictions/s", "CPU µs each"],
        rows=rows,
        samples={
            f"{', '.join(key)}, {field}": [getattr(rate, field) for rate in rates]
            for key, rates in found.items()
            for field in Rate._fields
        },
    )
