"""What counts as a number in text: one rule for recordings, lines, topics and rows that judge a model."""

from __future__ import annotations


def as_number(text: str) -> float:
    """Return the number that a text is. Raises ValueError if it is none.

    Python takes "1_000" for a thousand. Nothing that measures writes that: it is a damaged cell, or a name.
    """
    if "_" in text:
        raise ValueError(f"could not convert string to float: {text!r}")
    return float(text)


def is_number(text: str) -> bool:
    """Tell whether a text is a number."""
    try:
        as_number(text)
    except ValueError:
        return False
    return True
