from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sklearn.linear_model import LinearRegression

from lineside_contract.bundle import Bundle, write_bundle
from lineside_contract.manifest import Channel, Manifest, Outputs

BUNDLE = "pump-1.0.0.bundle.zip"
PASSPHRASE = "LINESIDE_SIGN_PASSPHRASE"
FILES = {"model.onnx": b"model" * 20, "golden.npz": bytes(range(200)), "card.md": b"# Pump\n"}
MANIFEST = Manifest(
    name="pump",
    version="1.0.0",
    created="2026-01-01T00:00:00Z",
    task="regression",
    estimator="Ridge",
    input="X",
    channels=[Channel(name="pressure")],
    outputs=Outputs(values="y"),
)


@pytest.fixture
def signing(work):
    """A folder with a pair of keys and an unsigned bundle."""
    assert work.run("keygen", "-o", "ops").code == 0
    write_bundle(Path(BUNDLE), MANIFEST, FILES)
    return work


def refused(result, *words: str) -> None:
    assert result.code == 2, result
    assert result.err.startswith("lineside: ")
    assert result.err.count("\n") == 1
    assert result.out == ""
    for word in words:
        assert word in result.err, result.err


def test_a_pair_of_keys_signs_and_verifies(signing) -> None:
    result = signing.run("sign", BUNDLE, "--key", "ops.key")
    assert (result.code, result.err) == (0, "")
    result = signing.run("verify", BUNDLE, "--key", "ops.pub")
    assert (result.code, result.err) == (0, "")
    assert "Signed by ops.pub" in result.out
    assert Bundle.open(Path(BUNDLE)).files == FILES


def test_the_private_key_is_for_its_owner_only(signing) -> None:
    assert Path("ops.key").stat().st_mode & 0o777 == 0o600
    assert Path("ops.pub").stat().st_mode & 0o777 == 0o644
    Path("ops.key").chmod(0o640)
    result = signing.run("sign", BUNDLE, "--key", "ops.key")
    assert result.code == 0
    assert "chmod 600 ops.key" in result.err


def test_keygen_replaces_nothing_and_leaves_no_half(work, monkeypatch: pytest.MonkeyPatch) -> None:
    assert work.run("keygen", "-o", "ops").code == 0
    before = Path("ops.key").read_bytes()
    refused(work.run("keygen", "-o", "ops"), "ops.key is already there")
    Path("ops.key").rename("safe.key")
    refused(work.run("keygen", "-o", "ops"), "ops.pub is already there")
    assert Path("safe.key").read_bytes() == before
    refused(work.run("keygen", "-o", "nowhere/ops"), "cannot be written")
    Path("dangling.key").symlink_to("nowhere")
    refused(work.run("keygen", "-o", "dangling"), "dangling.key is already there")
    from lineside_export.signing import keys

    write = keys.write_whole

    def full(path: Path, data: bytes, **options: int) -> None:
        if path.suffix == ".key":
            raise OSError(28, "No space left on device")
        write(path, data, **options)

    monkeypatch.setattr(keys, "write_whole", full)
    refused(work.run("keygen", "-o", "new"), "No space left on device")
    assert {path.name for path in Path().iterdir()} == {"safe.key", "ops.pub", "dangling.key"}


@pytest.mark.parametrize("name", ["ops.key", "ops.pub", "", ".."])
def test_a_name_is_not_a_file(work, name: str) -> None:
    result = work.run("keygen", "-o", name)
    assert result.code == 2
    assert list(Path().iterdir()) == []
    assert not list(Path("..").glob("*.key"))


def test_a_passphrase_guards_the_key(work, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(Path(BUNDLE), MANIFEST, FILES)
    before = Path(BUNDLE).read_bytes()
    monkeypatch.setenv(PASSPHRASE, "correct horse \N{GREEK SMALL LETTER MU}")
    assert "(encrypted)" in work.run("keygen", "-o", "ops").out
    assert b"ENCRYPTED PRIVATE KEY" in Path("ops.key").read_bytes()
    for wrong in ("incorrect", "x" * 5000):
        monkeypatch.setenv(PASSPHRASE, wrong)
        result = work.run("sign", BUNDLE, "--key", "ops.key")
        refused(result, f"cannot be opened with the passphrase in {PASSPHRASE}")
        assert wrong not in result.err
    for none in ("", None):
        monkeypatch.setenv(PASSPHRASE, none) if none is not None else monkeypatch.delenv(PASSPHRASE)
        refused(work.run("sign", BUNDLE, "--key", "ops.key"), "has a passphrase", PASSPHRASE)
    assert Path(BUNDLE).read_bytes() == before
    monkeypatch.setenv(PASSPHRASE, "correct horse \N{GREEK SMALL LETTER MU}")
    assert work.run("sign", BUNDLE, "--key", "ops.key").code == 0
    assert work.run("verify", BUNDLE, "--key", "ops.pub").code == 0


def test_a_passphrase_that_a_key_does_not_need_does_no_harm(signing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE, "anything")
    assert signing.run("sign", BUNDLE, "--key", "ops.key").code == 0


def pem(key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a private key"),
        (bytes(range(256)) * 300, "is not a private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is not a private key"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "is not an Ed25519 key"),
        (pem(x25519.X25519PrivateKey.generate()), "is not an Ed25519 key"),
    ],
)
def test_what_is_no_private_key_is_refused(signing, content: bytes, message: str) -> None:
    before = Path(BUNDLE).read_bytes()
    Path("wrong.key").write_bytes(content)
    refused(signing.run("sign", BUNDLE, "--key", "wrong.key"), message, "lineside keygen")
    refused(signing.run("sign", BUNDLE, "--key", "ops.pub"), "is a public key, which cannot sign")
    refused(signing.run("sign", BUNDLE, "--key", "none.key"), "cannot be read: No such file")
    assert Path(BUNDLE).read_bytes() == before


