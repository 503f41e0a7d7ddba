"""Who vouches for a bundle: Ed25519 signatures over its manifest, in a DSSE envelope (`signature.json`).

The manifest holds the digest of every other file, so whoever signs its bytes signs the bundle. Envelope and
encoding: DSSE 1.0 (github.com/secure-systems-lab/dsse, protocol.md and envelope.md). Signatures: Ed25519 (RFC
8032). Keys: PEM, as `openssl genpkey -algorithm ed25519` writes them (RFC 8410).

Verifying needs the package `cryptography`, which the rest of the contract does not; reading keys and envelopes does
not need it either.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from lineside_contract import ed25519
from lineside_contract.bundle import SIGNATURE, Bundle
from lineside_contract.errors import BundleError, InputError

PAYLOAD_TYPE = "application/vnd.lineside.manifest+json"
# A key takes its time for each signature, and a hostile bundle must not take a device's.
MOST_SIGNATURES = 16
_LARGEST_KEY_BYTES = 64 * 1024
# The SubjectPublicKeyInfo of an Ed25519 key up to the key itself: RFC 8410, section 4, leaves no choice in it.
_SPKI = bytes.fromhex("302a300506032b6570032100")
_SEQUENCE = b"\x30"  # which every other SubjectPublicKeyInfo begins with too


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature, in base64. `keyid` is a hint for people: nothing is decided by it (DSSE, 'KEYID')."""

    sig: str
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """`signature.json`: the manifest's bytes in base64, and what was signed over them."""

    payload_type: str = msgspec.field(name="payloadType")
    payload: str
    signatures: list[Signature]


class PublicKey(NamedTuple):
    """A key that signatures are held against: 32 bytes. `name` is its file's, for messages."""

    name: str
    raw: bytes

    @classmethod
    def load(cls, path: Path) -> PublicKey:
        """Read a public key from a PEM file. Raises InputError."""
        try:
            with path.open("rb") as file:
                data = file.read(_LARGEST_KEY_BYTES)
        except OSError as error:
            raise InputError(f"The key {path} cannot be read: {error.strerror}.") from error
        if b"PRIVATE KEY-----" in data:
            raise InputError(
                f"{path} is a private key, which only signs.",
                hint="Name the .pub file beside it, and keep the .key file where bundles are made.",
            )
        der = _der(data)
        if not der.startswith(_SEQUENCE):
            raise InputError(f"{path} is not a public key.", hint=_MAKE_ONE)
        if not der.startswith(_SPKI) or len(der) != len(_SPKI) + ed25519.KEY_BYTES:
            raise InputError(f"{path} is not an Ed25519 key.", hint=_MAKE_ONE)
        return cls(path.name, der[len(_SPKI) :])

    @property
    def key_id(self) -> str:
        """The SHA-256 (hexadecimal) of the key's SubjectPublicKeyInfo in DER."""
        return hashlib.sha256(_SPKI + self.raw).hexdigest()

    def made(self, signature: Signature, signed: bytes) -> bool:
        """Say whether this key made the signature over `signed`."""
        return any(ed25519.made(signed, [(self.raw, raw) for raw in _raw([signature])]))


