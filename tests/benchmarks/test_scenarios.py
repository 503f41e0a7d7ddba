"""Scenarios say what they mean, and a bad one is refused in one sentence."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from lineside_benchmarks.outage import soak
from lineside_benchmarks.outage.benchmark import plan
from lineside_benchmarks.outage.faults import ACTIONS
from lineside_benchmarks.outage.scenario import events, known, load
from lineside_contract.errors import InputError


@pytest.mark.parametrize("name", known())
def test_every_scenario_can_be_played(name: str) -> None:
    scenario = load(name)
    assert scenario.name == name
    assert scenario.about.endswith(".")
    happens = events(scenario, 0.05)
    assert all(event.fault.kind in ACTIONS for event in happens)
    assert sum(event.begins for event in happens) == len(happens) / 2
    assert happens == sorted(happens, key=lambda event: event.at_s)


def test_every_kind_of_fault_is_in_a_scenario() -> None:
    assert {fault.kind for name in known() for fault in load(name).faults} == set(ACTIONS)


def test_repeated_faults_are_spread_and_scaled() -> None:
    begins = [event.at_s for event in events(load("agent-killed"), 0.1) if event.fault.kind == "agent_killed"]
    assert begins[0] == pytest.approx(3)
    assert len(begins) == 20
    assert begins[-1] == pytest.approx((30 + 9 * 120 + 10) * 0.1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = 1", "Expected `str`"),
        ("name = ", "Invalid value"),
        ("name = " + "[" * 5_000, "recursion"),
        ("name = " + "9" * 5_000, "digits"),
        ('name = "x"\nabout = "y."\nfaults = [{kind = "flood", at_s = 1, for_s = 1}]', "flood"),
        ('name = "x"\nabout = "y."\nfaults = [{kind = "link_cut", at_s = -1, for_s = 1}]', ">= 0"),
        ('name = "x"\nabout = "y."\nfaults = []\nspeed = 3', "speed"),
        ('name = "x"\nabout = "y."\nfaults = [{kind = "link_cut", at_s = 1, for_s = 1, long = 1}]', "long"),
        (
            'name = "x"\nabout = "y."\nfaults = [{kind = "link_loss", at_s = 1, for_s = 1, amount = 2}]',
            "above 1",
        ),
        (
            'name = "x"\nabout = "y."\nfaults = [{kind = "clock_back", at_s = 1, for_s = 1, amount = inf}]',
            "<= 86400",
        ),
        ('name = "../x"\nabout = "y."\nfaults = []', "name"),
    ],
)
def test_a_bad_scenario_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"is no scenario") as caught:
        load(str(path))
    assert says in str(caught.value)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'link-cut'"):
        load("linkcut")
    with pytest.raises(InputError, match="Did you mean 'Node-RED'"):
        plan(None, ["NodeRED"], 1.0, quick=False)
    with pytest.raises(InputError, match="cannot be read"):
        load("missing.toml")


def test_a_seed_makes_the_same_day_again() -> None:
    day = soak.make_day(soak.Wanted(7, 24, 1))
    assert soak.make_day(soak.Wanted(7, 24, 1)) == day
    assert soak.make_day(soak.Wanted(8, 24, 1)) != day
    assert {fault.kind for fault in day.faults} >= {"agent_killed", "broker_killed", "link_cut", "disk_full"}


@pytest.mark.parametrize("seed", range(20))
def test_faults_that_would_undo_each_other_never_meet(seed: int) -> None:
    faults = soak.make_day(soak.Wanted(seed, 24, 1), without=frozenset({"power_cut"})).faults
    assert all(fault.kind != "power_cut" for fault in faults)
    for group in ({"link_cut", "link_delay", "link_loss"}, {"agent_killed", "disk_full"}):
        these = [fault for fault in faults if fault.kind in group]
        assert len(these) > 5
        assert all(one.at_s + one.for_s <= other.at_s for one, other in pairwise(these))
