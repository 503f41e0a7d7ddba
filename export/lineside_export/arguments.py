"""What the text of an argument means. Each raises argparse.ArgumentTypeError: argparse makes one sentence of it."""

from __future__ import annotations

import argparse
import math

from lineside_contract.numbers import as_number, is_number
from lineside_contract.sizes import as_bytes


def names(text: str) -> tuple[str, ...]:
    """Read `a,b` as names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def shape(text: str) -> tuple[int, ...]:
    """Read `3,128` as sizes."""
    try:
        sizes = tuple(int(size) for size in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no shape, such as 3,128")
    return sizes


def number(text: str) -> float:
    """Read a finite number."""
    found = _number(text)
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return found


def unit(text: str) -> tuple[str, str]:
    """Read `CHANNEL=UNIT`."""
    channel, equals, unit = text.partition("=")
    if not equals or not channel or not unit:
        raise argparse.ArgumentTypeError(f"{text!r} is not CHANNEL=UNIT, such as temperature=degC")
    return channel, unit


def constant(text: str) -> tuple[str, float]:
    """Read `INPUT=NUMBER`."""
    name, _, value = text.rpartition("=")
    number = _number(value)
    if not name or not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not INPUT=NUMBER, such as state=0")
    return name, number


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def size(text: str) -> int:
    """Read a number of bytes, such as 50000 or 50KB; at least 1."""
    try:
        found = as_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if found < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not at least one byte")
    return found


def seed(text: str) -> int:
    """Read a whole number of at least 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _number(text: str) -> float:
    return as_number(text) if is_number(text) else math.nan


def positive(text: str) -> float:
    """Read a finite number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def share(text: str) -> float:
    """Read a number between 0 and 1, both excluded."""
    number = _number(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return number


def agreement(text: str) -> float:
    """Read a number from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def tolerance(text: str) -> float:
    """Read a finite number of at least 0."""
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return number
