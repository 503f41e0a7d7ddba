"""What fails when: a scenario, read from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, Struct

from lineside_contract.errors import InputError, nearest

FOLDER = Path(__file__).parents[1] / "scenarios"

Kind: TypeAlias = Literal[
    "agent_killed",
    "broker_killed",
    "broker_stopped",
    "clock_back",
    "collector_stopped",
    "disk_full",
    "link_cut",
    "link_delay",
    "link_loss",
    "power_cut",
]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86_400)]


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that fails at a second of the scenario, and for how long: again `times` times `every_s` seconds.

    `amount`: the share of packets lost (link_loss), seconds one way (link_delay), seconds back (clock_back).
    """

    kind: Kind
    at_s: Seconds
    for_s: Seconds
    times: Annotated[int, Meta(ge=1, le=1000)] = 1
    every_s: Seconds = 0.0
    amount: Seconds = 0.0

    def __post_init__(self) -> None:
        if self.kind == "link_loss" and self.amount > 1:
            raise ValueError("amount, the share of packets lost, is above 1")


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sensor that gives readings all the time, and what fails meanwhile.

    Times are scaled when it is run, but for `after_s`: how long the sensor goes on after the last fault, in which
    programs come back by clocks of their own.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
    about: str
    faults: list[Fault]
    broker: Literal["mosquitto", "nats-server"] = "mosquitto"
    readings_per_s: Annotated[float, Meta(gt=0, le=10_000)] = 100.0
    after_s: Seconds = 30.0


class Event(NamedTuple):
    """A fault begins or ends, so many seconds after the start."""

    at_s: float
    fault: Fault
    begins: bool


def events(scenario: Scenario, time_scale: float) -> list[Event]:
    """Return what happens, in order. What ends comes before what begins at the same time."""
    return sorted(_events(scenario, time_scale), key=lambda event: (event.at_s, event.begins))


def _events(scenario: Scenario, time_scale: float) -> Iterator[Event]:
    for fault in scenario.faults:
        for number in range(fault.times):
            at_s = fault.at_s + number * fault.every_s
            yield Event(at_s * time_scale, fault, begins=True)
            yield Event((at_s + fault.for_s) * time_scale, fault, begins=False)


def known() -> list[str]:
    """Return the names of the scenarios that come with Lineside."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Scenario:
    """Read a scenario by its name, or from a file. Raises InputError."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if path.parent == FOLDER and not path.exists():
        raise InputError(
            f"There is no scenario {name!r}.",
            hint=nearest(name, known()) or f"Known: {', '.join(known())}; or name a .toml file.",
        )
    try:
        found = tomllib.loads(path.read_text())
        return msgspec.convert(found, Scenario)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of what a scenario is
        raise InputError(
            f"{path} is no scenario: {str(error).rstrip('.')}.", hint=f"Compare it with {FOLDER}."
        ) from error
