"""What the agent costs beside the shortest loop that an expert writes by hand for the same durability."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lineside_benchmarks.programs import MEASURED, PEERS, Program, running
from lineside_benchmarks.table import Cell, Table, Target, middle
from lineside_benchmarks.workshop import TOPIC, Workshop

_DURABLE = [sys.executable, str(PEERS / "handwritten_durable.py")]
_MODEL = "forest"
_AGENT, _BY_HAND = "agent", "hand-written"
_FULL_SPEED = "as fast as it can"
_WARM_UP = 20
_AT_MOST = {_FULL_SPEED: 1.5}
_AT_MOST_PACED = 1.3


class Plan(NamedTuple):
    """How much is measured: rounds; readings of a short and a long run; paced rates, and seconds of each."""

    rounds: int
    few: int
    many: int
    rates: tuple[int, ...]
    seconds: float


_PLAN = Plan(5, 2_000, 32_000, (10, 100, 1000), 20.0)
_QUICK = Plan(2, 500, 12_500, (100,), 2.0)


def run(workshop: Workshop) -> Table:
    """Measure both programs with each broker, at full speed by turns and paced at the same time."""
    plan = _QUICK if workshop.quick else _PLAN
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for broker, start in workshop.brokers.items():
        with start(workshop.new_folder()) as port:
            for round_ in range(-1, plan.rounds):
                for name in (_AGENT, _BY_HAND):
                    cpu_us = _full_speed(workshop, port, name, plan)
                    if round_ >= 0:  # the first one fills the cache of compiled modules
                        found.setdefault((broker, _FULL_SPEED), {}).setdefault(name, []).append(cpu_us)
            for rate in plan.rates:
                costs = _paced(workshop, port, rate, plan.seconds)
                found[broker, f"{rate} a second"] = {name: [cost] for name, cost in costs.items()}
    return _table(found, plan)


def _command(workshop: Workshop, port: int, name: str) -> list[str]:
    if name == _BY_HAND:
        return [*_DURABLE, str(workshop.model(_MODEL)), str(port), TOPIC, str(workshop.new_folder())]
    delivery = {"promise": "broker", "messages": "single", "durability": "100ms"}
    return workshop.agent(port, _MODEL, delivery=delivery)


def _full_speed(workshop: Workshop, port: int, name: str, plan: Plan) -> float:
    """Return CPU microseconds a prediction: a long run less a short one, so that start and end cancel out."""
    used = []
    for rows in (plan.few, plan.many):
        with (
            workshop.json_lines(rows).open("rb") as lines,
            running(_command(workshop, port, name), MEASURED, lines) as program,
        ):
            used.append(program.end().cpu_s)
    return 1e6 * (used[1] - used[0]) / (plan.many - plan.few)


def _paced(workshop: Workshop, port: int, rate: int, seconds: float) -> dict[str, float]:
    """Return CPU microseconds a reading of both programs, fed with the same readings at the same time."""
    agent, by_hand = (_command(workshop, port, name) for name in (_AGENT, _BY_HAND))
    with (
        running(agent, MEASURED, subprocess.PIPE) as first,
        running(by_hand, MEASURED, subprocess.PIPE) as second,
    ):
        programs = {_AGENT: first, _BY_HAND: second}
        _feed(workshop, programs, 20, _WARM_UP)
        before = {name: _cpu_ns(program.pid) for name, program in programs.items()}
        readings = round(rate * seconds)
        _feed(workshop, programs, rate, readings)
        return {
            name: (_cpu_ns(program.pid) - before[name]) / 1000 / readings
            for name, program in programs.items()
        }


def _feed(workshop: Workshop, programs: Mapping[str, Program], rate: int, readings: int) -> None:
    began = time.monotonic()
    for number in range(readings):
        for program in programs.values():
            program.write(workshop.lines[number % len(workshop.lines)])
        time.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))


def _cpu_ns(pid: int) -> int:
    """Return what all threads of a process have used, to the nanosecond."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)


def _table(found: dict[tuple[str, str], dict[str, list[float]]], plan: Plan) -> Table:
    rows: list[list[Cell]] = []
    worst: dict[str, float] = {}
    for (broker, feed), costs in found.items():
        agent, by_hand = middle(costs[_AGENT]), middle(costs[_BY_HAND])
        rows.append([broker, feed, by_hand, agent, agent / by_hand])
        worst[feed] = max(worst.get(feed, 0.0), agent / by_hand)
    return Table(
        title="Cost beside the shortest loop by hand",
        how="CPU microseconds for each prediction (8 channels, random forest of 100 trees, one message each,"
        " QoS 1, on disk within 100 ms), from a JSON line on standard input to the broker's acknowledgement. The loop"
        " (`peers/handwritten_durable.py`) has one thread, paho-mqtt, msgspec and a log that it appends to; it"
        " reads no log after a restart, does not reconnect and bounds nothing. At full speed the two run by"
        f" turns, {plan.rounds} rounds, a long run less a short one; paced, both get the same readings at the"
        f" same time for {plan.seconds:g} s.",
        columns=["broker", "readings", "by hand µs", "agent µs", "times"],
        rows=rows,
        targets=[
            Target(
                aim=f"{feed}: at most {_AT_MOST.get(feed, _AT_MOST_PACED)} times the loop",
                found=f"{times:.2f}",
                met=times <= _AT_MOST.get(feed, _AT_MOST_PACED),
            )
            for feed, times in worst.items()
        ],
        samples={
            f"{broker}, {feed}, {name}": samples
            for (broker, feed), costs in found.items()
            for name, samples in costs.items()
        },
    )
