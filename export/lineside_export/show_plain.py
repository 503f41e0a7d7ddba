"""What `lineside inspect` prints where rich is not installed, as on a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lineside_contract.bundle import Bundle
from lineside_export import facts


def bundle(opened: Bundle, path: Path) -> None:
    """Print what a verified bundle holds."""
    manifest = opened.manifest
    lines = [f"{path.name}: verified", *_columns(list(facts.facts(opened, path.name)), left=2), ""]
    lines += [*_columns([facts.CHANNELS, *map(facts.channel, manifest.channels)], left=2), ""]
    measured = [
        [*facts.numbers(each), each.verdict] for each in manifest.candidates if each.bytes is not None
    ]
    lines += [*_columns([[*facts.CANDIDATES, "verdict"], *measured], left=1), ""]
    lines += [f"{', '.join(names)}: {reason}" for names, _, reason in facts.by_reason(manifest.candidates)]
    # What names and units hold came from files: nothing in it may steer the terminal.
    print("\n".join(_safe(line) for line in [*lines, facts.legend(manifest)]))


def _columns(rows: Sequence[Sequence[str]], *, left: int) -> Iterator[str]:
    """Return rows with their cells below each other: the first `left` columns to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{cell:<{width}}" if number < left else f"{cell:>{width}}"
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _safe(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
