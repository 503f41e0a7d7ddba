"""A real pump's recordings (SKAB), windows of its eight sensors as features inside the graph."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from lineside_contract.bundle import Bundle
from lineside_export.features import WindowFeatures
from lineside_export.windows import newest, sliding

DATA = Path(__file__).parents[3] / "shared" / "data" / "skab" / "valve1"
LENGTH, HOP = 30, 10
CHANNELS = ["Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple"]

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the SKAB recordings in {DATA}")


def _recording(number: int) -> tuple[np.ndarray, np.ndarray]:
    with (DATA / f"{number}.csv").open() as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    readings = np.array([[float(row[name]) for name in CHANNELS] for row in rows], np.float32)
    return readings, np.array([float(row["anomaly"]) for row in rows]).astype(int)


def test_windows_of_a_real_pump(work) -> None:
    features = WindowFeatures(
        channels=tuple(CHANNELS), length=LENGTH, rate_hz=1, bands=[(0.05, 0.2), (0.2, 0.5)]
    )
    windows, states = [], []
    for number in range(6):
        readings, truth = _recording(number)
        windows.append(sliding(readings, LENGTH, HOP))
        states.append(truth[newest(len(truth), LENGTH, HOP)])
    model = make_pipeline(features, RandomForestClassifier(50, random_state=0))
    work.save(model.fit(np.concatenate(windows), np.concatenate(states)))
    readings, truth = (np.concatenate(each) for each in zip(*map(_recording, (7, 8, 9)), strict=True))
    work.rows(readings, truth, CHANNELS)
    window = ["--window", LENGTH, "--hop", HOP, "--rate-hz", 1]
    result = work.export(*window)
    assert result.code == 0, result.err
    manifest = Bundle.open(work.folder / "m-1.0.0.bundle.zip").manifest
    assert (manifest.window.length, manifest.window.hop, manifest.sampling_rate_hz) == (LENGTH, HOP, 1)
    chosen = next(each for each in manifest.candidates if each.verdict == "chosen")
    assert chosen.agreement == 1
    assert manifest.metric_exported == manifest.metric_original
