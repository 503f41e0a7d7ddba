from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside_contract.bundle import LARGEST_SIGNATURE_BYTES, Bundle, add_signature, write_bundle
from lineside_contract.errors import BundleError, InputError
from lineside_contract.manifest import Channel, Manifest, Outputs
from lineside_contract.signature import (
    MOST_SIGNATURES,
    PAYLOAD_TYPE,
    PublicKey,
    Signature,
    seal,
    signatures_of,
    signed_bytes,
    verify,
)

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
Members = dict[str, bytes]


class Signer(NamedTuple):
    """A private key whose public half is `trusted`."""

    key: ed25519.Ed25519PrivateKey
    trusted: PublicKey

    @classmethod
    def make(cls, name: str, seed: int) -> Signer:
        key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        return cls(key, PublicKey(name, key.public_key().public_bytes_raw()))

    def sign(self, payload: bytes, kind: str = PAYLOAD_TYPE) -> Signature:
        made = self.key.sign(signed_bytes(payload, kind))
        return Signature(sig=base64.b64encode(made).decode(), keyid=self.trusted.key_id)

    def seal(self, payload: bytes) -> bytes:
        return seal(payload, [self.sign(payload)])


OPS = Signer.make("ops.pub", 1)
OTHER = Signer.make("other.pub", 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle that OPS signed."""
    path = tmp_path_factory.mktemp("signed") / "pump-1.0.0.bundle.zip"
    write_bundle(path, MANIFEST, FILES, sign=OPS.seal)
    return path.read_bytes()


def members_of(data: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(members: Members) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def altered(data: bytes, **changes: bytes | None) -> bytes:
    """The bundle with some members replaced, or left out; `_` stands for a dot."""
    members = members_of(data)
    for name, content in changes.items():
        members.pop(name.replace("_", "."), None)
        if content is not None:
            members[name.replace("_", ".")] = content
    return pack(members)


def with_envelope(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    envelope = json.loads(members_of(data)["signature.json"])
    change(envelope)
    return altered(data, signature_json=json.dumps(envelope).encode())


def refusal(data: bytes, *keys: Signer) -> str:
    with pytest.raises(BundleError) as error:
        verify(Bundle.parse(data, "it"), [key.trusted for key in keys or [OPS]], "it")
    assert error.value.hint
    return error.value.message


def signers(data: bytes, *keys: Signer) -> list[str]:
    return [key.name for key in verify(Bundle.parse(data, "it"), [key.trusted for key in keys], "it")]


def test_the_encoding_is_that_of_the_specification() -> None:
    """The test vector of DSSE's protocol.md."""
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert signed_bytes(b"hello world", "http://example.com/HelloWorld") == expected
    assert (
        signed_bytes(b"\n", "\N{MICRO SIGN}") == b"DSSEv1 2 \xc2\xb5 1 \n"
    )  # lengths are those of the bytes


def test_the_envelope_is_that_of_the_specification(data: bytes) -> None:
    members = members_of(data)
    envelope = json.loads(members["signature.json"])
    assert set(envelope) == {"payloadType", "payload", "signatures"}
    assert base64.b64decode(envelope["payload"]) == members["manifest.json"]
    assert "signature.json" not in json.loads(members["manifest.json"])["files"]
    OPS.key.public_key().verify(
        base64.b64decode(envelope["signatures"][0]["sig"]),
        b"DSSEv1 38 application/vnd.lineside.manifest+json %d " % len(members["manifest.json"])
        + members["manifest.json"],
    )


def test_a_signed_bundle_is_the_bundle(data: bytes, tmp_path: Path) -> None:
    assert signers(data, OTHER, OPS) == ["ops.pub"]
    plain = tmp_path / "plain.bundle.zip"
    write_bundle(plain, MANIFEST, FILES)
    bundle = Bundle.open(plain)
    assert bundle.signature is None
    assert Bundle.parse(data, "it")._replace(signature=None) == bundle
    add_signature(plain, bundle, OPS.seal(bundle.manifest_bytes))
    assert plain.read_bytes() == data


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_found_also_if_its_digest_is_put_right(
    data: bytes, name: str, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=name):
        Bundle.parse(altered(data, **{name.replace(".", "_"): FILES[name][:-1] + b"?"}), "it")
    path = tmp_path / "forged.bundle.zip"
    write_bundle(path, MANIFEST, {**FILES, name: b"evil"})
    bundle = Bundle.open(path)
    add_signature(path, bundle, members_of(data)["signature.json"])
    assert "altered after it was signed" in refusal(path.read_bytes())


def test_a_changed_manifest_is_found_also_if_the_envelope_follows(data: bytes) -> None:
    manifest = members_of(data)["manifest.json"].replace(b'"1.0.0"', b'"9.0.0"')
    changed = altered(data, manifest_json=manifest)
    assert "altered after it was signed" in refusal(changed)
    payload = base64.b64encode(manifest).decode()
    followed = with_envelope(changed, lambda envelope: envelope.update(payload=payload))
    assert "names the key ops.pub, which did not sign it" in refusal(followed)


def test_even_white_space_in_the_manifest_is_signed(data: bytes) -> None:
    assert "altered after" in refusal(altered(data, manifest_json=members_of(data)["manifest.json"] + b" "))


def test_a_bundle_without_a_signature_is_told_apart(data: bytes) -> None:
    assert refusal(altered(data, signature_json=None)) == "it is not signed."
    empty = with_envelope(data, lambda envelope: envelope.update(signatures=[]))
    assert refusal(empty) == "it is not signed."


def test_another_key_is_not_trusted(data: bytes) -> None:
    assert "not trusted here" in refusal(data, OTHER)
    assert OPS.trusted.key_id[:16] in refusal(data, OTHER)


def test_a_key_id_decides_nothing(data: bytes) -> None:
    """DSSE: a key id MUST NOT be used for security decisions."""
    for keyid in (OTHER.trusted.key_id, "", "x" * 10_000):
        renamed = with_envelope(
            data, lambda envelope, keyid=keyid: envelope["signatures"][0].update(keyid=keyid)
        )
        assert signers(renamed, OTHER, OPS) == ["ops.pub"]
    without = with_envelope(data, lambda envelope: envelope["signatures"][0].pop("keyid"))
    assert signers(without, OPS) == ["ops.pub"]
    claimed = with_envelope(
        data, lambda envelope: envelope["signatures"][0].update(keyid=OTHER.trusted.key_id)
    )
    assert "names the key other.pub, which did not sign it" in refusal(claimed, OTHER)


def test_one_of_two_signatures_is_enough(data: bytes) -> None:
    manifest = members_of(data)["manifest.json"]
    both = altered(data, signature_json=seal(manifest, [OTHER.sign(manifest), OPS.sign(manifest)]))
    assert signers(both, OPS) == ["ops.pub"]
    assert signers(both, OTHER) == ["other.pub"]
    assert signers(both, OPS, OTHER) == ["ops.pub", "other.pub"]
    false = [OTHER.sign(b"else"), OPS.sign(manifest)]
    half = altered(data, signature_json=seal(manifest, false))
    assert signers(half, OPS, OTHER) == ["ops.pub"]
    assert "did not sign it" in refusal(half, OTHER)


def test_a_signature_of_another_bundle_or_of_another_type_is_none(data: bytes) -> None:
    manifest = members_of(data)["manifest.json"]
    for signature in (OPS.sign(manifest + b" "), OPS.sign(manifest, "text/plain")):
        assert "did not sign it" in refusal(altered(data, signature_json=seal(manifest, [signature])))
    bare = Signature(sig=base64.b64encode(OPS.key.sign(manifest)).decode())
    assert "not trusted here" in refusal(altered(data, signature_json=seal(manifest, [bare])))
    typed = with_envelope(data, lambda envelope: envelope.update(payloadType="application/json"))
    assert "for 'application/json', not for a manifest" in refusal(typed)


def test_both_alphabets_of_base64_are_read(data: bytes) -> None:
    def to_url_safe(envelope: dict[str, Any]) -> None:
        for part in (envelope, *envelope["signatures"]):
            for key in {"payload", "sig"} & part.keys():
                part[key] = part[key].replace("+", "-").replace("/", "_")

    changed = with_envelope(data, to_url_safe)
    assert set(members_of(changed)["signature.json"]) & set(b"-_")
    assert signers(changed, OPS) == ["ops.pub"]


def test_a_cut_bundle_or_envelope_never_counts(data: bytes) -> None:
    for length in range(0, len(data), 7):
        with pytest.raises(BundleError):
            verify(Bundle.parse(data[:length], "it"), [OPS.trusted], "it")
    envelope = members_of(data)["signature.json"]
    for length in range(len(envelope) - 2):
        bundle = Bundle.parse(data, "it")._replace(signature=envelope[:length])
        with pytest.raises(BundleError, match="damaged signature"):
            verify(bundle, [OPS.trusted], "it")


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(["manifest.json", "signature.json"]), at=st.floats(0, 1), byte=st.integers(0, 255)
)
def test_whatever_one_byte_becomes_only_the_signed_manifest_counts(
    data: bytes, name: str, at: float, byte: int
) -> None:
    members = members_of(data)
    manifest = members["manifest.json"]
    content = bytearray(members[name])
    content[int(at * (len(content) - 1))] = byte
    try:
        bundle = Bundle.parse(pack({**members, name: bytes(content)}), "it")
        verify(bundle, [OPS.trusted], "it")
    except BundleError:
        return
    assert bundle.manifest_bytes == manifest


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["payload", "payloadType", "signatures", "sig", "keyid"]), inner
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_no_envelope_makes_anything_but_a_refusal(data: bytes, envelope: bytes) -> None:
    bundle = Bundle.parse(data, "it")._replace(signature=envelope)
    with pytest.raises(BundleError):
        verify(bundle, [OPS.trusted], "it")


