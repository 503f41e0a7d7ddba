"""The report of an export: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import os
from pathlib import Path

from lineside_contract.errors import InputError
from lineside_contract.files import write_whole
from lineside_export.export import Exported
from lineside_export.report.page import page

__all__ = ["check_place", "page", "write"]

_ENDINGS = (".html", ".htm")


def check_place(path: Path) -> None:
    """Raise InputError if a report cannot go there: asked before the long work."""
    if path.suffix not in _ENDINGS:
        raise InputError(f"{path} does not end in .html.", hint="Try --report report.html.")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist.", hint="Make it first.")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written.", hint="Choose another place for the report.")


def write(path: Path, exported: Exported) -> None:
    """Write the report of an export, whole or not at all. Raises InputError."""
    try:
        write_whole(path, page(exported).encode(errors="replace"))
    except OSError as error:
        raise InputError(
            f"The report {path} cannot be written: {error.strerror}.", hint="Choose another place for it."
        ) from error