def test_signing_again_adds_nothing_and_another_key_adds_one(signing) -> None:
    assert signing.run("sign", BUNDLE, "--key", "ops.key").code == 0
    once = Path(BUNDLE).read_bytes()
    assert signing.run("sign", BUNDLE, "--key", "ops.key").code == 0
    assert Path(BUNDLE).read_bytes() == once
    assert signing.run("keygen", "-o", "next").code == 0
    assert "2 signatures" in signing.run("sign", BUNDLE, "--key", "next.key").out
    for key in ("ops.pub", "next.pub"):
        assert signing.run("verify", BUNDLE, "--key", key).code == 0
    assert signing.run("sign", BUNDLE, "--key", "next.key", "--replace").code == 0
    refused(signing.run("verify", BUNDLE, "--key", "ops.pub"), "not trusted here")
    assert signing.run("verify", BUNDLE, "--key", "ops.pub", "--key", "next.pub").code == 0


def test_signing_again_says_that_nothing_has_changed(signing) -> None:
    assert signing.run("sign", BUNDLE, "--key", "ops.key").out.startswith(f"Signed {BUNDLE}: ")
    before = Path(BUNDLE).stat()
    for option in ([], ["--replace"]):
        result = signing.run("sign", BUNDLE, "--key", "ops.key", *option)
        assert result.code == 0
        assert result.out.startswith(f"{BUNDLE} was signed with this key before, and is as it was: ")
    assert signing.run("keygen", "-o", "next").code == 0
    assert Path(BUNDLE).stat().st_ino == before.st_ino
    assert signing.run("sign", BUNDLE, "--key", "next.key").out.startswith("Signed")
    again = signing.run("sign", BUNDLE, "--key", "ops.key").out
    assert "was signed with this key before" in again
    assert "It carries 2 signatures." in again
    assert signing.run("sign", BUNDLE, "--key", "ops.key", "--replace").out.startswith("Signed")


def test_only_so_many_signatures_fit(signing) -> None:
    for number in range(16):
        assert signing.run("keygen", "-o", f"k{number}").code == 0
        assert signing.run("sign", BUNDLE, "--key", f"k{number}.key").code == 0
    before = Path(BUNDLE).read_bytes()
    refused(signing.run("sign", BUNDLE, "--key", "ops.key"), "carries 16 signatures", "--replace")
    assert Path(BUNDLE).read_bytes() == before


def test_a_damaged_bundle_is_not_signed(signing) -> None:
    damaged = Path(BUNDLE).read_bytes()[:-30]
    Path(BUNDLE).write_bytes(damaged)
    refused(signing.run("sign", BUNDLE, "--key", "ops.key"), "is not a bundle, or is damaged")
    assert Path(BUNDLE).read_bytes() == damaged


def test_a_stale_signature_is_refused_and_replaced_when_told(signing) -> None:
    assert signing.run("sign", BUNDLE, "--key", "ops.key").code == 0
    stale = Bundle.open(Path(BUNDLE)).signature
    write_bundle(Path(BUNDLE), MANIFEST, {**FILES, "card.md": b"# Other\n"}, sign=lambda _: stale)
    for arguments in (
        ["sign", BUNDLE, "--key", "ops.key"],
        ["verify", BUNDLE],
        ["verify", BUNDLE, "--key", "ops.pub"],
    ):
        refused(signing.run(*arguments), "was altered after it was signed")
    assert signing.run("sign", BUNDLE, "--key", "ops.key", "--replace").code == 0
    assert signing.run("verify", BUNDLE, "--key", "ops.pub").code == 0


