"""The findings as Markdown for people, and as JSON for whatever compares runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from lineside_benchmarks import svg
from lineside_benchmarks.table import Cell, Plot, Table
from lineside_contract.errors import InputError
from lineside_contract.files import write_whole

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


def to_markdown(report: Report, plots: str = "") -> str:
    """Return a report as Markdown, headings from the second level on. `plots`: the folder in which they are."""
    machine = "; ".join(f"{name} {value}" for name, value in report.machine.items())
    quick = " Quick: too short to be believed." if report.quick else ""
    parts = [f"Measured {report.time}.{quick} {machine}."]
    for table in report.tables.values():
        parts += [f"## {table.title}", table.how, _grid(table)]
        if table.targets:
            parts.append(
                "\n".join(f"- {_verdict(one.met)}: {one.aim}: {one.found}." for one in table.targets)
            )
        if plots and table.plots:
            parts.append(
                "\n".join(f"![{one.title}: {one.unit}]({plots}/{one.name}.svg)" for one in table.plots)
            )
    return "\n\n".join(parts) + "\n"


def write(report: Report, folder: Path) -> list[Path]:
    """Write a report as JSON and as Markdown into a folder, the plots beside; return the files. Raises InputError."""
    stem = report.time.replace(":", "")
    found = {f"{stem}.json": to_json(report), f"{stem}.md": to_markdown(report, stem).encode()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in found.items():
            write_whole(folder / name, data)
        _draw(report, folder / stem)
    except OSError as error:
        raise InputError(
            f"The results cannot be written to {folder}: {error.strerror}.",
            hint="Choose another with --output.",
        ) from error
    return [folder / name for name in found]


def _draw(report: Report, folder: Path) -> None:
    plots = [plot for table in report.tables.values() for plot in table.plots]
    if plots:
        folder.mkdir(exist_ok=True)
    for plot in plots:
        (folder / f"{plot.name}.svg").write_text(_drawn(plot))


def _drawn(plot: Plot) -> str:
    if plot.lines:
        return svg.lines(plot.title, plot.unit, plot.x_name, plot.lines)
    return svg.bars(plot.title, plot.unit, plot.bars)


class Document:
    """A text with a place for results in it, between two markers."""

    def __init__(self, path: Path) -> None:
        """Find the place. Raises InputError if there is none."""
        try:
            self._before, begin, rest = path.read_text().partition(_BEGIN)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}.") from error
        _, end, self._after = rest.partition(_END)
        if not (begin and end):
            raise InputError(
                f"{path} has no place for results.",
                hint=f"Write the lines {_BEGIN.strip()} and {_END} into it.",
            )
        self._path = path

    def put(self, report: Report) -> None:
        """Replace what stands there, and draw the plots into a folder of the document's name beside it."""
        _draw(report, self._path.with_suffix(""))
        markdown = to_markdown(report, self._path.stem)
        self._path.write_text(f"{self._before}{_BEGIN}\n{markdown}\n{_END}{self._after}")


def _grid(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns)]
    lines += [[_cell(cell) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell) -> str:
    """Return a cell with as many digits as a measurement deserves."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"


def _verdict(met: bool) -> str:
    return "reached" if met else "**missed**"
