"""What is written of trees, beside skl2onnx and compilers of trees: bytes, latency, loading, memory, correctness."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from lineside_benchmarks.export import compilers
from lineside_benchmarks.export.loading import loading
from lineside_benchmarks.export.side_by_side import EXACT, HOW, OURS, RIVAL, Measured, Tool, each, share
from lineside_benchmarks.export.subjects import TREES
from lineside_benchmarks.table import Cell, Plot, Table, Target
from lineside_benchmarks.workshop import Workshop

_TOOLS: dict[str, Tool] = {
    **EXACT,
    "treelite + TL2cgen": compilers.treelite,
    "m2cgen": compilers.m2cgen,
    "lleaves": compilers.lleaves,
}
_COLUMNS = ["model", "written by", "bytes", "us, 1 row", "us, 256 rows", "load ms", "memory MB", "wrong", ""]
_WANTED_SIZES = {
    "random forest, digits": 12.0,
    "random forest, two classes": 12.0,
    "forest regressor, depth 10": 4.0,
    "isolation forest, cancer": 8.0,
}
# Medians of one program differ by as much from run to run.
_NOISE = 1.1


def run(workshop: Workshop) -> Table:
    """Measure every family of trees."""
    rows: list[list[Cell]] = []
    smaller: dict[str, float] = {}
    samples: dict[str, list[float]] = {}
    slowest = 0.0
    for found in each(TREES, _TOOLS, quick=workshop.quick):
        rows += _rows(found, quick=workshop.quick)
        samples |= found.samples()
        if {OURS, RIVAL} <= set(found.written):
            smaller[found.subject.name] = found.written[RIVAL].size / found.written[OURS].size
        slowest = max(slowest, found.ratio(found.ones), found.ratio(found.many))
    targets = [_smaller(smaller, name, wanted) for name, wanted in _WANTED_SIZES.items()]
    aim = "no slower than skl2onnx for 1 row and for 256, give or take 10 %"
    targets.append(Target(aim=aim, found=f"{slowest:.2f} of its time at worst", met=slowest <= _NOISE))
    plot = Plot(name="export-trees", title="Times smaller than skl2onnx's file", unit="times", bars=smaller)
    return Table(
        title="Export: trees",
        how=HOW,
        columns=_COLUMNS,
        rows=rows,
        targets=targets,
        samples=samples,
        plots=[plot],
    )


def _rows(found: Measured, *, quick: bool) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, written in found.written.items():
        load: tuple[Cell, Cell] = ("-", "-")
        if written.graph is not None:
            with tempfile.TemporaryDirectory(prefix="lineside-bench-") as folder:
                load = loading(written.graph, Path(folder), quick=quick)
        numbers: list[Cell] = [written.size, median(found.ones[name]), median(found.many[name]), *load]
        rows.append([found.subject.name, name, *numbers, share(found.judged(name)), written.note])
    rows += [[found.subject.name, name, *["-"] * 6, why] for name, why in found.refused.items()]
    return rows


def _smaller(sizes: dict[str, float], name: str, wanted: float) -> Target:
    found = sizes.get(name, 0.0)
    aim = f"{name}: at least {wanted:g} times smaller than skl2onnx's"
    return Target(aim=aim, found=f"{found:.1f} times", met=found >= wanted)
