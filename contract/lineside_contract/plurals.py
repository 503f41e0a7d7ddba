"""Counts in sentences: 1 row, 2 rows."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return `1 row`, `0 rows`, `1,234 rows` for a noun whose plural ends in s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
