"""What it costs to load an ONNX file: `python -m lineside_benchmarks.export.loading FILE`, a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

_SPAWNS, _QUICK_SPAWNS = 5, 1


class Loading(NamedTuple):
    """Milliseconds until the session is there, and the resident megabytes (of 1,000,000 bytes) that it takes."""

    ms: float
    mb: float


def loading(graph: bytes, folder: Path, *, quick: bool) -> Loading:
    """Load a graph in new processes and return the medians."""
    path = folder / "loading.onnx"
    path.write_bytes(graph)
    command = [sys.executable, "-m", "lineside_benchmarks.export.loading", str(path)]
    found = []
    for _ in range(_QUICK_SPAWNS if quick else _SPAWNS):
        answer = subprocess.run(command, check=True, capture_output=True).stdout
        found.append(msgspec.json.decode(answer, type=tuple[float, float]))
    return Loading(*(median(column) for column in zip(*found, strict=True)))


def main(path: Path) -> None:
    """Load the file and print the cost as JSON."""
    import onnxruntime  # not in the process that only asks

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = path.read_bytes()
    before, started = _resident(), time.perf_counter()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    took = time.perf_counter() - started
    more = _resident() - before
    print(msgspec.json.encode((1000 * took, more / 1e6)).decode())
    del session


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
