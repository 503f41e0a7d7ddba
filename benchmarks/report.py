"""The findings as Markdown for people, and as JSON for whatever compares runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.table import Cell, Table

_BEGIN, _END = "<!-- results -->\n", "<!-- end of results -->"


class Report(Struct, frozen=True, kw_only=True):
    """One run of the benchmarks."""

    time: str
    quick: bool
    machine: dict[str, str]
    tables: dict[str, Table]


def to_json(report: Report) -> bytes:
    """Return a report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def to_markdown(report: Report) -> str:
    """Return a report as Markdown, headings from the second level on."""
    machine = "; ".join(f"{name} {value}" for name, value in report.machine.items())
    quick = " Quick: too short to be believed." if report.quick else ""
    parts = [f"Measured {report.time}.{quick} {machine}."]
    for table in report.tables.values():
        parts += [f"## {table.title}", table.how, _grid(table)]
        if table.targets:
            parts.append(
                "\n".join(f"- {_verdict(one.met)}: {one.aim}: {one.found}." for one in table.targets)
            )
    return "\n\n".join(parts) + "\n"


def put_into(document: Path, markdown: str) -> None:
    """Replace what stands between the two markers of a document. Raises ValueError if it has none."""
    before, begin, rest = document.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{document} has no {_BEGIN.strip()} ... {_END}")
    document.write_text(f"{before}{begin}\n{markdown}\n{end}{after}")


def _grid(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns)]
    lines += [[_cell(cell) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell) -> str:
    """Return a cell with as many digits as a measurement deserves."""
    if isinstance(cell, str):
        return cell
    return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"


def _verdict(met: bool) -> str:
    return "reached" if met else "**missed**"
