"""`lineside export`, `inspect` and `predict` as a user meets them."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from lineside_contract.bundle import Bundle

BUNDLE = "m-1.0.0.bundle.zip"


@pytest.fixture
def exported(work, classes):
    rows, target = classes
    labels = np.array(["ok", "warn", "fault"])[target]
    work.save(LogisticRegression().fit(rows[:200], labels[:200]))
    work.rows(rows[200:], labels[200:])
    result = work.export()
    assert result.code == 0, result.err
    return work


@pytest.mark.parametrize("command", ["export", "inspect", "predict"])
def test_help_teaches(work, command) -> None:
    result = work.run(command, "--help")
    assert result.code == 0
    assert "examples:" in result.out
    assert f"lineside {command} " in result.out


def test_the_table_names_every_candidate(work, exported) -> None:
    result = work.export("-o", "n-2.0.0.bundle.zip")
    for word in (
        "float32",
        "int8-dynamic",
        "int8-static",
        "chosen",
        "changes nothing",
        "accuracy",
        "Wrote n-2.0.0",
    ):
        assert word in result.out
    assert "\x1b[" not in result.out + result.err
    assert Bundle.open(Path("n-2.0.0.bundle.zip")).manifest.name == "n"


def test_dry_run_and_json(work, exported) -> None:
    Path(BUNDLE).unlink()
    result = work.export("--dry-run", "--json")
    assert result.code == 0
    manifest = json.loads(result.out)
    assert manifest["name"] == "m"
    assert manifest["metric"] == "accuracy"
    assert manifest["candidates"][0]["latency_1_us"] > 0
    assert not Path(BUNDLE).exists()
    assert "No bundle was written" in work.export("--dry-run").out


def test_name_and_version_without_an_output(work, exported) -> None:
    Path(BUNDLE).unlink()
    command = ["export", "model.skops", "--data", "rows.csv", "--target", "y"]
    assert work.run(*command, "--name", "pump-a", "--version", "2.1-rc1").code == 0
    manifest = Bundle.open(Path("pump-a-2.1-rc1.bundle.zip")).manifest
    assert (manifest.name, manifest.version) == ("pump-a", "2.1-rc1")
    assert work.run(*command, "-o", "line-2-pump-3.0.0-rc1.bundle.zip").code == 0
    manifest = Bundle.open(Path("line-2-pump-3.0.0-rc1.bundle.zip")).manifest
    assert (manifest.name, manifest.version) == ("line-2-pump", "3.0.0-rc1")


def test_the_same_input_gives_the_same_model(work, exported) -> None:
    work.export("-o", "n-1.0.0.bundle.zip")
    one, two = Bundle.open(Path(BUNDLE)), Bundle.open(Path("n-1.0.0.bundle.zip"))
    assert one.files["model.onnx"] == two.files["model.onnx"]
    assert one.manifest.metric_exported == two.manifest.metric_exported


def test_inspect(work, exported) -> None:
    shown = work.run("inspect", BUNDLE)
    assert shown.code == 0
    for word in ("verified", "m 1.0.0", "LogisticRegression", "fault, ok, warn", "c3", "accuracy"):
        assert word in shown.out
    assert json.loads(work.run("inspect", BUNDLE, "--json").out)["files"].keys() == {
        "card.md",
        "golden.npz",
        "model.onnx",
    }
    card = work.run("inspect", BUNDLE, "--card").out
    for heading in (
        "# m 1.0.0",
        "## Inputs",
        "## Metrics",
        "## How it was checked",
        "## Candidates",
        "## Limits",
    ):
        assert heading in card
    assert "macro F1" in card


def test_inspect_needs_no_more_than_a_device_has(work, exported) -> None:
    code = """