@pytest.mark.parametrize(
    "sig", ["", "=", "AAAA", "é" * 64, "A" * 100_000, base64.b64encode(bytes(64)).decode()]
)
def test_what_is_no_signature_is_skipped(data: bytes, sig: str) -> None:
    manifest = members_of(data)["manifest.json"]
    signatures = [Signature(sig=sig, keyid=OPS.trusted.key_id)]
    assert "did not sign it" in refusal(altered(data, signature_json=seal(manifest, signatures)))
    signatures.append(OPS.sign(manifest))
    assert signers(altered(data, signature_json=seal(manifest, signatures)), OPS) == ["ops.pub"]


def test_a_flood_of_signatures_costs_no_time(data: bytes) -> None:
    manifest = members_of(data)["manifest.json"]
    many = [OTHER.sign(manifest)] * MOST_SIGNATURES
    assert (
        len(signatures_of(Bundle.parse(altered(data, signature_json=seal(manifest, many)), "it"), "it")) == 16
    )
    flood = altered(data, signature_json=seal(manifest, [*many, OPS.sign(manifest)]))
    assert "carries 17 signatures" in refusal(flood)


def test_a_swollen_envelope_is_not_unpacked(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"signature\.json is larger than it may be"):
        Bundle.parse(altered(data, signature_json=b" " * (LARGEST_SIGNATURE_BYTES + 1)), "it")


