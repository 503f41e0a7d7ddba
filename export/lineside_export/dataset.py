"""From a CSV file to what the model takes: channels, windows, the truth, and a split that never changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_contract.errors import InputError
from lineside_contract.manifest import Channel, Window
from lineside_export.rows import Table, numbers, readings, require
from lineside_export.schema import Schema
from lineside_export.windows import newest, sliding

_WRONG_TARGET = "The model answers numbers; is --target the right column?"


class Columns(NamedTuple):
    """Which columns of a CSV file are what. No channels: the model's own names, or all that remain."""

    channels: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    group: str | None = None


class Dataset(NamedTuple):
    """Inputs of a model.

    readings: float32 (rows, channels). inputs: float32 (n, window.length * channels). target: (n,), or
    (n, targets) for regression, or None. lines: the line of the file of each input's newest reading.
    """

    channels: tuple[str, ...]
    readings: NDArray[np.float32]
    inputs: NDArray[np.float32]
    target: NDArray[Any] | None
    lines: NDArray[np.int64]


class Rows(NamedTuple):
    """Indices of a dataset's inputs: those to calibrate with, and those held back to judge by."""

    calibration: NDArray[np.intp]
    held_back: NDArray[np.intp]


def build(
    table: Table, schema: Schema, columns: Columns, channels: Sequence[Channel], window: Window
) -> Dataset:
    """Make a model's inputs from a table. Raises InputError if the columns do not fit the model."""
    values = readings(table, channels)
    inputs, rows = cut(table, values, columns.group, window)
    target = _target(table, schema, columns.target)
    names = tuple(channel.name for channel in channels)
    return Dataset(
        names, values, inputs, None if target is None else target[rows], np.asarray(table.lines[rows])
    )


def cut(
    table: Table, values: NDArray[np.float32], group: str | None, window: Window
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Cut readings into windows that never cross groups; also return the row of each one's newest reading.

    Raises InputError if there is no group column, or if not one window is full.
    """
    names = np.zeros(len(values), np.int64)
    if group is not None:
        require(table, [group], "--group")
        names = np.unique(np.array(table.columns[group]), return_inverse=True)[1]
    inputs, rows = [], []
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        inputs.append(sliding(values[members], window.length, window.hop))
        rows.append(members[newest(len(members), window.length, window.hop)])
    found = np.concatenate(inputs)
    if not len(found):
        raise InputError(
            f"{table.path} has {len(values)} rows, too few for one window of {window.length}.",
            hint="Give it more rows, or choose a shorter --window.",
        )
    return found, np.concatenate(rows)


def split(count: int, share: float, seed: int) -> Rows:
    """Divide `count` inputs, always the same way for the same seed. Raises InputError if a part is empty."""
    held_back = round(count * share)
    if not 0 < held_back < count:
        raise InputError(
            f"{count} rows cannot be divided into some to calibrate with and {share:.0%} to judge by.",
            hint="Give it more rows, or another --held-back.",
        )
    order = np.random.default_rng(seed).permutation(count)
    return Rows(np.sort(order[held_back:]), np.sort(order[:held_back]))


def choose_channels(table: Table, schema: Schema, columns: Columns, window: Window) -> tuple[str, ...]:
    """Return the channels: those asked for, else the model's own names, else whatever columns remain.

    Raises InputError if columns are missing, or if their number is not what the model takes.
    """
    require(table, columns.target, "--target")
    require(table, columns.ignore, "--ignore")
    trained = schema.feature_names if window.length == 1 else ()
    apart = {*columns.target, *columns.ignore, columns.group}
    channels = columns.channels or trained or tuple(name for name in table.names if name not in apart)
    require(table, channels, "a channel")
    if len(set(channels)) != len(channels):
        raise InputError("--channels names a column twice.")
    if set(channels) == set(trained) and channels != trained:
        raise InputError(
            f"The model was trained on its columns in the order {','.join(trained)}.",
            hint="Leave --channels out, or give them in that order.",
        )
    takes = schema.features
    if not channels or (takes is not None and len(channels) * window.length != takes):
        raise InputError(_wrong_number(channels, window.length, takes), hint=_channels_hint(window.length))
    return channels


def _wrong_number(channels: Sequence[str], length: int, takes: int | None) -> str:
    times = f" in windows of {length} readings" if length > 1 else ""
    return (
        f"The model takes {takes} values, but {len(channels)} channels{times} make {len(channels) * length} "
        f"({', '.join(channels[:12])}{', ...' if len(channels) > 12 else ''})."
    )


def _channels_hint(length: int) -> str:
    hint = "Name the columns with --channels, or leave some out with --ignore and --target."
    return hint if length > 1 else f"{hint} For a model of windows, say --window."


def _target(table: Table, schema: Schema, names: Sequence[str]) -> NDArray[Any] | None:
    if not names or schema.task == "clustering":
        return None
    if schema.task == "regression":
        return np.column_stack([numbers(table, name, _WRONG_TARGET) for name in names])
    if len(names) > 1:
        raise InputError(f"{schema.estimator} has one target.", hint="Name one column with --target.")
    if schema.task == "outlier":
        return _outlier_target(table, names[0])
    if all(isinstance(value, str) for value in schema.classes):
        return np.array([cell.strip() for cell in table.columns[names[0]]])
    words = {"true": "1", "false": "0"}
    cells = [words.get(cell.strip().lower(), cell) for cell in table.columns[names[0]]]
    return numbers(Table(table.path, {names[0]: cells}, table.lines), names[0], _WRONG_TARGET)


def _outlier_target(table: Table, name: str) -> NDArray[np.int64]:
    values = numbers(table, name, _WRONG_TARGET)
    if set(values) <= {-1.0, 1.0}:
        return values.astype(np.int64)
    if set(values) <= {0.0, 1.0}:
        return np.where(values == 1, -1, 1)
    raise InputError(
        f"The target {name!r} of an outlier detector has other values than 1 and -1, or 0 and 1.",
        hint="Write -1 for an outlier and 1 otherwise, or 1 for an outlier and 0 otherwise.",
    )
