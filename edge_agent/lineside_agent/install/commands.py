"""`lineside agent install`, `uninstall` and `health`: the agent as a service, and whether it gets on."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineside_agent.install.install import Asked
    from lineside_agent.install.places import Places

_INSTALL_EPILOG = """\
examples:
  sudo lineside agent install --bundle pump-1.0.0.bundle.zip --broker mqtt://broker.plant-1 --now
  sudo lineside agent install                     after a change of agent.toml: the unit allows what it needs
  lineside agent install --user --now             without root: while you are logged in (or: loginctl enable-linger)
  lineside agent install --print                  show the files, write nothing

It writes /etc/lineside/agent.toml (if there is none; its options are those of `agent init`), agent.env beside it for
the broker's password, and the unit lineside-agent.service: own user, confined, watched. It may be run again at any
time. If sudo does not find the command: sudo "$(command -v lineside)" agent install
"""
_UNINSTALL_EPILOG = """\
examples:
  sudo lineside agent uninstall
  lineside agent uninstall --user

The configuration and what waits for delivery are left.
"""
_HEALTH_EPILOG = """\
examples:
  sudo lineside agent health                      of the service
  lineside agent health --within 120 --json

The agent's sensing thread leaves a sign of life in the folder RUNTIME_DIRECTORY, which systemd sets and a container
may. A thread that hangs leaves none.

exit codes: 0 it got on within the time, 1 it did not, or there is no agent
"""
_SIZE = re.compile(r"\d+(\.\d+)?[KMGT]?|([1-9]\d?|100)%")


def configure(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    add_answers: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add the commands to those of `lineside agent`; `add_answers` adds what a first configuration is made from."""
    _configure_install(
        commands.add_parser("install", help="run the agent as a service of systemd"), add_answers
    )
    _configure_uninstall(commands.add_parser("uninstall", help="remove the service"))
    _configure_health(commands.add_parser("health", help="tell whether a running agent gets on"))


def _configure_install(
    parser: argparse.ArgumentParser, add_answers: Callable[[argparse.ArgumentParser], None]
) -> None:
    _explain(parser, _INSTALL_EPILOG)
    add_answers(parser)
    _add_user(parser)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings that are there already, in another place"
    )
    parser.add_argument("--now", action="store_true", help="start it, now and at every boot")
    parser.add_argument(
        "--print", "--dry-run", dest="show", action="store_true", help="show the files, write nothing"
    )
    parser.add_argument(
        "--watchdog",
        type=_watchdog_s,
        default=60,
        metavar="SECONDS",
        help="kill and restart an agent whose sensing stands still so long (default: %(default)s)",
    )
    parser.add_argument(
        "--memory-max",
        type=_memory_max,
        default="50%",
        metavar="SIZE",
        help="the most memory it may have, as 96M or a share of the machine's (default: 50%%)",
    )
    parser.set_defaults(run=_install)


def _configure_uninstall(parser: argparse.ArgumentParser) -> None:
    _explain(parser, _UNINSTALL_EPILOG)
    _add_user(parser)
    parser.set_defaults(run=_uninstall)


def _configure_health(parser: argparse.ArgumentParser) -> None:
    _explain(parser, _HEALTH_EPILOG)
    parser.add_argument(
        "--within",
        type=_watchdog_s,
        default=60,
        metavar="SECONDS",
        help="how old the last sign of life may be (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the answer as one JSON object")
    parser.set_defaults(run=_health)


def _explain(parser: argparse.ArgumentParser, epilog: str) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = epilog


def _add_user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", action="store_true", help="a service of your own, without root")


def _watchdog_s(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 4 <= int(text) <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds from 4 to 86400")
    return int(text)


def _memory_max(text: str) -> str:
    if not _SIZE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 96M or 50%")
    return text


def _install(options: argparse.Namespace) -> int:
    from lineside_agent.install.install import install, notes, plan

    asked = _asked(options)
    if options.show:
        for file in plan(asked):
            # What is kept may hold a password.
            text = " stays as it is.\n" if file.keep and file.settled else f":\n{file.text}"
            print(f"# {file.path}{text}")
        return 0
    for line in install(asked):
        print(line, flush=True)
    for note in notes(asked):
        print(f"Note: {note}", file=sys.stderr)
    for line in _next_steps(asked):
        print(line)
    return 0


def _asked(options: argparse.Namespace) -> Asked:
    from lineside_agent import starter
    from lineside_agent.install.install import Asked

    places = _places(options)
    if options.config is not None:
        places = places._replace(config=options.config.absolute())
    sensor = starter.Source("replay" if options.replay else options.sensor, options.replay)
    answers = starter.Answers(options.bundle, sensor, options.device, options.site, options.broker)
    return Asked(places, answers, options.watchdog, options.memory_max, options.now)


def _places(options: argparse.Namespace) -> Places:
    from lineside_agent.install import places

    return places.of_user() if options.user else places.system()


def _next_steps(asked: Asked) -> list[str]:
    places = asked.places
    if asked.start:
        return [f"Look at it: {places.journal}"]
    sudo = "" if places.user else "sudo "
    return [
        f"Next: {sudo}lineside agent check --config {places.config}",
        f"Then: {sudo}{' '.join(places.systemctl)} enable --now lineside-agent",
    ]


def _uninstall(options: argparse.Namespace) -> int:
    from lineside_agent.install.install import uninstall

    for line in uninstall(_places(options)):
        print(line, flush=True)
    return 0


def _health(options: argparse.Namespace) -> int:
    from lineside_agent.health import look

    found = look(os.environ, options.within)
    if options.json:
        print(json.dumps(found._asdict(), ensure_ascii=False))
    else:
        print(found.detail)
    return 0 if found.healthy else 1
