"""Predictions a second through the outbox to the broker, and what each costs in CPU, on one core."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from lineside_benchmarks.programs import HANDWRITTEN, LINESIDE, MEASURED, OTHERS, Cost, Failed, running
from lineside_benchmarks.table import Cell, Table, Target, middle
from lineside_benchmarks.workshop import SITE, TOPIC, Workshop

_MODEL = "forest"
_ROUNDS = 3
_QUICK_ROUNDS = 1
_WARM_UP = 100
_FEWEST_PER_S = 20_000


class Rows(NamedTuple):
    """How many readings the shorter and the longer run get: the difference is free of start and end."""

    few: int
    many: int


_COLUMNS, _SINGLE = Rows(10_000, 160_000), Rows(2_000, 17_000)
_QUICK = {_COLUMNS: Rows(1_000, 41_000), _SINGLE: Rows(500, 3_500)}


class Rate(NamedTuple):
    """Predictions a second, and CPU microseconds of the measured program for each."""

    per_s: float
    cpu_us: float


class Subject(NamedTuple):
    """A program that ends by itself when all of `n` readings are delivered."""

    promise: str
    messages: str
    rows: Rows
    run: Callable[[int], Cost]


def run(workshop: Workshop) -> Table:
    """Measure every way to deliver with both brokers, in turns."""
    found: dict[tuple[str, str, str], list[Rate]] = {}
    for broker, start in workshop.brokers.items():
        with ExitStack() as stack:
            port = stack.enter_context(start(workshop.new_folder()))
            subjects = [_by_hand(workshop, port), *_agents(workshop, port, "broker")]
            _measure(workshop, broker, subjects, found)
            store = workshop.new_folder() / "store.sqlite"
            command = [*LINESIDE, "collector", "run", "--broker", f"mqtt://127.0.0.1:{port}"]
            collector = stack.enter_context(
                running([*command, "--site", SITE, "--id", "c1", "--store", str(store)], OTHERS)
            )
            collector.wait_for("collector ready")
            _measure(workshop, broker, _agents(workshop, port, "collector"), found)
            _check(store, workshop.quick)
    return _table(found)


def _measure(
    workshop: Workshop, broker: str, subjects: list[Subject], found: dict[tuple[str, str, str], list[Rate]]
) -> None:
    for subject in subjects:
        subject.run(_WARM_UP)  # fills the cache of compiled modules
    for _ in range(_QUICK_ROUNDS if workshop.quick else _ROUNDS):
        for subject in subjects:
            few, many = _QUICK[subject.rows] if workshop.quick else subject.rows
            short, long = subject.run(few), subject.run(many)
            rate = Rate(
                (many - few) / (long.wall_s - short.wall_s),
                1e6 * (long.cpu_s - short.cpu_s) / (many - few),
            )
            found.setdefault((broker, subject.promise, subject.messages), []).append(rate)


def _by_hand(workshop: Workshop, port: int) -> Subject:
    def once(rows: int) -> Cost:
        command = [*HANDWRITTEN, str(workshop.model(_MODEL)), str(port), TOPIC]
        with workshop.json_lines(rows).open("rb") as lines, running(command, MEASURED, lines) as program:
            return program.end()

    return Subject("none (hand-written)", "single", _SINGLE, once)


def _agents(workshop: Workshop, port: int, promise: str) -> list[Subject]:
    def subject(messages: str, rows: Rows) -> Subject:
        def once(count: int) -> Cost:
            sensor = {"kind": "replay", "file": str(workshop.recording(count)), "speed": "fast"}
            delivery = {"promise": promise, "messages": messages, "durability": "100ms"}
            command = workshop.agent(port, _MODEL, sensor=sensor, delivery=delivery)
            with running(command, MEASURED) as program:
                return program.end()

        return Subject(promise, messages, rows, once)

    return [subject("columns", _COLUMNS), subject("single", _SINGLE)]


def _check(store: Path, quick: bool) -> None:
    """Raise Failed unless the store holds every prediction of every run with a collector, once."""
    each = sum(sum(_QUICK[rows] if quick else rows) for rows in (_COLUMNS, _SINGLE))
    expected = each * (_QUICK_ROUNDS if quick else _ROUNDS) + 2 * _WARM_UP
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as database:
        (stored,) = database.execute("SELECT count(*) FROM predictions").fetchone()
    if stored != expected:
        raise Failed(f"the collector stored {stored} of {expected} predictions")


def _table(found: dict[tuple[str, str, str], list[Rate]]) -> Table:
    medians = {
        key: Rate(*(middle(column) for column in zip(*rates, strict=True))) for key, rates in found.items()
    }
    rows: list[list[Cell]] = [[*key, rate.per_s, rate.cpu_us] for key, rate in medians.items()]
    slowest = min(rate.per_s for key, rate in medians.items() if key[2] == "columns")
    return Table(
        title="Throughput on one core",
        how="The agent replays a recording as fast as it can (8 channels, random forest of 100 trees,"
        ' `durability = "100ms"`) and ends when every prediction is acknowledged: by the broker, or by a'
        " collector that has committed it to SQLite. The agent has one core; broker and collector share the"
        " other. Each number is the difference between a long and a short run, so that start and end cancel"
        " out. The hand-written loop reads JSON lines, gives the model one reading at a time (the agent: up to"
        " 1000, which is part of the difference) and keeps nothing on disk; it has at most 64 messages in flight,"
        " the agent 128. After the runs with a collector its store was found to hold every prediction exactly once."
        f" Medians of {len(next(iter(found.values())))} rounds.",
        columns=["broker", "promise", "messages", "predictions/s", "CPU µs each"],
        rows=rows,
        targets=[
            Target(
                aim=f'at least {_FEWEST_PER_S:,} predictions/s with `messages = "columns"`',
                found=f"{slowest:,.0f} at least",
                met=slowest >= _FEWEST_PER_S,
            )
        ],
        samples={
            f"{', '.join(key)}, {field}": [getattr(rate, field) for rate in rates]
            for key, rates in found.items()
            for field in Rate._fields
        },
    )
