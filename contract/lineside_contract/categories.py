"""The codes by which a channel of text becomes the numbers that a model takes."""

from __future__ import annotations

from collections.abc import Sequence

# What stands for a text that is none of a channel's categories, and for none at all.
UNKNOWN = -1.0
MISSING = float("nan")
_EMPTY = frozenset({"", "nan"})


class Codes:
    """Turns texts into codes: the index among the categories, UNKNOWN for any other text, MISSING for none.

    Space around a text is left out, unless a category has it. An empty text and `nan`, in capitals or not, are
    missing, unless a category is called so.
    """

    def __init__(self, categories: Sequence[str]) -> None:
        self.categories = tuple(categories)
        self._codes = {text: float(code) for code, text in enumerate(categories)}

    def of(self, text: str) -> float:
        """Return a text's code."""
        known = self._codes.get(text)
        if known is not None:
            return known
        bare = text.strip()
        return self._codes.get(bare, MISSING if bare.lower() in _EMPTY else UNKNOWN)
