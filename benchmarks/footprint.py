"""Memory, and the time from start to the first prediction: the agent beside the least that Python allows."""

from __future__ import annotations

import subprocess
from typing import NamedTuple

from benchmarks.brokers import BROKERS
from benchmarks.programs import HANDWRITTEN, MEASURED, Program, running
from benchmarks.subscriber import Subscriber
from benchmarks.table import Cell, Table, Target, middle
from benchmarks.workshop import TOPIC, Workshop

_SPAWNS = 7
_QUICK_SPAWNS = 1
_MOST_MB = 10.0
_MOST_MS = 150.0
_HEARTBEAT_S = 0.3


class Footprint(NamedTuple):
    """One spawn: milliseconds to the first prediction at a subscriber, resident MB once it runs."""

    start_ms: float
    resident_mb: float


def run(workshop: Workshop) -> Table:
    """Start each program again and again, in turns, with both models and both brokers."""
    found: dict[tuple[str, str, str], list[Footprint]] = {}
    spawns = _QUICK_SPAWNS if workshop.quick else _SPAWNS
    for broker, start in BROKERS.items():
        with start(workshop.new_folder()) as port, Subscriber(port, "lineside/v1/#") as subscriber:
            for number in range(spawns + 1):  # the first round fills the cache of compiled modules
                for model in ("forest", "mlp"):
                    line = workshop.lines[number]
                    pair = (
                        ("floor", _floor(workshop, port, model, subscriber, line)),
                        ("agent", _agent(workshop, port, model, subscriber, line)),
                    )
                    for name, footprint in pair if number else ():
                        found.setdefault((model, broker, name), []).append(footprint)
    return _table(found)


def _floor(workshop: Workshop, port: int, model: str, subscriber: Subscriber, line: bytes) -> Footprint:
    command = [*HANDWRITTEN, str(workshop.model(model)), str(port), TOPIC]
    with running(command, MEASURED, subprocess.PIPE) as program:
        return _measure(program, subscriber, line, heartbeat=False)


def _agent(workshop: Workshop, port: int, model: str, subscriber: Subscriber, line: bytes) -> Footprint:
    command = workshop.agent(port, model, delivery={"promise": "broker"}, heartbeat={"every_s": _HEARTBEAT_S})
    with running(command, MEASURED, subprocess.PIPE) as program:
        return _measure(program, subscriber, line, heartbeat=True)


def _measure(program: Program, subscriber: Subscriber, line: bytes, *, heartbeat: bool) -> Footprint:
    program.write(line)
    first = subscriber.next("/prediction")
    if heartbeat:  # by then everything that a running agent needs is loaded
        subscriber.next("/heartbeat")
    return Footprint((first.at_ns - program.started_ns) / 1e6, program.resident_mb())


def _table(found: dict[tuple[str, str, str], list[Footprint]]) -> Table:
    rows: list[list[Cell]] = []
    more_mb, more_ms = [], []
    for model, broker, name in found:
        if name != "floor":
            continue
        floor, agent = (
            Footprint(*(middle(column) for column in zip(*found[model, broker, program], strict=True)))
            for program in ("floor", "agent")
        )
        more_mb.append(agent.resident_mb - floor.resident_mb)
        more_ms.append(agent.start_ms - floor.start_ms)
        memory: list[Cell] = [floor.resident_mb, agent.resident_mb, more_mb[-1]]
        rows.append([model, broker, *memory, floor.start_ms, agent.start_ms, more_ms[-1]])
    return Table(
        title="Memory and start",
        how="Floor: a hand-written Python program (`benchmarks/handwritten.py`) that imports numpy, onnxruntime"
        " and paho, loads the same model, connects, predicts once and publishes with QoS 1. Agent:"
        " `lineside agent run`, a new process with an empty outbox. Both read one line from standard input."
        " Resident memory is the kernel's count (MB of 1,000,000 bytes), the agent's after its first heartbeat;"
        " start is from the creation of the process until a subscriber has the first prediction. Compiled"
        f" modules are cached for both. Medians of {len(next(iter(found.values())))} starts each.",
        columns=["model", "broker", "floor MB", "agent MB", "more MB", "floor ms", "agent ms", "more ms"],
        rows=rows,
        targets=[
            Target(
                aim=f"at most {_MOST_MB:g} MB above the floor",
                found=f"{max(more_mb):.1f} MB",
                met=max(more_mb) <= _MOST_MB,
            ),
            Target(
                aim=f"first prediction at most {_MOST_MS:g} ms after the floor's",
                found=f"{max(more_ms):.0f} ms",
                met=max(more_ms) <= _MOST_MS,
            ),
        ],
        samples={
            f"{' '.join(key)} {field}": [getattr(one, field) for one in footprints]
            for key, footprints in found.items()
            for field in Footprint._fields
        },
    )
