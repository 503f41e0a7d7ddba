"""One file of the outbox: a header, then records that are only ever appended.

    header   magic "LSO1", first sequence number u64, CRC-32 u32, boot id (padded to 48 bytes)
    record   length u32, CRC-32 u32, sequence number u64, count u32, kind u8, payload

All little-endian. A record's CRC covers its length and everything after the CRC, so that a torn or altered
record is recognised. One record may carry several messages (`count`), numbered from its sequence number.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_MAGIC = b"LSO1"
_HEADER = struct.Struct("<4sQI48s")
_RECORD = struct.Struct("<II")
_BODY = struct.Struct("<QIB")
HEADER_BYTES = _HEADER.size
# No record is longer: a length beyond this is damage, and must not make us read gigabytes.
LONGEST_RECORD = 16 * 1024 * 1024
_READ_BYTES = 256 * 1024


class Entry(NamedTuple):
    """Something to deliver: `messages` messages numbered from `seq` of `boot`, in one encoded payload.

    `kind` says which topic it belongs to; the outbox only keeps it.
    """

    boot: str
    seq: int
    messages: int
    kind: int
    payload: bytes

    @property
    def last(self) -> int:
        """The sequence number of the last message in it."""
        return self.seq + self.messages - 1


class Segment:
    """What is known of one file: its place in the order, its boot, and how much of it is sound."""

    __slots__ = ("boot", "end", "first", "number", "path", "size")

    def __init__(self, path: Path, number: int, boot: str, first: int) -> None:
        self.path = path
        self.number = number
        self.boot = boot
        self.first = first
        self.end = first  # one past the last sequence number in it
        self.size = HEADER_BYTES


def encode_record(entry: Entry) -> bytes:
    """Return an entry as it stands in a file."""
    body = _BODY.pack(entry.seq, entry.messages, entry.kind) + entry.payload
    return _RECORD.pack(len(body), zlib.crc32(body, len(body))) + body


def create(path: Path, boot: str, first: int) -> tuple[Segment, int]:
    """Begin a file and return it with its descriptor. Raises OSError; no half-written file remains."""
    segment = Segment(path, int(path.stem), boot, first)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
    try:
        name = boot.encode()
        write_all(descriptor, _HEADER.pack(_MAGIC, first, _header_crc(name, first), name), 0)
    except OSError:
        os.close(descriptor)
        path.unlink()
        raise
    return segment, descriptor


def write_all(descriptor: int, data: bytes, size: int) -> None:
    """Append `data` to a file of `size` bytes, or leave the file as it was. Raises OSError."""
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:] if written else data)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def open_existing(path: Path) -> Segment | None:
    """Read a file's header. Returns None if it has no sound one: nothing in it can be trusted."""
    with path.open("rb") as file:
        raw = file.read(HEADER_BYTES)
    if len(raw) < HEADER_BYTES:
        return None
    magic, first, crc, padded = _HEADER.unpack(raw)
    name = padded.rstrip(b"\0")
    if magic != _MAGIC or crc != _header_crc(name, first):
        return None
    segment = Segment(path, int(path.stem), name.decode(), first)
    segment.size = path.stat().st_size
    return segment


def read(path: Path, boot: str, offset: int, size: int) -> Iterator[tuple[Entry, int]]:
    """Yield each sound entry from `offset` on (0: the first), with the offset after it, as far as `size`.

    A damaged record is passed over if the next one can be found by its length; otherwise the rest of the file
    is given up, as a torn tail must be.
    """
    offset = max(offset, HEADER_BYTES)
    buffer, start = b"", offset
    with path.open("rb") as file:
        while offset + _RECORD.size + _BODY.size <= size:
            at = offset - start
            if at + _RECORD.size + _BODY.size > len(buffer):
                buffer, start, at = _pread(file, offset, _READ_BYTES, size), offset, 0
            length, crc = _RECORD.unpack_from(buffer, at)
            end = at + _RECORD.size + length
            if not _BODY.size <= length <= LONGEST_RECORD or start + end > size:
                return
            if end > len(buffer):
                wanted = max(_READ_BYTES, _RECORD.size + length)
                buffer, start, at = _pread(file, offset, wanted, size), offset, 0
                end = _RECORD.size + length
            body = buffer[at + _RECORD.size : end]
            offset = start + end
            if zlib.crc32(body, length) == crc:
                seq, count, kind = _BODY.unpack_from(body)
                yield Entry(boot, seq, count, kind, body[_BODY.size :]), offset


def _pread(file: BinaryIO, offset: int, length: int, size: int) -> bytes:
    return os.pread(file.fileno(), min(length, size - offset), offset)


def _header_crc(boot: bytes, first: int) -> int:
    return zlib.crc32(boot + first.to_bytes(8, "little"))
