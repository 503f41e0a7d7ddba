"""Two bundles side by side, from what `lineside bench BUNDLE --write` wrote of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from lineside_agent.bench.results import Bench, Latency
from lineside_benchmarks import compare as runs
from lineside_contract.errors import InputError

_CAUTION = (
    "Each file holds percentiles of one run and no single measurements, so that nothing here tells a change from"
    " noise: measure each bundle again, and believe what stays."
)


class Figure(Struct, frozen=True, kw_only=True):
    """One quantity of both bundles; `ratio` is after by before."""

    quantity: str
    before: float
    after: float
    ratio: float | None


def read_pair(before: Path, after: Path) -> tuple[Bench, Bench] | None:
    """Read the results of two bundles; None if neither file holds such. Raises InputError if only one does."""
    found = [_read(path) for path in (before, after)]
    match found:
        case [Bench() as one, Bench() as other]:
            return one, other
        case [None, None]:
            return None
    of_bundle, of_run = (before, after) if found[0] else (after, before)
    runs.read(of_run)  # which says it if it is nothing at all
    raise InputError(
        f"{of_bundle} holds a bundle's results, and {of_run} a run of Lineside's benchmarks.",
        hint="Compare two of a kind.",
    )


def _read(path: Path) -> Bench | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Bench)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def compare(before: Bench, after: Bench) -> list[Figure]:
    """Put every quantity that both have beside the other's."""
    there = dict(_quantities(after))
    return [
        Figure(quantity=name, before=value, after=there[name], ratio=there[name] / value if value else None)
        for name, value in _quantities(before)
        if name in there
    ]


def _quantities(found: Bench) -> Iterator[tuple[str, float]]:
    yield "bundle bytes", found.bundle_bytes
    yield "model.onnx bytes", found.onnx_bytes
    yield "importing ms", found.load.import_ms
    yield "reading and verifying ms", found.load.bundle_ms
    yield "model and golden rows ms", found.load.model_ms
    yield "memory with the model MB", found.memory.model_bytes / 1e6
    yield "memory at most MB", found.memory.peak_bytes / 1e6
    for latency in found.latencies:
        yield from _percentiles(latency)


def _percentiles(latency: Latency) -> Iterator[tuple[str, float]]:
    rows = "1 row" if latency.batch == 1 else f"{latency.batch} rows"
    yield f"{rows}, p50 us", latency.p50_us
    yield f"{rows}, p95 us", latency.p95_us
    yield f"{rows}, p99 us", latency.p99_us


def to_json(before: Bench, after: Bench) -> str:
    """Return both bundles' figures as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(compare(before, after)), indent=2).decode()


def to_text(before: Bench, after: Bench) -> str:
    """Return both bundles' figures as a table, and what it cannot tell."""
    lines = [f"before: {_name(before)}", f"after:  {_name(after)}", ""]
    lines.append(f"{'':<24} {'before':>12} {'after':>12} {'ratio':>7}")
    lines += [
        f"{one.quantity:<24} {_number(one.before):>12} {_number(one.after):>12}"
        f" {'' if one.ratio is None else f'{one.ratio:.2f}':>7}".rstrip()
        for one in compare(before, after)
    ]
    if unlike := _unlike(before, after):
        lines += ["", f"Not measured alike, which the ratios hold as well: {'; '.join(unlike)}."]
    return "\n".join([*lines, "", _CAUTION])


def _name(found: Bench) -> str:
    return (
        f"{found.model} {found.version} ({found.candidate}), measured {found.measured} on {found.board.name}"
    )


def _number(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def _unlike(before: Bench, after: Bench) -> list[str]:
    here, there = _circumstances(before), _circumstances(after)
    return [f"{name} {here[name]} and {there[name]}" for name in here if here[name] != there.get(name)]


def _circumstances(found: Bench) -> dict[str, str]:
    board = found.board
    return {
        "board": board.name,
        "kernel": board.kernel,
        "CPUs": str(board.cpus),
        "threads": str(found.threads),
        "governor": board.governor or "unknown",
        "slowed by": ", ".join(board.throttled or []) or "nothing",
        "Python": board.versions.get("python", "unknown"),
        "numpy": board.versions.get("numpy", "unknown"),
        "onnxruntime": board.versions.get("onnxruntime", "unknown"),
    }
