"""Private keys: made, read, and kept from other users' eyes."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from lineside_contract.errors import InputError
from lineside_contract.files import write_whole
from lineside_contract.signature import PublicKey

PASSPHRASE = "LINESIDE_SIGN_PASSPHRASE"
_LARGEST_KEY_BYTES = 64 * 1024
_MAKE_ONE = "`lineside keygen` makes one."


class KeyPair(NamedTuple):
    """Where a new pair of keys was written, and the id by which its signatures name it."""

    private: Path
    public: Path
    key_id: str
    encrypted: bool


class PrivateKey(NamedTuple):
    """A key that signs. `warning` is for its owner to read, or empty."""

    key: Ed25519PrivateKey
    warning: str


def generate(name: Path, environment: Mapping[str, str]) -> KeyPair:
    """Make NAME.key (PKCS #8, PEM, for its owner only) and NAME.pub, or neither of them.

    With a passphrase in the environment the private key is encrypted. Raises InputError if one of the two is
    there already, or cannot be written.
    """
    private, public = (name.with_name(name.name + suffix) for suffix in (".key", ".pub"))
    for path in (private, public):
        if os.path.lexists(path):
            raise InputError(
                f"{path} is already there.",
                hint="Choose another -o: a private key that is replaced is gone for good.",
            )
    key = Ed25519PrivateKey.generate()
    passphrase = _passphrase(environment)
    encryption: KeySerializationEncryption = (
        BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    )
    try:
        # The public one first: whatever interrupts this, no secret is left lying about.
        write_whole(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        try:
            write_whole(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), mode=0o600)
        except BaseException:
            public.unlink()
            raise
    except OSError as error:
        raise InputError(f"{private} and {public.name} cannot be written: {error.strerror}.") from error
    return KeyPair(private, public, PublicKey.load(public).key_id, passphrase is not None)


def load_private_key(path: Path, environment: Mapping[str, str]) -> PrivateKey:
    """Read an Ed25519 private key from a PEM file. Raises InputError."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_KEY_BYTES)
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except OSError as error:
        raise InputError(f"The key {path} cannot be read: {error.strerror}.") from error
    key = _parse(path, data, _passphrase(environment))
    warning = ""
    if mode & 0o077:
        warning = f"Other users may use the private key {path}. Run: chmod 600 {path}"
    return PrivateKey(key, warning)


def _parse(path: Path, data: bytes, passphrase: bytes | None) -> Ed25519PrivateKey:
    if b"-----BEGIN PUBLIC KEY" in data:
        raise InputError(
            f"{path} is a public key, which cannot sign.", hint="Name the .key file of the pair."
        )
    encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY" in data
    if encrypted and passphrase is None:
        raise InputError(
            f"The key {path} has a passphrase.", hint=f"Put it into the environment variable {PASSPHRASE}."
        )
    try:
        key = load_pem_private_key(data, passphrase if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise InputError(
                f"The key {path} cannot be opened with the passphrase in {PASSPHRASE}.",
                hint="Correct the variable; a forgotten passphrase needs a new key.",
            ) from error
        raise InputError(f"{path} is not a private key in PEM format.", hint=_MAKE_ONE) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path} is not an Ed25519 key.", hint=_MAKE_ONE)
    return key


def _passphrase(environment: Mapping[str, str]) -> bytes | None:
    """Return the passphrase; an empty variable stands for none."""
    return os.fsencode(environment.get(PASSPHRASE, "")) or None
