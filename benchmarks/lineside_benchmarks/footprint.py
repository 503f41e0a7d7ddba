"""Resident memory: the agent beside the least that Python allows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lineside_benchmarks.brokers import BROKERS
from lineside_benchmarks.programs import HANDWRITTEN, LINESIDE, MEASURED, running
from lineside_benchmarks.subscriber import Subscriber
from lineside_benchmarks.table import Cell, Plot, Table, Target, middle
from lineside_benchmarks.workshop import TOPIC, Workshop

FLOOR, _PLAIN, _SIGNED = "floor", "agent", "agent, signed bundle"
_MODELS = ("forest", "mlp")
_SPAWNS, _QUICK_SPAWNS = 5, 1
_MOST_MB = 8.0
_HEARTBEAT_S = 0.3


def subjects(workshop: Workshop, port: int, model: str) -> dict[str, list[str]]:
    """Return the commands that start the floor and the agent, by name. All read JSON lines and publish with QoS 1."""
    delivery, heartbeat = {"promise": "broker"}, {"every_s": _HEARTBEAT_S}
    key = _signed(workshop, model)
    return {
        FLOOR: [*HANDWRITTEN, str(workshop.model(model)), str(port), TOPIC],
        _PLAIN: workshop.agent(port, model, delivery=delivery, heartbeat=heartbeat),
        _SIGNED: workshop.agent(port, f"{model}-signed", keys=[key], delivery=delivery, heartbeat=heartbeat),
    }


def _signed(workshop: Workshop, model: str) -> Path:
    """Have a signed copy of a model's bundle made, once, and return the public key."""
    key, copy = workshop.folder / "ops.key", workshop.folder / f"{model}-signed.bundle.zip"
    if not key.exists():
        subprocess.run([*LINESIDE, "keygen", "-o", str(key.with_suffix(""))], check=True, capture_output=True)
    if not copy.exists():
        shutil.copy(workshop.folder / f"{model}.bundle.zip", copy)
        subprocess.run([*LINESIDE, "sign", str(copy), "--key", str(key)], check=True, capture_output=True)
    return key.with_suffix(".pub")


def run(workshop: Workshop) -> Table:
    """Start each program several times, in turns, with both models."""
    found: dict[tuple[str, str], list[float]] = {}
    with BROKERS["mosquitto"](workshop.new_folder()) as port, Subscriber(port, "lineside/v1/#") as subscriber:
        for number in range(_QUICK_SPAWNS if workshop.quick else _SPAWNS):
            for model in _MODELS:
                for name, command in subjects(workshop, port, model).items():
                    resident_mb = _measure(command, subscriber, workshop.lines[number], name)
                    found.setdefault((model, name), []).append(resident_mb)
    return _table(found)


def _measure(command: list[str], subscriber: Subscriber, line: bytes, name: str) -> float:
    with running(command, MEASURED, subprocess.PIPE) as program:
        program.write(line)
        subscriber.next("/prediction")
        if name != FLOOR:  # by then everything that a running agent needs is loaded
            subscriber.next("/heartbeat")
        return program.resident_mb()


def _table(found: dict[tuple[str, str], list[float]]) -> Table:
    medians = {key: middle(spawns) for key, spawns in found.items()}
    more = {key: held - medians[key[0], FLOOR] for key, held in medians.items()}
    rows: list[list[Cell]] = [
        [*key, held, more[key] if key[1] != FLOOR else ""] for key, held in medians.items()
    ]
    return Table(
        title="Memory",
        how="Resident memory as the kernel counts it, in MB of 1,000,000 bytes. Floor: `peers/handwritten.py`, which"
        " imports numpy, onnxruntime and paho-mqtt, loads the same model, connects, predicts and"
        " publishes. Agent: `lineside agent run` after its first heartbeat; with a signed bundle it has"
        f" `trusted_keys` and verifies the signature. Medians of {len(next(iter(found.values())))} starts.",
        columns=["model", "program", "MB", "more than the floor MB"],
        rows=rows,
        targets=[
            Target(
                aim=f"{name}: at most {_MOST_MB:g} MB above the floor",
                found=f"{most:.1f} MB",
                met=most <= _MOST_MB,
            )
            for name in (_PLAIN, _SIGNED)
            for most in [max(held for key, held in more.items() if key[1] == name)]
        ],
        samples={", ".join(key): spawns for key, spawns in found.items()},
        plots=[
            Plot(
                name="footprint",
                title="Resident memory",
                unit="MB",
                bars={", ".join(key): held for key, held in medians.items()},
            )
        ],
    )
