"""The seam between collecting and keeping: committed on return, repeats ignored."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Protocol

from lineside_collector.records import Batch
from lineside_contract.errors import LinesideError


class StoreUnavailable(LinesideError):
    """Nothing was saved this time: the disk is full, the database locked. The caller keeps the batch and retries."""


class Saved(NamedTuple):
    """How many predictions and events a batch added, and how many of them were there before."""

    stored: int
    repeated: int


class Store(Protocol):
    """Where collected messages are kept."""

    def save(self, batch: Batch) -> Saved:
        """Commit a batch, all of it or nothing; what is there already is counted and ignored.

        Raises StoreUnavailable if trying again later can help, LinesideError if it cannot.
        """

    def close(self) -> None:
        """Give back what the store holds."""


def default_store() -> Path:
    """Return where the store is unless told otherwise: in the user's state folder (XDG Base Directory)."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    folder = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return folder / "lineside" / "collector.sqlite"