import sys
class Device:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("onnx", "rich", "scipy", "skl2onnx", "sklearn", "skops"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Device())
from lineside_cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    shown = {}
    for how in ("", "--json", "--card"):
        command = [sys.executable, "-c", code, "inspect", BUNDLE, *filter(None, [how])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        shown[how] = done.stdout
    for how in ("--json", "--card"):
        assert shown[how] == work.run("inspect", BUNDLE, how).out
    words, rich = (
        {word.strip(",:") for word in text.split()} for text in (shown[""], work.run("inspect", BUNDLE).out)
    )
    assert {"verified", "LogisticRegression", "c3", "nobody", "float32", "chosen"} <= words
    assert words <= rich


def test_an_altered_bundle(work, exported) -> None:
    whole = Path(BUNDLE).read_bytes()
    for at in range(0, len(whole), 97):
        Path(BUNDLE).write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        for result in (work.run("inspect", BUNDLE), work.run("predict", BUNDLE, "rows.csv")):
            # A flipped bit may hit what nothing reads (a date in the zip's directory); else it must be found.
            assert result.code in (0, 2)
            assert "Traceback" not in result.err
            assert bool(result.err) == (result.code == 2)
    Path(BUNDLE).write_bytes(whole[: len(whole) // 2])
    assert work.run("inspect", BUNDLE).code == 2
    assert work.run("inspect", "none.bundle.zip").code == 2


def test_predict_answers_in_the_order_of_the_file(work, exported) -> None:
    text = work.run("predict", BUNDLE, "rows.csv").out
    answers = list(csv.DictReader(io.StringIO(text)))
    assert len(answers) == 200
    assert [int(answer["line"]) for answer in answers[:3]] == [2, 3, 4]
    assert list(answers[0]) == ["line", "label", "probability_fault", "probability_ok", "probability_warn"]
    for answer in answers[:20]:
        probabilities = {name: float(answer[f"probability_{name}"]) for name in ("ok", "warn", "fault")}
        assert max(probabilities, key=probabilities.__getitem__) == answer["label"]
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)

    lines = [json.loads(line) for line in work.run("predict", BUNDLE, "rows.csv", "--json").out.splitlines()]
    assert [line["label"] for line in lines] == [answer["label"] for answer in answers]
    assert work.run("predict", BUNDLE, "rows.csv", "-o", "out.csv").out == ""
    assert Path("out.csv").read_text() == text


def test_predict_reads_a_pipe(work, exported, monkeypatch: pytest.MonkeyPatch) -> None:
    text = work.run("predict", BUNDLE, "rows.csv").out
    content = Path("rows.csv").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert work.run("predict", BUNDLE, "-").out == text
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert "standard input is empty" in work.run("predict", BUNDLE, "-").err
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=(content,))
    writer.start()
    assert work.run("predict", BUNDLE, "pipe").out == text
    writer.join()


def test_predict_tells_what_to_do_about_a_text(work, exported) -> None:
    Path("rows.csv").write_text("c0,c1,c2,c3\n1,2,x,4\n")
    result = work.run("predict", BUNDLE, "rows.csv")
    assert result.code == 2
    assert "column 'c2': 'x' is not a number. Correct the cell, or leave the row out." in result.err


def test_predict_gives_no_label_where_the_model_has_no_answer(work, exported, classes) -> None:
    rows = classes[0][:3].copy()
    rows[1, 2] = np.nan
    work.rows(rows)
    answers = list(csv.DictReader(io.StringIO(work.run("predict", BUNDLE, "rows.csv").out)))
    assert [bool(answer["label"]) for answer in answers] == [True, False, True]
    assert answers[1]["probability_ok"] == ""
    lines = [json.loads(line) for line in work.run("predict", BUNDLE, "rows.csv", "--json").out.splitlines()]
    assert [line["label"] for line in lines] == [answer["label"] or None for answer in answers]


def test_a_model_that_takes_nan_labels_it(work, classes) -> None:
    rows, target = classes
    rows = rows.copy()
    rows[::7, 1] = np.nan
    work.save(HistGradientBoostingClassifier(max_iter=5).fit(rows[:200], target[:200]))
    work.rows(rows[200:], target[200:])
    assert work.export().code == 0
    answers = list(csv.DictReader(io.StringIO(work.run("predict", BUNDLE, "rows.csv").out)))
    assert np.isnan(rows[200:]).any()
    assert all(answer["label"] for answer in answers)


def test_predict_without_a_channel(work, exported, classes) -> None:
    work.rows(classes[0][:, :3], names=["c0", "c1", "c_3"])
    result = work.run("predict", BUNDLE, "rows.csv", "-o", "out.csv")
    assert result.code == 2
    assert "no column 'c2', 'c3'" in result.err
    assert not Path("out.csv").exists()


def test_windows_stay_within_their_group(work) -> None:
    """The value of a window is its newest reading of b plus its oldest of a: any mix-up shows."""
    generator = np.random.default_rng(0)
    readings = generator.normal(size=(400, 2))
    pumps = np.where(np.arange(400) % 2, "p1", "p2")  # two pumps, in turns
    oldest, newest = readings[:-4, 0], readings[4:, 1]  # of one pump: every second row, three readings
    truth = np.concatenate([np.zeros(4), oldest + newest])
    windows = generator.normal(size=(300, 6))
    work.save(LinearRegression().fit(windows, windows[:, 0] + windows[:, 5]))
    with Path("rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "a", "b", "pump", "y"])
        writer.writerows(
            [f"10:{row}", a, b, pump, y]
            for row, ((a, b), pump, y) in enumerate(zip(readings, pumps, truth, strict=True))
        )
    signal = ["--window", "3", "--hop", "1", "--group", "pump", "--ignore", "time", "--rate-hz", "10"]

    assert work.export(*signal).code == 0
    manifest = Bundle.open(Path(BUNDLE)).manifest
    assert (manifest.window.length, manifest.window.hop, manifest.sampling_rate_hz) == (3, 1, 10)
    assert manifest.metric_exported == pytest.approx(1, abs=1e-6)
    text = work.run("predict", BUNDLE, "rows.csv", "--group", "pump").out
    answers = list(csv.DictReader(io.StringIO(text)))
    assert len(answers) == 396
    assert [int(answer["line"]) for answer in answers] == list(range(6, 402))
    np.testing.assert_allclose([float(answer["y"]) for answer in answers], truth[4:], atol=1e-4)
