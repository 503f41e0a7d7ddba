"""`lineside doctor`: whether this machine can run an agent."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineside_agent.doctor.rules import Finding

_EPILOG = """\
examples:
  lineside doctor
  lineside doctor --state /var/lib/lineside     where the agent's outbox will lie
  lineside doctor --json | jq '.findings[] | select(.state != "ok")'

It needs nothing but Lineside itself: numpy, onnxruntime and paho-mqtt are tried in processes of their own, so
that one that crashes is told and not suffered. Once an agent is set up, `lineside agent check` goes further.

exit codes: 0 it can, 1 it can but look at the warnings, 2 it cannot as it is
"""
_MARKS = {"ok": ("ok", "\033[32m"), "warning": ("WARNING", "\033[33m"), "failed": ("FAILED", "\033[31m")}
_PLAIN = "\033[0m"
_CODES = {"ok": 0, "warning": 1, "failed": 2}
_CONCLUSIONS = (
    "This machine can run an agent.",
    "This machine can run an agent, with the warnings above.",
    "This machine cannot run an agent as it is.",
)


def configure_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside doctor`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("state"),
        metavar="FOLDER",
        help="the agent's state folder, which need not be there yet (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from lineside_agent.doctor.facts import gather
    from lineside_agent.doctor.rules import judge

    findings = list(judge(gather(options.state, _progress)))
    _progress("")
    code = max(_CODES[finding.state] for finding in findings)
    if options.json:
        listed = [finding._asdict() for finding in findings]
        print(json.dumps({"exit_code": code, "findings": listed}, indent=2, ensure_ascii=False))
        return code
    for finding in findings:
        _print(finding)
    print(_CONCLUSIONS[code])
    return code


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _print(finding: Finding) -> None:
    word, colour = _MARKS[finding.state]
    mark = f"{word:<8}"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        mark = f"{colour}{mark}{_PLAIN}"
    print(f"{mark} {finding.name:<13} {f'{finding.detail} {finding.hint}'.rstrip()}")
