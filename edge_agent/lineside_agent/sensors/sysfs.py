"""Measurements that the Linux kernel shows as files: which devices there are, and what they say."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lineside_contract.errors import InputError, SensorError, nearest


class Attribute(NamedTuple):
    """A channel that is a file with a number: the value is (number + offset) * scale."""

    channel: str
    file: Path
    scale: float = 1.0
    offset: float = 0.0


class Files:
    """A probe that reads attributes, all as of now."""

    def __init__(self, attributes: Sequence[Attribute]) -> None:
        self._attributes = attributes

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values."""
        return tuple(attribute.channel for attribute in self._attributes)

    def measure(self) -> list[float]:
        """Return a value a channel; NaN for one that the device cannot measure now.

        Raises SensorError if a file is gone or cannot be read.
        """
        return [(_number(each.file) + each.offset) * each.scale for each in self._attributes]

    def close(self) -> None:
        """Nothing to give back."""


def find(place: Path, pattern: str, wanted: str) -> Path:
    """Return the device whose folder, or whose file `name`, says what is wanted; the only one if that is "".

    Devices are the folders of `place` whose names fit the pattern.

    Raises SensorError if it is not there (a driver may be loaded later), InputError if there are several.
    """
    known = {folder: text(folder / "name") for folder in sorted(place.glob(pattern))}
    if not known:
        raise SensorError(
            f"This machine has no device in {place}.",
            hint="Is a driver loaded (dmesg, config.txt)? Virtual machines and containers often have none.",
        )
    found = [folder for folder, name in known.items() if not wanted or wanted in (folder.name, name)]
    listed = ", ".join(f"{name} ({folder.name})" for folder, name in known.items())
    if not found:
        names = {*known.values(), *(folder.name for folder in known)}
        raise SensorError(
            f"There is no device {wanted!r}.",
            hint=nearest(wanted, names) or f"There are: {listed}. Is its driver loaded (dmesg, config.txt)?",
        )
    if len(found) > 1:
        raise InputError(
            f"{len(found)} devices fit {wanted!r}." if wanted else f"There are {len(found)} devices.",
            hint=f"Set device to one of: {listed}; the folder is unique.",
        )
    return found[0]


def choose(attributes: Sequence[Attribute], columns: Sequence[str], where: str) -> list[Attribute]:
    """Return the attributes of these columns, in their order, or all. Raises InputError for one that is not there."""
    known = {attribute.channel: attribute for attribute in attributes}
    if missing := next((column for column in columns if column not in known), None):
        raise InputError(
            f"{where} has no {missing!r}.", hint=nearest(missing, known) or f"It has: {', '.join(known)}."
        )
    return [known[column] for column in columns] or list(attributes)


def text(file: Path) -> str:
    """Return what a file says, or nothing if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def number(file: Path, otherwise: float) -> float:
    """Return the number in a file, or what is to be taken if there is none."""
    try:
        return float(text(file))
    except ValueError:
        return otherwise


def _number(file: Path) -> float:
    try:
        # Less than half of what Path.read_text takes.
        descriptor = os.open(file, os.O_RDONLY)
        try:
            return float(os.read(descriptor, 64))
        finally:
            os.close(descriptor)
    except OSError as error:
        # What a driver answers while it has no value: too cold, powered down, a fan that stands still.
        if error.errno in (errno.ENODATA, errno.EAGAIN):
            return float("nan")
        raise SensorError(
            f"{file} cannot be read: {error.strerror}.",
            hint="Is the device still there, and may the agent's user read the file?",
        ) from error
    except ValueError as error:
        raise SensorError(f"{file} holds no number.", hint="Leave it out with columns.") from error
