"""Train two models that tell from a minute of a water pump's readings whether a fault is active."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import script
import skops.io
from recordings import CHANNELS, Recording, divide, find, read, stacked
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lineside_contract.errors import InputError
from lineside_contract.files import write_whole

_HOP = 5  # neighbouring windows teach nearly the same; this trains five times as fast as all of them


def forest(seed: int) -> Any:
    """Return a random forest; large leaves keep it small and, between recordings, better."""
    return RandomForestClassifier(100, min_samples_leaf=20, n_jobs=2, random_state=seed)


def network(seed: int) -> Any:
    """Return a network that is stopped early and pulled hard to zero: there are few recordings."""
    layers = MLPClassifier((64, 32), alpha=3.0, max_iter=40, random_state=seed)
    return make_pipeline(StandardScaler(), layers)


MODELS: dict[str, Callable[[int], Any]] = dict(zip(script.MODELS, (forest, network), strict=True))


def main() -> None:
    """Divide the recordings, train, and write what the exporter and the evaluation need."""
    parser = script.parser(__doc__ or "")
    parser.add_argument("--seed", type=int, default=0, help="of the division and the models (default: 0)")
    options = parser.parse_args()
    if options.seed < 0:
        raise InputError("--seed must not be negative.", hint="Give 0 or more.")
    files = find(options.data)
    division = divide(files, options.seed)
    parts = {part: [read(name, files[name]) for name in names] for part, names in division._asdict().items()}
    try:
        options.work.mkdir(parents=True, exist_ok=True)
        write_whole(options.work / ".gitignore", b"*\n")
        fit(parts["train"], options.work, options.seed)
        write_readings(parts["export"], options.work / "export.csv")
        write_whole(options.work / "division.json", json.dumps(division._asdict(), indent=2).encode())
    except OSError as error:
        raise InputError(f"{options.work} cannot be written to: {error.strerror}.") from error
    for part, recordings in parts.items():
        print(f"{part:6}  {', '.join(one.name for one in recordings)}")


def fit(recordings: Sequence[Recording], folder: Path, seed: int) -> None:
    """Train each model and save it as a skops file, which holds no code."""
    inputs, states = stacked(recordings, _HOP)
    for name, make in MODELS.items():
        began = time.perf_counter()
        # One thread adds up in the same order on every number of cores.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is meant
            model = make(seed).fit(inputs, states)
        write_whole(folder / f"{name}.skops", skops.io.dumps(model))
        print(f"{name}: {len(inputs)} windows in {time.perf_counter() - began:.1f} s")


def write_readings(recordings: Sequence[Recording], path: Path) -> None:
    """Write readings, not windows: the exporter cuts them, and never across recordings."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["recording", *CHANNELS, "state"])
    for one in recordings:
        for values, state in zip(one.readings.tolist(), one.states, strict=True):
            writer.writerow([one.name, *values, state])
    write_whole(path, text.getvalue().encode())


if __name__ == "__main__":
    sys.exit(script.run(main))
