"""The outage benchmark: every scenario with every system, all systems at the same time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from lineside_benchmarks.counter import write_counting_bundle
from lineside_benchmarks.outage import faults
from lineside_benchmarks.outage.play import Result, play
from lineside_benchmarks.outage.scenario import Scenario, known, load
from lineside_benchmarks.outage.systems import SYSTEMS
from lineside_benchmarks.table import Cell, Plot, Table, Target
from lineside_benchmarks.workshop import Workshop
from lineside_contract.errors import InputError, nearest

_TIME_SCALE = 0.05
_QUICK = ("agent-killed",)
_QUICK_SYSTEMS = ("lineside, collector", "tutorial script")
_QUICK_SCALE = 0.01
_QUICK_AFTER_S = 4.0
_LIVE_S = 1.0
_COLUMNS = [
    "scenario",
    "system",
    "given",
    "lost",
    "not read",
    "repeated",
    "out of order",
    "latest s",
    "live s",
    "drain s",
    "memory MB",
    "disk MB",
    "restarts",
]


class Plan(NamedTuple):
    """What to run: scenarios, systems by name, and how much faster than written."""

    scenarios: Sequence[Scenario]
    systems: Sequence[str]
    time_scale: float


def run(workshop: Workshop) -> Table:
    """Run the scenarios that come with Lineside; `quick`: two of them, shortened, with two systems."""
    return play_all(workshop, plan(None, None, _TIME_SCALE, quick=workshop.quick))


def plan(
    scenarios: Sequence[str] | None, systems: Sequence[str] | None, time_scale: float, *, quick: bool
) -> Plan:
    """Return what to run, scenarios by name or file, where None stands for all. Raises InputError."""
    for system in systems or ():
        if system not in SYSTEMS:
            raise InputError(
                f"There is no system {system!r}.",
                hint=nearest(system, SYSTEMS) or f"Known: {'; '.join(SYSTEMS)}.",
            )
    if quick:
        short = [replace(load(name), after_s=_QUICK_AFTER_S) for name in scenarios or _QUICK]
        return Plan(short, systems or _QUICK_SYSTEMS, _QUICK_SCALE)
    return Plan([load(name) for name in scenarios or known()], systems or list(SYSTEMS), time_scale)


def play_all(workshop: Workshop, plan: Plan) -> Table:
    """Run scenarios, one after the other."""
    folder = workshop.new_folder()
    write_counting_bundle(folder / "counter.bundle.zip")
    found: dict[str, dict[str, Result]] = {}
    left_out: dict[str, str] = {}
    for scenario in plan.scenarios:
        if why := faults.missing({fault.kind for fault in scenario.faults}):
            left_out[scenario.name] = why
            continue
        print(f"  {scenario.name} ...", file=sys.stderr, flush=True)
        found[scenario.name] = _play(scenario, plan, folder)
    return table_of(plan.scenarios, found, left_out, plan.time_scale)


def _play(scenario: Scenario, plan: Plan, folder: Path) -> dict[str, Result]:
    place = folder / scenario.name
    place.mkdir()
    return play(scenario, plan.systems, place, plan.time_scale)


def table_of(
    scenarios: Sequence[Scenario],
    found: dict[str, dict[str, Result]],
    left_out: dict[str, str],
    time_scale: float,
) -> Table:
    about = {scenario.name: scenario.about for scenario in scenarios}
    rows = [
        _row(name, system, result) for name, systems in found.items() for system, result in systems.items()
    ]
    notes = [f"`{name}`: {about[name]}" for name in found]
    notes += [f"`{name}` was left out: {why}." for name, why in left_out.items()]
    notes += sorted(
        {
            f"{system} was left out: {one.missing}."
            for by in found.values()
            for system, one in by.items()
            if one.missing
        }
    )
    return Table(
        title="Outages",
        how=_HOW.format(scale=f"{time_scale:g}") + "\n\n" + "\n".join(f"- {note}" for note in notes),
        columns=_COLUMNS,
        rows=[row for row in rows if row],
        targets=_targets(found),
        plots=_plots(found),
    )


_HOW = """\
A sensor gives 100 readings a second to every program at the same time, through a pipe that holds 160 of them:
it waits for nobody. Each program publishes to one broker (Mosquitto), over one link; behind the broker a
database takes what arrives: Lineside's collector, and for the others `peers/store.py`, which has a persistent
session and stores every message, repeats as well. Scenarios run at {scale} of their written times
(`benchmarks/lineside_benchmarks/scenarios/`), while the programs' own time-outs stay as they are; the sensor
goes on for 30 s after the last fault, and what is not in the database a minute after its end is lost. A program
that ends by itself is started again after a second.

given: readings that count: those of the last 0.3 s before a program is killed on purpose count for nobody, and
the sensor pauses until a killed program reads again. lost: never stored; not read: the part of them that the
program did not even take, because it was waiting. repeated: rows too many. out of order: stored after a later
one. latest: the longest way of a reading into the database. live: how long 95 % of the readings took at most
that were made after the program had come back. drain: from the last fault's end until everything from before
was stored. Memory: the most that the program and what it starts held; disk: the most that its files took."""


def _plots(found: dict[str, dict[str, Result]]) -> list[Plot]:
    return [
        Plot(
            name=f"outage-{name}",
            title=f"Lost: {name}",
            unit="readings of 100",
            bars={
                system: 100 * result.outcome.lost / max(1, result.outcome.given)
                for system, result in systems.items()
                if result.outcome is not None
            },
        )
        for name, systems in found.items()
    ]


def _row(scenario: str, system: str, result: Result) -> list[Cell]:
    found = result.outcome
    if found is None:
        return []
    times = [found.latest_s, found.live_s, found.drain_s]
    return [
        scenario,
        system,
        found.given,
        found.lost,
        found.not_read,
        found.repeated,
        found.out_of_order,
        *("never" if time is None else time for time in times),
        result.memory_mb,
        result.disk_mb,
        result.restarts,
    ]


def _targets(found: dict[str, dict[str, Result]]) -> list[Target]:
    ours = {
        (name, system): result.outcome
        for name, systems in found.items()
        for system, result in systems.items()
        if result.outcome is not None and system == "lineside, collector"
    }
    lost = sum(one.lost for one in ours.values())
    repeated = sum(one.repeated for one in ours.values())
    behind = [name for (name, _), one in ours.items() if one.live_s is None or one.live_s > _LIVE_S]
    return [
        Target(aim='promise "collector": nothing lost', found=f"{lost} lost", met=lost == 0),
        Target(
            aim='promise "collector": nothing repeated in the store',
            found=f"{repeated} repeated",
            met=not repeated,
        ),
        Target(
            aim=f"live readings never wait behind old ones: 95 % of them within {_LIVE_S:g} s",
            found=f"late in {', '.join(behind)}" if behind else "in time in every scenario",
            met=not behind,
        ),
    ]
