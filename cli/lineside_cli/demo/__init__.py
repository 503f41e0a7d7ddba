"""`lineside demo`: the whole path on one machine, with a fault and an outage, and its accounts at the end."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

_EPILOG = """\
It trains a random forest on a simulated machine's vibration, exports it, starts the embedded broker, a collector
and two agents, gives one machine a bearing defect, kills the broker for a few seconds, and ends with a table:
sent, stored, lost, repeated. Nothing is installed, nothing needs root, and everything is deleted at the end.

examples:
  lineside demo
  lineside demo --keep                 go on until Ctrl-C; look at it with `lineside watch` or your own client
  lineside demo --folder demo-files    keep model, bundle, settings, logs and the collector's file there
"""


def configure_demo(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside demo`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "--keep", action="store_true", help="after the show, leave it all running until Ctrl-C"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="a new folder to keep all files in")
    parser.add_argument(
        "--port", type=int, metavar="PORT", help="the broker's port (default: 1883, or a free one)"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    # Importing them first tells at once, and in one sentence, what is not installed.
    for package in ("lineside_agent.model", "lineside_agent.mqtt", "lineside_export.convert.sklearn", "rich"):
        import_module(package)
    from lineside_cli.demo.show import run

    return run(options.folder, options.port, keep=options.keep)
