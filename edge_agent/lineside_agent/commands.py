"""`lineside agent`: set a device up, check it, run it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lineside_agent.install import commands as service
from lineside_contract.subcommands import add_commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lineside_agent.check import Result
    from lineside_agent.starter import Written

_EPILOG = """\
examples:
  lineside agent init --bundle pump-1.0.0.bundle.zip     write a commented agent.toml
  lineside agent check                                   try everything it needs, step by step
  lineside agent run                                     run until Ctrl-C or SIGTERM
  sudo lineside agent install --now                      run it as a service, watched and started at every boot

exit codes: 0 done, 1 failed and may work later, 2 wrong input, 130 interrupted
"""
_INIT_EPILOG = """\
examples:
  lineside agent init                                    a simulated machine, the bundle of this folder
  lineside agent init --replay rows.csv --device pump-1 --site plant-1 --broker mqtts://broker.plant-1:8883
  lineside agent init --sensor stdin                     for readings that a program of yours prints
  lineside agent init --sensor modbus --force            another sensor in an agent.toml that is there
"""
_CHECK_EPILOG = """\
examples:
  lineside agent check
  lineside agent check --config /etc/lineside/agent.toml --offline
  lineside agent check --json | jq '.steps[] | select(.state == "failed")'

exit codes: 0 all is well, 1 something does not work now, 2 something must be corrected
"""
_RUN_EPILOG = """\
examples:
  lineside agent run
  LINESIDE__BROKER__PASSWORD=... lineside agent run --config /etc/lineside/agent.toml
  your-sensor-program | lineside agent run               with kind = "stdin" in [sensors.main]

Ctrl-C or SIGTERM stops it cleanly. A killed agent loses nothing that it had put on disk.
"""
_CHOSEN = {
    "stdin": "The sensor is standard input: pipe a program that prints readings into the agent.",
    "simulated": "The sensor is a simulated machine.",
}
_MARKS = {"ok": ("ok", "\033[32m"), "failed": ("FAILED", "\033[31m"), "skipped": ("skipped", "\033[33m")}
_PLAIN = "\033[0m"


def configure_agent(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside agent`."""
    _explain(parser, _EPILOG)
    commands = add_commands(parser)
    _configure_init(commands.add_parser("init", help="write a commented agent.toml"))
    _configure_check(commands.add_parser("check", help="try everything that an agent needs, step by step"))
    _configure_run(commands.add_parser("run", help="run the agent"))
    service.configure(commands, _add_answers)


def _configure_init(parser: argparse.ArgumentParser) -> None:
    _explain(parser, _INIT_EPILOG)
    _add_answers(parser)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("agent.toml"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="change the file if it is there: what is not said stays, and the old one is saved beside it as .bak",
    )
    parser.set_defaults(run=_init)


def _configure_check(parser: argparse.ArgumentParser) -> None:
    _explain(parser, _CHECK_EPILOG)
    _add_config(parser)
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.add_argument("--offline", action="store_true", help="do not ask the broker")
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long to wait for the sensor's first reading (default: %(default)g)",
    )
    parser.set_defaults(run=_check)


def _configure_run(parser: argparse.ArgumentParser) -> None:
    _explain(parser, _RUN_EPILOG)
    _add_config(parser)
    parser.add_argument("--quiet", action="store_true", help="log warnings and errors only")
    parser.set_defaults(run=_run)


def _add_answers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE", help="the model (default: the only bundle beside the file)"
    )
    sensor = parser.add_mutually_exclusive_group()
    sensor.add_argument(
        "--sensor",
        metavar="KIND",
        help="a kind of `lineside sensor list` (default: simulated if it has what the model needs, else stdin)",
    )
    sensor.add_argument("--replay", type=Path, metavar="CSV", help="replay the readings of this file")
    parser.add_argument("--device", metavar="ID", help="the device's id (default: this machine's name)")
    parser.add_argument("--site", metavar="NAME", help="default: site-1")
    parser.add_argument("--broker", metavar="URL", help="default: mqtt://localhost:1883; mqtts:// for TLS")


def _explain(parser: argparse.ArgumentParser, epilog: str) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = epilog


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=Path("agent.toml"), metavar="FILE", help="default: %(default)s"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError("must be more than 0 and at most 86400")
    return value


def _init(options: argparse.Namespace) -> int:
    from lineside_agent import starter

    sensor = starter.Source("replay" if options.replay else options.sensor, options.replay)
    answers = starter.Answers(options.bundle, sensor, options.device, options.site, options.broker)
    written = starter.write(options.output, answers, force=options.force)
    for line in _told(options.output, written):
        print(line)
    return 0


def _told(path: Path, written: Written) -> Iterator[str]:
    """Say what was written, and what comes next."""
    if not written.written:
        yield f"{path} stays as it is: nothing else was asked for. Remove it to begin anew."
    elif written.old is None:
        yield f"Wrote {path}."
    elif written.kept:
        yield f"Changed {path}: only what was asked for. The old one is {written.old}."
    else:
        yield f"Replaced {path}, which held no agent's settings. The old one is {written.old}."
    if written.chosen:
        yield f"{_CHOSEN[written.chosen]} Choose another with --sensor KIND or --replay CSV, and --force."
    if not (path.parent / written.bundle).exists():
        yield f"Copy your bundle to {path.parent / written.bundle}, or change the setting bundle."
    pipe = "your-program | " if written.chosen == "stdin" else ""
    yield f"Next: {pipe}lineside agent check --config {path}"


def _check(options: argparse.Namespace) -> int:
    from lineside_agent.check import Request, check

    results = []
    for result in check(Request(options.config, os.environ, options.wait, options.offline)):
        results.append(result)
        if not options.json:
            _print(result)
    code = max(result.exit_code for result in results)
    if options.json:
        steps = [
            {"step": result.step, "state": result.state, "detail": result.detail, "hint": result.hint}
            for result in results
        ]
        print(json.dumps({"ok": code == 0, "steps": steps}, indent=2, ensure_ascii=False))
    return code


def _print(result: Result) -> None:
    word, colour = _MARKS[result.state]
    mark = f"{word:<8}"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        mark = f"{colour}{mark}{_PLAIN}"
    print(f"{mark} {result.step:<9} {f'{result.detail} {result.hint}'.rstrip()}", flush=True)


def _run(options: argparse.Namespace) -> int:
    import logging

    from lineside_agent.run import run
    from lineside_agent.settings import load

    logging.basicConfig(
        level=logging.WARNING if options.quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    return run(load(options.config, os.environ))
