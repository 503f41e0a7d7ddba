"""The water pump's recordings: find them, read them, divide them, cut them into windows."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from lineside_contract.errors import InputError
from lineside_export.windows import newest, sliding

FOLDERS = ("valve1", "valve2", "other")
CHANNELS = (
    "Accelerometer1RMS",
    "Accelerometer2RMS",
    "Current",
    "Pressure",
    "Temperature",
    "Thermocouple",
    "Voltage",
    "Volume Flow RateRMS",
)
NORMAL, FAULT = "normal", "fault"
LENGTH = 60  # readings in a window: about a minute
# The shares of each folder's recordings that are not trained on.
_TEST, _EXPORT = 0.25, 0.15
_HINT = "Get them with: git clone https://github.com/waico/SKAB, and give --data SKAB/data"


class Recording(NamedTuple):
    """One experiment.

    times: int64 milliseconds since the Unix epoch, shape (n,), the recording's local time taken as UTC.
    readings: float32 (n, 8). states: "normal" or "fault", shape (n,).
    """

    name: str
    file: Path
    times: NDArray[np.int64]
    readings: NDArray[np.float32]
    states: NDArray[np.str_]

    @property
    def folder(self) -> str:
        """Which kind of fault was provoked."""
        return self.name.partition("-")[0]


class Division(NamedTuple):
    """Names of recordings: trained on, given to the exporter, and shown to neither."""

    train: list[str]
    export: list[str]
    test: list[str]


def find(data: Path) -> dict[str, Path]:
    """Return every labelled recording's file by its name, such as `valve1-0`. Raises InputError."""
    files = {
        f"{folder}-{path.stem}": path
        for folder in FOLDERS
        for path in sorted((data / folder).glob("*.csv"), key=lambda path: (len(path.stem), path.stem))
    }
    if missing := [folder for folder in FOLDERS if not any(name.startswith(f"{folder}-") for name in files)]:
        raise InputError(f"{data} has no recordings in {', '.join(missing)}.", hint=_HINT)
    return files


def read(name: str, file: Path) -> Recording:
    """Read a recording. Raises InputError if it is none."""
    try:
        with file.open(encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text, delimiter=";"))
        times = [datetime.fromisoformat(row["datetime"]).replace(tzinfo=UTC).timestamp() for row in rows]
        readings = np.array([[float(row[channel]) for channel in CHANNELS] for row in rows], np.float32)
        states = np.where(np.array([float(row["anomaly"]) for row in rows]) > 0, FAULT, NORMAL)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.", hint=_HINT) from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{file} is no SKAB recording: {error}.", hint=_HINT) from error
    if len(rows) < LENGTH:
        raise InputError(f"{file} has {len(rows)} readings; a window takes {LENGTH}.", hint=_HINT)
    return Recording(name, file, (np.array(times) * 1000).astype(np.int64), readings, states)


def divide(names: Iterable[str], seed: int) -> Division:
    """Divide whole recordings, each folder in the same shares; the same way for the same seed.

    Never by rows: neighbouring readings are nearly equal, so a model would be tested on what it had learnt.
    """
    generator = np.random.default_rng(seed)
    division = Division([], [], [])
    by_folder: dict[str, list[str]] = {}
    for name in names:
        by_folder.setdefault(name.partition("-")[0], []).append(name)
    for members in by_folder.values():
        test = max(1, round(len(members) * _TEST))
        export = max(1, round(len(members) * _EXPORT))
        order = [members[index] for index in generator.permutation(len(members))]
        division.test.extend(order[:test])
        division.export.extend(order[test : test + export])
        division.train.extend(order[test + export :])
    return division


def read_division(work: Path, files: Mapping[str, Path]) -> Division:
    """Read what `train.py` wrote. Raises InputError if it is not there, or names other recordings."""
    path = work / "division.json"
    try:
        division = Division(**msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]]))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", hint="Run train.py first.") from error
    except (msgspec.DecodeError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error}.", hint="Run train.py again.") from error
    if unknown := {name for names in division for name in names} - files.keys():
        raise InputError(f"--data has no {', '.join(sorted(unknown))}.", hint="Give what train.py was given.")
    return division


def windows(recording: Recording, hop: int = 1) -> NDArray[np.float32]:
    """Cut a recording as the device does: shape (windows, 60 * 8)."""
    cut: NDArray[np.float32] = sliding(recording.readings, LENGTH, hop)
    return cut


def ends(recording: Recording, hop: int = 1) -> NDArray[np.intp]:
    """Return the index of each window's newest reading, whose state is the window's truth."""
    return newest(len(recording.readings), LENGTH, hop)


def stacked(recordings: Sequence[Recording], hop: int) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Return the windows of several recordings, none across two, with their truth."""
    inputs = np.concatenate([windows(one, hop) for one in recordings])
    return inputs, np.concatenate([one.states[ends(one, hop)] for one in recordings])
