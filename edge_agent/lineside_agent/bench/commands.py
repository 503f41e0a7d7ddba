"""`lineside bench`: what a bundle costs on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lineside_contract.errors import InputError

if TYPE_CHECKING:
    from lineside_agent.bench.results import Bench

_EPILOG = """\
examples:
  lineside bench pump-1.0.0.bundle.zip
  lineside bench pump-1.0.0.bundle.zip --seconds 10 --write     also into pump-1.0.0.bench.json beside it
  lineside bench pump-1.0.0.bundle.zip --json | jq '.latencies[] | {batch, p99_us}'
  lineside bench compare pump-1.0.0.bench.json pump-1.1.0.bench.json
  lineside bench latency --help                                 measure Lineside itself; a bundle named so is
                                                                ./latency

The model runs in a process of its own, as the agent runs it, again and again without a pause. An agent that is
woken for each single reading takes up to twenty times as long for it, because its caches are cold.

Names in place of BUNDLE (`lineside bench NAME --help` explains one; they need lineside[bench]):
  inference, footprint, startup, latency, throughput, floor, clients, outbox, outage, collector
             measure one thing of Lineside, beside what you would use instead
  all        these ten, one after the other
  export     what the exporter writes, beside skl2onnx, quantizers and compilers of trees
  soak       a day of random faults in accelerated time
  compare    what changed between two runs beyond noise, or between two bundles
  peers      list or install what is measured beside Lineside

exit codes: 0 measured, 2 the bundle is damaged or cannot run here, 130 interrupted
"""
_LONGEST_S = 3600


def configure_bench(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside bench`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    # Optional for argparse alone: without it the help tells more than argparse's complaint.
    parser.usage = f"{parser.prog} BUNDLE [options]\n       {parser.prog} NAME [options]"
    parser.add_argument("bundle", type=Path, nargs="?", metavar="BUNDLE", help="the bundle to measure")
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=1.0,
        metavar="S",
        help="how long each batch size is measured, at least 20 calls (default: %(default)g)",
    )
    parser.add_argument(
        "--threads",
        type=_threads,
        default=1,
        metavar="N",
        help="onnxruntime's, as in the agent's [input] (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.add_argument(
        "--write", action="store_true", help="also write them to NAME.bench.json beside the bundle"
    )
    parser.set_defaults(run=lambda options: _bench(options) if options.bundle else _teach(parser))


def _teach(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return InputError.exit_code


def _bench(options: argparse.Namespace) -> int:
    from lineside_agent.bench import run
    from lineside_agent.bench.results import Order

    target = run.results_path(options.bundle) if options.write else None
    order = Order(bundle=str(options.bundle), threads=options.threads, seconds=options.seconds)
    with _progress(f"measuring, {len(order.batches) * options.seconds:g} s or a little more"):
        found = run.bench(order)
    if target is not None:
        run.write(target, found)
    if options.json:
        print(run.as_json(found).decode(), end="")
        return 0
    print("\n".join(_lines(found)))
    if target is not None:
        print(f"Wrote {target}.")
    return 0


@contextmanager
def _progress(text: str) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    print(text, end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _lines(found: Bench) -> Iterator[str]:
    memory, load = found.memory, found.load
    yield f"{found.model} {found.version} ({found.candidate}) on {found.board.name}"
    yield ""
    yield f"{'batch':>6} {'p50 us':>10} {'p95 us':>10} {'p99 us':>10} {'rows/s':>12} {'calls':>8}"
    for each in found.latencies:
        yield (
            f"{each.batch:>6} {each.p50_us:>10,.1f} {each.p95_us:>10,.1f} {each.p99_us:>10,.1f} "
            f"{each.rows_per_s:>12,.0f} {each.calls:>8,}"
        )
    yield ""
    yield f"bytes    bundle {found.bundle_bytes:,}, model.onnx {found.onnx_bytes:,}"
    yield (
        f"load     {load.model_ms:.1f} ms model and golden rows, {load.bundle_ms:.1f} ms reading and verifying, "
        f"{load.import_ms:.0f} ms importing"
    )
    yield (
        f"memory   {_mb(memory.interpreter_bytes)} interpreter, {_mb(memory.libraries_bytes)} with the libraries, "
        f"{_mb(memory.model_bytes)} with the model, {_mb(memory.peak_bytes)} at most"
    )
    yield f"machine  {'; '.join(_circumstances(found))}"


def _circumstances(found: Bench) -> Iterator[str]:
    board = found.board
    yield f"{board.architecture}, {board.cpus} CPUs, {found.threads} used"
    if board.governor:
        yield f"governor {board.governor}"
    if board.temperature_before_c is not None and board.temperature_after_c is not None:
        yield f"{board.temperature_before_c:.0f} to {board.temperature_after_c:.0f} degrees"
    if board.throttled:
        yield f"SLOWED by {', '.join(board.throttled)}"
    yield f"load average {board.load_average_before:g} before"
    yield ", ".join(f"{package} {number}" for package, number in board.versions.items())


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most {_LONGEST_S}")
    return value


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 256")
    return int(text)
