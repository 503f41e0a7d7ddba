"""`lineside sensor`: list the kinds, and show what a sensor gives, before an agent depends on it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lineside_contract.errors import InputError, SensorError, nearest
from lineside_contract.subcommands import add_commands

if TYPE_CHECKING:
    from lineside_agent.settings import SensorSettings

_EPILOG = """\
examples:
  lineside sensor list                                   which kinds there are, and what each needs
  lineside sensor test thermal                           live values of a kind that need not be told anything
  lineside sensor test --config agent.toml               those of the sensor that an agent will read
"""
_LIST_EPILOG = """\
examples:
  lineside sensor list
  lineside sensor list --json | jq '.[] | select(.ready | not)'

docs/guides/sensors.md explains each kind; `lineside agent init --sensor KIND` writes its section.
"""
_TEST_EPILOG = """\
examples:
  lineside sensor test --config agent.toml
  lineside sensor test serial --set port=/dev/ttyUSB0 --set 'columns=["a", "b"]'
  lineside sensor test modbus --set url=tcp://192.168.1.20 --set 'registers.t={address=100, type="int16"}'
  lineside sensor test thermal --count 3 --json
  lineside sensor test --config agent.toml --seconds 60 > readings.csv     a recording, for kind = "replay"

On a terminal a table shows each channel's value now, its least and its most; elsewhere each reading is a line of CSV.
Malformed readings are told on standard error and left out. Ctrl-C ends it.

exit codes: 0 enough has come, 1 the sensor gives nothing now, 2 a setting must be corrected, 130 interrupted
"""
_INTERRUPTED = 130
_GREEN, _YELLOW, _PLAIN = "\033[32m", "\033[33m", "\033[0m"


def configure_sensor(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside sensor`."""
    _explain(parser, _EPILOG)
    commands = add_commands(parser)
    listing = commands.add_parser("list", help="the kinds of sensor, and what each needs")
    _explain(listing, _LIST_EPILOG)
    listing.add_argument("--json", action="store_true", help="print the kinds as one JSON list")
    listing.set_defaults(run=_list)
    _configure_test(commands.add_parser("test", help="show live values of a sensor"))


def _configure_test(parser: argparse.ArgumentParser) -> None:
    _explain(parser, _TEST_EPILOG)
    parser.add_argument("kind", nargs="?", metavar="KIND", help="the kind, for a sensor without a file")
    parser.add_argument("--config", type=Path, metavar="FILE", help="an agent's settings, such as agent.toml")
    parser.add_argument("--sensor", metavar="NAME", help="of several that --config joins, only this one")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of KIND; may be repeated"
    )
    parser.add_argument("--count", type=_whole, default=0, metavar="N", help="end after N readings")
    parser.add_argument("--seconds", type=_seconds, default=0.0, metavar="S", help="end after S seconds")
    parser.add_argument("--json", action="store_true", help="print each reading as a JSON object")
    parser.set_defaults(run=_test)


def _explain(parser: argparse.ArgumentParser, epilog: str) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = epilog


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most 86400")
    return value


def _list(options: argparse.Namespace) -> int:
    import msgspec

    from lineside_agent.sensor_cli.kinds import states

    found = states()
    if options.json:
        print(json.dumps([msgspec.to_builtins(state) for state in found], indent=2, ensure_ascii=False))
        return 0
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = max(len(state.reads) for state in found)
    for state in found:
        word = "ready" if state.ready else "missing"
        mark = f"{_GREEN if state.ready else _YELLOW}{word:<8}{_PLAIN}" if colour else f"{word:<8}"
        print(f"{mark} {state.kind:<10} {state.reads:<{width}}  {state.hint or state.needs}".rstrip())
    return 0


def _test(options: argparse.Namespace) -> int:
    import signal

    from lineside_agent.clock import Signal
    from lineside_agent.sensor_cli.live import Form, Order, show

    sensor = _sensor(options)
    form: Form = "json" if options.json else "table" if sys.stdout.isatty() else "csv"
    stop = Signal()
    interrupted = []

    def on_signal(number: int, _frame: object) -> None:
        interrupted.append(number)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        show(Order(sensor, form, options.count, options.seconds), stop)
    except SensorError:
        if not interrupted:  # that it has given nothing is no news to who did not want to wait
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return _INTERRUPTED if interrupted else 0


def _sensor(options: argparse.Namespace) -> SensorSettings:
    """Return the sensor that the arguments mean. Raises InputError."""
    from lineside_agent.settings import load

    if (options.kind is None) == (options.config is None):
        raise InputError(
            "Say which sensor to show: a kind, or --config.",
            hint="For instance: lineside sensor test thermal",
        )
    if options.config is None:
        return _of_kind(options.kind, options.set)
    if options.set:
        raise InputError("--set is for a KIND; with --config the file says all.", hint="Change the file.")
    sensor = next(iter(load(options.config, os.environ).sensors.values()))
    parts = getattr(sensor.options, "parts", {})
    if options.sensor is None:
        return sensor
    if options.sensor not in parts:
        hint = nearest(options.sensor, parts) or f"There are: {', '.join(parts) or 'none that are joined'}."
        raise InputError(f"{options.config} joins no sensor {options.sensor!r}.", hint=hint)
    part: SensorSettings = parts[options.sensor]
    return part


def _of_kind(kind: str, assignments: list[str]) -> SensorSettings:
    from lineside_agent.sensors import settings_type
    from lineside_agent.settings import SensorSettings
    from lineside_agent.tables import Source, Variable, decode

    table: dict[str, object] = {}
    variables = {}
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign or not key:
            raise InputError(
                f"--set {assignment!r} sets nothing.", hint="Write it as --set port=/dev/ttyUSB0."
            )
        *sections, last = key.strip().split(".")
        inner = table
        for section in sections:
            found = inner.setdefault(section, {})
            if not isinstance(found, dict):
                raise InputError(f"--set {assignment!r}: {section} is no section.")
            inner = found
        inner[last] = Variable(f"--set {key}", text)
        variables[key.strip()] = f"--set {key.strip()}"
    hint = f"Say it as --set KEY=VALUE; docs/guides/sensors.md lists what {kind} takes."
    source = Source(Path(kind), variables, missing=hint)
    return SensorSettings(kind=kind, options=decode(settings_type(kind), table, source))
