"""The arguments of `lineside bench NAME`, and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_measure(parser: argparse.ArgumentParser) -> None:
    """Add what every benchmark takes."""
    parser.add_argument("--quick", action="store_true", help="few, short measurements: not to be believed")
    _add_output(parser)


def add_outage(parser: argparse.ArgumentParser) -> None:
    """Add what chooses scenarios and systems."""
    parser.add_argument(
        "--scenario",
        action="append",
        metavar="NAME",
        help="one of those that come with Lineside, or a .toml file; may be repeated (default: all)",
    )
    parser.add_argument(
        "--system", action="append", metavar="NAME", help="may be repeated (default: all that are installed)"
    )
    _add_time_scale(parser, 0.05)


def add_soak(parser: argparse.ArgumentParser) -> None:
    """Add what chooses the day."""
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="the same faults again (default: %(default)s)"
    )
    parser.add_argument(
        "--hours", type=_positive, default=24.0, metavar="H", help="of scenario time (default: %(default)g)"
    )
    _add_time_scale(parser, 1 / 60)
    _add_output(parser)


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Add the two runs, or the results of two bundles."""
    parser.add_argument(
        "before",
        type=Path,
        metavar="A",
        help="a run's JSON, or NAME.bench.json, which `lineside bench BUNDLE --write` wrote",
    )
    parser.add_argument("after", type=Path, metavar="B", help="another of the same kind")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_peers(parser: argparse.ArgumentParser) -> None:
    """Add what to do with which peers."""
    parser.add_argument("what", choices=("list", "install", "upgrade"), help="install: what is missing")
    parser.add_argument("peer", nargs="*", metavar="PEER", help="default: all")


def _add_output(parser: argparse.ArgumentParser) -> None:
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


def _add_time_scale(parser: argparse.ArgumentParser, default: float) -> None:
    parser.add_argument(
        "--time-scale",
        type=_positive,
        default=default,
        metavar="X",
        help="how long faults last, as a share of what is written: 1 for real time (default: %(default).3g)",
    )


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most 1000")
    return value
