"""One model written by several tools, each timed by turns and judged."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeAlias

from lineside_benchmarks.export import programs
from lineside_benchmarks.export.judging import Judgement, judge
from lineside_benchmarks.export.programs import NotWritten, Written
from lineside_benchmarks.export.subjects import Recipe, Subject, fit
from lineside_benchmarks.export.timing import latencies
from lineside_contract.errors import InputError

# Writes a model into a folder. Raises NotWritten or InputError.
Tool: TypeAlias = Callable[[Subject, Path], Written]

ORIGINAL, RIVAL, OURS = "original", "skl2onnx", "lineside"
EXACT: dict[str, Tool] = {
    ORIGINAL: programs.original,
    RIVAL: programs.skl2onnx,
    OURS: programs.lineside_exact,
}
HOW = (
    "`original` is scikit-learn, or LightGBM, itself. One thread, medians of calls with rows that change, all"
    " programs by turns. `skl2onnx` has its opsets pinned and zipmap off, which is faster than its defaults."
    " `wrong` is the share of rows, held back and made to hurt (thresholds and their float32 neighbours, extremes),"
    " that are not answered as the original answers them, within float32's tolerance."
)


class Measured(NamedTuple):
    """One model, as every tool wrote it: microseconds for one row and for 256, or why there is nothing."""

    subject: Subject
    written: dict[str, Written]
    refused: dict[str, str]
    ones: dict[str, list[float]]
    many: dict[str, list[float]]

    def judged(self, name: str) -> Judgement | None:
        """Hold what a tool wrote against the original; None for what is no ONNX file."""
        written = self.written[name]
        return None if written.graph is None else judge(self.subject, written)

    def ratio(self, times: Mapping[str, list[float]]) -> float:
        """Return our latency in terms of skl2onnx's; NaN, which reaches nothing, if one of the two is missing."""
        if not {OURS, RIVAL} <= set(times):
            return float("nan")
        return median(times[OURS]) / median(times[RIVAL])

    def samples(self) -> dict[str, list[float]]:
        """Return every single measurement of one row, by model and tool."""
        return {f"{self.subject.name}, {name}, us": times for name, times in self.ones.items()}


def each(recipes: Mapping[str, Recipe], tools: Mapping[str, Tool], *, quick: bool) -> Iterator[Measured]:
    """Fit and measure one model after the other."""
    for name, recipe in recipes.items():
        print(f"  {name} ...", file=sys.stderr, flush=True)
        yield _measure(fit(name, recipe, quick=quick), tools, quick=quick)


def share(judged: Judgement | None) -> str:
    """Return the share of wrong rows for a table."""
    return "-" if judged is None else f"{judged.wrong:.2%}"


def _measure(subject: Subject, tools: Mapping[str, Tool], *, quick: bool) -> Measured:
    written: dict[str, Written] = {}
    refused: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="lineside-bench-") as folder:
        for name, tool in tools.items():
            try:
                written[name] = tool(subject, Path(folder))
            except (NotWritten, InputError) as reason:
                refused[name] = str(reason)
        answering = {name: program.answer for name, program in written.items()}
        ones, many = (latencies(answering, subject.rows.inputs, batch, quick=quick) for batch in (1, 256))
    return Measured(subject, written, refused, ones, many)