def test_without_a_key_nothing_is_proved(signing) -> None:
    result = signing.run("verify", BUNDLE)
    assert result.code == 1
    assert "not signed" in result.out
    refused(signing.run("verify", BUNDLE, "--key", "ops.pub"), "is not signed")
    assert signing.run("sign", BUNDLE, "--key", "ops.key").code == 0
    result = signing.run("verify", BUNDLE)
    assert result.code == 1
    assert "Nothing is proved without a key" in result.out


def test_json_tells_the_same_to_programs(signing) -> None:
    assert signing.run("sign", BUNDLE, "--key", "ops.key").code == 0
    found = json.loads(signing.run("verify", BUNDLE, "--json").out)
    assert (found["model"], found["version"], found["verified"]) == ("pump", "1.0.0", False)
    assert [each["key"] for each in found["signatures"]] == [None]
    found = json.loads(signing.run("verify", BUNDLE, "--key", "ops.pub", "--json").out)
    assert found["verified"] is True
    assert [each["key"] for each in found["signatures"]] == ["ops.pub"]
    assert len(found["signatures"][0]["key_id"]) == 64


@pytest.mark.skipif(not Path("/usr/bin/openssl").exists(), reason="compares with OpenSSL's command")
def test_openssl_agrees(signing) -> None:
    """Another program computes the same key id, verifies the signature, and makes keys that sign."""

    def openssl(*arguments: str) -> bytes:
        return subprocess.run(["/usr/bin/openssl", *arguments], capture_output=True, check=True).stdout

    import base64
    import hashlib

    assert signing.run("sign", BUNDLE, "--key", "ops.key").code == 0
    with zipfile.ZipFile(BUNDLE) as archive:
        manifest = archive.read("manifest.json")
        signature = json.loads(archive.read("signature.json"))["signatures"][0]
    der = openssl("pkey", "-pubin", "-in", "ops.pub", "-outform", "DER")
    assert signature["keyid"] == hashlib.sha256(der).hexdigest()
    Path("signed").write_bytes(
        b"DSSEv1 38 application/vnd.lineside.manifest+json %d " % len(manifest) + manifest
    )
    Path("sig").write_bytes(base64.b64decode(signature["sig"]))
    verify = [
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "ops.pub",
        "-rawin",
        "-in",
        "signed",
        "-sigfile",
        "sig",
    ]
    assert b"Verified Successfully" in openssl(*verify)
    openssl("genpkey", "-algorithm", "ed25519", "-out", "theirs.key")
    openssl("pkey", "-in", "theirs.key", "-pubout", "-out", "theirs.pub")
    assert signing.run("sign", BUNDLE, "--key", "theirs.key").code == 0
    assert signing.run("verify", BUNDLE, "--key", "theirs.pub").code == 0


def test_an_interrupted_signing_leaves_the_old_file(signing, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Path(BUNDLE).read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    assert signing.run("sign", BUNDLE, "--key", "ops.key").code == 130
    assert Path(BUNDLE).read_bytes() == before
    assert {path.name for path in Path().iterdir()} == {BUNDLE, "ops.key", "ops.pub"}


def test_an_export_is_signed_at_once(work) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200, 2))
    work.save(LinearRegression().fit(values, values.sum(axis=1)))
    work.rows(values, values.sum(axis=1))
    work.refused(work.export("--sign-key", "ops.key"), "The key ops.key cannot be read")
    assert work.run("keygen", "-o", "ops").code == 0
    Path("ops.key").chmod(0o644)
    result = work.export("--sign-key", "ops.key")
    assert result.code == 0
    assert "chmod 600 ops.key" in result.err
    assert work.run("verify", "m-1.0.0.bundle.zip", "--key", "ops.pub").code == 0
    (signature,) = json.loads(zipfile.ZipFile("m-1.0.0.bundle.zip").read("signature.json"))["signatures"]
    shown = work.run("inspect", "m-1.0.0.bundle.zip")
    assert f"with key id {signature['keyid'][:16]!r}" in shown.out
    again = work.export()
    assert again.code == 0
    assert "The bundle that was m-1.0.0.bundle.zip before was signed; this one is not." in again.err
    assert "was signed" not in work.export().err
    assert "by nobody" in work.run("inspect", "m-1.0.0.bundle.zip").out


def test_signing_needs_nothing_but_its_own_extra(signing) -> None:
    code = (
        "import sys\n"
        "for name in ('numpy', 'onnx', 'onnxruntime', 'sklearn', 'rich', 'paho'): sys.modules[name] = None\n"
        "from lineside_cli.main import main\n"
        f"code = main(['sign', {BUNDLE!r}, '--key', 'ops.key'])\n"
        f"sys.exit(code or main(['verify', {BUNDLE!r}, '--key', 'ops.pub']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_missing_package_is_told(signing) -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from lineside_cli.main import main; sys.exit(main(['keygen', '-o', 'new']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    assert "needs the package cryptography" in result.stderr
    assert "pip install 'lineside[signing]'" in result.stderr
