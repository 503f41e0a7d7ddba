"""`lineside bench compare` puts two bundles' results side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from lineside_agent.bench.results import Bench, Board, Latency, Load, Memory
from lineside_agent.bench.run import as_json
from lineside_benchmarks.bundles import to_text
from lineside_benchmarks.report import Report
from lineside_benchmarks.report import to_json as report_json
from lineside_cli.main import main

BOARD = Board(
    name="Raspberry Pi 4",
    architecture="aarch64",
    kernel="Linux 6.12",
    cpus=4,
    governor="ondemand",
    temperature_before_c=None,
    temperature_after_c=None,
    throttled=[],
    load_average_before=0.1,
    versions={"python": "3.13.1", "onnxruntime": "1.22.0"},
)


def latency(batch: int, p50_us: float) -> Latency:
    return Latency(
        batch=batch, calls=100, p50_us=p50_us, p95_us=2 * p50_us, p99_us=3 * p50_us, rows_per_s=1e6 / p50_us
    )


BEFORE = Bench(
    model="pump",
    version="1.0.0",
    candidate="float32",
    bundle_sha256="00",
    bundle_bytes=40_000,
    onnx_bytes=30_000,
    measured="2026-01-01T00:00:00+00:00",
    threads=1,
    load=Load(import_ms=100.0, bundle_ms=0.0, model_ms=8.0),
    memory=Memory(
        interpreter_bytes=9_000_000, libraries_bytes=50_000_000, model_bytes=60_000_000, peak_bytes=64_000_000
    ),
    latencies=[latency(1, 20.0), latency(16, 90.0)],
    board=BOARD,
)
AFTER = replace(BEFORE, version="1.1.0", onnx_bytes=15_000, latencies=[latency(1, 30.0), latency(256, 1.0)])


def write(folder: Path, *found: Bench) -> list[str]:
    paths = [folder / f"{number}.bench.json" for number, _ in enumerate(found)]
    for path, one in zip(paths, found, strict=True):
        path.write_bytes(as_json(one))
    return [str(path) for path in paths]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", *write(tmp_path, BEFORE, AFTER)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("before: pump 1.0.0 (float32), measured 2026-01-01")
    table = {line[:24].strip(): line[24:].split() for line in lines}
    assert table["model.onnx bytes"] == ["30,000", "15,000", "0.50"]
    assert table["memory with the model MB"] == ["60.0", "60.0", "1.00"]
    assert table["1 row, p99 us"] == ["60.0", "90.0", "1.50"]
    assert table["reading and verifying ms"] == ["0.0", "0.0"]
    assert not any("16 rows" in line or "256 rows" in line or "alike" in line for line in lines)
    assert "nothing here tells a change from noise" in lines[-1]


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", *write(tmp_path, BEFORE, AFTER), "--json"]) == 0
    found = {one["quantity"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["1 row, p50 us"]["ratio"] == 1.5
    assert found["reading and verifying ms"]["ratio"] is None


def test_what_was_measured_otherwise_is_said() -> None:
    board = replace(BOARD, name="Raspberry Pi 5", throttled=["too hot"])
    text = to_text(BEFORE, replace(AFTER, threads=4, board=board))
    assert (
        "Not measured alike, which the ratios hold as well: board Raspberry Pi 4 and Raspberry Pi 5;"
        " threads 1 and 4; slowed by nothing and too hot.\n"
    ) in text


def test_a_bundle_and_a_run_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle,) = write(tmp_path, BEFORE)
    run = tmp_path / "run.json"
    run.write_bytes(report_json(Report(time="t", quick=True, machine={}, tables={})))
    said = f"lineside: {bundle} holds a bundle's results, and {run} a run of Lineside's benchmarks."
    for pair in ([bundle, str(run)], [str(run), bundle]):
        assert main(["bench", "compare", *pair]) == 2
        assert capsys.readouterr().err == f"{said} Compare two of a kind.\n"
    assert main(["bench", "compare", bundle, str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.startswith(f"lineside: {tmp_path / 'none.json'} cannot be read")
