"""`lineside bench compare` tells a change from noise."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from lineside_benchmarks.compare import compare, read, to_json, to_text
from lineside_benchmarks.report import Report
from lineside_benchmarks.report import to_json as report_json
from lineside_benchmarks.table import Table
from lineside_cli.main import main
from lineside_contract.errors import InputError


def report(**samples: list[float]) -> Report:
    table = Table(title="T", how="h", columns=["c"], rows=[["r"]], samples=samples)
    return Report(time="2026-01-01T00:00:00Z", quick=False, machine={}, tables={"latency": table})


def noise(middle: float, seed: int, count: int = 20) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(middle, middle / 20) for _ in range(count)]


def verdicts(before: Report, after: Report) -> dict[str, str]:
    return {change.quantity: change.verdict for change in compare(before, after)}


def test_a_slower_program_has_changed_and_noise_has_not() -> None:
    before, after = report(a=noise(10, 1), b=noise(5, 2)), report(a=noise(13, 3), b=noise(5, 4))
    assert verdicts(before, after) == {"a": "changed", "b": "same"}
    text = to_text(compare(before, after))
    assert text.splitlines()[0].startswith("latency      a: ")
    assert text.endswith(
        "1 of 2 quantities changed beyond noise, 1 did not, 0 have too few measurements to tell."
    )


def test_three_measurements_prove_nothing() -> None:
    assert verdicts(report(a=[1.0, 2.0, 3.0]), report(a=[10.0, 20.0, 30.0])) == {"a": "too few"}


def test_a_change_that_is_certain_and_tiny_is_none() -> None:
    assert verdicts(report(a=[100.0] * 30), report(a=[101.0] * 30)) == {"a": "same"}


def test_many_quantities_of_noise_raise_no_alarm() -> None:
    before = {f"q{number}": noise(10, number) for number in range(200)}
    after = {f"q{number}": noise(10, 1000 + number) for number in range(200)}
    assert set(verdicts(report(**before), report(**after)).values()) == {"same"}


def test_only_what_both_measured_is_compared() -> None:
    assert verdicts(report(a=noise(1, 1)), report(b=noise(1, 1))) == {}


def test_what_was_not_measured_is_not_compared() -> None:
    before, after = report(a=noise(10, 1), b=[], c=[1.0]), report(a=[], b=noise(10, 1), c=[1.0])
    assert verdicts(before, after) == verdicts(after, before) == {"c": "too few"}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, middle in (("a", 10.0), ("b", 20.0)):
        (tmp_path / f"{name}.json").write_bytes(report_json(report(ms=noise(middle, 1))))
    assert main(["bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--json"]) == 0
    (change,) = json.loads(capsys.readouterr().out)
    assert change["verdict"] == "changed"
    assert change["ratio"] == pytest.approx(2.0)
    assert to_json([]) == "[]"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(InputError, match="cannot be read"):
        read(path)
    for content in (b"{}", b"", b'{"time": "\xff"}', b'{"more": ' + b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"is no run: .* Name the JSON file"):
            read(path)
