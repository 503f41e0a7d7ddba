"""`--since`: how long ago, or since when."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from lineside_contract.errors import InputError

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN = re.compile(r"(\d{1,9})([smhd])\Z")


def parse_since(text: str, now_ms: int) -> int:
    """Return milliseconds since the Unix epoch for `90s`, `30m`, `1h`, `7d` or an ISO 8601 time (UTC if unsaid).

    Raises InputError for anything else.
    """
    if span := _SPAN.match(text):
        return now_ms - int(span[1]) * _UNITS_MS[span[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is neither a span nor a time.",
            hint="Write --since like 90s, 30m, 1h, 7d or 2026-01-31T12:00:00.",
        ) from error
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
