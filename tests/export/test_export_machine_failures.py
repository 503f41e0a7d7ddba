"""A machine's failures by its grade (text) and its readings: trained, exported, predicted and replayed.

The AI4I 2020 Predictive Maintenance Dataset (Matzka 2020), where it is there, and a small twin that always is.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from lineside_agent.clock import Signal, SystemClock
from lineside_agent.counters import SensorCounters
from lineside_agent.model import Model
from lineside_agent.reader import Reader
from lineside_agent.sensors import EndOfReadings
from lineside_agent.sensors.replay import Settings as ReplaySettings
from lineside_agent.settings import SensorSettings
from lineside_contract.bundle import Bundle

REAL = Path(__file__).parents[3] / "shared" / "data" / "ai4i2020" / "ai4i2020.csv"
GRADE = "Type"
NUMBERS = [
    *("Air temperature [K]", "Process temperature [K]"),
    *("Rotational speed [rpm]", "Torque [Nm]", "Tool wear [min]"),
]
TARGET = "Machine failure"
BUNDLE = "failures-1.0.0.bundle.zip"


def _twin(count: int = 1500) -> pd.DataFrame:
    generator = np.random.default_rng(7)
    air = generator.normal(300, 2, count).round(1)
    speed = generator.normal(1540, 180, count).round().astype(int)
    torque = generator.normal(40, 10, count).round(1)
    wear = generator.integers(0, 250, count)
    grade = generator.choice(["L", "M", "H"], count, p=[0.6, 0.3, 0.1])
    limit = pd.Series(grade).map({"L": 11_000, "M": 12_000, "H": 13_000}) * 0.75
    columns = [air, (air + generator.normal(10, 1, count)).round(1), speed, torque, wear]
    frame = pd.DataFrame({"Product ID": [f"{g}{n}" for n, g in enumerate(grade)], GRADE: grade})
    return frame.assign(
        **dict(zip(NUMBERS, columns, strict=True)), **{TARGET: (torque * wear > limit).astype(int)}
    )


def _frame(data: str) -> pd.DataFrame:
    if data == "twin":
        return _twin()
    if not REAL.exists():
        pytest.skip("the data set is not there")
    return pd.read_csv(REAL).drop(columns=["UDI", "TWF", "HDF", "PWF", "OSF", "RNF"])


def _model(kind: str) -> object:
    if kind == "boosting":
        return HistGradientBoostingClassifier(max_iter=20, categorical_features=[GRADE], random_state=0)
    columns = ColumnTransformer(
        [("grade", OneHotEncoder(handle_unknown="ignore"), [GRADE]), ("readings", StandardScaler(), NUMBERS)]
    )
    return make_pipeline(columns, RandomForestClassifier(20, max_depth=10, random_state=0))


def _replayed(bundle: Bundle, recording: Path) -> np.ndarray:
    """Return the labels that an agent gives to a recording."""
    options = ReplaySettings(file=recording, timestamp="none", speed="fast")
    settings = SensorSettings(kind="replay", options=options)
    reader = Reader(settings, bundle.manifest.channels, "skip", SensorCounters(), SystemClock(), Signal())
    reader.open()
    model, found = Model.open(bundle), []
    try:
        while True:
            if block := reader.read():
                found.append(model.predict(np.ascontiguousarray(block.values)).label)
    except EndOfReadings:
        return np.concatenate(found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("data", ["twin", "real"])
@pytest.mark.parametrize("kind", ["forest", "boosting"])
def test_failures_by_grade_and_readings(work, kind, data) -> None:
    frame = _frame(data)
    half = len(frame) // 2
    model = _model(kind).fit(frame[[GRADE, *NUMBERS]][:half], frame[TARGET][:half])
    joblib.dump(model, "model.joblib")
    later = frame[half:].reset_index(drop=True)
    later.to_csv("rows.csv", index=False)
    # A device's readings are float32, and many of these are exactly on a threshold.
    seen = later[[GRADE, *NUMBERS]].astype(dict.fromkeys(NUMBERS, np.float32))
    seen = seen.astype(dict.fromkeys(NUMBERS, np.float64))
    expected = model.predict_proba(seen)

    result = work.run(
        *("export", "model.joblib", "--trust-pickle", "--data", "rows.csv", "--target", TARGET),
        *("--unit", "Torque [Nm]=Nm", "-o", BUNDLE),
    )

    assert result.code == 0, result.err
    bundle = Bundle.open(work.folder / BUNDLE)
    assert bundle.manifest.candidate == "compact"
    assert bundle.manifest.channels[0].categories == ["H", "L", "M"]
    assert [channel.name for channel in bundle.manifest.channels] == [GRADE, *NUMBERS]
    predicted = work.run("predict", BUNDLE, "rows.csv")
    rows = list(csv.DictReader(io.StringIO(predicted.out)))
    np.testing.assert_allclose([float(row["probability_1"]) for row in rows], expected[:, 1], atol=1e-6)
    labels = _replayed(bundle, work.folder / "rows.csv")
    np.testing.assert_array_equal(labels, model.predict(seen))
    assert set(labels.tolist()) == {0, 1}


@pytest.mark.filterwarnings("ignore")
def test_the_agents_check_reads_the_text(work) -> None:
    frame = _twin(400)
    joblib.dump(_model("forest").fit(frame[[GRADE, *NUMBERS]], frame[TARGET]), "model.joblib")
    frame.loc[0, GRADE] = "X"
    frame.to_csv("rows.csv", index=False)
    made = work.run(
        *("export", "model.joblib", "--trust-pickle", "--data", "rows.csv", "--target", TARGET, "-o", BUNDLE)
    )
    assert made.code == 0, made.err
    (work.folder / "agent.toml").write_text(
        f'site = "s"\ndevice = "d"\nbundle = "{BUNDLE}"\n[broker]\nurl = "mqtt://localhost"\n'
        '[sensors.main]\nkind = "replay"\nfile = "rows.csv"\ntimestamp = "none"\n'
    )
    checked = work.run("agent", "check", "--config", "agent.toml", "--offline")
    assert checked.code == 0, checked
    assert "the model's 6 are among them" in checked.out
    assert "Type is a text that the model does not know" in checked.out
