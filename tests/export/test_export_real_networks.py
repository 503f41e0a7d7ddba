"""Networks that others trained and ship on PyPI, where the packages are installed: nothing of them is kept here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from lineside_benchmarks.export.network_files import NETWORKS, PEER, Real, crops, path, sound
from lineside_contract.bundle import Bundle
from lineside_export.candidates import METHODS

BUNDLE = "m-1.0.0.bundle.zip"
PICTURE = (3, 32, 48)


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    """Which candidate is the fastest, and what each of thousands of pixels does alone, is not the question here."""
    monkeypatch.setattr("lineside_export.measure._ROUND_SECONDS", 0.02)
    monkeypatch.setattr("lineside_export.probes.MOST_FEATURES", 60)
    monkeypatch.delitem(METHODS, "int8-static-pc")


def there(name: str) -> Real:
    """Return a network, or skip the test where it is not."""
    real = NETWORKS[name]
    if not path(real).exists():
        pytest.skip(f"not installed: lineside bench peers install {PEER}")
    return real


def exported(work, real: Real, *more: object) -> dict:
    result = work.run("export", path(real), "--data", "rows.csv", "-o", BUNDLE, "--json", *more)
    assert result.code == 0, result.err
    manifest: dict = json.loads(result.out)
    kept = [each for each in manifest["candidates"] if each["verdict"] in ("kept", "chosen")]
    plain = kept[0]
    assert plain["name"] == "float32"
    for other in kept[1:]:  # what is neither smaller nor faster is no candidate
        assert other["bytes"] < plain["bytes"] or other["latency_1_us"] < plain["latency_1_us"]
    return manifest


def probabilities(work, count: int) -> np.ndarray:
    predicted = work.run("predict", BUNDLE, "rows.csv", "--json")
    assert predicted.code == 0, predicted.err
    found = [json.loads(line)["probability_1"] for line in predicted.out.splitlines()]
    assert len(found) == count
    return np.array(found)


def signal(expected: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(expected.var() / np.mean((found - expected) ** 2)))


def test_a_network_of_pictures(work) -> None:
    """Of an old opset, with weights as Constant nodes and every size open."""
    real = there("rapidocr cls")
    rows = crops(40, PICTURE)
    work.rows(rows)
    work.refused(
        work.run("export", path(real), "--data", "rows.csv", "-o", BUNDLE), "(n, 3, ?, ?)", "--input-shape"
    )
    manifest = exported(work, real, "--input-shape", "3,32,48")
    assert manifest["task"] == "classification"
    assert len(Bundle.open(Path(BUNDLE)).files["model.onnx"]) < 0.6 * path(real).stat().st_size
    session = onnxruntime.InferenceSession(path(real))
    expected = session.run(None, {"x": rows.reshape(-1, *PICTURE)})[0][:, 1]
    assert signal(expected, probabilities(work, len(rows))) > 15


def test_a_network_of_sound_with_a_state(work) -> None:
    """Its recurrent layer is in a branch of a branch that sizes decide on."""
    real = there("silero-vad")
    heard = sound(80)
    work.rows(heard.reshape(-1, 1), names=["sound"])
    window = ("--window", heard.shape[1], "--answer", "output")
    refusal = work.run("export", path(real), "--data", "rows.csv", "-o", BUNDLE, *window)
    work.refused(refusal, "takes 3 inputs (input, state, sr)", "--constant state=NUMBER --constant sr=NUMBER")
    manifest = exported(work, real, *window, "--constant", "state=0", "--constant", "sr=16000")
    assert manifest["task"] == "classification"
    stored = Bundle.open(Path(BUNDLE)).files["model.onnx"]
    assert len(stored) < 0.35 * path(real).stat().st_size
    session = onnxruntime.InferenceSession(path(real))
    given = {"input": heard, "state": np.zeros((2, len(heard), 128), np.float32), "sr": np.array(16000)}
    assert signal(session.run(None, given)[0][:, 0], probabilities(work, len(heard))) > 15
