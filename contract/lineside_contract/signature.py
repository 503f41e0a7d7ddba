"""Who vouches for a bundle: Ed25519 signatures over its manifest, in a DSSE envelope (`signature.json`).

The manifest holds the digest of every other file, so whoever signs its bytes signs the bundle. Envelope and
encoding: DSSE 1.0 (github.com/secure-systems-lab/dsse, protocol.md and envelope.md). Signatures: Ed25519 (RFC
8032). Keys: PEM, as `openssl genpkey -algorithm ed25519` writes them (RFC 8410).

This module needs the package `cryptography`, which the rest of the contract does not: import it only where
signatures are asked for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from lineside_contract.bundle import SIGNATURE, Bundle
from lineside_contract.errors import BundleError, InputError

PAYLOAD_TYPE = "application/vnd.lineside.manifest+json"
# A key takes its time for each signature, and a hostile bundle must not take a device's.
MOST_SIGNATURES = 16
_LARGEST_KEY_BYTES = 64 * 1024


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
    """A key that signatures are held against. `name` is its file's, for messages."""

    name: str
    key_id: str
    key: Ed25519PublicKey

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
        try:
            key = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InputError(f"{path} is not a public key.", hint=_MAKE_ONE) from error
        if not isinstance(key, Ed25519PublicKey):
            raise InputError(f"{path} is not an Ed25519 key.", hint=_MAKE_ONE)
        return cls(path.name, key_id(key), key)

    def made(self, signature: Signature, signed: bytes) -> bool:
        """Say whether this key made the signature over `signed`."""
        try:
            self.key.verify(_from_base64(signature.sig), signed)
        except (InvalidSignature, ValueError):
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 (hexadecimal) of the key's SubjectPublicKeyInfo in DER."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


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


def verify(bundle: Bundle, keys: Iterable[PublicKey], name: str) -> list[PublicKey]:
    """Return those of the keys that signed the bundle: at least one.

    Every key is tried on every signature, whatever key id that names. `name` is for the messages. Raises
    BundleError if the bundle is unsigned, or none of the keys signed it.
    """
    keys = list(keys)
    signatures = signatures_of(bundle, name)
    if not signatures:
        raise BundleError(f"{name} is not signed.", hint=f"Run: lineside sign {name} --key FILE")
    signed = signed_bytes(bundle.manifest_bytes)
    if signers := [key for key in keys if any(key.made(signature, signed) for signature in signatures)]:
        return signers
    claimed = {signature.keyid for signature in signatures}
    if pretended := [key.name for key in keys if key.key_id in claimed]:
        raise BundleError(
            f"{name} names the key {pretended[0]}, which did not sign it: it was altered or forged.",
            hint="Do not use it; get it again from whoever made it.",
        )
    ids = ", ".join(sorted(repr(key_id[:16]) for key_id in claimed))
    raise BundleError(
        f"{name} is signed by a key that is not trusted here (key id {ids}).",
        hint=f"Sign it with a key of {', '.join(key.name for key in keys)}, or trust the other one as well.",
    )


def _from_base64(text: str) -> bytes:
    """Read base64 in the standard or the URL-safe alphabet, as DSSE asks. Raises ValueError."""
    try:
        return base64.b64decode(text.translate(_URL_SAFE), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


_URL_SAFE = str.maketrans("-_", "+/")
_MAKE_ONE = "`lineside keygen` makes a pair of keys: NAME.key signs, NAME.pub verifies."
_SIGN_AGAIN = "Sign it again: lineside sign --replace."
