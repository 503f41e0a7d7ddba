"""What a writer says of a model that has no exact graph, or of parameters that it does not know."""

from __future__ import annotations


class Unwritable(Exception):
    """The text says which part cannot be written, and goes into the refusal."""
