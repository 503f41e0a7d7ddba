"""Microseconds of a prediction, by kind of model and batch: the bundle beside what it was made from."""

from __future__ import annotations

import sys

import msgspec

from lineside_benchmarks.programs import MEASURED, running
from lineside_benchmarks.table import Cell, Plot, Table, Target, middle
from lineside_benchmarks.workshop import Workshop

_LONGEST_S = 900.0
# A program that answers within this of another's time is as fast: onnxruntime's own times differ so much.
_AS_FAST = 1.1


def run(workshop: Workshop) -> Table:
    """Train, export and time every kind of model, in one process on a core of its own."""
    folder = workshop.new_folder()
    amount = "quick" if workshop.quick else "full"
    command = [sys.executable, "-m", "lineside_benchmarks.inference_work", str(folder), amount]
    with running(command, MEASURED) as program:
        program.end(_LONGEST_S)
        answer = program.output().splitlines()[-1]
    found = msgspec.json.decode(answer, type=dict[str, dict[str, dict[int, list[list[float]]]]])
    return _table(found)


def _table(found: dict[str, dict[str, dict[int, list[list[float]]]]]) -> Table:
    medians = {
        (family, name, batch): [middle(column) for column in zip(*rounds, strict=True)]
        for family, programs in found.items()
        for name, batches in programs.items()
        for batch, rounds in batches.items()
    }
    rows: list[list[Cell]] = [[*key, *values, values[0] / key[2]] for key, values in medians.items()]
    worst = max(
        values[0] / medians[family, "skl2onnx", batch][0]
        for (family, name, batch), values in medians.items()
        if name == "lineside"
    )
    return Table(
        title="Inference",
        how="Eight channels, three classes, one thread. Lineside: the bundle that `lineside export` made, as an"
        " agent calls it (`Model.predict`). skl2onnx: its file with its own defaults, in onnxruntime. scikit-learn:"
        " `predict` of the estimator (which does not give the probabilities that both others do). By turns in one"
        " process, 64 different batches in rotation; percentiles of a call in microseconds, medians of the rounds.",
        columns=["model", "program", "batch", "p50 µs", "p95 µs", "p99 µs", "µs a row"],
        rows=rows,
        targets=[
            Target(
                aim="no bundle slower than skl2onnx's file, within 10 %",
                found=f"{worst:.2f} times at worst",
                met=worst <= _AS_FAST,
            )
        ],
        samples={
            f"{family}, {name}, {batch}, p50": [round_[0] for round_ in rounds]
            for family, programs in found.items()
            for name, batches in programs.items()
            for batch, rounds in batches.items()
        },
        plots=[
            Plot(
                name=f"inference-{number}",
                title=family,
                unit="microseconds a row (p50)",
                x_name="batch",
                lines={
                    name: [(batch, medians[family, name, batch][0] / batch) for batch in batches]
                    for name, batches in programs.items()
                },
            )
            for number, (family, programs) in enumerate(found.items())
        ],
    )
