"""Errors sorted by what the caller can do about them, each with a hint for the person who reads it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LinesideError(Exception):
    """Something that a person can act on: one clear sentence, and what to do next.

    Anything else that escapes is a bug in Lineside.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class InputError(LinesideError):
    """What was given cannot be used as it is: a file, a setting, an argument. Trying again will not help."""

    exit_code = 2


class BundleError(InputError):
    """A bundle is damaged, altered or unfit. Whatever ran before it keeps running."""


class SensorError(LinesideError):
    """A sensor gave nothing this time. The caller waits a little and reads again."""


class BadReading(SensorError):
    """One reading was malformed. The sensor itself is well: the caller counts it and reads on at once."""


class NotDelivered(LinesideError):
    """The broker could not be reached or closed the connection. The caller keeps the message and tries later."""


class BrokerRefused(LinesideError):
    """The broker answered, and said no: wrong password, not authorised. Only a person can change that."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the sentence `Did you mean 'x'?` for the known name nearest to a mistyped one, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""
