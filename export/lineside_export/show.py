"""What the export commands print: tables and notes for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lineside_contract.bundle import Bundle
from lineside_contract.manifest import Manifest
from lineside_contract.signature import signatures_of
from lineside_export.card import by_reason, numbers, unit
from lineside_export.export import Exported

_NUMBERS = ["candidate", "bytes", "us/1", "us/256", "metric", "agreement"]
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
        manifest_json(result.manifest)
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
    facts = Table(show_header=False, box=None, title=f"{escape(path.name)}: verified", title_justify="left")
    for name, text in _facts(manifest):
        facts.add_row(f"[bold]{name}", escape(text))
    facts.add_row("[bold]signed", escape(_signed(opened, path)))
    console.print(facts)
    console.print(_channels(manifest))
    console.print(_candidates(manifest))


def _signed(opened: Bundle, path: Path) -> str:
    if opened.signature is None:
        return "by nobody"
    keys = ", ".join(repr(each.keyid[:16]) for each in signatures_of(opened, path.name))
    return f"with key id {keys}; `lineside verify` tells whether with a key of yours"


def manifest_json(manifest: Manifest) -> None:
    """Print a manifest as JSON."""
    print(msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode())


def _facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield "model", f"{manifest.name} {manifest.version}, made {manifest.created}"
    yield "task", f"{manifest.task} by {manifest.estimator}, as {manifest.candidate}"
    if manifest.outputs.classes:
        yield "labels", ", ".join(map(str, manifest.outputs.classes))
    if manifest.outputs.targets:
        yield "values", ", ".join(manifest.outputs.targets)
    if manifest.window.length > 1:
        yield "window", f"{manifest.window.length} readings, every {manifest.window.hop}"
    if manifest.sampling_rate_hz:
        yield "rate", f"{manifest.sampling_rate_hz:g} Hz"
    if manifest.metric_original is not None and manifest.metric_exported is not None:
        yield (
            manifest.metric,
            f"{manifest.metric_exported:.4f} (original: {manifest.metric_original:.4f}) "
            f"on {manifest.rows_held_back} rows",
        )
    yield "files", ", ".join(f"{name} {entry.bytes:,} bytes" for name, entry in manifest.files.items())
    yield "made with", ", ".join(f"{name} {number}" for name, number in manifest.made_with.items())


def _channels(manifest: Manifest) -> Table:
    table = Table("channel", "unit", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("minimum", "maximum", "mean", "std"):
        table.add_column(name, justify="right")
    for channel in manifest.channels:
        values = [channel.minimum, channel.maximum, channel.mean, channel.std]
        table.add_row(
            escape(channel.name),
            escape(unit(channel)),
            *("-" if each is None else f"{each:.6g}" for each in values),
        )
    return table


def _candidates(manifest: Manifest) -> Group:
    """Return the numbers as a table that fits 80 columns, and below it the reasons, which may be long."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in _NUMBERS:
        table.add_column(name, justify="left" if name == "candidate" else "right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for candidate in manifest.candidates:
        if candidate.bytes is not None:
            table.add_row(*numbers(candidate), candidate.verdict, style=_COLOURS[candidate.verdict])
    reasons = Table(box=None, show_header=False, pad_edge=False)
    reasons.add_column(max_width=32)
    reasons.add_column()
    for names, verdict, reason in by_reason(manifest.candidates):
        reasons.add_row(", ".join(names), escape(reason), style=_COLOURS[verdict])
    legend = f"metric: {manifest.metric}; us/1, us/256: median microseconds for 1 row and for 256 at once"
    return Group(table, reasons, Text(legend, style="dim"))
