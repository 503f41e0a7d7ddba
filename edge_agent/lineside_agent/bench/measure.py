"""The process that runs the model: it does nothing else, so that its memory and its crashes are the model's.

It is told on its command line what to measure, and answers with JSON on stdout: a measurement, or a refusal.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lineside_agent.bench.results import Latency, Load, Measurement, Memory, Order
from lineside_contract.bundle import GOLDEN, Bundle
from lineside_contract.errors import LinesideError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lineside_agent.model import Model
    from lineside_contract.manifest import Channel

_FEWEST_CALLS = 20
_MOST_CALLS = 100_000
_WARM_UP = 5
# How far a golden row is moved, as a share of its channel's range: no two calls see the same rows.
_NOISE = 0.05


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """Why there is no measurement."""

    message: str
    hint: str


class Answer(msgspec.Struct, frozen=True, tag="measurement"):
    """The measurement."""

    measurement: Measurement


def measure(order: Order) -> Measurement:
    """Load a bundle as an agent does, and time its model. Raises BundleError if it may not run here.

    numpy and onnxruntime must not have been imported: what they cost is a part of the answer.
    """
    interpreter = _resident_bytes()
    started = time.perf_counter()
    from lineside_agent.model import Model, read_golden  # noqa: PLC0415  timed, and the memory before it read

    imported = time.perf_counter()
    libraries = _resident_bytes()
    bundle = Bundle.open(Path(order.bundle))
    opened = time.perf_counter()
    model = Model.open(bundle, threads=order.threads)
    loaded = time.perf_counter()
    model_bytes = _resident_bytes()
    golden, _ = read_golden(bundle.files[GOLDEN])
    rows = made_rows(golden, bundle.manifest.channels, 2 * max(order.batches))
    latencies = [time_batch(model, rows, batch, order.seconds) for batch in order.batches]
    return Measurement(
        load=Load(
            import_ms=_ms(imported - started),
            bundle_ms=_ms(opened - imported),
            model_ms=_ms(loaded - opened),
        ),
        memory=Memory(
            interpreter_bytes=interpreter,
            libraries_bytes=libraries,
            model_bytes=model_bytes,
            peak_bytes=_peak_bytes(),
        ),
        latencies=latencies,
    )


def made_rows(golden: NDArray[np.float32], channels: list[Channel], count: int) -> NDArray[np.float32]:
    """Return `count` rows: the golden ones in turn, each moved a little, within its channels' ranges.

    golden: float32, shape (n, window length * channels). A channel without a range, and a NaN, stay as they are.
    """
    import numpy as np  # noqa: PLC0415  only the process that measures may hold it

    length = golden.shape[1] // len(channels)
    low, high = (
        np.tile(np.array([_or_nan(getattr(each, end)) for each in channels], np.float32), length)
        for end in ("minimum", "maximum")
    )
    rows = np.resize(golden, (count, golden.shape[1]))
    noise = np.random.default_rng(0).standard_normal(rows.shape, np.float32)
    moved = np.clip(rows + _NOISE * (high - low) * noise, low, high)
    return np.ascontiguousarray(np.where(np.isnan(moved), rows, moved))


def time_batch(model: Model, rows: NDArray[np.float32], batch: int, seconds: float) -> Latency:
    """Call the model with `batch` rows, each time other ones, for so long.

    rows: float32, shape (n, features), n more than batch.
    """
    import numpy as np  # noqa: PLC0415

    starts = len(rows) - batch + 1
    for call in range(_WARM_UP):
        model.predict(rows[call % starts :][:batch])
    taken: list[int] = []
    until = time.perf_counter_ns() + round(seconds * 1e9)
    while len(taken) < _FEWEST_CALLS or (len(taken) < _MOST_CALLS and time.perf_counter_ns() < until):
        at = len(taken) * batch % starts
        inputs = rows[at : at + batch]
        before = time.perf_counter_ns()
        model.predict(inputs)
        taken.append(time.perf_counter_ns() - before)
    p50, p95, p99 = (float(value) / 1000 for value in np.percentile(taken, (50, 95, 99)))
    return Latency(
        batch=batch,
        calls=len(taken),
        p50_us=round(p50, 2),
        p95_us=round(p95, 2),
        p99_us=round(p99, 2),
        rows_per_s=round(len(taken) * batch / (sum(taken) / 1e9), 1),
    )


def main(arguments: list[str]) -> int:
    """Measure what the one argument orders, and print the answer."""
    answer: Any
    try:
        answer = Answer(measure(msgspec.json.decode(arguments[0], type=Order)))
    except LinesideError as error:
        answer = Refusal(error.message, error.hint)
    except ModuleNotFoundError as error:
        answer = Refusal(f"The package {error.name} is not installed.", "Run: pip install 'lineside[agent]'")
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 0


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def _peak_bytes() -> int:
    # Not ru_maxrss: that begins at what the parent held.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
