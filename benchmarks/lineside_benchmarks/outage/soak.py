"""A day of random faults in accelerated time, the same again for the same seed."""

from __future__ import annotations

import random
from typing import NamedTuple

import msgspec

from lineside_benchmarks.counter import write_counting_bundle
from lineside_benchmarks.outage import faults
from lineside_benchmarks.outage.benchmark import table_of
from lineside_benchmarks.outage.play import play
from lineside_benchmarks.outage.scenario import Fault, Kind, Scenario
from lineside_benchmarks.programs import Failed
from lineside_benchmarks.table import Table
from lineside_benchmarks.workshop import Workshop

SYSTEMS = ("lineside, collector",)
_HOUR_S = 3600.0
# In a group one fault ends before the next begins; those of different groups meet as they like. Mending the link
# mends all of it; and what is only in memory because the disk is full is gone with the power, as promised.
_GROUPS: tuple[tuple[Kind, ...], ...] = (
    ("agent_killed", "power_cut", "disk_full"),
    ("broker_stopped", "broker_killed"),
    ("collector_stopped",),
    ("link_cut", "link_delay", "link_loss"),
)
_AMOUNTS: dict[Kind, tuple[float, float]] = {"link_delay": (0.05, 0.5), "link_loss": (0.05, 0.4)}
_SHORTEST_S, _LONGEST_S = 60.0, 1800.0
_PAUSE_S = 3600.0


class Wanted(NamedTuple):
    """Which day: its seed, its length, and how much faster than real time it runs."""

    seed: int
    hours: float
    time_scale: float


def make_day(wanted: Wanted, without: frozenset[Kind] = frozenset()) -> Scenario:
    """Return the faults of a day, others for every seed, without the kinds that cannot be had here."""
    chance = random.Random(wanted.seed)
    found = []
    for group in _GROUPS:
        kinds = [kind for kind in group if kind not in without]
        at_s = chance.uniform(0, _PAUSE_S)
        while kinds and at_s < wanted.hours * _HOUR_S:
            kind = chance.choice(kinds)
            # Most are short, a few are long.
            for_s = min(_LONGEST_S, _SHORTEST_S * chance.paretovariate(1.0))
            amount = round(chance.uniform(*_AMOUNTS[kind]), 2) if kind in _AMOUNTS else 0.0
            found.append(Fault(kind=kind, at_s=round(at_s), for_s=round(for_s), amount=amount))
            at_s += for_s + chance.uniform(_SHORTEST_S, _PAUSE_S)
    return Scenario(
        name=f"soak-{wanted.seed}",
        about=f"{wanted.hours:g} hours of random faults, seed {wanted.seed}: {len(found)} of them.",
        faults=sorted(found, key=lambda fault: fault.at_s),
    )


def run(workshop: Workshop, wanted: Wanted) -> Table:
    """Play the day. Raises Failed if anything was lost or repeated, with the scenario that does it again."""
    kinds: frozenset[Kind] = frozenset(kind for group in _GROUPS for kind in group)
    day = make_day(wanted, frozenset(kind for kind in kinds if faults.missing({kind})))
    folder = workshop.new_folder()
    write_counting_bundle(folder / "counter.bundle.zip")
    place = folder / day.name
    place.mkdir()
    found = play(day, SYSTEMS, place, wanted.time_scale)
    for system, result in found.items():
        if result.outcome is None or result.outcome.lost or result.outcome.repeated:
            raise Failed(
                f"{system} with seed {wanted.seed}: {msgspec.json.encode(result).decode()}.",
                hint=f"Again: lineside bench soak --seed {wanted.seed} --hours {wanted.hours:g}"
                f" --time-scale {wanted.time_scale:g}",
            )
    return table_of([day], {day.name: found}, {}, wanted.time_scale)