def test_a_signature_is_none_of_the_listed_files(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.bundle.zip"
    with pytest.raises(BundleError, match=r"signature\.json is written from the manifest"):
        write_bundle(path, MANIFEST, {**FILES, "signature.json": b"{}"})
    manifest = json.loads(members_of(data)["manifest.json"])
    manifest["files"]["signature.json"] = manifest["files"]["card.md"]
    with pytest.raises(BundleError, match=r"lacks signature\.json"):
        Bundle.parse(altered(data, manifest_json=json.dumps(manifest).encode()), "it")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_if_signing_fails(tmp_path: Path) -> None:
    def fail(_: bytes) -> bytes:
        raise InputError("The key is gone.")

    with pytest.raises(InputError, match="gone"):
        write_bundle(tmp_path / "a.bundle.zip", MANIFEST, FILES, sign=fail)
    assert list(tmp_path.iterdir()) == []


def private_pem(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_public_key_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ops.pub"
    path.write_bytes(public_pem(OPS.key))
    assert PublicKey.load(path) == OPS.trusted


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a public key"),
        (b"\xff" * 100, "is not a public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is not a public key"),
        (private_pem(OPS.key), "is a private key, which only signs"),
        (public_pem(ec.generate_private_key(ec.SECP256R1())), "is not an Ed25519 key"),
    ],
)
def test_what_is_no_public_key_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ops.pub"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        PublicKey.load(path)
    assert error.value.hint
    with pytest.raises(InputError, match="cannot be read: No such file"):
        PublicKey.load(tmp_path / "none.pub")
