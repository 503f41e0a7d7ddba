"""Networks that others trained: what Lineside ships of them, beside onnxruntime's own quantizers."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from lineside_benchmarks.export.network_files import NETWORKS, PEER, Real, path
from lineside_benchmarks.export.network_tools import ORIGINAL, OURS, TOOLS, Quantized
from lineside_benchmarks.export.programs import NotWritten
from lineside_benchmarks.export.timing import latencies
from lineside_benchmarks.table import Cell, Table, Target
from lineside_benchmarks.workshop import Workshop
from lineside_contract.errors import InputError
from lineside_export.quantize.noise import signal_to_noise

# So many rows for the tools, and as many to judge by; 30 % of them must be enough to decide on a candidate.
_ROWS, _QUICK = 100, 40
_COLUMNS = ["network", "written by", "bytes", "us, 1 row", "dB", "largest difference", "same label", ""]
_HOW = (
    "Networks of the packages rapidocr-onnxruntime (Apache-2.0: which way up a line of text is) and silero-vad (MIT:"
    " whether somebody speaks, its state 0 at each window), on crops of scikit-learn's photographs and on made sound."
    " onnxruntime's own quantizers with their defaults, calibrated on the same rows. `dB` is the signal-to-noise"
    " ratio of the probability (its variance against its differences from that of the file itself) on rows that no"
    " tool saw; infinite where nothing changed. `largest difference` is of the probability, too. In made sound nobody"
    " speaks: there no label can change."
)


def run(workshop: Workshop) -> Table:
    """Quantize each network with every tool; those whose package is not installed are left out."""
    rows: list[list[Cell]] = []
    samples: dict[str, list[float]] = {}
    worth_it = True
    missing = _missing()
    for name, real in NETWORKS.items():
        if name in missing:
            continue
        print(f"  {name} ...", file=sys.stderr, flush=True)
        found = _measure(real, quick=workshop.quick)
        rows += [[name, *row] for row in found.rows]
        samples |= {f"{name}, {tool}, us": times for tool, times in found.times.items()}
        worth_it &= found.pays
    aim = "what Lineside ships is smaller or faster than the file, with at least 20 dB"
    target = Target(aim=aim, found="always" if worth_it else "not always", met=worth_it)
    left = f" Not installed, and left out: {', '.join(missing)} (`lineside bench peers install {PEER}`)."
    return Table(
        title="Export: networks of others",
        how=_HOW + (left if missing else ""),
        columns=_COLUMNS,
        rows=rows,
        targets=[target] if rows else [],
        samples=samples,
    )


def _missing() -> list[str]:
    return [name for name, real in NETWORKS.items() if not path(real).exists()]


class _Found(NamedTuple):
    rows: list[list[Cell]]
    times: dict[str, list[float]]
    pays: bool


def _measure(real: Real, *, quick: bool) -> _Found:
    rows = real.rows(2 * (_QUICK if quick else _ROWS))
    given, judging = np.split(rows[np.random.default_rng(1).permutation(len(rows))], 2)
    written: dict[str, Quantized] = {}
    refused: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="lineside-bench-") as folder:
        for name, write in TOOLS.items():
            try:
                written[name] = write(real, path(real), given, Path(folder))
                written[name].answer(judging[:1])
            except (NotWritten, InputError) as reason:
                written.pop(name, None)
                refused[name] = str(reason)
        times = latencies({name: each.answer for name, each in written.items()}, judging, 1, quick=quick)
        answers = {name: each.answer(judging) for name, each in written.items()}
    expected = answers[ORIGINAL]
    noise = {name: signal_to_noise([expected], [found]) for name, found in answers.items()}
    lines: list[list[Cell]] = []
    for name, each in written.items():
        apart = float(np.abs(answers[name] - expected).max())
        same = float(np.mean((answers[name] > 0.5) == (expected > 0.5)))
        numbers = [f"{noise[name]:.1f}", f"{apart:.3f}", f"{same:.3f}"]
        lines.append([name, each.size, median(times[name]), *numbers, each.note])
    lines += [[name, *["-"] * 5, why] for name, why in refused.items()]
    return _Found(lines, times, _pays(written, times, noise))


def _pays(written: dict[str, Quantized], times: dict[str, list[float]], noise: dict[str, float]) -> bool:
    if OURS not in written or noise[OURS] < 20:
        return False
    faster = median(times[OURS]) < median(times[ORIGINAL])
    return written[OURS].size < written[ORIGINAL].size or faster
