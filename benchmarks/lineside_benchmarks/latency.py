"""How long a prediction takes at a low rate, from its reading on the agent's standard input to a subscriber."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import NamedTuple

from lineside_benchmarks.brokers import BROKERS
from lineside_benchmarks.programs import HANDWRITTEN, MEASURED, Program, running
from lineside_benchmarks.subscriber import Subscriber
from lineside_benchmarks.table import Cell, Table, Target, middle, percentile
from lineside_benchmarks.workshop import Workshop

_MODEL = "forest"
_PER_SECOND = 10
_READINGS = 400
_QUICK_READINGS = 20
_WARM_UP = 5
_MOST_MEDIAN_MS = 2.0


class Subject(NamedTuple):
    """A program, and the device's name under which it publishes."""

    name: str
    device: str
    command: list[str]


def run(workshop: Workshop) -> Table:
    """Give the programs readings by turns, and time each until its prediction arrives."""
    found: dict[str, dict[str, list[float]]] = {}
    for broker, start in BROKERS.items():
        with start(workshop.new_folder()) as port:
            found[broker] = _measure(workshop, port)
    return _table(found)


def _subjects(workshop: Workshop, port: int) -> list[Subject]:
    topic = "lineside/v1/bench/by-hand/prediction"
    by_hand = [*HANDWRITTEN, str(workshop.model(_MODEL)), str(port), topic]
    subjects = [Subject("hand-written, nothing kept", "by-hand", by_hand)]
    for durability in ("100ms", "reading"):
        device = f"pump-{durability}"
        delivery = {"promise": "broker", "durability": durability}
        command = workshop.agent(port, _MODEL, device=device, delivery=delivery)
        subjects.append(Subject(f"agent, durability {durability}", device, command))
    return subjects


def _measure(workshop: Workshop, port: int) -> dict[str, list[float]]:
    """Return milliseconds by program. All run at once and are idle but for their own readings."""
    subjects = _subjects(workshop, port)
    found: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    with contextlib.ExitStack() as stack:
        subscriber = stack.enter_context(Subscriber(port, "lineside/v1/+/+/prediction"))
        programs = [
            stack.enter_context(running(subject.command, MEASURED, subprocess.PIPE)) for subject in subjects
        ]
        count = _QUICK_READINGS if workshop.quick else _READINGS
        due = time.monotonic()
        for number in range(count + _WARM_UP):
            for subject, program in zip(subjects, programs, strict=True):
                due += 1 / _PER_SECOND / len(subjects)
                time.sleep(max(0.0, due - time.monotonic()))
                line = workshop.lines[number % len(workshop.lines)]
                elapsed_ms = _time_one(subscriber, subject, program, line)
                if number >= _WARM_UP:
                    found[subject.name].append(elapsed_ms)
    return found


def _time_one(subscriber: Subscriber, subject: Subject, program: Program, line: bytes) -> float:
    written_ns = time.monotonic_ns()
    program.write(line)
    return (subscriber.next(f"{subject.device}/prediction").at_ns - written_ns) / 1e6


def _table(found: dict[str, dict[str, list[float]]]) -> Table:
    rows: list[list[Cell]] = [
        [broker, name, middle(times), percentile(times, 0.95), percentile(times, 0.99), max(times)]
        for broker, by_program in found.items()
        for name, times in by_program.items()
    ]
    slowest = max(
        middle(times)
        for by_program in found.values()
        for name, times in by_program.items()
        if name.endswith("100ms")
    )
    count = len(next(iter(next(iter(found.values())).values())))
    return Table(
        title="Latency at ten readings a second",
        how=f"From the moment a JSON line is written to the program's standard input until a subscriber on the"
        f" same machine has its prediction (QoS 1 all the way, random forest of 100 trees). All programs run"
        f" at once and get their readings by turns, {_PER_SECOND} a second each; {count} readings each."
        " The hand-written loop (`peers/handwritten.py`) keeps nothing on disk. `durability ="
        ' "reading"` has each prediction on disk before it is published.',
        columns=["broker", "program", "median ms", "95 % ms", "99 % ms", "worst ms"],
        rows=rows,
        targets=[
            Target(
                aim=f"median below {_MOST_MEDIAN_MS:g} ms at the default durability",
                found=f"{slowest:.2f} ms",
                met=slowest < _MOST_MEDIAN_MS,
            )
        ],
        samples={
            f"{broker}, {name}": times
            for broker, by_program in found.items()
            for name, times in by_program.items()
        },
    )
