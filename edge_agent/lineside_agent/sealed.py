"""Small files that tell whether they are whole: a CRC-32 in front of one line of content."""

from __future__ import annotations

import errno
import logging
import os
import zlib
from pathlib import Path

from lineside_contract.files import write_whole

log = logging.getLogger(__name__)


def write_sealed(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Replace the file. Raises OSError; the old file remains."""
    write_whole(path, _seal(content), sync=sync)


def overwrite_sealed(path: Path, content: bytes) -> None:
    """Write over the file where it stands, which also a full disk allows. Raises OSError.

    A power cut in between may leave it damaged, which `read_sealed` notices.
    """
    with path.open("r+b") as file:
        file.write(_seal(content))
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def read_sealed(path: Path) -> bytes | None:
    """Return the content, or None if the file is missing, damaged or cannot be read from the disk.

    Raises OSError if this user may not read it: that can be put right, and must not pass for damage.
    """
    try:
        crc, _, content = path.read_bytes().removesuffix(b"\n").partition(b" ")
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        crc = content = b""
    if crc == b"%08x" % zlib.crc32(content):
        return content
    log.warning("%s is damaged and is begun anew", path.name)
    return None


def _seal(content: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(content), content)
