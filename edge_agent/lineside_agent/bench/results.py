"""What was measured. `lineside bench --json` prints it, and `--write` puts it beside the bundle."""

from __future__ import annotations

from msgspec import Struct

FORMAT = 1


class Order(Struct, frozen=True, kw_only=True):
    """What to measure. `seconds` is spent on each batch size, or more where the fewest calls take longer."""

    bundle: str
    threads: int = 1
    seconds: float = 1.0
    batches: tuple[int, ...] = (1, 16, 256)


class Latency(Struct, frozen=True, kw_only=True):
    """How long one call with `batch` rows takes. Of few calls the p99 is little more than the slowest."""

    batch: int
    calls: int
    p50_us: float
    p95_us: float
    p99_us: float
    rows_per_s: float


class Load(Struct, frozen=True, kw_only=True):
    """From nothing to a model that may run: importing, reading and verifying the bundle, session and golden rows."""

    import_ms: float
    bundle_ms: float
    model_ms: float


class Memory(Struct, frozen=True, kw_only=True):
    """Resident memory of a process that does nothing else: the interpreter, then what each step came to.

    `libraries_bytes`: with numpy and onnxruntime; `model_bytes`: with the model, tried; `peak_bytes`: the
    most there ever was, batches of every size included.
    """

    interpreter_bytes: int
    libraries_bytes: int
    model_bytes: int
    peak_bytes: int


class Measurement(Struct, frozen=True, kw_only=True):
    """What the process that ran the model tells."""

    load: Load
    memory: Memory
    latencies: list[Latency]


class Board(Struct, frozen=True, kw_only=True):
    """What it was measured on. `throttled` says what has slowed a Raspberry Pi down since its start."""

    name: str
    architecture: str
    kernel: str
    cpus: int
    governor: str
    temperature_before_c: float | None
    temperature_after_c: float | None
    throttled: list[str] | None
    load_average_before: float
    versions: dict[str, str]


class Bench(Struct, frozen=True, kw_only=True):
    """A bundle, a machine, and what the one costs on the other. Sizes in bytes, as files."""

    format: int = FORMAT
    model: str
    version: str
    candidate: str
    bundle_sha256: str
    bundle_bytes: int
    onnx_bytes: int
    measured: str
    threads: int
    load: Load
    memory: Memory
    latencies: list[Latency]
    board: Board
