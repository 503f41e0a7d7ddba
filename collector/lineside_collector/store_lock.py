"""One collector a store: each of two would count as repeats what the other has stored."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lineside_contract.errors import InputError


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold a store for this process, until the block or the process ends. Raises InputError if another has it.

    The lock is on a file beside it: one on the database itself could meet SQLite's own on a network's file system.
    """
    beside = Path(f"{store.resolve()}.lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(
            f"The store {store} cannot be locked: {beside.name}: {error.strerror}.",
            hint="Check who owns its folder and that file.",
        ) from error
    try:
        _take(descriptor, store)
        yield
    finally:
        os.close(descriptor)  # the file stays: removed, a third could lock a new one beside a second's


def _take(descriptor: int, store: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"Another collector writes to the store {store}.",
            hint="Stop it, or give this one a --store and an --id of its own.",
        ) from error
    except OSError as error:
        raise InputError(
            f"The store {store} cannot be locked: {error.strerror}.",
            hint="Keep it on a disk of this machine.",
        ) from error
