from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside_agent.sensors.resample import Grid, Part, Resampler, Rules
from lineside_agent.sensors.sensor import Block

S = 1_000_000_000
START = 1_700_000_000 * S


def block(times: list[float], values: list[float]) -> Block:
    stamps = np.array([START + round(time * S) for time in times], np.int64)
    return Block(stamps, np.array(values, np.float32).reshape(-1, 1))


def join(
    parts: list[tuple[Any, list[float], list[float]]], gap: Any = "drop", max_gap_s: float = 1.5
) -> list[Any]:
    """Resample to 1 Hz; return (second, values...) rows."""
    resampler = Resampler(
        [Part(method, 1) for method, _, _ in parts], Rules(Fraction(1), round(max_gap_s * S), gap)
    )
    for number, (_, times, values) in enumerate(parts):
        resampler.push(number, block(times, values))
    rows = resampler.take(range(len(parts)))
    assert (rows.timestamps.dtype, rows.values.dtype) == (np.int64, np.float32)
    return [(int(t - START) // S, *v) for t, v in zip(rows.timestamps, rows.values.tolist(), strict=True)]


def test_each_method_finds_its_value() -> None:
    times, values = [0.5, 1.25, 2.0, 2.5, 3.5], [1.0, 2.0, 4.0, 6.0, 8.0]
    assert join([("previous", times, values)]) == [(1, 1), (2, 4), (3, 6)]
    assert np.array(join([("linear", times, values)])) == pytest.approx(
        np.array([(1, 1 + 2 / 3), (2, 4), (3, 7)])
    )
    assert join([("mean", times, values)]) == [(1, 1), (2, 3), (3, 6)]


def test_gaps_are_dropped_held_or_missing() -> None:
    parts: list[Any] = [
        ("previous", [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]),
        ("previous", [0, 1, 5, 6], [10, 11, 15, 16]),
    ]
    assert join(parts) == [(0, 0, 10), (1, 1, 11), (2, 2, 11), (5, 5, 15), (6, 6, 16)]
    held = join(parts, "hold")
    assert [row[0] for row in held] == [0, 1, 2, 3, 4, 5, 6]
    assert held[3:5] == [(3, 3, 11), (4, 4, 11)]
    missing = join(parts, "missing")
    assert np.isnan([row[2] for row in missing]).tolist() == [False, False, False, True, True, False, False]


def test_nothing_is_held_before_the_first_value_nor_while_all_are_silent() -> None:
    parts: list[Any] = [("previous", [0, 1, 2, 9], [1, 1, 1, 1]), ("previous", [2, 9], [2, 2])]
    assert [row[0] for row in join(parts, "hold")] == [2, 3, 9]
    assert [row[0] for row in join(parts, "missing")] == [0, 1, 2, 3, 9]


def test_linear_does_not_reach_across_a_gap() -> None:
    assert join([("linear", [0, 1, 5, 6], [0, 1, 5, 6])]) == [(0, 0), (1, 1), (5, 5), (6, 6)]


def test_a_part_that_is_not_awaited_is_used_as_far_as_it_goes() -> None:
    resampler = Resampler([Part("previous", 1), Part("previous", 1)], Rules(Fraction(1), 2 * S, "drop"))
    resampler.push(0, block([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]))
    resampler.push(1, block([0.5], [7]))
    assert len(resampler.take([0, 1]).timestamps) == 0
    assert resampler.take([0]).values.tolist() == [[1, 7], [2, 7]]
    resampler.push(1, block([3.5, 6], [8, 9]))  # too late for tick 4, and no mistake
    resampler.push(0, block([6], [6]))
    assert resampler.take([0, 1]).values.tolist() == [[6, 9]]


def test_years_without_a_reading_cost_nothing() -> None:
    resampler = Resampler([Part("previous", 1)], Rules(Fraction(1000), S, "hold"))
    resampler.push(0, Block(np.array([0, 10**8, START]), np.zeros((3, 1), np.float32)))
    stamps = resampler.take([0]).timestamps
    assert len(stamps) == 100 + 1 + 1000 + 1
    assert stamps[-1] == START


def test_a_clock_that_is_set_back_begins_anew() -> None:
    resampler = Resampler([Part("previous", 1), Part("previous", 1)], Rules(Fraction(1), S, "drop"))
    for part in (0, 1):
        resampler.push(part, block([100, 101], [1, 2]))
    assert len(resampler.take([0, 1]).timestamps) == 2
    for part in (0, 1):
        resampler.push(part, block([10, 11], [3, 4]))
    assert resampler.take([0, 1]).values.tolist() == [[3, 3], [4, 4]]


def test_readings_that_repeat_or_go_back_a_little_are_left_out() -> None:
    resampler = Resampler([Part("mean", 1)], Rules(Fraction(1), 5 * S, "drop"))
    resampler.push(0, block([0.5, 0.5, 0.4, 0.75, 1], [1, 100, 100, 2, 3]))
    assert resampler.take([0]).values.tolist() == [[2]]


RATES = st.sampled_from(
    [Fraction(1, 60), Fraction(1), Fraction(3), Fraction(7), Fraction(1000), Fraction(12800, 7)]
)


@given(RATES, st.integers(0, 2 * START), st.integers(1, 5000))
def test_the_grid_is_exact_and_whole(rate: Fraction, time: int, count: int) -> None:
    grid = Grid(rate)
    first = grid.first_from(time)
    assert grid.time(first - 1) < time <= grid.time(first)
    assert grid.time(grid.last_until(time)) <= time < grid.time(grid.last_until(time) + 1)
    assert grid.times(range(first, first + count))[-1] == grid.time(first + count - 1)


READINGS = st.lists(
    st.tuples(st.integers(1, 3 * 10**9), st.floats(-100, 100, width=32)), min_size=1, max_size=30
)


def source(steps: list[tuple[int, float]]) -> Block:
    times = START + np.cumsum([step for step, _ in steps], dtype=np.int64)
    return Block(times, np.array([[value] for _, value in steps], np.float32))


def naive(method: str, readings: Block, tick: int, before: int, gap: int) -> tuple[float, bool, bool]:
    """The value, whether the part covers the tick, whether it had spoken: one reading after the other."""
    past = [
        (t, v[0])
        for t, v in zip(readings.timestamps.tolist(), readings.values.tolist(), strict=True)
        if t <= tick
    ]
    future = [
        (t, v[0])
        for t, v in zip(readings.timestamps.tolist(), readings.values.tolist(), strict=True)
        if t >= tick
    ]
    if not past:
        return 0.0, False, False
    last, value = past[-1]
    covers = tick - last <= gap
    if method == "linear":
        covers = bool(future) and future[0][0] - last <= gap
        if covers and future[0][0] > last:
            value += (future[0][1] - value) * (tick - last) / (future[0][0] - last)
    elif method == "mean" and (within := [v for t, v in past if t > before]):
        value = sum(within) / len(within)
    return value, covers, True


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["previous", "linear", "mean"]), READINGS), min_size=1, max_size=3),
    st.sampled_from(["drop", "hold", "missing"]),
    st.sampled_from([Fraction(1), Fraction(3), Fraction(1, 2)]),
    st.integers(1, 4 * 10**9),
    st.data(),
)
def test_rows_are_what_one_would_find_by_hand_however_the_readings_come(
    parts: list[tuple[Any, Any]], gap: Any, rate: Fraction, max_gap: int, data: st.DataObject
) -> None:
    blocks = [source(steps) for _, steps in parts]
    resampler = Resampler([Part(method, 1) for method, _ in parts], Rules(rate, max_gap, gap))
    got: list[Block] = []
    left = dict(enumerate(blocks))
    while left:
        part = data.draw(st.sampled_from(sorted(left)))
        count = data.draw(st.integers(1, len(left[part].timestamps)))
        whole = left[part]
        resampler.push(part, Block(whole.timestamps[:count], whole.values[:count]))
        left[part] = Block(whole.timestamps[count:], whole.values[count:])
        if not len(left[part].timestamps):
            del left[part]
        got.append(resampler.take(range(len(parts))))
    stamps = np.concatenate([each.timestamps for each in got])
    rows = np.concatenate([each.values for each in got])

    grid = Grid(rate)
    reached = min(int(each.timestamps[-1]) for each in blocks)
    expected = {}
    for number in range(grid.first_from(START), grid.last_until(reached) + 1):
        tick, before = grid.time(number), grid.time(number - 1)
        found = [
            naive(method, each, tick, before, max_gap)
            for (method, _), each in zip(parts, blocks, strict=True)
        ]
        values, covers, known = zip(*found, strict=True)
        if (gap == "drop" and all(covers)) or (gap == "hold" and any(covers) and all(known)):
            expected[tick] = values
        elif gap == "missing" and any(covers):
            expected[tick] = tuple(v if c else np.nan for v, c in zip(values, covers, strict=True))
    assert stamps.tolist() == sorted(expected)
    assert np.allclose(rows, [expected[tick] for tick in stamps.tolist()] or rows, 1e-4, 1e-4, equal_nan=True)
