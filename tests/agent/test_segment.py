from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside_agent import segment
from lineside_agent.outbox import Limits, Outbox
from lineside_agent.reading import Position
from lineside_agent.segment import Entry, encode_record, read

BOOT = "1f2e3d4c-7"
ENTRIES = [
    Entry(BOOT, 0, 1, 1, b'{"ts":1}'),
    Entry(BOOT, 1, 3, 2, b"{}"),
    Entry(BOOT, 4, 1, 1, b""),
    Entry(BOOT, 5, 200, 1, b'{"value":[1.5,2.5]}'),
    Entry(BOOT, 205, 1, 3, b'{"event":"sensor_failed"}'),
]
payloads = st.binary(max_size=60)


def number(messages: list[tuple[int, bytes]]) -> list[Entry]:
    entries, seq = [], 0
    for count, payload in messages:
        entries.append(Entry(BOOT, seq, count, 1, payload))
        seq += count
    return entries


def read_back(content: bytes, folder: Path, offset: int = 0) -> list[Entry]:
    path = folder / "some.log"
    path.write_bytes(content)
    return [entry for entry, _ in read(path, BOOT, offset, len(content))]


@given(messages=st.lists(st.tuples(st.integers(1, 1000), payloads), max_size=12))
def test_what_is_written_is_read(
    messages: list[tuple[int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    entries = number(messages)
    folder = tmp_path_factory.getbasetemp()
    assert read_back(b"".join(map(encode_record, entries)), folder) == entries


def test_reading_goes_on_from_any_offset_it_gave(tmp_path: Path) -> None:
    content = b"".join(map(encode_record, ENTRIES))
    path = tmp_path / "some.log"
    path.write_bytes(content)
    after = [offset for _, offset in read(path, BOOT, 0, len(content))]
    assert after[-1] == len(content)
    for index, offset in enumerate(after):
        assert [entry for entry, _ in read(path, BOOT, offset, len(content))] == ENTRIES[index + 1 :]


def test_a_record_longer_than_the_buffer_is_read(tmp_path: Path) -> None:
    entries = [Entry(BOOT, seq, 1, 1, bytes([seq]) * 600_000) for seq in range(3)]
    assert read_back(b"".join(map(encode_record, entries)), tmp_path) == entries


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_an_altered_byte_costs_one_record_and_alters_none(tmp_path: Path, flip: int) -> None:
    content = bytearray(b"".join(map(encode_record, ENTRIES)))
    ends, end = [], 0
    for entry in ENTRIES:
        end += len(encode_record(entry))
        ends.append(end)
    for at in range(len(content)):
        content[at] ^= flip
        hit = next(index for index, end in enumerate(ends) if at < end)
        assert read_back(bytes(content), tmp_path) == ENTRIES[:hit] + ENTRIES[hit + 1 :], at
        content[at] ^= flip


def test_a_file_that_is_cut_anywhere_keeps_what_is_whole(tmp_path: Path) -> None:
    content = b"".join(map(encode_record, ENTRIES))
    for size in range(len(content)):
        found = read_back(content[:size], tmp_path)
        assert found == ENTRIES[: len(found)]
        assert sum(len(encode_record(entry)) for entry in ENTRIES[: len(found) + 1]) > size


@settings(max_examples=200)
@given(
    messages=st.lists(st.tuples(st.integers(1, 9), payloads), max_size=8),
    damage=st.lists(st.tuples(st.integers(0, 999), st.binary(max_size=30)), max_size=5),
)
def test_no_damage_makes_up_or_alters_a_record(
    messages: list[tuple[int, bytes]],
    damage: list[tuple[int, bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    entries = number(messages)
    content = b"".join(map(encode_record, entries))
    for at, rubbish in damage:
        place = at % (len(content) + 1)
        content = content[:place] + rubbish + content[place + len(rubbish) // 2 :]
    found = read_back(content, tmp_path_factory.getbasetemp())
    assert set(found) <= set(entries)


@pytest.mark.parametrize(
    "rubbish", [b"\0", b"\x20", b"\xff", os.urandom(4096)], ids=["zero", "blank", "ff", "random"]
)
def test_a_long_tail_of_rubbish_is_passed_over(tmp_path: Path, rubbish: bytes) -> None:
    content = b"".join(map(encode_record, ENTRIES)) + rubbish * (200_000 // len(rubbish))
    assert read_back(content + encode_record(Entry(BOOT, 206, 1, 1, b"later")), tmp_path) == [
        *ENTRIES,
        Entry(BOOT, 206, 1, 1, b"later"),
    ]


def test_a_file_shorter_than_it_was_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    content = b"".join(map(encode_record, ENTRIES))
    path = tmp_path / "some.log"
    path.write_bytes(content[:-3])
    assert [entry for entry, _ in read(path, BOOT, 0, len(content))] == ENTRIES[:-1]


def test_files_are_found_by_their_names_in_order(tmp_path: Path) -> None:
    for name in [
        "000000000010-ab-1-7.log",
        "000000000002-ab-1-0.log",
        "notes.log",
        "000000000003.log",
        "cursor",
    ]:
        (tmp_path / name).write_bytes(b"12345")
    found = segment.find(tmp_path)
    assert [(s.number, s.boot, s.first, s.size) for s in found] == [(2, "ab-1", 0, 5), (10, "ab-1", 7, 5)]


def test_a_write_that_fails_halfway_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, descriptor = segment.create(tmp_path, 1, BOOT, 0)
    segment.write_all(descriptor, b"before", 0)
    real = os.pwrite

    def short(descriptor: int, data: bytes, offset: int) -> int:
        if offset > 6:
            raise OSError(errno.ENOSPC, "full")
        return real(descriptor, data[:4], offset)

    monkeypatch.setattr(os, "pwrite", short)
    with pytest.raises(OSError, match="full"):
        segment.write_all(descriptor, b"0123456789", 6)
    assert part.path.read_bytes() == b"before"
    monkeypatch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
    with pytest.raises(OSError, match="full"):
        segment.write_all(descriptor, b"0123456789", 6)
    monkeypatch.undo()
    segment.write_all(descriptor, b"0123456789", 6)
    assert part.path.read_bytes() == b"before0123456789"
    os.close(descriptor)


@pytest.mark.parametrize("flip", [0x01, 0x10, 0x80, 0xFF])
def test_every_altered_byte_in_a_committed_file_is_noticed(tmp_path: Path, flip: int) -> None:
    """What can be read is as it was put; the rest is told of as dropped, or is beyond the stated end."""
    outbox = Outbox(tmp_path / "sound", Limits())
    put = outbox.put([(entry.kind, entry.messages, entry.payload) for entry in ENTRIES])
    outbox.commit()
    outbox._log.end_segment(sync=False)
    (log,) = (tmp_path / "sound").glob("*.log")
    content = bytearray(log.read_bytes())
    for at in range(len(content)):
        content[at] ^= flip
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / "boot").write_bytes((tmp_path / "sound/boot").read_bytes())
        (folder / log.name).write_bytes(content)
        content[at] ^= flip
        outbox = Outbox(folder, Limits())
        assert outbox.previous is not None
        found, _ = outbox.read(Position(), 100)
        assert set(found) < set(put)
        told = {
            seq
            for first, last in outbox.take_dropped().get(put[0].boot, [])
            for seq in range(first, last + 1)
        }
        read_whole = {seq for entry in found for seq in range(entry.seq, entry.last + 1)}
        assert not told & read_whole
        assert told | read_whole == set(range(outbox.previous.end))
        assert outbox.previous.end == (206 if ENTRIES[-1] in [e._replace(boot=BOOT) for e in found] else 205)
        assert outbox.waiting() == len(read_whole)
        outbox.acknowledge(put[0].boot, [(0, 1000)])
        assert outbox.disk_bytes == 0
