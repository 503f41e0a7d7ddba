"""How long it takes from the start of the process until its first prediction is acknowledged by the broker."""

from __future__ import annotations

import subprocess

from lineside_benchmarks.footprint import FLOOR, subjects
from lineside_benchmarks.programs import MEASURED, running
from lineside_benchmarks.subscriber import Subscriber
from lineside_benchmarks.table import Cell, Plot, Table, Target, middle
from lineside_benchmarks.workshop import Workshop

_MODELS = ("forest", "mlp")
_SPAWNS, _QUICK_SPAWNS = 9, 1
_MOST_MS = 100.0


def run(workshop: Workshop) -> Table:
    """Start each program again and again, in turns, with both models and both brokers."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for broker, start in workshop.brokers.items():
        with start(workshop.new_folder()) as port, Subscriber(port, "lineside/v1/#") as subscriber:
            for number in range((_QUICK_SPAWNS if workshop.quick else _SPAWNS) + 1):
                for model in _MODELS:
                    for name, command in subjects(workshop, port, model).items():
                        took_ms = _first(command, subscriber, workshop.lines[number])
                        if number:  # the first round fills the cache of compiled modules
                            found.setdefault((model, broker, name), []).append(took_ms)
    return _table(found)


def _first(command: list[str], subscriber: Subscriber, line: bytes) -> float:
    with running(command, MEASURED, subprocess.PIPE) as program:
        program.write(line)
        while True:
            took_ms = (subscriber.next("/prediction").at_ns - program.started_ns) / 1e6
            if took_ms > 0:  # not one that the program before it had sent twice
                return took_ms


def _table(found: dict[tuple[str, str, str], list[float]]) -> Table:
    medians = {key: middle(times) for key, times in found.items()}
    more = {key: took - medians[(*key[:2], FLOOR)] for key, took in medians.items()}
    rows: list[list[Cell]] = [
        [*key, took, max(found[key]), more[key] if key[2] != FLOOR else ""] for key, took in medians.items()
    ]
    slowest = max(more.values())
    return Table(
        title="Start",
        how="From the creation of the process until a subscriber at the broker has its first prediction (QoS 1)."
        " Floor: `peers/handwritten.py`, which imports numpy, onnxruntime and paho-mqtt, loads the same model and"
        " publishes. Agent: `lineside agent run` with an empty outbox. With a signed bundle it has `trusted_keys`"
        " and verifies the signature. Compiled modules are cached for all; the round that fills the cache is not"
        " counted."
        f" Medians of {len(next(iter(found.values())))} starts.",
        columns=["model", "broker", "program", "ms", "slowest ms", "more than the floor ms"],
        rows=rows,
        targets=[
            Target(
                aim=f"first prediction at most {_MOST_MS:g} ms after the floor's",
                found=f"{slowest:.0f} ms",
                met=slowest <= _MOST_MS,
            )
        ],
        samples={", ".join(key): times for key, times in found.items()},
        plots=[
            Plot(
                name="startup",
                title="Start to first prediction",
                unit="ms",
                bars={", ".join(key): took for key, took in medians.items()},
            )
        ],
    )
