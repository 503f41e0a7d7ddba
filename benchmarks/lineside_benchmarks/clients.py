"""What an MQTT client alone can publish in a second: the bounds between which the agent's throughput lies."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from lineside_benchmarks.peers.install import installed
from lineside_benchmarks.peers.publish import payloads
from lineside_benchmarks.programs import MEASURED, PEERS, Cost, running
from lineside_benchmarks.table import Cell, Plot, Table, middle
from lineside_benchmarks.workshop import TOPIC, Workshop

_ROUNDS, _QUICK_ROUNDS = 3, 1
# mosquitto_pub ends too early when a message id is used again: fewer than 65,536.
_FEW, _MANY, _QUICK_MANY = 500, 20_000, 3_000


class Rate(NamedTuple):
    """Messages a second, and CPU microseconds of the client for each."""

    per_s: float
    cpu_us: float


def run(workshop: Workshop) -> Table:
    """Publish with every client that is installed, in turns, to both brokers."""
    found: dict[tuple[str, str], list[Rate]] = {}
    many = _QUICK_MANY if workshop.quick else _MANY
    clients, missing = _clients(workshop)
    for broker, start in workshop.brokers.items():
        with start(workshop.new_folder()) as port:
            for _ in range(_QUICK_ROUNDS if workshop.quick else _ROUNDS):
                for name, publish in clients.items():
                    # What waits for every acknowledgement is slow: a part of them will do.
                    top = many // 4 if "waiting" in name else many
                    short, long = publish(port, _FEW // 5), publish(port, top)
                    count = top - _FEW // 5
                    rate = Rate(
                        count / (long.wall_s - short.wall_s), 1e6 * (long.cpu_s - short.cpu_s) / count
                    )
                    found.setdefault((broker, name), []).append(rate)
    return _table(found, missing)


def _clients(workshop: Workshop) -> tuple[dict[str, Callable[[int, int], Cost]], list[str]]:
    """Return what publishes a number of messages to a port, by name, and the names of those that are missing."""
    found = {name: _script(sys.executable, name) for name in ("paho, waiting", "paho")}
    missing = []
    for name in ("gmqtt", "aiomqtt"):
        if python := installed("mqtt-clients"):
            found[name] = _script(str(python), name)
        else:
            missing.append(name)
    if program := shutil.which("mosquitto_pub"):
        found["mosquitto_pub -l"] = _mosquitto_pub(program, workshop)
    else:
        missing.append("mosquitto_pub")
    return found, missing


def _script(python: str, name: str) -> Callable[[int, int], Cost]:
    def publish(port: int, count: int) -> Cost:
        command = [python, str(PEERS / "publish.py"), name, str(port), TOPIC, str(count)]
        with running(command, MEASURED) as program:
            return program.end()

    return publish


def _mosquitto_pub(program: str, workshop: Workshop) -> Callable[[int, int], Cost]:
    def publish(port: int, count: int) -> Cost:
        lines = _lines(workshop.folder, count)
        command = [program, "-h", "127.0.0.1", "-p", str(port), "-t", TOPIC, "-q", "1", "-l"]
        with ExitStack() as stack:
            file = stack.enter_context(lines.open("rb"))
            return stack.enter_context(running(command, MEASURED, file)).end()

    return publish


def _lines(folder: Path, count: int) -> Path:
    path = folder / f"payloads-{count}"
    if not path.exists():
        path.write_bytes(b"".join(payload + b"\n" for payload in payloads(count)))
    return path


def _table(found: dict[tuple[str, str], list[Rate]], missing: list[str]) -> Table:
    medians = {key: Rate(*map(middle, zip(*rates, strict=True))) for key, rates in found.items()}
    rows: list[list[Cell]] = [[*key, *rate] for key, rate in medians.items()]
    left_out = (
        f" Not installed, and left out: {', '.join(missing)} (`lineside bench peers install`)."
        if missing
        else ""
    )
    return Table(
        title="MQTT clients",
        how="What a client alone publishes: messages of some 150 bytes with QoS 1, until the broker has acknowledged"
        " all, nothing kept, no model. `paho, waiting` waits for each; the others have up to 64 in flight"
        " (mosquitto_pub: 20; gmqtt has no limit). Each number is the difference between a long and a short run."
        f" Medians of {len(next(iter(found.values())))} rounds.{left_out}",
        columns=["broker", "client", "messages/s", "CPU µs each"],
        rows=rows,
        samples={
            f"{', '.join(key)}, {field}": [getattr(rate, field) for rate in rates]
            for key, rates in found.items()
            for field in Rate._fields
        },
        plots=[
            Plot(
                name="clients",
                title="Messages a second, QoS 1",
                unit="messages/s",
                bars={", ".join(key): rate.per_s for key, rate in medians.items()},
            )
        ],
    )
