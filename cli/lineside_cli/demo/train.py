"""A real model for the demo: a random forest that tells a healthy machine from two kinds of faulty ones."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lineside_agent.sensors.simulated import Fault, Settings, simulate
from lineside_export.windows import sliding

CHANNELS = ("vibration_rms_g", "vibration_peak_g", "crest_factor", "kurtosis", "velocity_rms_mm_s")
UNITS = ("g", "g", "", "", "mm/s")
LENGTH, HOP = 5, 1
INTERVAL_S = 0.2
_SECONDS = 20.0
_CONDITIONS = ("healthy", "imbalance", "bearing_outer")


def train(folder: Path) -> tuple[Path, Path]:
    """Train on some simulated machines and write the model, and readings of other machines to judge it by."""
    import skops.io
    from sklearn.ensemble import RandomForestClassifier

    inputs, labels = _windows(_machines(seeds=range(100, 106)))
    model = RandomForestClassifier(n_estimators=40, min_samples_leaf=3, random_state=0, n_jobs=1)
    model.fit(inputs, labels)
    skops.io.dump(model, folder / "machine.skops")
    return folder / "machine.skops", _write_rows(folder / "held-back.csv", _machines(seeds=range(200, 203)))


def _machines(seeds: range) -> list[tuple[str, NDArray[np.float32]]]:
    """Simulate machines of slightly different load and noise in each condition; readings are (n, channels)."""
    found = []
    random = np.random.default_rng(seeds.start)
    for seed in seeds:
        for condition in _CONDITIONS:
            settings = Settings(
                seed=seed,
                interval_s=INTERVAL_S,
                load=float(random.uniform(0.55, 0.85)),
                noise=float(random.uniform(0.015, 0.03)),
            )
            severity = float(random.uniform(0.5, 1.0))
            faults = [] if condition == "healthy" else [Fault(kind=condition, severity=severity)]  # type: ignore[arg-type]
            recording = simulate(settings, _SECONDS, faults)
            columns = [recording.channels.index(channel) for channel in CHANNELS]
            found.append((condition, recording.values[:, columns]))
    return found


def _windows(machines: list[tuple[str, NDArray[np.float32]]]) -> tuple[NDArray[np.float32], list[str]]:
    pieces = [(condition, sliding(values, LENGTH, HOP)) for condition, values in machines]
    labels = [condition for condition, windows in pieces for _ in range(len(windows))]
    return np.concatenate([windows for _, windows in pieces]), labels


def _write_rows(path: Path, machines: list[tuple[str, NDArray[np.float32]]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["machine", *CHANNELS, "condition"])
        for number, (condition, values) in enumerate(machines):
            for row in values.tolist():
                writer.writerow([number, *row, condition])
    return path
