"""`lineside keygen`, `lineside sign` and `lineside verify`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineside_contract.bundle import Bundle
    from lineside_export.signing.sign import Verified

_KEYGEN_EXAMPLES = """
examples:
  lineside keygen -o ops                                  write ops.key and ops.pub
  LINESIDE_SIGN_PASSPHRASE=... lineside keygen -o ops     the same, with the private key encrypted

Keep ops.key where bundles are made, and nowhere else. Copy ops.pub to every device and name it in agent.toml:
trusted_keys = ["ops.pub"]. A file that is there already is never replaced.
"""
_SIGN_EXAMPLES = """
examples:
  lineside sign pump-1.0.0.bundle.zip --key ops.key
  LINESIDE_SIGN_PASSPHRASE=... lineside sign pump-1.0.0.bundle.zip --key ops.key
  lineside sign pump-1.0.0.bundle.zip --key new.key       signed by both: devices need to trust one of them
  lineside sign pump-1.0.0.bundle.zip --key new.key --replace

The bundle's files are verified first. Exit code: 0 signed, 2 refused (the file is as it was).
"""
_VERIFY_EXAMPLES = """
examples:
  lineside verify pump-1.0.0.bundle.zip --key ops.pub
  lineside verify pump-1.0.0.bundle.zip --key ops.pub --key spare.pub --json
  lineside verify pump-1.0.0.bundle.zip                   who claims to have signed it?

Exit code: 0 one of the keys signed this very content; 1 undamaged, but without --key nobody vouches for it;
2 damaged, altered, unsigned, or signed by others.
"""


def configure_keygen(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside keygen`."""
    _teach(parser, _KEYGEN_EXAMPLES)
    parser.add_argument(
        "-o", "--output", type=_name, required=True, metavar="NAME", help="write NAME.key and NAME.pub"
    )
    parser.set_defaults(run=_keygen)


def configure_sign(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside sign`."""
    _teach(parser, _SIGN_EXAMPLES)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument(
        "--key",
        type=Path,
        required=True,
        metavar="FILE",
        help="private key; its passphrase, if it has one, is read from LINESIDE_SIGN_PASSPHRASE",
    )
    parser.add_argument("--replace", action="store_true", help="drop the signatures that are there")
    parser.set_defaults(run=_sign)


def configure_verify(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside verify`."""
    _teach(parser, _VERIFY_EXAMPLES)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument(
        "--key",
        type=Path,
        action="append",
        default=[],
        metavar="PUB",
        help="public key; repeat it: one of them is enough",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.set_defaults(run=_verify)


def _teach(parser: argparse.ArgumentParser, examples: str) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = examples


def _name(text: str) -> Path:
    path = Path(text)
    if path.name in ("", "..") or path.suffix in (".key", ".pub"):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME for NAME.key and NAME.pub")
    return path


def _keygen(options: argparse.Namespace) -> int:
    from lineside_export.signing.keys import PASSPHRASE, generate

    pair = generate(options.output, os.environ)
    secret = "encrypted" if pair.encrypted else f"not encrypted: set {PASSPHRASE} for that"
    print(f"Wrote {pair.private} ({secret}). It signs: keep it to yourself.")
    print(f"Wrote {pair.public}. It verifies: copy it to the devices, and name it in trusted_keys.")
    print(f"Key id: {pair.key_id}")
    return 0


def _sign(options: argparse.Namespace) -> int:
    from lineside_export.signing.keys import load_private_key
    from lineside_export.signing.sign import sign_bundle

    key = load_private_key(options.key, os.environ)
    if key.warning:
        print(f"lineside: warning: {key.warning}", file=sys.stderr)
    signed = sign_bundle(options.bundle, key.key, replace=options.replace)
    manifest = signed.bundle.manifest
    what = f"{manifest.name} {manifest.version}, key id {signed.key_id}."
    if signed.new:
        print(f"Signed {options.bundle}: {what}")
    else:
        print(f"{options.bundle} was signed with this key before, and is as it was: {what}")
    if signed.signatures > 1:
        print(f"It carries {signed.signatures} signatures.")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from lineside_contract import signature
    from lineside_contract.bundle import Bundle
    from lineside_export.signing.sign import whose

    name = str(options.bundle)
    keys = [signature.PublicKey.load(path) for path in options.key]
    bundle = Bundle.open(options.bundle)
    if keys:
        signature.verify(bundle, keys, name)
    found = whose(bundle, keys, name)
    if options.json:
        print(json.dumps(_document(name, bundle, found), indent=2, ensure_ascii=False))
    else:
        _print(name, bundle, found)
    return 0 if keys else 1


def _document(name: str, bundle: Bundle, found: list[Verified]) -> dict[str, Any]:
    return {
        "bundle": name,
        "model": bundle.manifest.name,
        "version": bundle.manifest.version,
        "verified": any(each.key for each in found),
        "signatures": [{"key_id": each.key_id, "key": each.key} for each in found],
    }


def _print(name: str, bundle: Bundle, found: list[Verified]) -> None:
    print(f"{name}: {bundle.manifest.name} {bundle.manifest.version}, every file as its manifest says.")
    for each in found:
        if each.key:
            print(f"Signed by {each.key} (key id {each.key_id}).")
        else:
            print(f"A signature that no given key made (it names the key id {each.key_id[:64]!r}).")
    if not found:
        print("It is not signed: nobody vouches for it. Sign it with `lineside sign`.")
    elif not any(each.key for each in found):
        print("Nothing is proved without a key: say --key FILE.pub.")
