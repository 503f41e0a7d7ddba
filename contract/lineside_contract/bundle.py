"""The bundle: one zip file with a model, what it needs, and the digest of every byte in it.

Written whole or not at all; opened verified or not at all. Nothing is ever unpacked to disk and nothing is
unpickled. The sizes that the zip's directory claims are never believed: reading stops at the limit.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from lineside_contract.errors import BundleError
from lineside_contract.files import write_whole
from lineside_contract.manifest import FORMAT, FileEntry, Manifest

SUFFIX = ".bundle.zip"
MANIFEST = "manifest.json"
MODEL = "model.onnx"
GOLDEN = "golden.npz"
CARD = "card.md"
REQUIRED = frozenset({MODEL, GOLDEN})
# The largest bundle that is read into memory, unpacked. A Raspberry Pi Zero 2 W has 512 MB in all.
LARGEST_BYTES = 256 * 1024 * 1024
LARGEST_MANIFEST_BYTES = 4 * 1024 * 1024
MOST_FILES = 64
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip's earliest date: the same content gives the same bytes
# What the zip and JSON readers raise for bytes that nobody wrote so.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
    NotImplementedError,
)


class Bundle(NamedTuple):
    """A verified bundle, in memory."""

    manifest: Manifest
    files: dict[str, bytes]

    @classmethod
    def open(cls, path: Path, *, largest_bytes: int = LARGEST_BYTES) -> Bundle:
        """Read and verify a bundle. Raises BundleError: whatever is returned is what was written."""
        most = largest_bytes + LARGEST_MANIFEST_BYTES  # packing never adds more than a manifest may hold
        try:
            if path.stat().st_size > most:
                raise BundleError(f"{path} is too large for a bundle: more than {most} bytes.")
            data = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}.") from error
        return cls.parse(data, str(path), largest_bytes=largest_bytes)

    @classmethod
    def parse(cls, data: bytes, name: str, *, largest_bytes: int = LARGEST_BYTES) -> Bundle:
        """Verify a bundle's bytes; `name` is for the messages. Raises BundleError."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                _check_directory(archive, name)
                manifest = _read_manifest(archive, name)
                files = _read_files(archive, manifest, name, largest_bytes)
        except _DAMAGE as error:
            raise BundleError(
                f"{name} is not a bundle, or is damaged: {error}.", hint="Copy or export it again."
            ) from error
        return cls(manifest, files)


def write_bundle(path: Path, manifest: Manifest, files: dict[str, bytes]) -> Manifest:
    """Write a bundle whole or not at all, and return its manifest with every file's digest.

    Raises BundleError for what could not be opened again (a file that every bundle needs is missing, a name
    is unsafe, it is too large), OSError if it cannot be written.
    """
    if MANIFEST in files:
        raise BundleError(f"{MANIFEST} is written from the manifest; it cannot be one of the files.")
    entries = {name: _entry(content) for name, content in sorted(files.items())}
    manifest = replace(manifest, files=entries)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [(MANIFEST, _manifest_json(manifest)), *sorted(files.items())]:
            archive.writestr(_member(name), content)
    data = buffer.getvalue()
    Bundle.parse(data, str(path))
    write_whole(path, data)
    return manifest


def file_name(name: str, version: str) -> str:
    """Return the usual file name of a bundle."""
    return f"{name}-{version}{SUFFIX}"


def _entry(content: bytes) -> FileEntry:
    return FileEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def _manifest_json(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _check_directory(archive: zipfile.ZipFile, name: str) -> None:
    members = archive.infolist()
    if len(members) > MOST_FILES:
        raise BundleError(f"{name} holds {len(members)} files; a bundle has at most {MOST_FILES}.")
    seen = set()
    for member in members:
        if not _PLAIN_NAME.match(member.filename):
            raise BundleError(f"{name} holds a file with the unsafe name {member.filename!r}.")
        if member.filename in seen:
            raise BundleError(f"{name} holds {member.filename} twice.")
        if member.flag_bits & 0x1:
            raise BundleError(f"{name} is encrypted; a bundle is not.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(f"{name} packs {member.filename} in a way that a bundle does not.")
        seen.add(member.filename)


def _read_manifest(archive: zipfile.ZipFile, name: str) -> Manifest:
    if MANIFEST not in archive.namelist():
        raise BundleError(f"{name} has no {MANIFEST}: it is not a bundle.")
    raw = _read(archive, MANIFEST, LARGEST_MANIFEST_BYTES, name)
    try:
        version = msgspec.json.decode(raw, type=_Format).format
        if version != FORMAT:
            raise BundleError(
                f"{name} has format {version}; this Lineside reads format {FORMAT}.",
                hint="Upgrade the older of the two sides.",
            )
        manifest = msgspec.json.decode(raw, type=Manifest)
    except msgspec.DecodeError as error:
        raise BundleError(f"{name} has a damaged {MANIFEST}: {error}.") from error
    _check_manifest(manifest, name)
    return manifest


class _Format(msgspec.Struct):
    format: int


def _check_manifest(manifest: Manifest, name: str) -> None:
    if not _PLAIN_NAME.match(manifest.name) or not _VERSION.match(manifest.version):
        raise BundleError(
            f"{name} calls itself {manifest.name!r}, version {manifest.version!r}.",
            hint="Use letters, digits, dots, dashes and underscores.",
        )
    if not manifest.channels or manifest.window.length < 1 or manifest.window.hop < 1:
        raise BundleError(f"{name} has no channels, or a window shorter than one reading.")
    if len({channel.name for channel in manifest.channels}) != len(manifest.channels):
        raise BundleError(f"{name} names a channel twice.")


def _read_files(
    archive: zipfile.ZipFile, manifest: Manifest, name: str, largest_bytes: int
) -> dict[str, bytes]:
    present = set(archive.namelist()) - {MANIFEST}
    if missing := (REQUIRED | manifest.files.keys()) - present:
        raise BundleError(f"{name} lacks {', '.join(sorted(missing))}.")
    if unlisted := present - manifest.files.keys():
        raise BundleError(f"{name} holds {', '.join(sorted(unlisted))}, which its manifest does not list.")
    if min(entry.bytes for entry in manifest.files.values()) < 0:
        raise BundleError(f"{name} lists a file of a negative size.")
    total = sum(entry.bytes for entry in manifest.files.values())
    if total > largest_bytes:
        raise BundleError(f"{name} unpacks to {total} bytes; at most {largest_bytes} are read.")
    files = {}
    for member, entry in manifest.files.items():
        content = _read(archive, member, entry.bytes, name)
        if _entry(content) != entry:
            raise BundleError(
                f"{name} was altered or damaged: {member} is not the file that was written.",
                hint="Copy or export it again.",
            )
        files[member] = content
    return files


def _read(archive: zipfile.ZipFile, member: str, limit: int, name: str) -> bytes:
    with archive.open(member) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BundleError(f"{name} was altered: {member} is larger than it may be.")
    return content
