"""What the tests of text columns share: rows of a factory, and the way from a model to its exported answers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd

from lineside_agent.model import Answers, Model
from lineside_contract.categories import Codes
from lineside_contract.manifest import Channel
from lineside_export.ask import ask
from lineside_export.convert import INPUT
from lineside_export.dataset import Columns
from lineside_export.load import Trust, load_model
from lineside_export.settings import Settings
from lineside_export.subject import prepare
from lineside_export.verify import trials
from lineside_export.writings import sound, writings


class Exported(NamedTuple):
    """The exact ways in which a model was written, the first one to run, its channels, and other ways' reasons."""

    ways: list[str]
    model: Model
    channels: tuple[Channel, ...]
    failed: dict[str, str]

    def answers(self, frame: pd.DataFrame) -> Answers:
        """Answer rows of a data frame, as a device would."""
        return ask(self.model, inputs(frame, self.channels))


def factory(count: int = 500) -> pd.DataFrame:
    """Return rows with text in `grade` and `line`, whole numbers in `speed` and `shift`, and the rest."""
    generator = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "speed": generator.integers(1200, 1800, count),
            "grade": generator.choice(["L", "M", "H", "rare"], count, p=[0.5, 0.3, 0.17, 0.03]),
            "torque": generator.normal(40, 10, count).astype(np.float32).astype(float),
            "line": generator.choice(["north 1", "north 2", "south"], count),
            "shift": generator.integers(1, 4, count),
        }
    )
    risk = (
        frame["torque"] / 10 + (frame["grade"] == "L") * 2 + (frame["line"] == "south") - frame["shift"] / 2
    )
    frame["failed"] = (risk + generator.normal(0, 0.3, count) > risk.median()).astype(int)
    return frame


def inputs(frame: pd.DataFrame, channels: tuple[Channel, ...]) -> np.ndarray:
    """Return what a device would make of the rows."""
    columns = [
        list(map(Codes(channel.categories).of, frame[channel.name].fillna("")))
        if channel.categories
        else frame[channel.name]
        for channel in channels
    ]
    return np.ascontiguousarray(np.column_stack(columns).astype(np.float32))


def exported(folder: Path, model: object, frame: pd.DataFrame) -> Exported:
    """Save a model, read it again and write it as the exporter does."""
    joblib.dump(model, folder / "model.joblib")
    frame.to_csv(folder / "rows.csv", index=False, quoting=csv.QUOTE_MINIMAL)
    settings = Settings(
        model=folder / "model.joblib",
        data=folder / "rows.csv",
        trust=Trust(pickle=True),
        columns=Columns(target=("failed",)),
    )
    subject = prepare(load_model(settings.model, settings.trust).model, settings)
    exact = sound(subject, writings(subject), trials(subject, 0), allow=False)
    first = exact.writings[0]
    failed = {variant.name: variant.reason for variant in exact.others}
    model_ = Model(first.model, INPUT, exact.outputs)
    return Exported([each.variant.name for each in exact.writings], model_, subject.channels, failed)
