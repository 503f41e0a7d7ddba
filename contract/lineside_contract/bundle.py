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
from collections.abc import Callable
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
# Who vouches for the manifest: the one file that the manifest cannot list. See lineside_contract.signature.
SIGNATURE = "signature.json"
REQUIRED = frozenset({MODEL, GOLDEN})
# The largest bundle that is read into memory, unpacked. A Raspberry Pi Zero 2 W has 512 MB in all.
LARGEST_BYTES = 256 * 1024 * 1024
LARGEST_MANIFEST_BYTES = 4 * 1024 * 1024
LARGEST_SIGNATURE_BYTES = 2 * LARGEST_MANIFEST_BYTES  # it repeats the manifest, in base64
MOST_FILES = 64
_EXPORT = "`lineside export` makes a bundle of a model."
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
    """A bundle in memory, every file of it as the manifest says.

    `manifest_bytes` is what the manifest was read from. `signature` is who vouches for those bytes, as it was
    found, or None: nothing here has looked at it.
    """

    manifest: Manifest
    files: dict[str, bytes]
    manifest_bytes: bytes
    signature: bytes | None = None

    @classmethod
    def open(cls, path: Path, *, largest_bytes: int = LARGEST_BYTES) -> Bundle:
        """Read and verify a bundle. Raises BundleError: whatever is returned is what was written."""
        # Packing never adds more than these two may hold.
        most = largest_bytes + LARGEST_MANIFEST_BYTES + LARGEST_SIGNATURE_BYTES
        try:
            if path.stat().st_size > most:
                raise BundleError(f"{path} is too large for a bundle: more than {most} bytes.")
            data = path.read_bytes()
        except OSError as error:
            raise BundleError(
                f"{path} cannot be read: {error.strerror}.", hint="Name a file that `lineside export` wrote."
            ) from error
        return cls.parse(data, str(path), largest_bytes=largest_bytes)

    @classmethod
    def parse(cls, data: bytes, name: str, *, largest_bytes: int = LARGEST_BYTES) -> Bundle:
        """Verify a bundle's bytes; `name` is for the messages. Raises BundleError."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                _check_directory(archive, name)
                manifest, raw = _read_manifest(archive, name)
                files = _read_files(archive, manifest, name, largest_bytes)
                signature = _read_signature(archive, name)
        except _DAMAGE as error:
            raise BundleError(
                f"{name} is not a bundle, or is damaged: {error}.", hint="Copy or export it again."
            ) from error
        return cls(manifest, files, raw, signature)


def write_bundle(
    path: Path, manifest: Manifest, files: dict[str, bytes], *, sign: Callable[[bytes], bytes] | None = None
) -> Manifest:
    """Write a bundle whole or not at all, and return its manifest with every file's digest.

    `sign` is given the manifest's bytes and returns the content of signature.json.

    Raises BundleError for what could not be opened again (a file that every bundle needs is missing, a name
    is unsafe, it is too large), OSError if it cannot be written.
    """
    if made_here := {MANIFEST, SIGNATURE} & files.keys():
        raise BundleError(f"{made_here.pop()} is written from the manifest; it cannot be one of the files.")
    entries = {name: _entry(content) for name, content in sorted(files.items())}
    manifest = replace(manifest, files=entries)
    raw = _manifest_json(manifest)
    _write(path, Bundle(manifest, files, raw, sign(raw) if sign else None))
    return manifest


def add_signature(path: Path, bundle: Bundle, signature: bytes) -> None:
    """Write an opened bundle again, with this signature.json and otherwise the same content.

    Raises BundleError if it would be too large, OSError if it cannot be written; then the old file stays.
    """
    _write(path, bundle._replace(signature=signature))


def _write(path: Path, bundle: Bundle) -> None:
    members = [(MANIFEST, bundle.manifest_bytes), *sorted(bundle.files.items())]
    if bundle.signature is not None:
        members.append((SIGNATURE, bundle.signature))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(_member(name), content)
    data = buffer.getvalue()
    Bundle.parse(data, str(path))
    write_whole(path, data)


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
        raise BundleError(
            f"{name} holds {len(members)} files; a bundle has at most {MOST_FILES}.", hint=_EXPORT
        )
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


def _read_manifest(archive: zipfile.ZipFile, name: str) -> tuple[Manifest, bytes]:
    if MANIFEST not in archive.namelist():
        raise BundleError(f"{name} has no {MANIFEST}: it is not a bundle.", hint=_EXPORT)
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
    return manifest, raw


def _read_signature(archive: zipfile.ZipFile, name: str) -> bytes | None:
    if SIGNATURE not in archive.namelist():
        return None
    return _read(archive, SIGNATURE, LARGEST_SIGNATURE_BYTES, name)


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
    present = set(archive.namelist()) - {MANIFEST, SIGNATURE}
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