def signed_bytes(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return what is signed for a payload: DSSE's pre-authentication encoding (PAE) of its type and its bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(manifest: bytes, signatures: Iterable[Signature]) -> bytes:
    """Return the content of signature.json."""
    payload = base64.b64encode(manifest).decode()
    envelope = Envelope(payload_type=PAYLOAD_TYPE, payload=payload, signatures=list(signatures))
    return msgspec.json.encode(envelope) + b"\n"


def signatures_of(bundle: Bundle, name: str) -> list[Signature]:
    """Return the signatures that a bundle carries, none if it has no signature.json; they may all be false.

    `name` is for the messages. Raises BundleError for an envelope that is damaged, or is not this manifest's.
    """
    if bundle.signature is None:
        return []
    try:
        envelope = msgspec.json.decode(bundle.signature, type=Envelope)
        payload = _from_base64(envelope.payload)
    except (ValueError, RecursionError) as error:  # msgspec's and base64's errors are ValueErrors
        raise BundleError(f"{name} has a damaged {SIGNATURE}: {error}.", hint=_SIGN_AGAIN) from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise BundleError(
            f"{name} has a {SIGNATURE} for {envelope.payload_type[:100]!r}, not for a manifest.",
            hint=_SIGN_AGAIN,
        )
    if payload != bundle.manifest_bytes:
        raise BundleError(
            f"{name} was altered after it was signed: its {SIGNATURE} is for another manifest.",
            hint="Copy or export it again.",
        )
    if len(envelope.signatures) > MOST_SIGNATURES:
        raise BundleError(
            f"{name} carries {len(envelope.signatures)} signatures; at most {MOST_SIGNATURES} are read.",
            hint=_SIGN_AGAIN,
        )
    return envelope.signatures


def verify(
    bundle: Bundle,
    keys: Iterable[PublicKey],
    name: str,
    made: Callable[[bytes, Sequence[ed25519.Pair]], list[bool]] = ed25519.made,
) -> list[PublicKey]:
    """Return those of the keys that signed the bundle: at least one.

    Every key is tried on every signature, whatever key id that names. `name` is for the messages; `made` does
    the work of `ed25519.made`, perhaps elsewhere. Raises BundleError if the bundle is unsigned, or none of the
    keys signed it.
    """
    keys = list(keys)
    signatures = signatures_of(bundle, name)
    if not signatures:
        raise BundleError(
            f"{name} is not signed.",
            hint=f"On the workstation, where the private key is: lineside sign {Path(name).name} --key FILE",
        )
    pairs = [(key.raw, signature) for key in keys for signature in _raw(signatures)]
    held = made(signed_bytes(bundle.manifest_bytes), pairs)
    signing = {raw for (raw, _), holds in zip(pairs, held, strict=True) if holds}
    if signers := [key for key in keys if key.raw in signing]:
        return signers
    claimed = {signature.keyid for signature in signatures}
    if pretended := [key.name for key in keys if key.key_id in claimed]:
        raise BundleError(
            f"{name} names the key {pretended[0]}, which did not sign it: it was altered or forged.",
            hint="Do not use it; get it again from whoever made it.",
        )
    ids = ", ".join(sorted(repr(key_id[:16]) for key_id in claimed))
    trusted = " or ".join(key.name for key in keys)
    raise BundleError(
        f"{name} is signed by a key that is not trusted here (key id {ids}).",
        hint=f"On the workstation, sign it with the private key that belongs to {trusted}; or trust the other one.",
    )


def _raw(signatures: Iterable[Signature]) -> list[bytes]:
    """Return the bytes of those that could be signatures."""
    found = []
    for signature in signatures:
        try:
            raw = _from_base64(signature.sig)
        except ValueError:
            continue
        if len(raw) == ed25519.SIGNATURE_BYTES:
            found.append(raw)
    return found


def _der(pem: bytes) -> bytes:
    """Return what the first public key in a PEM file encodes, nothing if there is none (RFC 7468)."""
    _, _, after = pem.partition(b"-----BEGIN PUBLIC KEY-----")
    text, end, _ = after.partition(b"-----END PUBLIC KEY-----")
    try:
        return base64.b64decode(b"".join(text.split()), validate=True) if end else b""
    except binascii.Error:
        return b""


def _from_base64(text: str) -> bytes:
    """Read base64 in the standard or the URL-safe alphabet, as DSSE asks. Raises ValueError."""
    try:
        return base64.b64decode(text.translate(_URL_SAFE), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


_URL_SAFE = str.maketrans("-_", "+/")
_MAKE_ONE = "`lineside keygen` makes a pair of keys: NAME.key signs, NAME.pub verifies."
_SIGN_AGAIN = "Sign it again on the workstation: lineside sign --replace."
