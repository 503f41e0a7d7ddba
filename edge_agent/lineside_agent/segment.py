"""One file of the outbox: records that are only ever appended.

    record   length u32, CRC-32 u32, sequence number u64, count u32, kind u8, payload

All little-endian. `length` counts what follows the CRC, and the CRC covers both, so that a torn or altered
record is recognised. One record may carry several messages (`count`), numbered from its sequence number.

The file's name tells its place in the order, its boot and its first sequence number, out of reach of any damage
to the content: `000000000012-1f2e3d4c-7-5000.log` is the twelfth, of boot `1f2e3d4c-7`, from number 5000 on.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lineside_contract.files import sync_folder
from lineside_contract.messages import Ranges

_RECORD = struct.Struct("<IIQIB")
_HEAD = struct.Struct("<II")
_BODY = struct.Struct("<QIB")
_BODY_AT = _RECORD.size - _BODY.size
_NAME = re.compile(r"(?P<number>[0-9]{12,})-(?P<boot>.+)-(?P<first>[0-9]+)\.log")
_READ_BYTES = 256 * 1024
# JSON readers keep integers exactly only up to here. Whatever claims more is no record.
_LARGEST_SEQ = 2**53


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


def ranges_of(entries: Iterable[Entry]) -> Ranges:
    """Return the numbers of the messages in entries, by boot; what follows one on the other is one range."""
    found: Ranges = {}
    for boot, seq, messages, _, _ in entries:
        ranges = found.setdefault(boot, [])
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq + messages - 1)
        else:
            ranges.append((seq, seq + messages - 1))
    return found


class Segment:
    """What is known of one file: its place in the order, its boot, its numbers and its bytes."""

    __slots__ = ("boot", "end", "first", "number", "path", "size")

    def __init__(self, path: Path, number: int, boot: str, first: int) -> None:
        self.path = path
        self.number = number
        self.boot = boot
        self.first = first
        self.end = first  # one past the last sequence number in it
        self.size = 0


def encode_record(entry: Entry) -> bytes:
    """Return an entry as it stands in a file."""
    _, seq, messages, kind, payload = entry
    body = _BODY.pack(seq, messages, kind) + payload
    length = len(body)
    return _HEAD.pack(length, zlib.crc32(body, length)) + body


def encode_batch(entries: Sequence[Entry], start: int, limit: int) -> tuple[bytes, int]:
    """Return the records of as many entries from `start` on as fit into `limit` bytes, and where the next begin.

    The first one always fits.
    """
    records: list[bytes] = []
    size = 0
    for entry in entries[start:]:
        record = encode_record(entry)
        if records and size + len(record) > limit:
            break
        records.append(record)
        size += len(record)
    return b"".join(records), start + len(records)


def create(folder: Path, number: int, boot: str, first: int) -> tuple[Segment, int]:
    """Begin a file and return it with its descriptor. Raises OSError; no file remains."""
    path = folder / f"{number:012d}-{boot}-{first}.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        sync_folder(folder)
    except OSError:
        os.close(descriptor)
        path.unlink()
        raise
    return Segment(path, number, boot, first), descriptor


def write_all(descriptor: int, data: bytes, size: int) -> None:
    """Append `data` to a file of `size` bytes, or leave the file as it was. Raises OSError."""
    written = 0
    try:
        while written < len(data):
            written += os.pwrite(descriptor, data[written:] if written else data, size + written)
    except OSError:
        # If even this fails, the next records are written over what stands there now.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def sync(path: Path) -> None:
    """Make a file survive a power cut, whoever wrote it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def find(folder: Path) -> list[Segment]:
    """Return the segments of a folder in their order, with their sizes; what is no plain file is left out.

    Raises OSError.
    """
    found = []
    for path in folder.iterdir():
        if (name := _NAME.fullmatch(path.name)) and path.is_file():
            segment = Segment(path, int(name["number"]), name["boot"], int(name["first"]))
            segment.size = path.stat().st_size
            found.append(segment)
    return sorted(found, key=lambda segment: segment.number)


def read(path: Path, boot: str, offset: int, size: int) -> Iterator[tuple[Entry, int]]:
    """Yield each sound entry from `offset` on, with the offset after it, as far as `size`.

    Where there is none, the next is looked for byte by byte: a damaged record costs no other, and a torn tail
    only time. Raises OSError.
    """
    buffer, start = b"", offset
    with path.open("rb") as file:
        size = min(size, os.fstat(file.fileno()).st_size)
        while offset + _RECORD.size <= size:
            if offset - start + _RECORD.size > len(buffer):
                buffer, start = _pread(file, offset, _READ_BYTES, size), offset
            length, crc, seq, count, kind = _RECORD.unpack_from(buffer, offset - start)
            end = offset + _BODY_AT + length
            if length < _BODY.size or end > size or not 0 < count <= _LARGEST_SEQ - seq:
                offset += 1
                continue
            if end - start > len(buffer):
                buffer, start = _pread(file, offset, max(_READ_BYTES, end - offset), size), offset
            body = buffer[offset - start + _BODY_AT : end - start]
            if zlib.crc32(body, length) != crc:
                offset += 1
                continue
            offset = end
            yield Entry(boot, seq, count, kind, body[_BODY.size :]), offset


def _pread(file: BinaryIO, offset: int, length: int, size: int) -> bytes:
    return os.pread(file.fileno(), min(length, size - offset), offset)
