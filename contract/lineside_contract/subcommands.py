"""Commands of a command, such as `lineside agent run`: listed where one is missing, told where one is mistyped."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from lineside_contract.errors import InputError, nearest

if TYPE_CHECKING:
    _Action = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    _Action = argparse._SubParsersAction


def add_commands(parser: argparse.ArgumentParser) -> _Action:
    """Return what a parser's commands are added to, as `lineside` itself has them. Each sets `run`."""
    parser.set_defaults(run=partial(_list, parser))
    return parser.add_subparsers(metavar="COMMAND", action=_Commands)


def _list(parser: argparse.ArgumentParser, _options: argparse.Namespace) -> int:
    parser.print_help()
    return 2


class _Commands(_Action):
    """Words the mistake itself: argparse would print its usage, and all choices in a row."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.choices = None  # type: ignore[assignment]  # argparse would check them first

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        """Parse the arguments of the command that is named first. Raises InputError if there is no such command."""
        if values[0] not in self._name_parser_map:
            hint = nearest(values[0], self._name_parser_map) or f"See `{parser.prog} --help`."
            raise InputError(f"{parser.prog} has no command {values[0]!r}.", hint=hint)
        super().__call__(parser, namespace, values, option)
