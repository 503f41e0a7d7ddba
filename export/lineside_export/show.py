"""What the export commands print: tables and notes for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lineside_contract.bundle import Bundle
from lineside_contract.manifest import Manifest
from lineside_export import facts

if TYPE_CHECKING:
    from lineside_export.export import Exported

_COLOURS = {"chosen": "bold green", "kept": "", "dropped": "dim", "failed": "red"}
# A table in a file or a pipe is not cut to the width of a terminal that is not there.
_FILE_WIDTH = 160


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show the step under way on stderr, if that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("starting") as status:
        yield status.update


def exported(result: Exported, *, as_json: bool) -> None:
    """Print what an export came to; its notes go to stderr."""
    for note in result.notes:
        print(f"lineside: note: {note}", file=sys.stderr)
    if as_json:
        print(facts.as_json(result.manifest))
        return
    console = _console()
    console.print(_candidates(result.manifest))
    if result.path is None:
        console.print("No bundle was written (--dry-run).")
    else:
        console.print(
            f"Wrote {escape(str(result.path))} ({result.path.stat().st_size:,} bytes).", soft_wrap=True
        )


def bundle(opened: Bundle, path: Path) -> None:
    """Print what a verified bundle holds."""
    console, manifest = _console(), opened.manifest
    table = Table(show_header=False, box=None, title=f"{escape(path.name)}: verified", title_justify="left")
    for name, text in facts.facts(opened, path.name):
        table.add_row(f"[bold]{name}", escape(text))
    console.print(table)
    console.print(_channels(manifest))
    console.print(_candidates(manifest))


def _channels(manifest: Manifest) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(facts.CHANNELS):
        table.add_column(name, justify="left" if number < 2 else "right")
    for channel in manifest.channels:
        table.add_row(*map(escape, facts.channel(channel)))
    return table


def _candidates(manifest: Manifest) -> Group:
    """Return the numbers as a table that fits 80 columns, and below it the reasons, which may be long."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in facts.CANDIDATES:
        table.add_column(name, justify="left" if name == "candidate" else "right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for candidate in manifest.candidates:
        if candidate.bytes is not None:
            table.add_row(*facts.numbers(candidate), candidate.verdict, style=_COLOURS[candidate.verdict])
    reasons = Table(box=None, show_header=False, pad_edge=False)
    reasons.add_column(max_width=32)
    reasons.add_column()
    for names, verdict, reason in facts.by_reason(manifest.candidates):
        reasons.add_row(", ".join(names), escape(reason), style=_COLOURS[verdict])
    return Group(table, reasons, Text(facts.legend(manifest), style="dim"))
