"""Memory, and the time from start to the first prediction: the agent beside the least that Python allows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from lineside_benchmarks.brokers import BROKERS
from lineside_benchmarks.programs import HANDWRITTEN, LINESIDE, MEASURED, running
from lineside_benchmarks.subscriber import Subscriber
from lineside_benchmarks.table import Cell, Table, Target, middle
from lineside_benchmarks.workshop import TOPIC, Workshop

_MODELS = ("forest", "mlp")
_SPAWNS = 7
_QUICK_SPAWNS = 1
_MOST_MB = 10.0
_MOST_MS = 150.0
_HEARTBEAT_S = 0.3


_FLOOR, _PLAIN, _SIGNED = "floor", "agent", "agent, signed bundle"


class Footprint(NamedTuple):
    """One spawn: milliseconds to the first prediction at a subscriber, resident MB once it runs."""

    start_ms: float
    resident_mb: float


def run(workshop: Workshop) -> Table:
    """Start each program again and again, in turns, with both models and both brokers."""
    found: dict[tuple[str, str, str], list[Footprint]] = {}
    spawns = _QUICK_SPAWNS if workshop.quick else _SPAWNS
    key = _sign(workshop)
    for broker, start in BROKERS.items():
        with start(workshop.new_folder()) as port, Subscriber(port, "lineside/v1/#") as subscriber:
            for number in range(spawns + 1):  # the first round fills the cache of compiled modules
                for model in _MODELS:
                    for name, command in _commands(workshop, port, model, key).items():
                        footprint = _measure(command, subscriber, workshop.lines[number], name)
                        if number:
                            found.setdefault((model, broker, name), []).append(footprint)
    return _table(found)


def _sign(workshop: Workshop) -> Path:
    """Sign a copy of each model's bundle, and return the public key."""
    key = workshop.folder / "ops.key"
    subprocess.run([*LINESIDE, "keygen", "-o", str(key.with_suffix(""))], check=True, capture_output=True)
    for model in _MODELS:
        copy = workshop.folder / f"{model}-signed.bundle.zip"
        shutil.copy(workshop.folder / f"{model}.bundle.zip", copy)
        subprocess.run([*LINESIDE, "sign", str(copy), "--key", str(key)], check=True, capture_output=True)
    return key.with_suffix(".pub")


def _commands(workshop: Workshop, port: int, model: str, key: Path) -> dict[str, list[str]]:
    delivery, heartbeat = {"promise": "broker"}, {"every_s": _HEARTBEAT_S}
    signed = f"{model}-signed"
    return {
        _FLOOR: [*HANDWRITTEN, str(workshop.model(model)), str(port), TOPIC],
        _PLAIN: workshop.agent(port, model, delivery=delivery, heartbeat=heartbeat),
        _SIGNED: workshop.agent(port, signed, keys=[key], delivery=delivery, heartbeat=heartbeat),
    }


def _measure(command: list[str], subscriber: Subscriber, line: bytes, name: str) -> Footprint:
    with running(command, MEASURED, subprocess.PIPE) as program:
        program.write(line)
        first = subscriber.next("/prediction")
        if name != _FLOOR:  # by then everything that a running agent needs is loaded
            subscriber.next("/heartbeat")
        return Footprint((first.at_ns - program.started_ns) / 1e6, program.resident_mb())


def _table(found: dict[tuple[str, str, str], list[Footprint]]) -> Table:
    medians = {
        key: Footprint(*(middle(column) for column in zip(*spawns, strict=True)))
        for key, spawns in found.items()
    }
    more: dict[str, list[Footprint]] = {_PLAIN: [], _SIGNED: []}
    rows: list[list[Cell]] = []
    for (model, broker, name), agent in medians.items():
        if name == _FLOOR:
            continue
        floor = medians[model, broker, _FLOOR]
        extra = Footprint(agent.start_ms - floor.start_ms, agent.resident_mb - floor.resident_mb)
        more[name].append(extra)
        memory: list[Cell] = [floor.resident_mb, agent.resident_mb, extra.resident_mb]
        rows.append([model, broker, name, *memory, floor.start_ms, agent.start_ms, extra.start_ms])
    return Table(
        title="Memory and start",
        how="Floor: a hand-written Python program (`peers/handwritten.py`) that imports numpy, onnxruntime"
        " and paho, loads the same model, connects, predicts once and publishes with QoS 1. Agent:"
        " `lineside agent run`, a new process with an empty outbox; with a signed bundle it has `trusted_keys`"
        " and verifies the signature. All read one line from standard input."
        " Resident memory is the kernel's count (MB of 1,000,000 bytes), the agent's after its first heartbeat;"
        " start is from the creation of the process until a subscriber has the first prediction. Compiled"
        " modules are cached for all; the round that fills the cache is not counted."
        f" Medians of {len(next(iter(found.values())))} starts each.",
        columns=[
            "model",
            "broker",
            "program",
            "floor MB",
            "its MB",
            "more MB",
            "floor ms",
            "its ms",
            "more ms",
        ],
        rows=rows,
        targets=[target for name, extras in more.items() for target in _targets(name, extras)],
        samples={
            f"{' '.join(key)} {field}": [getattr(one, field) for one in footprints]
            for key, footprints in found.items()
            for field in Footprint._fields
        },
    )


def _targets(name: str, extras: list[Footprint]) -> list[Target]:
    mb = max(extra.resident_mb for extra in extras)
    ms = max(extra.start_ms for extra in extras)
    return [
        Target(
            aim=f"{name}: at most {_MOST_MB:g} MB above the floor", found=f"{mb:.1f} MB", met=mb <= _MOST_MB
        ),
        Target(
            aim=f"{name}: first prediction at most {_MOST_MS:g} ms after the floor's",
            found=f"{ms:.0f} ms",
            met=ms <= _MOST_MS,
        ),
    ]
