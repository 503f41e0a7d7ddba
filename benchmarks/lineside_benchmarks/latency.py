"""How long a prediction takes at a low rate, from its reading on the agent's standard input to a subscriber."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import NamedTuple

from lineside_benchmarks.programs import HANDWRITTEN, LINESIDE, MEASURED, OTHERS, Program, running
from lineside_benchmarks.subscriber import Subscriber
from lineside_benchmarks.table import Cell, Plot, Table, Target, middle, percentile
from lineside_benchmarks.workshop import SITE, Workshop
from lineside_contract.messages import Ack, Prediction, decode

_MODEL = "forest"
_PER_SECOND = 10
_READINGS = 400
_QUICK_READINGS = 20
_WARM_UP = 5
_MOST_MEDIAN_MS = 1.5


class Subject(NamedTuple):
    """A program, and the device's name under which it publishes."""

    name: str
    device: str
    command: list[str]


def run(workshop: Workshop) -> Table:
    """Give the programs readings by turns, and time each until its prediction arrives."""
    found: dict[str, dict[str, list[float]]] = {}
    for broker, start in workshop.brokers.items():
        with start(workshop.new_folder()) as port:
            found[broker] = _measure(workshop, port)
            found[broker] |= _measure_collector(workshop, port)
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


def _measure_collector(workshop: Workshop, port: int) -> dict[str, list[float]]:
    """Return milliseconds of the two ways: from a reading to the broker, from there to the collector's commit."""
    there: list[float] = []
    committed: list[float] = []
    command = [
        *LINESIDE,
        "collector",
        "run",
        "--broker",
        f"mqtt://127.0.0.1:{port}",
        "--site",
        SITE,
        "--id",
        "c1",
    ]
    agent = workshop.agent(port, _MODEL, device="pump-collected", delivery={"promise": "collector"})
    with contextlib.ExitStack() as stack:
        subscriber = stack.enter_context(Subscriber(port, f"lineside/v1/{SITE}/pump-collected/#"))
        store = str(workshop.new_folder() / "store.sqlite")
        stack.enter_context(running([*command, "--store", store], OTHERS)).wait_for("collector ready")
        program = stack.enter_context(running(agent, MEASURED, subprocess.PIPE))
        due = time.monotonic()
        for number in range((_QUICK_READINGS if workshop.quick else _READINGS // 2) + _WARM_UP):
            due += 1 / _PER_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            written_ns = time.monotonic_ns()
            program.write(workshop.lines[number % len(workshop.lines)])
            at_broker, at_store = _both(subscriber)
            if number >= _WARM_UP:
                there.append((at_broker - written_ns) / 1e6)
                committed.append((at_store - at_broker) / 1e6)
    return {"agent, promise collector": there, "collector: from the broker to its commit": committed}


def _both(subscriber: Subscriber) -> tuple[int, int]:
    """Return when the next prediction, and the collector's word that it is committed, were here."""
    prediction: tuple[int, Prediction] | None = None
    acks: list[tuple[int, Ack]] = []
    while True:
        arrived = subscriber.next("")
        if arrived.topic.endswith("/prediction"):
            prediction = arrived.at_ns, decode(arrived.payload, Prediction)
        elif arrived.topic.endswith("/ack"):
            acks.append((arrived.at_ns, decode(arrived.payload, Ack)))
        if prediction is not None:
            at_ns, message = prediction
            for committed_ns, ack in acks:  # the word may be here first
                if any(first <= message.seq <= last for first, last in ack.committed.get(message.boot, ())):
                    return at_ns, committed_ns


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
        ' "reading"` has each prediction on disk before it is published. Then one agent with a collector: its'
        " reading to the broker as before, and from there until the collector's acknowledgement, which it gives"
        " after its commit, has come back to the same subscriber.",
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
        plots=[
            Plot(
                name="latency",
                title="Reading to subscriber, median",
                unit="ms",
                bars={
                    f"{broker}, {name}": middle(times)
                    for broker, by_program in found.items()
                    for name, times in by_program.items()
                },
            )
        ],
    )
