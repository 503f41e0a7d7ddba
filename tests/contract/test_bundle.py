from __future__ import annotations

import contextlib
import io
import json
import os
import random
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lineside_contract.bundle import Bundle, file_name, write_bundle
from lineside_contract.errors import BundleError
from lineside_contract.files import write_whole
from lineside_contract.manifest import Channel, Manifest, Outputs, Window

FILES = {"model.onnx": b"model" * 20, "golden.npz": bytes(range(200)), "card.md": b"# Pump\n"}


def make_manifest(**changes: Any) -> Manifest:
    manifest = Manifest(
        name="pump",
        version="1.0.0",
        created="2026-01-01T00:00:00Z",
        task="classification",
        estimator="RandomForestClassifier",
        input="X",
        channels=[Channel(name="pressure", unit="bar"), Channel(name="flow", mean=1.5)],
        outputs=Outputs(label="label", classes=["ok", 1]),
        window=Window(length=4, hop=2),
    )
    return replace(manifest, **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / file_name("pump", "1.0.0")
    write_bundle(path, make_manifest(), FILES)
    return path


def packed(members: list[tuple[str, bytes]], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Zip members as somebody with bad intentions might."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of a name that comes twice
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_manifest(path: Path, change: Callable[[dict[str, Any]], None]) -> bytes:
    members = members_of(path)
    manifest = json.loads(members["manifest.json"])
    change(manifest)
    members["manifest.json"] = json.dumps(manifest).encode()
    return packed(list(members.items()))


def test_a_bundle_is_read_as_it_was_written(path: Path) -> None:
    bundle = Bundle.open(path)
    assert bundle.files == FILES
    assert bundle.manifest.channels == make_manifest().channels
    assert replace(bundle.manifest, files={}) == make_manifest()


def test_the_same_content_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    write_bundle(again, make_manifest(), dict(reversed(FILES.items())))
    assert again.read_bytes() == path.read_bytes()


def same_or_refused(data: bytes, original: Bundle) -> None:
    """A zip has bytes that mean nothing (dates, attributes), so damage may also change nothing."""
    with contextlib.suppress(BundleError):
        assert Bundle.parse(data, "the bundle") == original


def test_any_damaged_byte_is_found_or_harmless(path: Path) -> None:
    data, original = path.read_bytes(), Bundle.open(path)
    chosen = random.Random(0)
    for at in range(len(data)):
        for mask in (1 << chosen.randrange(8), chosen.randrange(1, 256), 0xFF):
            same_or_refused(data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :], original)


def test_any_truncation_is_found(path: Path) -> None:
    data = path.read_bytes()
    for length in range(len(data)):
        with pytest.raises(BundleError, match=r"the bundle "):
            Bundle.parse(data[:length], "the bundle")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_wild_damage_is_found_or_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "wild.zip"
    if not path.exists():
        write_bundle(path, make_manifest(), FILES)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.binary(max_size=12))
        if data.draw(st.booleans()):
            content[at : at + len(piece)] = piece
        else:
            content[at : at + data.draw(st.integers(0, 8))] = piece
    same_or_refused(bytes(content), Bundle.open(path))


@given(st.binary(max_size=400))
def test_anything_else_is_no_bundle(data: bytes) -> None:
    with pytest.raises(BundleError):
        Bundle.parse(data, "the bundle")


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/b", "..", "C:\\x", ".hidden", "a\nb", "é", "x" * 101]
)
def test_unsafe_names_are_refused(path: Path, name: str) -> None:
    data = packed([*members_of(path).items(), (name, b"")])
    with pytest.raises(BundleError, match=r"unsafe name|not a bundle"):
        Bundle.parse(data, "it")
    with pytest.raises(BundleError, match="unsafe name"):
        write_bundle(path.with_name("new.zip"), make_manifest(), {**FILES, name: b""})
    assert not path.with_name("new.zip").exists()


def test_a_file_twice_is_refused(path: Path) -> None:
    data = packed([*members_of(path).items(), ("model.onnx", FILES["model.onnx"])])
    with pytest.raises(BundleError, match=r"holds model\.onnx twice"):
        Bundle.parse(data, "it")


def test_a_file_that_the_manifest_does_not_list_is_refused(path: Path) -> None:
    with pytest.raises(BundleError, match=r"holds extra\.bin, which its manifest does not list"):
        Bundle.parse(packed([*members_of(path).items(), ("extra.bin", b"")]), "it")


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "card.md", "manifest.json"])
def test_a_missing_file_is_refused(path: Path, name: str) -> None:
    members = members_of(path)
    del members[name]
    with pytest.raises(BundleError, match=f"(lacks|has no) {name}"):
        Bundle.parse(packed(list(members.items())), "it")


def test_an_altered_file_is_refused(path: Path) -> None:
    """With a correct checksum in the zip: only the manifest's digest shows it."""
    members = {**members_of(path), "model.onnx": b"MODEL" * 20}
    with pytest.raises(BundleError, match=r"altered or damaged: model\.onnx"):
        Bundle.parse(packed(list(members.items())), "it")


