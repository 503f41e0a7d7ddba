"""Whether a folder can be the agent's state folder: found out by writing, and nothing is left behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple


class Attempt(NamedTuple):
    """`there` is the folder, or the nearest one above it that exists already; `problem` is why it cannot be used."""

    there: Path
    problem: str = ""


def attempt(state: Path) -> Attempt:
    """Write a file into the folder; if it is not there, into one that is made where it would be made."""
    wanted = there = state.absolute()
    while not _exists(there):
        there = there.parent
    try:
        if not there.is_dir():
            raise NotADirectoryError(0, "it is no folder")
        if there == wanted:
            _write(there)
        else:
            with tempfile.TemporaryDirectory(dir=there) as made:
                _write(Path(made))
    except OSError as error:
        return Attempt(there, error.strerror or str(error))
    return Attempt(there)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a folder that this user may not look into
        return False


def _write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"?")
        file.flush()
        os.fsync(file.fileno())
