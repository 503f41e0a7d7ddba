"""`lineside collector`: run it, and look at what it collected."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lineside_contract.errors import InputError
from lineside_contract.subcommands import add_commands

if TYPE_CHECKING:
    import sqlite3

    from lineside_contract.ranges import SeqRanges

FOLLOW_EVERY_S = 0.5
NEWEST = 20

_EPILOG = """\
examples:
  lineside collector run --broker mqtt://localhost:1883 --site site-1
  lineside collector devices
  lineside collector predictions --device press-4 --last 5
  lineside collector predictions --since 1h --json
  lineside collector gaps
  lineside collector export --format csv -o predictions.csv

`lineside collector COMMAND --help` explains one. All but `run` only read, also while the collector runs.
"""
_RUN_EPILOG = """\
The password is read from LINESIDE_BROKER_PASSWORD or from --password-file, never from the command line.
`collector ready` appears on stderr once the broker has granted the subscriptions. SIGTERM and Ctrl-C finish
the batch at hand and stop cleanly. Killed at any moment, it loses nothing and stores nothing twice.

examples:
  lineside collector run --broker mqtt://localhost:1883 --site site-1
  LINESIDE_BROKER_PASSWORD=secret lineside collector run --broker mqtts://broker.example:8883 \\
      --ca-file ca.crt --username collector --site site-1 --store /var/lib/lineside/site-1.sqlite
"""
_GAPS_EPILOG = """\
missing    should be there, and is not: still on its way, in the device's outbox, or lost
dropped    the device says that it had to drop these: its outbox was full
unwritten  made shortly before the device's power failed, never on its disk

