"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)\Z")
_UNITS = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}


def as_bytes(text: str) -> int:
    """Read a size such as `256MB` or `64 MiB`. Raises ValueError."""
    match = _SIZE.match(text.strip())
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"{text!r} is not a size; write it as 256MB or 64MiB")
    return int(float(match[1]) * _UNITS[match[2].lower()])
