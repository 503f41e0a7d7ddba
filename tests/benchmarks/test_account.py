"""What became of every reading is told right: the outage benchmark is worth no more than its account."""

from __future__ import annotations

import pytest

from lineside_benchmarks.outage.account import Arrival, Given, Outcome, account

DAY_MS = 1_000_000.0


def given(count: int, refused: set[int] | None = None) -> Given:
    """Readings 0, 1, ... every 10 ms."""
    return Given({number: DAY_MS + 10 * number for number in range(count)}, refused or set())


def at(number: int, *, late_ms: float = 1.0) -> Arrival:
    return Arrival(number, DAY_MS + 10 * number + late_ms)


def of(
    readings: Given, arrivals: list[Arrival], killed_ms: list[float] | None = None, mended_ms: float = DAY_MS
) -> Outcome:
    return account(readings, arrivals, killed_ms or [], mended_ms)


def test_everything_in_time() -> None:
    found = of(given(100), [at(number) for number in range(100)])
    assert (found.given, found.arrived, found.lost, found.repeated, found.out_of_order) == (100, 100, 0, 0, 0)
    assert found.latest_s == pytest.approx(0.001)
    assert found.drain_s == pytest.approx(0.001, abs=0.002)


def test_what_never_arrived_is_lost_and_what_was_refused_was_not_read() -> None:
    found = of(given(100, refused={7, 8}), [at(number) for number in range(100) if number not in (7, 8, 50)])
    assert (found.lost, found.not_read) == (3, 2)


def test_repeats_count_every_row_too_many_and_do_not_hide_a_loss() -> None:
    found = of(given(3), [at(0), at(0, late_ms=5), at(0, late_ms=9), at(1)])
    assert (found.repeated, found.lost, found.arrived) == (2, 1, 2)


def test_what_arrives_after_a_later_one_is_out_of_order() -> None:
    found = of(given(4), [at(0), at(3), Arrival(1, DAY_MS + 500), Arrival(2, DAY_MS + 501)])
    assert found.out_of_order == 2


def test_rows_of_one_instant_are_in_order() -> None:
    found = of(given(3), [Arrival(number, DAY_MS + 900) for number in (2, 0, 1)])
    assert found.out_of_order == 0


def test_readings_just_before_a_kill_count_for_nobody() -> None:
    killed_ms = DAY_MS + 500
    found = of(given(100), [at(number) for number in range(100) if not 30 <= number <= 50], [killed_ms])
    # Those of the last 300 ms, 21 to 50, are left out, whether they arrived or not.
    assert (found.given, found.lost) == (70, 0)
    found = of(given(100), [at(number) for number in range(100) if number != 5], [killed_ms])
    assert found.lost == 1


def test_live_readings_that_wait_behind_old_ones_are_seen() -> None:
    readings = given(1000)
    mended_ms = DAY_MS + 5000
    # In order: everything waits until the link is back, and then 200 a second go out.
    queued = [Arrival(number, max(DAY_MS + 10 * number, mended_ms + 5 * number)) for number in range(1000)]
    behind = of(readings, queued, mended_ms=mended_ms)
    assert behind.live_s is not None
    assert behind.live_s > 1
    # Live first: what is made after the link is back goes at once.
    first = [
        at(number) if number >= 500 else Arrival(number, mended_ms + 5 * number) for number in range(1000)
    ]
    ahead = of(readings, first, mended_ms=mended_ms)
    assert ahead.live_s == pytest.approx(0.001)
    assert ahead.drain_s == pytest.approx(499 * 5 / 1000)
    assert ahead.out_of_order > 0


def test_a_program_that_never_comes_back() -> None:
    found = of(given(100), [at(number) for number in range(10)], mended_ms=DAY_MS + 500)
    assert (found.live_s, found.drain_s) == (None, None)
    assert found.lost == 90
