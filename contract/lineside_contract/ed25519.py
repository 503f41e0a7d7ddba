"""Whether keys made signatures: Ed25519 (RFC 8032), as the package `cryptography` computes it.

Also a program, for who would rather not hold that package's ten megabytes for good: on standard input how many
pairs there are (4 bytes, big-endian), the pairs, and what was signed; on standard output `made` and a digit for
each pair. Its arguments are where it finds the package. It imports no more than it must: a device waits for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

KEY_BYTES, SIGNATURE_BYTES = 32, 64
_PAIR_BYTES = KEY_BYTES + SIGNATURE_BYTES
Pair = tuple[bytes, bytes]
"""A public key and a signature, both raw."""


def made(signed: bytes, pairs: Sequence[Pair]) -> list[bool]:
    """Say of each pair whether its key made its signature over `signed`."""
    # Here and not above: who only asks the program needs neither the package nor the memory that it takes.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    def holds(key: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
        except (InvalidSignature, ValueError):
            return False
        return True

    return [holds(key, signature) for key, signature in pairs]


def question(signed: bytes, pairs: Sequence[Pair]) -> bytes:
    """Return what the program reads. Keys and signatures must have their lengths."""
    return b"".join((len(pairs).to_bytes(4, "big"), *(part for pair in pairs for part in pair), signed))


def answer(said: bytes, count: int) -> list[bool]:
    """Read what the program said of `count` pairs. Raises ValueError for anything else than an answer."""
    word, _, digits = said.partition(b" ")
    if word != b"made" or len(digits) != count + 1 or digits[count:] != b"\n" or digits.strip(b"01") != b"\n":
        raise ValueError("no answer")
    return [digit == ord("1") for digit in digits[:count]]


def _main() -> None:
    sys.path[:] = sys.argv[1:]
    asked = sys.stdin.buffer.read()
    end = 4 + int.from_bytes(asked[:4], "big") * _PAIR_BYTES
    if len(asked) < end:
        sys.exit("the question was cut short")
    pairs = [
        (asked[at : at + KEY_BYTES], asked[at + KEY_BYTES : at + _PAIR_BYTES])
        for at in range(4, end, _PAIR_BYTES)
    ]
    print("made", "".join("01"[each] for each in made(asked[end:], pairs)), flush=True)
    os._exit(0)  # taking the interpreter apart would take a tenth of the time


if __name__ == "__main__":
    _main()
