"""The latency of what is not trees, and of the isolation forest, beside scikit-learn and skl2onnx."""

from __future__ import annotations

from statistics import median

from lineside_benchmarks.export.side_by_side import EXACT, HOW, OURS, Measured, each, share
from lineside_benchmarks.export.subjects import OTHERS
from lineside_benchmarks.table import Cell, Plot, Table, Target
from lineside_benchmarks.workshop import Workshop

_COLUMNS = ["model", "written by", "bytes", "us, 1 row", "us, 256 rows", "wrong", ""]
_WANTED_SPEED = {
    "5 nearest neighbours, digits": 40.0,
    "isolation forest, cancer": 40.0,
    "Gaussian process, diabetes": 20.0,
    "SVC (RBF), digits": 6.0,
    "scaler + network 128-64": 1.2,
}


def run(workshop: Workshop) -> Table:
    """Measure every family."""
    rows: list[list[Cell]] = []
    faster: dict[str, float] = {}
    samples: dict[str, list[float]] = {}
    for found in each(OTHERS, EXACT, quick=workshop.quick):
        rows += _rows(found)
        samples |= found.samples()
        if OURS in found.written:
            faster[found.subject.name] = 1 / found.ratio(found.ones)
    targets = [_faster(faster, name, wanted) for name, wanted in _WANTED_SPEED.items()]
    plot = Plot(name="export-rewrites", title="Times skl2onnx's speed at one row", unit="times", bars=faster)
    return Table(
        title="Export: rewrites",
        how=HOW,
        columns=_COLUMNS,
        rows=rows,
        targets=targets,
        samples=samples,
        plots=[plot],
    )


def _rows(found: Measured) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, written in found.written.items():
        numbers: list[Cell] = [written.size, median(found.ones[name]), median(found.many[name])]
        rows.append([found.subject.name, name, *numbers, share(found.judged(name)), written.note])
    rows += [[found.subject.name, name, *["-"] * 4, why] for name, why in found.refused.items()]
    return rows


def _faster(speeds: dict[str, float], name: str, wanted: float) -> Target:
    found = speeds.get(name, 0.0)
    aim = f"{name}: at least {wanted:g} times skl2onnx's speed at one row"
    return Target(aim=aim, found=f"{found:.1f} times", met=found >= wanted)
