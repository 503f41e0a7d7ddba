"""Files that appear whole or not at all, also when power fails in between."""

from __future__ import annotations

import os
from pathlib import Path

_PART = ".part"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder (created, renamed, removed) survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes, *, sync: bool = True, mode: int = 0o644) -> None:
    """Replace `path` by `data`: a reader sees the old file or the new one, never a part.

    With `sync=False` the same holds for a killed process, but not for a power cut. At no moment may more
    users read it than `mode` and the umask allow.

    Raises OSError; the old file and no half-written one remain.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}{_PART}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def remove_parts(folder: Path) -> None:
    """Remove what killed processes left of files that they were writing whole. Raises OSError."""
    for path in folder.glob(f".*{_PART}"):
        path.unlink(missing_ok=True)
