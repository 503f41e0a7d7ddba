"""Put signatures into a bundle, and find out whose they are."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineside_contract.bundle import Bundle, add_signature
from lineside_contract.errors import BundleError, InputError
from lineside_contract.signature import (
    MOST_SIGNATURES,
    PublicKey,
    Signature,
    seal,
    signatures_of,
    signed_bytes,
)


class Signed(NamedTuple):
    """What signing came to: the bundle, the id of the key, how many keys have signed it now.

    `new` is false if it was signed so before: then the file is as it was.
    """

    bundle: Bundle
    key_id: str
    signatures: int
    new: bool


class Verified(NamedTuple):
    """One signature in a bundle. `key` is the name of the given key that made it, None if none of them did."""

    key_id: str
    key: str | None


def signer(key: Ed25519PrivateKey) -> Callable[[bytes], bytes]:
    """Return what makes the signature.json for a manifest, for `write_bundle`."""
    return lambda manifest: seal(manifest, [_sign(manifest, key)])


def sign_bundle(path: Path, key: Ed25519PrivateKey, *, replace: bool) -> Signed:
    """Sign a bundle in its place; the signatures of other keys stay, unless they are to be replaced.

    Raises InputError: then the file is as it was.
    """
    bundle = Bundle.open(path)
    mine = _sign(bundle.manifest_bytes, key)
    signed = signed_bytes(bundle.manifest_bytes)
    public = _public(key)
    there = [] if replace else signatures_of(bundle, str(path))
    others = [each for each in there if not public.made(each, signed)]
    signatures = there if mine in there else [*others, mine]
    if len(signatures) > MOST_SIGNATURES:
        raise BundleError(
            f"{path} carries {len(others)} signatures, and at most {MOST_SIGNATURES} are read.",
            hint="Drop the others with --replace.",
        )
    sealed = seal(bundle.manifest_bytes, signatures)
    new = sealed != bundle.signature
    if new:
        _write(path, bundle, sealed)
    return Signed(bundle, mine.keyid, len(signatures), new)


def _write(path: Path, bundle: Bundle, sealed: bytes) -> None:
    try:
        add_signature(path, bundle, sealed)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error


def whose(bundle: Bundle, keys: Sequence[PublicKey], name: str) -> list[Verified]:
    """Say of each signature in a bundle which of the keys made it. Raises BundleError for a bad envelope."""
    signed = signed_bytes(bundle.manifest_bytes)
    return [
        Verified(each.keyid, next((key.name for key in keys if key.made(each, signed)), None))
        for each in signatures_of(bundle, name)
    ]


def _sign(manifest: bytes, key: Ed25519PrivateKey) -> Signature:
    signature = base64.b64encode(key.sign(signed_bytes(manifest))).decode()
    return Signature(sig=signature, keyid=_public(key).key_id)


def _public(key: Ed25519PrivateKey) -> PublicKey:
    return PublicKey("", key.public_key().public_bytes_raw())
