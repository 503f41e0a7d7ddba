"""What arrived: the file that `lineside collector export` wrote, put beside the windows it should answer."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from recordings import FAULT

from lineside_contract.errors import InputError


class Arrived(NamedTuple):
    """A device's answers to n windows.

    there: whether one is stored, shape (n,). states: "normal" or "fault", shape (n,). fault: the fault's
    probability, float64, shape (n,). repeated: how many windows' answers are stored more than once.
    """

    there: NDArray[np.bool_]
    states: NDArray[np.str_]
    fault: NDArray[np.float64]
    repeated: int


class Predictions(NamedTuple):
    """One device's rows: times in milliseconds since the Unix epoch, states, the fault's probabilities."""

    times: list[int]
    states: list[str]
    fault: list[float]

    def at(self, times: NDArray[np.int64]) -> Arrived:
        """Find the answers to the windows that end at these times, which rise.

        Raises InputError if there is an answer to any other window: the file is of another run.
        """
        stored = np.array(self.times, np.int64)
        places = np.minimum(np.searchsorted(times, stored), len(times) - 1)
        if (times[places] != stored).any():
            raise InputError("predictions.csv answers other recordings.", hint="Run run.py again.")
        there = np.zeros(len(times), bool)
        states, fault = np.zeros(len(times), "U6"), np.full(len(times), np.nan)
        there[places], states[places], fault[places] = True, self.states, self.fault
        return Arrived(there, states, fault, len(places) - int(there.sum()))


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Read the file, by device. Raises InputError if it holds no predictions of these models."""
    found: dict[str, Predictions] = {}
    try:
        with path.open(encoding="utf-8", newline="") as text:
            for row in csv.DictReader(text):
                one = found.setdefault(row["device"], Predictions([], [], []))
                one.times.append(round(datetime.fromisoformat(row["ts"]).timestamp() * 1000))
                one.states.append(row["label"])
                one.fault.append(float(row[f"probability_{FAULT}"]))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.", hint="`lineside collector export` writes it."
        ) from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path} holds no answers of these models: {error}.", hint="Run run.py and the export again."
        ) from error
    return found