def test_an_encrypted_bundle_is_refused(path: Path) -> None:
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    with pytest.raises(BundleError, match="is encrypted"):
        Bundle.parse(bytes(data), "it")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(path: Path, method: int) -> None:
    with pytest.raises(BundleError, match=r"packs manifest\.json in a way"):
        Bundle.parse(packed(list(members_of(path).items()), method=method), "it")


def test_an_unknown_format_is_refused(path: Path) -> None:
    def newer(manifest: dict[str, Any]) -> None:
        manifest.clear()
        manifest["format"] = 2

    with pytest.raises(BundleError, match=r"has format 2; this Lineside reads format 1\. Upgrade"):
        Bundle.parse(with_manifest(path, newer), "it")


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.clear(),
        lambda manifest: manifest.update(channels=[]),
        lambda manifest: manifest.update(window={"length": 0, "hop": 1}),
        lambda manifest: manifest.update(window={"length": 1, "hop": -1}),
        lambda manifest: manifest.update(name="../pump"),
        lambda manifest: manifest.update(version=""),
        lambda manifest: manifest.update(channels=[{"name": "a"}, {"name": "a"}]),
        lambda manifest: manifest.update(task="magic"),
        lambda manifest: manifest["files"]["model.onnx"].update(bytes=-2),
        lambda manifest: manifest["files"]["model.onnx"].update(bytes=10**30),
        lambda manifest: manifest["files"].update({"manifest.json": manifest["files"]["card.md"]}),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(BundleError, match=r"^it "):
        Bundle.parse(with_manifest(path, change), "it")


def test_a_manifest_nested_too_deeply_is_refused(path: Path) -> None:
    members = {**members_of(path), "manifest.json": b'{"format":1,"x":' + b"[" * 100_000}
    with pytest.raises(BundleError, match="is damaged"):
        Bundle.parse(packed(list(members.items())), "it")


def test_too_many_files_are_refused(path: Path) -> None:
    data = packed([*members_of(path).items(), *((f"f{number}", b"") for number in range(64))])
    with pytest.raises(
        BundleError, match=r"holds 68 files; a bundle has at most 64\. `lineside export` makes"
    ):
        Bundle.parse(data, "it")


@pytest.fixture
def bomb(path: Path) -> dict[str, bytes]:
    """Members of a bundle whose model is 64 MB of zeros, 64 kB packed."""
    return {**members_of(path), "model.onnx": bytes(64_000_000)}


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(BundleError):
            work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_is_not_unpacked(path: Path, bomb: dict[str, bytes]) -> None:
    """It claims in its manifest and in the zip's directory to be small: reading stops at what it claims."""
    data = bytearray(packed(list(bomb.items())))
    assert peak_of(lambda: Bundle.parse(bytes(data), "it")) < 8_000_000
    entry = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    name_at = data.index(b"model.onnx", entry)
    struct.pack_into("<I", data, name_at - 46 + 24, 100)  # the size that the directory claims
    assert peak_of(lambda: Bundle.parse(bytes(data), "it")) < 8_000_000


@pytest.mark.parametrize("claim", [-2, 10**9])
def test_a_bomb_that_claims_any_size_is_not_unpacked(path: Path, bomb: dict[str, bytes], claim: int) -> None:
    manifest = json.loads(bomb["manifest.json"])
    manifest["files"]["model.onnx"]["bytes"] = claim
    data = packed([*{**bomb, "manifest.json": json.dumps(manifest).encode()}.items()])
    assert peak_of(lambda: Bundle.parse(data, "it")) < 8_000_000


def test_a_manifest_bomb_is_not_unpacked(path: Path) -> None:
    data = packed([*{**members_of(path), "manifest.json": b" " * 64_000_000}.items()])
    assert peak_of(lambda: Bundle.parse(data, "it")) < 24_000_000


def test_a_file_larger_than_any_bundle_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.bundle.zip"
    with path.open("wb") as file:
        file.truncate(10**12)  # sparse: takes no room
    with pytest.raises(BundleError, match="too large for a bundle"):
        Bundle.open(path)


@pytest.mark.parametrize("name", ["nothing-here.zip", "."])
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match=r"cannot be read: (No such file|Is a directory)"):
        Bundle.open(tmp_path / name)


@pytest.mark.parametrize(
    ("manifest", "files"),
    [
        (make_manifest(), {"model.onnx": b""}),
        (make_manifest(), {**FILES, "manifest.json": b"{}"}),
        (make_manifest(name="a/b"), FILES),
        (make_manifest(channels=[]), FILES),
    ],
)
def test_what_could_not_be_opened_is_not_written(
    path: Path, manifest: Manifest, files: dict[str, bytes]
) -> None:
    before = path.read_bytes()
    with pytest.raises(BundleError):
        write_bundle(path, manifest, files)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "fdopen"])
def test_a_failure_in_the_middle_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(path, make_manifest(version="2"), FILES)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_ctrl_c_in_the_middle_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_is_replaced_whole(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old", sync=sync)
    write_whole(path, b"new", sync=sync)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644
