"""What onnxruntime's quantizers make of skl2onnx's files, beside what Lineside ships."""

from __future__ import annotations

from statistics import median

from lineside_benchmarks.export import programs, quantizers
from lineside_benchmarks.export.judging import original_metric
from lineside_benchmarks.export.side_by_side import ORIGINAL, OURS, RIVAL, Measured, Tool, each
from lineside_benchmarks.export.subjects import NETWORKS
from lineside_benchmarks.table import Cell, Table, Target
from lineside_benchmarks.workshop import Workshop

_TOOLS: dict[str, Tool] = {
    RIVAL: programs.skl2onnx,
    "quantize_dynamic": quantizers.dynamic,
    "quantize_static": quantizers.static,
    "float16": quantizers.float16,
    OURS: programs.lineside,
}
_COLUMNS = ["model", "written by", "bytes", "us, 1 row", "us, 256 rows", "metric", "agreement", ""]
_HOW = (
    "onnxruntime's own quantizers with their defaults on skl2onnx's file. `agreement` is the share of held-back rows"
    " with the original's answer; `changes nothing` is a file that is called quantized and is not."
)


def run(workshop: Workshop) -> Table:
    """Measure networks, a linear model and a forest."""
    rows: list[list[Cell]] = []
    samples: dict[str, list[float]] = {}
    worth_it = True
    for found in each(NETWORKS, _TOOLS, quick=workshop.quick):
        rows += _rows(found)
        samples |= found.samples()
        worth_it &= _pays(found)
    aim = "what Lineside ships is smaller or faster than float32"
    target = Target(aim=aim, found="always" if worth_it else "not always", met=worth_it)
    return Table(
        title="Export: quantization",
        how=_HOW,
        columns=_COLUMNS,
        rows=rows,
        targets=[target],
        samples=samples,
    )


def _rows(found: Measured) -> list[list[Cell]]:
    original = _metric(original_metric(found.subject))
    rows: list[list[Cell]] = [[found.subject.name, ORIGINAL, "-", "-", "-", original, "1.000", ""]]
    for name, written in found.written.items():
        numbers: list[Cell] = [written.size, median(found.ones[name]), median(found.many[name])]
        if (judged := found.judged(name)) is not None:
            numbers += [_metric(judged.metric), f"{judged.agreement:.3f}"]
        rows.append([found.subject.name, name, *numbers, written.note])
    rows += [[found.subject.name, name, *["-"] * 5, why] for name, why in found.refused.items()]
    return rows


def _pays(found: Measured) -> bool:
    if not {OURS, RIVAL} <= set(found.written):
        return False
    return found.written[OURS].size < found.written[RIVAL].size or found.ratio(found.ones) < 1


def _metric(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
