from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import skops.io
from sklearn.datasets import make_classification

from lineside_cli.main import main

BUNDLE = "m-1.0.0.bundle.zip"


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Workplace:
    """A folder with a model and its rows, and the command run in it."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capture = capture

    def save(self, model: object, name: str = "model.skops") -> Path:
        path = self.folder / name
        skops.io.dump(model, path)
        return path

    def rows(self, values, target=None, names=None, *, delimiter=",", target_name="y") -> Path:
        path = self.folder / "rows.csv"
        values = np.asarray(values)
        names = list(names or [f"c{index}" for index in range(values.shape[1])])
        targets = (
            np.empty((len(values), 0)) if target is None else np.asarray(target).reshape(len(values), -1)
        )
        extra = [target_name] if targets.shape[1] == 1 else [f"y{i}" for i in range(targets.shape[1])]
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(names + extra)
            for row, truth in zip(values, targets, strict=True):
                cells = ["" if np.isnan(value) else value for value in row]
                writer.writerow([*cells, *truth])
        return path

    def run(self, *arguments: object) -> Result:
        self.capture.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        return Result(code, *self.capture.readouterr())

    def export(self, *extra: object, target: str | None = "y") -> Result:
        truth = [] if target is None else ["--target", target]
        return self.run("export", "model.skops", "--data", "rows.csv", *truth, "-o", BUNDLE, *extra)

    def refused(self, result: Result, *words: str) -> None:
        """The run must have failed as input errors do: one line, no traceback, nothing written."""
        assert result.code == 2, result
        assert result.err.startswith("lineside: ") or "usage:" in result.err
        assert "Traceback" not in result.err
        assert result.out == ""
        for word in words:
            assert word in result.err, f"{word!r} not in {result.err!r}"
        left = {path.name for path in self.folder.iterdir()}
        assert not [name for name in left if "bundle" in name or "part" in name], left


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Workplace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Workplace(tmp_path, capsys)


@pytest.fixture(scope="session")
def classes() -> tuple[np.ndarray, np.ndarray]:
    """Rows of four features and three classes."""
    return make_classification(
        n_samples=400, n_features=4, n_informative=4, n_redundant=0, n_classes=3, random_state=1
    )


@pytest.fixture(scope="session")
def binary() -> tuple[np.ndarray, np.ndarray]:
    return make_classification(n_samples=400, n_features=4, random_state=2)


@pytest.fixture(scope="session")
def values() -> tuple[np.ndarray, np.ndarray]:
    """Rows of three features, and a smooth function of them."""
    rows = np.random.default_rng(3).normal(size=(400, 3))
    return rows, rows[:, 0] * 2 - rows[:, 1] + np.sin(rows[:, 2])
