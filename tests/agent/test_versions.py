from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lineside_agent.versions import FILE, is_older, newest_run, refuse_older, remember
from lineside_contract.errors import BundleError, InputError
from lineside_contract.manifest import Channel, Manifest, Outputs

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
# What the bundle format allows as a version.
VERSIONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,12}", fullmatch=True)

# Each list rises. The first is the example of Semantic Versioning 2.0.0, section 11, without its one case of
# a word after a number; the second is the summary of PEP 440, without epochs and local versions.
RISING = [
    ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"],
    [
        "1.0.dev456",
        "1.0a1",
        "1.0a2",
        "1.0b1",
        "1.0b2",
        "1.0rc1",
        "1.0rc2",
        "1.0",
        "1.0.post456",
        "1.0.15",
        "1.1.dev1",
    ],
    ["1.0.0", "2.0.0", "2.1.0", "2.1.1", "2.10.0", "10.0.0"],
    ["2025-12-31", "2026-1-9", "2026-01-31", "2026-02-01"],
    ["1", "1.0.1", "1.1", "2"],
    ["v1.9", "1.10", "V1.11"],
    ["1.0", "1.0.post1", "1.0.1"],
]
SAME = [("1.0", "1.0.0"), ("1", "1.0+build.5"), ("1.0-RC1", "1.0rc1"), ("v2", "2"), ("1.01", "1.1")]


@pytest.mark.parametrize("versions", RISING)
def test_the_usual_versions_rise(versions: list[str]) -> None:
    for older, newer in pairwise(versions):
        assert is_older(older, newer), (older, newer)
        assert not is_older(newer, older), (older, newer)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_is_the_same_version_is_not_older(one: str, other: str) -> None:
    assert not is_older(one, other)
    assert not is_older(other, one)


@given(st.lists(VERSIONS, min_size=3, max_size=3))
def test_it_is_an_order(versions: list[str]) -> None:
    for one, other, third in product(versions, repeat=3):
        assert not (is_older(one, other) and is_older(other, one))
        if is_older(one, other) and not is_older(third, other):
            assert is_older(one, third)


def test_the_newest_of_each_model_is_remembered(tmp_path: Path) -> None:
    assert newest_run(tmp_path) == {}
    for name, version in [("pump", "1.9"), ("pump", "1.10"), ("pump", "1.2"), ("fan", "0.1")]:
        remember(tmp_path, replace(MANIFEST, name=name, version=version), newest_run(tmp_path))
    assert newest_run(tmp_path) == {"pump": "1.10", "fan": "0.1"}
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_the_same_version_is_not_written_again(tmp_path: Path) -> None:
    remember(tmp_path, MANIFEST, {})
    before = (tmp_path / FILE).stat().st_ino
    remember(tmp_path, MANIFEST, newest_run(tmp_path))
    assert (tmp_path / FILE).stat().st_ino == before


def test_an_older_version_is_refused() -> None:
    refuse_older(MANIFEST, None)
    refuse_older(MANIFEST, "1.0.0")
    refuse_older(MANIFEST, "0.9")
    with pytest.raises(BundleError, match=r"pump 1\.0\.0 is older than 1\.0\.1") as error:
        refuse_older(MANIFEST, "1.0.1")
    assert "allow_downgrade" in error.value.hint


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pump": 1}', b"\xff\xfe"])
def test_a_damaged_memory_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError, match=FILE) as error:
        newest_run(tmp_path)
    assert "allow_downgrade" in error.value.hint


def test_a_state_folder_that_is_none_has_no_memory(tmp_path: Path) -> None:
    assert newest_run(tmp_path / "none") == {}
    (tmp_path / "file").write_bytes(b"")
    assert newest_run(tmp_path / "file") == {}