exit code: 0 if nothing is missing, 1 if something is.
"""


def configure_collector(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `lineside collector`."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = add_commands(parser)
    _configure_run(_add(commands, "run", _run, "collect until stopped", _RUN_EPILOG))
    devices = _add(commands, "devices", _devices, "list the devices and how they are")
    _add_json(_add_store(devices))
    predictions = _add(
        commands, "predictions", _predictions, "print predictions, the newest or a span of time"
    )
    _add_device(_add_json(_add_store(predictions)))
    span = predictions.add_mutually_exclusive_group()
    span.add_argument(
        "--last", type=_count, metavar="N", help=f"the newest N of each device (default: {NEWEST})"
    )
    _add_since(span)
    predictions.add_argument(
        "--follow", action="store_true", help="go on printing what arrives, until Ctrl-C"
    )
    events = _add(commands, "events", _events, "print what happened on the devices")
    _add_device(_add_json(_add_store(events)))
    gaps = _add(commands, "gaps", _gaps, "tell what is missing, and why", _GAPS_EPILOG)
    _add_device(_add_json(_add_store(gaps)))
    export = _add(commands, "export", _export, "write predictions to a CSV or Parquet file")
    _add_since(_add_device(_add_store(export)))
    export.add_argument("--format", choices=("csv", "parquet"), help="default: by the file's ending")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the file to write")
    rejected = _add(commands, "rejected", _rejected, "print the newest messages that could not be read")
    _add_json(_add_store(rejected))


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    epilog: str = "",
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_store(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--store",
        type=Path,
        metavar="FILE",
        help="the SQLite file (default: ~/.local/state/lineside/collector.sqlite)",
    )
    return parser


def _add_json(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    return parser


def _add_device(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--device", metavar="NAME", help="only this device")
    return parser


def _add_since(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--since", metavar="SPAN", help="by the device's clock: 90s, 30m, 1h, 7d or 2026-01-31T12:00:00 (UTC)"
    )


def _configure_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--broker", required=True, metavar="URL", help="mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"
    )
    parser.add_argument("--site", required=True, metavar="NAME", help="the site whose devices to collect")
    parser.add_argument(
        "--id", metavar="NAME", help="this collector's name at the broker (default: the host's)"
    )
    _add_store(parser)
    parser.add_argument("--username", metavar="NAME", help="the user name at the broker")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="a file whose first line is the password"
    )
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="the authority that signed the broker's certificate"
    )
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="this collector's own certificate (PEM)"
    )
    parser.add_argument("--key", type=Path, metavar="FILE", help="the key of --certificate (PEM)")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of predictions")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from lineside_collector.run import run

    return run(options)


@contextmanager
def _reading(options: argparse.Namespace) -> Iterator[sqlite3.Connection]:
    import sqlite3

    from lineside_collector.queries import open_store
    from lineside_collector.store import default_store

    path = options.store or default_store()
    database = open_store(path)
    try:
        yield database
    except sqlite3.Error as error:
        raise InputError(f"The store {path} cannot be read: {error}.") from error
    finally:
        database.close()


def _devices(options: argparse.Namespace) -> int:
    from lineside_collector import queries, show

    with _reading(options) as database:
        found = queries.devices(database)
        if options.json:
            show.print_json(found)
        else:
            show.print_devices(found, queries.rejected_ever(database))
    return 0


def _predictions(options: argparse.Namespace) -> int:
    from lineside_collector import queries, show, stored

    printer = show.print_json if options.json else show.print_predictions
    with _reading(options) as database:
        _say_if_empty(database, options)
        database.execute("BEGIN")  # what is followed begins exactly where what is shown ends
        seen = queries.received(database, options.device) if options.follow else {}
        if options.since is not None:
            printer(stored.predictions(database, options.device, _since(options)))
        else:
            printer(stored.newest(database, options.device, options.last or NEWEST))
        database.execute("ROLLBACK")
        if options.follow:
            _follow(database, options.device, {boot.id: ranges for boot, ranges in seen.items()}, printer)
    return 0


def _say_if_empty(database: sqlite3.Connection, options: argparse.Namespace) -> None:
    from lineside_collector import queries, show

    if not options.json and not queries.device_ids(database, None):
        show.print_nothing_yet()


def _follow(
    database: sqlite3.Connection, device: str | None, seen: dict[int, SeqRanges], printer: Callable[..., None]
) -> None:
    from lineside_collector.stored import arrivals

    version = None
    while True:
        if version != (version := database.execute("PRAGMA data_version").fetchone()[0]):
            printer(arrivals(database, device, seen))
        time.sleep(FOLLOW_EVERY_S)


def _events(options: argparse.Namespace) -> int:
    from lineside_collector import show, stored

    with _reading(options) as database:
        _say_if_empty(database, options)
        found = stored.events(database, options.device)
        if options.json:
            show.print_json(found)
        else:
            show.print_events(found)
    return 0


def _gaps(options: argparse.Namespace) -> int:
    from lineside_collector import gaps, queries, show

    with _reading(options) as database:
        found = gaps.gaps(database, options.device)
        if options.json:
            show.print_json(found)
        else:
            beats = {one.device: one.heartbeat for one in queries.devices(database)}
            show.print_gaps(
                found, {device: beat.outbox_messages for device, beat in beats.items() if beat is not None}
            )
    return 1 if any(one.missing for one in found) else 0


def _export(options: argparse.Namespace) -> int:
    from lineside_collector import export, stored

    form = options.format or options.output.suffix.lstrip(".").lower()
    if form not in export.FORMATS:
        raise InputError(
            f"{options.output} does not say in which format.", hint="Add --format csv or --format parquet."
        )
    export.check_format(form)
    since = None if options.since is None else _since(options)
    with _reading(options) as database, export.whole_file(options.output) as file:
        columns = export.find_columns(database, options.device)
        rows = export.counted(stored.predictions(database, options.device, since), sys.stderr)
        export.FORMATS[form](file, columns, rows)
    return 0


def _rejected(options: argparse.Namespace) -> int:
    from lineside_collector import queries, show

    with _reading(options) as database:
        found = queries.rejected(database)
        if options.json:
            show.print_json(found)
        else:
            show.print_rejected(found)
    return 0


def _since(options: argparse.Namespace) -> int:
    from lineside_collector.since import parse_since

    return parse_since(options.since, time.time_ns() // 1_000_000)
