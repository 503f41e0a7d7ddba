"""The card's Markdown as HTML: the headings, paragraphs, tables, lists and strong words that a card has."""

from __future__ import annotations

import re
from html import escape

from lineside_export.report.markup import Markup, join, table, tag

_STRONG = re.compile(r"\*\*(.+?)\*\*")
_CELL = re.compile(r"(?<!\\)\|")
_HEADING = re.compile(r"(#{1,3}) (.+)")


def html(text: str) -> Markup:
    """Return a card's text as HTML; its headings are two levels lower, below the page's own."""
    return join(_block(block) for block in re.split(r"\n{2,}", text.strip()))


def _block(block: str) -> Markup:
    lines = block.splitlines()
    if heading := _HEADING.fullmatch(block):
        return tag(f"h{len(heading[1]) + 2}", _inline(heading[2]))
    if all(line.startswith("| ") for line in lines) and len(lines) > 1:
        header, _, *rows = [[_inline(cell) for cell in _cells(line)] for line in lines]
        return table(header, rows)
    if all(line.startswith(("- ", "* ")) for line in lines):
        return tag("ul", *(tag("li", _inline(line[2:])) for line in lines))
    return tag("p", _inline(" ".join(lines)))


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]


def _inline(text: str) -> Markup:
    return Markup(_STRONG.sub(r"<strong>\1</strong>", escape(text)))
