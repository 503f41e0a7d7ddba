"""`lineside bench NAME`: measure Lineside beside what a user would pick instead, and compare two runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# One module of this package each, or one package with a function `run`; `all` runs them in this order.
BENCHMARKS = {
    "footprint": "resident memory, beside the least that Python allows",
    "latency": "from a reading to the broker, and on to the collector's store",
    "throughput": "predictions a second on one core, and what each costs",
    "outbox": "puts a second, bytes written to flash, opening a million waiting messages",
    "collector": "predictions a second from a broker into a database",
}
NAMES = (*BENCHMARKS, "all")
_EPILOG = """\
examples:
  lineside bench latency                        one of them
  lineside bench all --quick                    see that everything works, in about a minute
  lineside bench all --update docs/benchmarks.md

Each run prints its tables and writes them to the output folder, with every single measurement as JSON. What is
measured has one core for itself, brokers and listeners another. `lineside bench BUNDLE` measures one bundle.

exit codes: 0 measured, 1 a program failed, 2 wrong input, 130 interrupted. A missed target is said, and no failure.
"""


def configure_suite(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside bench NAME`."""
    _explain(parser)
    commands = parser.add_subparsers(metavar="NAME", required=True)
    for name, summary in BENCHMARKS.items():
        _configure_measure(commands.add_parser(name, help=summary, description=summary), [name])
    summary = "all of these, one after the other"
    _configure_measure(commands.add_parser("all", help=summary, description=summary), list(BENCHMARKS))


def _explain(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG


def _configure_measure(parser: argparse.ArgumentParser, names: list[str]) -> None:
    _explain(parser)
    parser.add_argument("--quick", action="store_true", help="few, short measurements: not to be believed")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("bench-results"),
        metavar="DIR",
        help="where to write the results (default: %(default)s)",
    )
    parser.add_argument(
        "--update", type=Path, metavar="FILE", help="also put the tables between a document's markers"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of Markdown")
    parser.set_defaults(run=_measure, names=names)


def _measure(options: argparse.Namespace) -> int:
    from lineside_benchmarks.report import Document, to_json, to_markdown, write
    from lineside_benchmarks.suite import measure

    document = Document(options.update) if options.update else None  # refused now, not after the work
    report = measure(options.names, quick=options.quick)
    markdown = to_markdown(report)
    paths = write(report, options.output)
    if document is not None:
        document.put(markdown)
    print(to_json(report).decode() if options.json else markdown, end="")
    print(f"Wrote {', '.join(str(path) for path in paths)}.", file=sys.stderr)
    return 0
