"""Rows cut where some are missing, whatever blocks they come in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lineside_agent.sensors import Block
from lineside_agent.sensors.runs import Runs

PERIOD = 333_333_333


def rows(ticks: list[int]) -> Block:
    times = np.array([tick * 10**9 // 3 for tick in ticks], np.int64)
    return Block(times, np.array(ticks, np.float32)[:, None])


@given(blocks=st.lists(st.lists(st.integers(1, 3), max_size=8), max_size=8))
def test_runs_are_cut_where_a_row_is_missing_and_nowhere_else(blocks: list[list[int]]) -> None:
    runs, tick = Runs(PERIOD), 10**9
    given_ticks: list[int] = []
    found: list[list[int]] = [[]]
    for block in blocks:
        ticks = [tick := tick + step for step in block]
        given_ticks += ticks
        runs.add(rows(ticks))
        while (run := runs.take()) is not None:
            assert len(run.timestamps) == len(run.values)
            if runs.take_gap():
                found.append([])
            found[-1] += [round(time * 3 / 10**9) for time in run.timestamps.tolist()]
    starts = [n for n in range(1, len(given_ticks)) if given_ticks[n] - given_ticks[n - 1] > 1]
    edges = [0, *starts, len(given_ticks)]
    assert found == [given_ticks[a:b] for a, b in pairwise(edges)]


def test_time_that_goes_back_is_a_gap() -> None:
    runs = Runs(PERIOD)
    runs.add(rows([5, 6]))
    runs.add(rows([1, 2]))
    assert runs.take() is not None
    assert not runs.take_gap()
    assert runs.take() is not None
    assert runs.take_gap()
