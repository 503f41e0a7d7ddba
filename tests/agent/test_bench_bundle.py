"""`lineside bench` as a user meets it, and the rows that it times."""

from __future__ import annotations

import itertools
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lineside_agent.bench.measure import made_rows, time_batch
from lineside_agent.model import Model, write_golden
from lineside_cli.main import main
from lineside_contract.bundle import GOLDEN, MODEL, write_bundle
from lineside_contract.manifest import Channel, Manifest, Outputs

OUTPUTS = Outputs(values="y", targets=["sum"])
CHANNELS = [Channel(name="a", minimum=0.0, maximum=10.0), Channel(name="b", minimum=-1.0, maximum=1.0)]
COMMAND = [sys.executable, "-m", "lineside_cli.main", "bench", "sum-1.0.0.bundle.zip"]
BATCHES = (1, 16, 256)


def graph(kind: str) -> bytes:
    node = helper.make_node(kind, ["x"], ["y"], keepdims=1, axes=[1])
    made = helper.make_model(
        helper.make_graph(
            [node],
            "sum",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        ),
        opset_imports=[helper.make_opsetid("", 11)],
    )
    made.ir_version = 8
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


def write(path: Path, model: bytes) -> None:
    rows = np.array([[1.0, 0.5], [9.0, -0.5]], np.float32)
    golden = write_golden(rows, Model(graph("ReduceSum"), "x", OUTPUTS).predict(rows))
    manifest = Manifest(
        name="sum",
        version="1.0.0",
        created="2026-01-01T00:00:00Z",
        task="regression",
        estimator="none",
        input="x",
        channels=CHANNELS,
        outputs=OUTPUTS,
    )
    write_bundle(path, manifest, {MODEL: model, GOLDEN: golden})


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sum-1.0.0.bundle.zip"
    write(path, graph("ReduceSum"))
    return path


def test_json_tells_time_memory_bytes_and_the_machine(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", bundle.name, "--seconds", "0.05", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["batch"] for each in found["latencies"]] == list(BATCHES)
    for each in found["latencies"]:
        assert each["calls"] >= 20
        assert 0 < each["p50_us"] <= each["p95_us"] <= each["p99_us"]
        # The mean, which the rate comes from, is no less than half of the median.
        assert 0 < each["rows_per_s"] <= 2 * each["batch"] / each["p50_us"] * 1e6
    memory = found["memory"]
    assert 5e6 < memory["interpreter_bytes"] < memory["libraries_bytes"] < memory["model_bytes"]
    assert memory["model_bytes"] <= memory["peak_bytes"] < 500e6
    assert memory["libraries_bytes"] - memory["interpreter_bytes"] > 10e6  # onnxruntime was not there before
    assert found["load"]["import_ms"] > found["load"]["bundle_ms"] > 0
    assert found["bundle_bytes"] == bundle.stat().st_size
    assert found["onnx_bytes"] == len(graph("ReduceSum"))
    assert found["board"]["versions"]["onnxruntime"]
    assert found["board"]["cpus"] == len(os.sched_getaffinity(0))
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_write_puts_the_same_results_beside_the_bundle(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", bundle.name, "--seconds", "0.01", "--write"]) == 0
    out = capsys.readouterr().out
    assert "Wrote sum-1.0.0.bench.json." in out
    written = json.loads((bundle.parent / "sum-1.0.0.bench.json").read_text())
    for each in written["latencies"]:
        assert f"{each['p50_us']:,.1f}" in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("machine")) <= 110
    assert "\x1b" not in out


def test_only_a_terminal_is_told_that_it_takes_a_while(bundle: Path) -> None:
    terminal, side = pty.openpty()
    done = subprocess.run([*COMMAND, "--seconds", "0.01"], stderr=side, stdout=subprocess.PIPE, check=False)
    os.close(side)
    said = os.read(terminal, 1000)
    os.close(terminal)
    assert done.returncode == 0
    assert said.startswith(b"measuring")
    assert said.endswith(b"\r\x1b[K")
    quiet = subprocess.run([*COMMAND, "--seconds", "0.01"], capture_output=True, check=False)
    assert quiet.stderr == b""


def test_ctrl_c_ends_it_and_its_child(bundle: Path) -> None:
    terminal, side = pty.openpty()
    running = subprocess.Popen([*COMMAND, "--seconds", "600", "--write"], stderr=side, stdout=side)
    os.close(side)
    assert os.read(terminal, 9) == b"measuring"
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130
    os.close(terminal)
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]
    assert bundle.parent not in {_folder(process) for process in Path("/proc").glob("[0-9]*")}


def _folder(process: Path) -> Path | None:
    """Return where a process works: here only the measuring one works in the bundle's folder."""
    if process.name == str(os.getpid()):
        return None
    try:
        return (process / "cwd").readlink()
    except OSError:  # it has ended, or is somebody else's
        return None


@pytest.mark.parametrize(
    ("mend", "words"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "damaged"),
        (lambda path: write(path, graph("ReduceMean")), "does not give its own golden answers"),
        (lambda path: write(path, b"no graph"), "cannot load the model"),
    ],
)
def test_a_bundle_that_may_not_run_is_refused_in_one_sentence(
    bundle: Path, mend, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mend(bundle)
    assert main(["bench", bundle.name, "--write"]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not list(bundle.parent.glob("*.json*"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
            "instruction that this processor does not",
        ),
        ("raise ImportError('libgomp.so.1: cannot open')", "libgomp.so.1: cannot open. `lineside doctor`"),
        ("raise ModuleNotFoundError('no', name='onnxruntime')", "onnxruntime is not installed. Run: pip"),
    ],
)
def test_a_crash_of_the_runtime_is_told_not_suffered(bundle: Path, tmp_path: Path, body, words) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "onnxruntime.py").write_text(body)
    environment = {**os.environ, "PYTHONPATH": str(broken)}
    done = subprocess.run(COMMAND, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", [["--seconds", "0"], ["--seconds", "x"], ["--threads", "0"]])
def test_options_that_mean_nothing_are_refused(bundle: Path, option: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", bundle.name, *option])
    assert stop.value.code == 2


def test_rows_are_all_different_and_within_the_channels_ranges() -> None:
    golden = np.array(
        [[0.0, 1.0, 10.0, -1.0], [5.0, np.nan, 5.0, 0.0]], np.float32
    )  # windows of two readings
    rows = made_rows(golden, CHANNELS, 512)
    assert rows.shape == (512, 4)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    assert len(np.unique(rows, axis=0)) > 500
    assert rows[:, [0, 2]].min() >= 0
    assert rows[:, [0, 2]].max() <= 10
    assert np.nanmax(np.abs(rows[:, [1, 3]])) <= 1
    assert np.isnan(rows[1::2, 1]).all()
    assert not np.isnan(rows[::2]).any()


def test_a_channel_without_a_range_keeps_its_golden_values() -> None:
    golden = np.array([[3.0], [4.0]], np.float32)
    assert made_rows(golden, [Channel(name="a")], 5).ravel().tolist() == [3, 4, 3, 4, 3]


def test_every_call_sees_other_rows_and_never_more_or_fewer() -> None:
    seen = []

    class Recorder:
        def predict(self, rows):
            seen.append(rows)

    rows = np.arange(32, dtype=np.float32)[:, None]
    latency = time_batch(Recorder(), rows, 16, 1e-6)  # type: ignore[arg-type]
    assert latency.calls == 20
    timed = seen[-20:]
    assert {len(each) for each in timed} == {16}
    assert all(before[0, 0] != after[0, 0] for before, after in itertools.pairwise(timed))
