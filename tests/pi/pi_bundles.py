"""A bundle for every way in which the exporter writes a model, those included that it would not ship."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import skops.io
from msgspec.structs import replace
from numpy.typing import NDArray
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from lineside_agent.model import Model
from lineside_agent.sensors.simulated import CHANNELS
from lineside_contract.bundle import GOLDEN, MODEL, write_bundle
from lineside_export import export as export_module
from lineside_export import golden
from lineside_export.candidates import EXACT
from lineside_export.dataset import Columns
from lineside_export.load import Trust
from lineside_export.measure import Measured
from lineside_export.settings import Settings

_FEATURES = 32
_ROWS = 1500


class Case(NamedTuple):
    """A model to be written in every way; `devices` are the kinds of device to write it for."""

    estimator: Any
    devices: tuple[str, ...] = ("auto",)
    regression: bool = False


def _network(kind: type) -> Any:
    return make_pipeline(
        StandardScaler(),
        kind(hidden_layer_sizes=(128, 64), max_iter=40, random_state=0),
    )


CASES = {
    "forest": Case(RandomForestClassifier(100, max_depth=12, random_state=0)),
    "boosting": Case(HistGradientBoostingClassifier(max_iter=60, random_state=0)),
    "neighbours": Case(make_pipeline(StandardScaler(), KNeighborsClassifier(5))),
    "vectors": Case(make_pipeline(StandardScaler(), SVC(probability=True, random_state=0))),
    # For a Raspberry Pi, int8 may use all of its range: not computed alike by an x86 without VNNI.
    "network": Case(_network(MLPClassifier), ("auto", "pi4")),
    "regressor": Case(_network(MLPRegressor), ("auto", "pi4"), regression=True),
}


def make_bundles(folder: Path) -> Path:
    """Write the bundles CASE--DEVICE--CANDIDATE and, beside them, rows.npz with each case's rows to answer."""
    rows, labels = make_classification(
        2 * _ROWS, _FEATURES, n_informative=16, n_classes=4, random_state=0, class_sep=0.8
    )
    values = rows[:, 0] * 2 - rows[:, 1] + np.sin(rows[:, 2])
    names = [f"c{column}" for column in range(_FEATURES)]
    inputs = {}
    for name, case in CASES.items():
        target = values if case.regression else labels
        case.estimator.fit(rows[:_ROWS], target[:_ROWS])
        model, data = _save(folder / name, case.estimator, names, rows[_ROWS:], target[_ROWS:])
        for device in case.devices:
            inputs[name] = _write(folder, model, data, device)
    np.savez(folder / "rows.npz", **inputs)
    return folder


def make_forest(folder: Path) -> Path:
    """Write a forest of 100 full-grown trees over the simulated machine's channels, in every way."""
    names = CHANNELS["indicators"]
    rows, labels = make_classification(
        6000, len(names), n_informative=6, n_redundant=0, n_classes=4, n_clusters_per_class=2, random_state=0
    )
    forest = RandomForestClassifier(100, random_state=0).fit(rows[:5000], labels[:5000])
    model, data = _save(folder / "machine", forest, names, rows[5000:], labels[5000:])
    _write(folder, model, data, "auto")
    return folder


def _save(
    path: Path, estimator: Any, names: Sequence[str], rows: NDArray[Any], target: NDArray[Any]
) -> tuple[Path, Path]:
    model, data = path.with_suffix(".skops"), path.with_suffix(".csv")
    skops.io.dump(estimator, model)
    table = np.column_stack([rows, target])
    np.savetxt(data, table, delimiter=",", header=",".join([*names, "y"]), comments="", fmt="%.9g")
    return model, data


def _write(folder: Path, model: Path, data: Path, device: str) -> NDArray[np.float32]:
    """Write one bundle a candidate and return the held-back rows."""
    settings = Settings(
        model=model,
        data=data,
        name=model.stem,
        version="1.0.0",
        trust=Trust(True, ()),
        columns=Columns(target="y"),
        device=device,
        dry_run=True,
    )
    kept: list[Any] = []
    measure = export_module.measure

    def keep(ways: Any, outputs: Any, truth: Any) -> list[Measured]:
        kept.append((outputs, truth, measure(ways, outputs, truth)))
        found: list[Measured] = kept[-1][2]
        return found

    with mock.patch.object(export_module, "measure", keep):
        manifest = export_module.export(settings).manifest
    outputs, truth, measured = kept[0]
    for each in measured:
        if each.model is None or each.answers is None:
            continue
        way = each.candidate.name
        plain = None if way in EXACT else measured[0].answers
        made = golden.choose(Model(each.model, manifest.input, outputs), truth.inputs, plain, manifest.task)
        name = f"{model.stem}--{device}--{way}"
        write_bundle(
            folder / f"{name}.bundle.zip",
            replace(manifest, name=name, golden_tolerance=made.tolerance),
            {MODEL: each.model, GOLDEN: made.data},
        )
    rows: NDArray[np.float32] = truth.inputs
    return rows
