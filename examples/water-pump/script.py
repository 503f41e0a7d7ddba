"""What the example's programs have in common: their options, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from lineside_contract.errors import LinesideError

MODELS = ("forest", "network")
VERSION = "1.0.0"


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with --data and --work."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="SKAB's folder data, with valve1, ..."
    )
    found.add_argument(
        "--work",
        type=Path,
        default=Path("pump-work"),
        metavar="FOLDER",
        help="where everything goes (default: %(default)s)",
    )
    return found


def run(main: Callable[[], None]) -> int:
    """Run a program and return its exit code; say in one sentence what went wrong."""
    try:
        main()
    except LinesideError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def bundle(work: Path, model: str) -> Path:
    """Return where a model's bundle is."""
    return work / f"{model}-{VERSION}.bundle.zip"


def store(work: Path) -> Path:
    """Return where the collector's database is."""
    return work / "line" / "collector.sqlite"


def device(recording: str, model: str) -> str:
    """Return the id of the device that replays a recording for a model."""
    return f"{recording}-{model}"
