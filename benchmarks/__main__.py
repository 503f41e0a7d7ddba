"""`python -m benchmarks`: measure everything, side by side, and write down what was found."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.programs import OTHERS, Failed, use_bytecode_cache
from benchmarks.report import Document, Report, to_json, to_markdown
from benchmarks.table import Table
from benchmarks.workshop import Workshop
from lineside_contract.errors import InputError

BENCHMARKS = ("footprint", "latency", "throughput", "outbox", "collector")
_RESULTS = Path(__file__).parent / "results"
_EPILOG = """\
examples:
  python -m benchmarks                                everything, in less than ten minutes
  python -m benchmarks --only footprint latency
  python -m benchmarks --quick                        see that everything works, in less than a minute
  python -m benchmarks --update docs/benchmarks.md    put the tables into the document

exit code: 0 measured, 1 a program failed, 2 wrong input, 130 interrupted.
A target that is missed is said, and is no failure.
"""


def main() -> int:
    """Run the benchmarks and return the exit code."""
    options = _parser().parse_args()
    try:
        if options.update:
            Document(options.update)  # refused now rather than after ten minutes of work
        report = _measure(options.only, quick=options.quick)
    except InputError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    except Failed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    markdown = to_markdown(report)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{report.time.replace(':', '')}.json"
    path.write_bytes(to_json(report))
    path.with_suffix(".md").write_text(markdown)
    if options.update:
        Document(options.update).put(markdown)
    print(markdown)
    print(f"Written to {path} and {path.with_suffix('.md').name} beside it.", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Lineside beside what a user would pick instead.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="few, short measurements")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=BENCHMARKS,
        default=BENCHMARKS,
        metavar="NAME",
        help=f"some of: {', '.join(BENCHMARKS)}",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=_RESULTS,
        metavar="DIR",
        help="where to write the results (default: benchmarks/results)",
    )
    parser.add_argument("--update", type=Path, metavar="FILE", help="a document with the results' markers")
    return parser


def _measure(names: list[str], *, quick: bool) -> Report:
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tables: dict[str, Table] = {}
    with tempfile.TemporaryDirectory(prefix="lineside-benchmarks-") as name:
        folder = Path(name)
        found = machine.describe(folder)
        use_bytecode_cache(folder / "bytecode")
        os.sched_setaffinity(0, {OTHERS})
        workshop = Workshop(folder, quick=quick)
        for benchmark in names:
            print(f"{benchmark} ...", file=sys.stderr, flush=True)
            tables[benchmark] = importlib.import_module(f"benchmarks.{benchmark}").run(workshop)
    found["load average after"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return Report(time=time, quick=quick, machine=found, tables=tables)


if __name__ == "__main__":
    sys.exit(main())
