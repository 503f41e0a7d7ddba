from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside_agent.sensors import Block
from lineside_agent.windows import Windows, finite_rows, select_channels
from lineside_contract.errors import InputError


def readings(count: int, channels: int) -> Block:
    values = np.arange(count * channels, dtype=np.float32).reshape(count, channels)
    return Block(np.arange(count, dtype=np.int64) * 10 + 5, values)


def naive(block: Block, length: int, hop: int) -> tuple[list[int], list[list[float]]]:
    timestamps, windows = [], []
    for end in range(length, len(block.values) + 1, hop):
        timestamps.append(int(block.timestamps[end - 1]))
        windows.append([float(v) for row in block.values[end - length : end] for v in row])
    return timestamps, windows


@given(
    count=st.integers(0, 120),
    channels=st.integers(1, 4),
    length=st.integers(1, 20),
    hop=st.integers(1, 30),
    cuts=st.lists(st.integers(0, 120), max_size=20),
)
def test_any_split_into_blocks_gives_the_windows_of_a_plain_loop(
    count: int, channels: int, length: int, hop: int, cuts: list[int]
) -> None:
    whole = readings(count, channels)
    windows = Windows(channels, length, hop)
    timestamps: list[int] = []
    values: list[list[float]] = []
    edges = [0, *sorted(min(cut, count) for cut in cuts), count]
    for first, last in pairwise(edges):
        inputs = windows.push(Block(whole.timestamps[first:last], whole.values[first:last]))
        assert len(inputs.timestamps) == len(inputs.values)
        assert inputs.values.flags.c_contiguous
        assert inputs.values.shape[1] == length * channels
        assert inputs.values.dtype == np.float32
        assert inputs.timestamps.dtype == np.int64
        assert len(windows._tail) < length
        timestamps += inputs.timestamps.tolist()
        values += inputs.values.tolist()
    assert (timestamps, values) == naive(whole, length, hop)


def test_a_window_of_one_reading_is_the_blocks_own_memory() -> None:
    block = readings(50, 3)
    inputs = Windows(3, 1, 1).push(block)
    assert np.shares_memory(inputs.values, block.values)
    assert np.array_equal(inputs.values, block.values)


def test_the_tail_does_not_keep_a_large_block_alive() -> None:
    windows = Windows(1, 10, 10)
    windows.push(readings(10_005, 1))
    assert windows._tail.base is None
    assert len(windows._tail) == 5


def test_columns_chosen_from_a_wider_block_make_contiguous_windows() -> None:
    block = readings(6, 4)
    chosen = Block(block.timestamps, block.values[:, 1:3])
    inputs = Windows(2, 3, 3).push(chosen)
    assert inputs.values.tolist() == [[1, 2, 5, 6, 9, 10], [13, 14, 17, 18, 21, 22]]


def test_clear_begins_anew() -> None:
    windows = Windows(1, 3, 1)
    windows.push(readings(2, 1))
    windows.clear()
    assert len(windows.push(readings(2, 1)).values) == 0
    assert len(windows.push(readings(1, 1)).values) == 1


@pytest.mark.parametrize(("length", "hop"), [(0, 1), (1, 0), (-3, 2)])
def test_an_impossible_window_is_refused(length: int, hop: int) -> None:
    with pytest.raises(InputError, match="impossible"):
        Windows(2, length, hop)


def test_channels_are_found_by_name_in_the_models_order() -> None:
    found = select_channels(
        ["time", "Pressure", "rpm"], ["rpm", "pressure_bar"], {"Pressure": "pressure_bar"}
    )
    assert found.tolist() == [2, 1]


def test_a_missing_channel_names_the_nearest_and_the_way_out() -> None:
    with pytest.raises(InputError) as error:
        select_channels(["presure", "rpm"], ["pressure", "rpm", "torque"], {})
    text = str(error.value)
    assert "'pressure', 'torque'" in text
    assert "Did you mean 'presure'?" in text
    assert "channels = {" in text


def test_a_rename_of_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"'Presure'.*Did you mean 'Pressure'"):
        select_channels(["Pressure"], ["p"], {"Presure": "p"})


def test_two_columns_cannot_be_one_channel() -> None:
    with pytest.raises(InputError, match="twice"):
        select_channels(["a", "b"], ["b"], {"a": "b"})


def test_readings_that_are_not_finite_are_dropped_or_passed_and_counted_either_way() -> None:
    block = readings(5, 2)
    block.values[1, 0] = np.nan
    block.values[3, 1] = np.inf
    kept, bad = finite_rows(block, "skip")
    assert bad == 2
    assert kept.timestamps.tolist() == [5, 25, 45]
    passed, bad = finite_rows(block, "pass")
    assert bad == 2
    assert passed is block
    clean = readings(3, 2)
    assert finite_rows(clean, "skip") == (clean, 0)
