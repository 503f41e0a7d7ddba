"""Commands below a command: without one they are listed, and a mistyped one is told what is like it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from lineside_contract.errors import InputError, nearest


def subcommands(
    parser: argparse.ArgumentParser, metavar: str = "COMMAND"
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Give a parser a place for subcommands, each of which sets `run`.

    Without one, `run` prints the parser's help, as `lineside` alone does; one that there is not raises InputError.
    """

    def teach(_: argparse.Namespace) -> int:
        parser.print_help()
        return InputError.exit_code

    parser.set_defaults(run=teach)
    commands = parser.add_subparsers(title="commands", metavar=metavar)
    # argparse asks only what is among them.
    commands.choices = _Known(parser.prog, commands.choices)  # type: ignore[assignment]
    return commands


class _Known:
    """The names of subcommands, which refuse any other in a sentence: argparse would do it in a list."""

    def __init__(self, program: str, commands: Mapping[str, Any]) -> None:
        self._program = program
        self._commands = commands

    def __contains__(self, name: str) -> bool:
        if name in self._commands:
            return True
        hint = nearest(name, self._commands) or f"See `{self._program} --help`."
        raise InputError(f"{self._program} has no command {name!r}.", hint=hint)

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)
