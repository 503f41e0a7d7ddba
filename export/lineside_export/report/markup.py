"""HTML and SVG from small functions. What is not markup already is escaped, wherever it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


_EMPTY = frozenset({"meta", "br"})


def tag(name: str, /, *children: str | float, **attributes: str | float | None) -> Markup:
    """Return an element. `class_` becomes class, `aria_label` aria-label; an attribute of None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(parts: Iterable[str | float], between: str = "") -> Markup:
    """Return the parts in order, each escaped unless it is markup."""
    return Markup(between.join(part if isinstance(part, Markup) else escape(_text(part)) for part in parts))


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", *, kind: str | None = None
) -> Markup:
    """Return a table; the first cell of each row names it. It scrolls by itself where it is wider than the page."""
    head = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in header)))
    body = tag("tbody", *(tag("tr", *_cells(row)) for row in rows))
    inside = [tag("caption", caption)] if caption else []
    return tag("div", tag("table", *inside, head, body, class_=kind), class_="wide")


def _cells(row: Sequence[str]) -> list[Markup]:
    return [tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])]


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
