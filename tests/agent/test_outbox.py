from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from faulty_disk import FaultyDisk

import lineside_agent.reading as reading_module
from lineside_agent.outbox import Limits, Outbox
from lineside_agent.reading import Position
from lineside_agent.sealed import write_sealed
from lineside_agent.segment import Entry, encode_record
from lineside_contract.errors import InputError
from lineside_contract.messages import PreviousBoot

SMALL = Limits(disk_bytes=32_768, memory_bytes=2000)


def message(text: str, size: int = 0) -> tuple[int, int, bytes]:
    return 1, 1, text.encode().ljust(size, b".")


def messages(first: int, count: int, size: int = 0) -> list[tuple[int, int, bytes]]:
    return [message(str(number), size) for number in range(first, first + count)]


def read_all(outbox: Outbox, limit: int = 64) -> list[Entry]:
    position, entries = Position(), []
    while True:
        found, following = outbox.read(position, limit)
        entries += found
        if following == position:
            return entries
        position = following


def seqs(entries: list[Entry]) -> list[int]:
    return [entry.seq for entry in entries]


def kill(outbox: Outbox) -> None:
    outbox._log.end_segment(sync=False)  # gives only the descriptor back


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultyDisk]:
    disk = FaultyDisk(tmp_path)
    yield disk
    disk.restore()


# What is put is there until it is acknowledged.


def test_a_boot_is_new_at_every_opening_and_a_new_lineage_if_its_file_is_damaged(tmp_path: Path) -> None:
    first, second = Outbox(tmp_path, SMALL), Outbox(tmp_path, SMALL)
    lineage, _, counter = first.boot.partition("-")
    assert counter == "1"
    assert second.boot == f"{lineage}-2"
    assert first.previous is None
    assert second.previous == PreviousBoot(boot=first.boot, end=0)
    content = (tmp_path / "boot").read_bytes()
    for at in range(len(content) - 1):
        (tmp_path / "boot").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        opened = Outbox(tmp_path, SMALL)
        assert opened.previous is None
        assert opened.boot.endswith("-1")
        assert not opened.boot.startswith(lineage)


@pytest.mark.parametrize("content", [b"\xff\xfe-7", b"nonsense", b""])
def test_a_boot_file_of_something_else_begins_a_new_lineage(tmp_path: Path, content: bytes) -> None:
    """Also one whose checksum is right."""
    first = Outbox(tmp_path, SMALL)
    write_sealed(tmp_path / "boot", content)
    second = Outbox(tmp_path, SMALL)
    assert second.previous is None
    assert second.boot.partition("-")[0] != first.boot.partition("-")[0]


def test_messages_of_several_boots_are_read_in_order_until_acknowledged(tmp_path: Path) -> None:
    put = []
    for _ in range(3):
        outbox = Outbox(tmp_path, SMALL)
        put += outbox.put([(1, 3, b"three"), message("one")])
        kill(outbox)
    outbox = Outbox(tmp_path, SMALL)
    assert outbox.previous == PreviousBoot(boot=put[-1].boot, end=4)
    assert read_all(outbox) == put
    assert outbox.waiting() == 12
    outbox.acknowledge(put[2].boot, [(0, 1), (3, 3)])
    assert outbox.waiting() == 9
    assert read_all(outbox) == [put[0], put[1], put[2], put[4], put[5]]
    assert outbox.oldest() is not None
    outbox.acknowledge(put[0].boot, [(0, 3)])
    outbox.acknowledge(put[2].boot, [(2, 2)])
    outbox.acknowledge(put[4].boot, [(0, 3)])
    assert read_all(outbox) == []
    assert outbox.waiting() == outbox.disk_bytes == 0
    assert outbox.oldest() is None


def test_a_boot_that_is_all_acknowledged_still_has_its_end_and_is_then_forgotten(tmp_path: Path) -> None:
    boots = []
    for _ in range(4):
        outbox = Outbox(tmp_path, SMALL)
        assert outbox.previous == (PreviousBoot(boot=boots[-1], end=3) if boots else None)
        boots.append(outbox.boot)
        outbox.put([(1, 3, b"three")])
        outbox.acknowledge(outbox.boot, [(0, 2)])
        outbox.close()
    assert list(tmp_path.glob("*.log")) == []
    cursor = (tmp_path / "cursor").read_text()
    assert [boot for boot in boots if boot in cursor] == boots[-1:]


def test_an_acknowledgement_of_what_was_never_put_settles_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, SMALL)
    put = outbox.put(messages(0, 3))
    outbox.acknowledge(outbox.boot, [(3, 9), (-5, 1), (2, 1), (2, 1000)])
    outbox.acknowledge("another-1", [(0, 9)])
    put += outbox.put(messages(3, 2))
    assert read_all(outbox) == put[:2] + put[3:]
    outbox.save_cursor()
    assert b"another" not in (tmp_path / "cursor").read_bytes()


def test_what_is_not_a_segment_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.log").write_text("from an operator")
    outbox = Outbox(tmp_path, SMALL)
    assert outbox.disk_bytes == 0
    outbox.put(messages(0, 1))
    outbox.acknowledge(outbox.boot, [(0, 0)])
    outbox.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boot", "cursor", "notes.log"]


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=re.escape("outbox: Not a directory")):
        Outbox(tmp_path / "file" / "outbox", SMALL)


# What a power cut may take, and what it costs to know.


def test_a_commit_costs_nothing_once_everything_is_acknowledged(tmp_path: Path, disk: FaultyDisk) -> None:
    outbox = Outbox(tmp_path, Limits())
    outbox.put(messages(0, 10))
    outbox.acknowledge(outbox.boot, [(0, 9)])
    outbox.commit()
    assert disk.syncs == 0
    outbox.put(messages(10, 10))
    outbox.acknowledge(outbox.boot, [(10, 18)])
    outbox.commit()
    assert disk.syncs == 1
    outbox.commit()
    assert disk.syncs == 1


def test_a_full_segment_is_synced_if_anything_in_it_still_matters(tmp_path: Path, disk: FaultyDisk) -> None:
    outbox = Outbox(tmp_path, SMALL)
    outbox.put(messages(0, 3, 1000))
    outbox.acknowledge(outbox.boot, [(0, 2)])
    outbox.put(messages(3, 3, 1000))
    assert disk.syncs == 0
    assert len(disk.segments()) == 1
    outbox.acknowledge(outbox.boot, [(3, 4)])
    outbox.put(messages(6, 3, 1000))
    assert disk.syncs == 1


def test_a_commit_that_the_disk_refuses_is_tried_again(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path, SMALL, clock.monotonic)
    outbox.put(messages(0, 1))
    assert outbox.commit_at == SMALL.commit_after_s
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
        outbox.commit()
    assert outbox.commit_at is not None
    assert outbox.commit_at > clock.seconds
    outbox.commit()
    assert outbox.commit_at is None


def test_what_waited_in_memory_is_committed_only_once_it_is_on_disk(
    tmp_path: Path, disk: FaultyDisk, clock: FakeClock
) -> None:
    outbox = Outbox(tmp_path, SMALL, clock.monotonic)
    disk.room = 0
    put = outbox.put(messages(0, 3))
    outbox.commit()
    disk.room = None
    clock.seconds += 2
    outbox.put(messages(3, 1))
    outbox.acknowledge(outbox.boot, [(3, 3)])
    outbox.commit()
    assert disk.syncs == 1
    kill(outbox)
    disk.cut_power(b"", lambda content, synced: content[:synced], lambda: False)
    assert read_all(Outbox(tmp_path, SMALL))[:3] == put


def test_a_process_syncs_what_a_killed_one_left(tmp_path: Path, disk: FaultyDisk) -> None:
    outbox = Outbox(tmp_path, SMALL)
    put = outbox.put(messages(0, 3))
    kill(outbox)
    kill(Outbox(tmp_path, SMALL))
    disk.cut_power(b"", lambda content, synced: content[:synced], lambda: False)
    assert read_all(Outbox(tmp_path, SMALL)) == put


def test_word_of_drops_survives_a_power_cut_until_it_arrived(tmp_path: Path, disk: FaultyDisk) -> None:
    outbox = Outbox(tmp_path, SMALL)
    outbox.put(messages(0, 100, 500))
    dropped = outbox.take_dropped()
    outbox.put([(2, 1, b"told")])
    outbox.acknowledge(outbox.boot, [(90, 95)])
    outbox.save_cursor()
    assert disk.possible_cursors() == [disk.cursor()]
    kill(outbox)
    assert Outbox(tmp_path, SMALL).take_dropped() == dropped


def test_a_cursor_that_was_not_synced_is_synced_when_asked(tmp_path: Path, disk: FaultyDisk) -> None:
    outbox = Outbox(tmp_path, SMALL)
    outbox.put(messages(0, 3))
    outbox.acknowledge(outbox.boot, [(0, 1)])
    outbox.save_cursor()
    assert len(disk.possible_cursors()) > 1
    outbox.save_cursor(sync=True)
    assert disk.possible_cursors() == [disk.cursor()]


# Limits.


def test_past_the_limit_the_oldest_go_first_and_are_told_of_until_that_arrives(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, SMALL)
    outbox.put(messages(0, 100, 500))
    kept = read_all(outbox)
    first = kept[0].seq
    assert seqs(kept) == list(range(first, 100))
    assert outbox.disk_bytes <= SMALL.disk_bytes
    assert outbox.dropped == first
    assert outbox.take_dropped() == {outbox.boot: [(0, first - 1)]}
    assert outbox.take_dropped() == {}
    outbox.put([(2, 1, b"told")])
    kill(outbox)
    again = Outbox(tmp_path, SMALL)
    assert again.take_dropped() == {outbox.boot: [(0, first - 1)]}
    again.put([(2, 1, b"told again")])
    again.acknowledge(again.boot, [(0, 0)])
    again.save_cursor()
    kill(again)
    assert Outbox(tmp_path, SMALL).take_dropped() == {}


def test_an_announcement_that_is_dropped_itself_is_made_again(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, SMALL)
    outbox.put(messages(0, 100, 500))
    first = read_all(outbox)[0].seq
    outbox.take_dropped()
    outbox.put([(2, 1, b"told")])
    outbox.put(messages(101, 100, 500))
    second = read_all(outbox)[0].seq
    assert first <= 100 < second
    assert outbox.take_dropped() == {outbox.boot: [(0, second - 1)]}


def test_a_drop_is_on_disk_before_its_file_is_gone_or_right_after(tmp_path: Path, disk: FaultyDisk) -> None:
    outbox = Outbox(tmp_path, SMALL)
    outbox.put(messages(0, 60, 500))
    disk.room = 0  # what the dropped segment gives back is all that there is for the cursor
    outbox.put(messages(60, 8, 500))
    gone = read_all(outbox)[0].seq
    assert gone > 0
    kill(outbox)
    assert Outbox(tmp_path, SMALL).take_dropped() == {outbox.boot: [(0, gone - 1)]}


# A disk that is full or broken.


def test_a_full_disk_is_gone_on_from_in_memory_and_recovered_from(
    tmp_path: Path, disk: FaultyDisk, clock: FakeClock
) -> None:
    outbox = Outbox(tmp_path, SMALL, clock.monotonic)
    put = outbox.put(messages(0, 2, 100))
    disk.room = 150
    put += outbox.put(messages(2, 3, 100))
    assert outbox.disk_failing
    assert outbox.disk_bytes == disk.bytes_used() == sum(len(encode_record(entry)) for entry in put[:2])
    disk.room = None
    put += outbox.put(messages(5, 1, 100))
    assert outbox.disk_failing  # not asked again at once
    assert read_all(outbox) == put
    clock.seconds += 2
    put += outbox.put(messages(6, 1, 100))
    assert not outbox.disk_failing
    assert read_all(outbox) == put
    kill(outbox)
    assert read_all(Outbox(tmp_path, SMALL)) == put


def test_memory_is_bounded_and_what_it_dropped_is_told_of(
    tmp_path: Path, disk: FaultyDisk, clock: FakeClock
) -> None:
    outbox = Outbox(tmp_path, SMALL, clock.monotonic)
    disk.room = 0
    outbox.put(messages(0, 30, 100))
    assert seqs(read_all(outbox)) == list(range(10, 30))
    outbox.put([message("large", 5000)])
    assert seqs(read_all(outbox)) == [30]
    assert outbox.dropped == 30
    disk.room = None
    clock.seconds += 2
    outbox.put(messages(31, 1))
    kill(outbox)
    again = Outbox(tmp_path, SMALL)
    assert again.take_dropped() == {outbox.boot: [(0, 29)]}
    assert seqs(read_all(again)) == [30, 31]


def test_what_is_acknowledged_in_memory_is_never_told_of_as_dropped(
    tmp_path: Path, disk: FaultyDisk, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(tmp_path, SMALL, clock.monotonic)
    outbox.put(messages(0, 3))
    disk.room = 0
    outbox.put(messages(3, 4))
    outbox.acknowledge(outbox.boot, [(3, 5)])
    disk.room = None
    clock.seconds += 2
    outbox.put(messages(7, 1))
    kill(outbox)
    again = Outbox(tmp_path, SMALL)
    assert seqs(read_all(again)) == [0, 1, 2, 6, 7]
    assert "damaged" not in caplog.text
    assert again.waiting() == 5
    assert again.take_dropped() == {}


def test_a_segment_acknowledged_before_an_older_one_is_never_told_of_as_dropped(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, SMALL)
    for first in range(0, 20, 4):
        outbox.put(messages(first, 4, 1000))
    outbox.acknowledge(outbox.boot, [(4, 11)])
    kill(outbox)
    again = Outbox(tmp_path, SMALL)
    assert again.waiting() == 12
    assert seqs(read_all(again)) == [0, 1, 2, 3, *range(12, 20)]
    assert again.take_dropped() == {}


@pytest.fixture(params=[True, False], ids=["no bytes", "no files"])
def full(request: pytest.FixtureRequest, disk: FaultyDisk) -> FaultyDisk:
    """A disk that takes no bytes more, or not even another file, while `room` is 0."""
    disk.takes_files = request.param
    return disk


def test_a_reader_gets_each_message_once_when_memory_goes_to_disk(
    tmp_path: Path, full: FaultyDisk, clock: FakeClock
) -> None:
    outbox = Outbox(tmp_path, SMALL, clock.monotonic)
    full.room = 0
    outbox.put(messages(0, 5))
    found, position = outbox.read(Position(), 3)
    assert seqs(found) == [0, 1, 2]
    full.room = None
    clock.seconds += 2
    outbox.put(messages(5, 2))
    found, position = outbox.read(position, 10)
    assert seqs(found) == [3, 4, 5, 6]
    assert outbox.read(position, 10) == ([], position)


def test_reading_memory_does_not_pass_an_earlier_boot_off_as_damaged(
    tmp_path: Path, full: FaultyDisk, clock: FakeClock
) -> None:
    earlier = Outbox(tmp_path, SMALL)
    put = earlier.put(messages(0, 20))
    kill(earlier)
    outbox = Outbox(tmp_path, SMALL, clock.monotonic)
    full.room = 0
    outbox.put(messages(0, 3))
    found, position = outbox.read(Position(), 100)
    assert len(found) == 23
    assert outbox.read(position, 100) == ([], position)
    assert outbox.take_dropped() == {}
    assert read_all(outbox)[:20] == put


def test_a_file_that_is_settled_while_it_is_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = Outbox(tmp_path, SMALL)
    earlier.put(messages(0, 20))
    kill(earlier)
    outbox = Outbox(tmp_path, SMALL)
    really_read = reading_module.read

    def settle_and_read(*where: Any) -> Iterator[tuple[Entry, int]]:
        outbox.acknowledge(earlier.boot, [(0, 19)])
        yield from really_read(*where)

    monkeypatch.setattr(reading_module, "read", settle_and_read)
    assert read_all(outbox) == []
    assert outbox.take_dropped() == {}
    assert outbox.dropped == 0


def test_a_reader_goes_on_after_every_file_was_deleted(
    tmp_path: Path, disk: FaultyDisk, clock: FakeClock
) -> None:
    outbox = Outbox(tmp_path, SMALL, clock.monotonic)
    outbox.put(messages(0, 8, 1000))
    found, position = outbox.read(Position(), 100)
    assert len(found) == 8
    disk.room, disk.takes_files = 0, False
    outbox.put(messages(8, 4, 1000))
    outbox.acknowledge(outbox.boot, [(0, 7)])
    assert disk.segments() == []
    disk.room = None
    clock.seconds += 2
    outbox.put(messages(12, 1))
    found, _ = outbox.read(position, 100)
    assert seqs(found) == [10, 11, 12]


def test_what_cannot_be_read_now_is_read_later(tmp_path: Path, disk: FaultyDisk) -> None:
    outbox = Outbox(tmp_path, SMALL)
    put = outbox.put(messages(0, 10, 1000))
    disk.unreadable = True
    assert read_all(outbox) == []
    disk.unreadable = False
    assert read_all(outbox) == put
    assert outbox.take_dropped() == {}


def test_a_bad_sector_does_not_keep_the_agent_from_starting(
    tmp_path: Path, disk: FaultyDisk, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(tmp_path, SMALL)
    put = outbox.put(messages(0, 10, 1000))
    kill(outbox)
    disk.unreadable = True
    again = Outbox(tmp_path, SMALL)
    disk.unreadable = False
    assert "cannot be read" in caplog.text
    assert read_all(again) == put[: len(read_all(again))]


def test_a_disk_that_became_read_only_stops_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path, SMALL)
    outbox.put(messages(0, 10, 1000))
    with monkeypatch.context() as patch:
        for name in ("unlink", "pwrite", "open", "ftruncate"):
            patch.setattr(os, name, lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only")))
        outbox.acknowledge(outbox.boot, [(0, 8)])
        outbox.put(messages(10, 1))
        outbox.commit()
        outbox.save_cursor()
        assert outbox.disk_failing
        assert outbox.waiting() == 2
        outbox.acknowledge(outbox.boot, [(9, 10)])
    outbox.close()
    assert list(tmp_path.glob("*.log")) == []


def test_a_file_deleted_by_someone_else_is_told_of(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, SMALL)
    outbox.put(messages(0, 4, 1000))
    outbox.put(messages(4, 4, 1000))
    outbox.put(messages(8, 4, 1000))
    sorted(tmp_path.glob("*.log"))[1].unlink()
    assert outbox.oldest() is not None
    outbox.acknowledge(outbox.boot, [(0, 3)])
    assert outbox.oldest() is not None
    missing = set(range(4, 12)) - set(seqs(read_all(outbox)))
    assert missing
    assert outbox.take_dropped() == {outbox.boot: [(min(missing), max(missing))]}


def test_nothing_more_is_written_to_a_file_that_someone_deleted(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, SMALL)
    outbox.put(messages(0, 3))
    next(tmp_path.glob("*.log")).unlink()
    outbox.put(messages(3, 3))
    assert seqs(read_all(outbox)) == [3, 4, 5]
    assert outbox.take_dropped() == {outbox.boot: [(0, 2)]}
    kill(outbox)
    assert seqs(read_all(Outbox(tmp_path, SMALL))) == [3, 4, 5]


def test_without_its_folder_it_goes_on_in_memory(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "outbox"
    outbox = Outbox(folder, SMALL, clock.monotonic)
    outbox.put(messages(0, 6))
    outbox.acknowledge(outbox.boot, [(0, 1), (4, 4)])
    shutil.rmtree(folder)
    outbox.put(messages(6, 3))
    assert outbox.disk_failing
    assert seqs(read_all(outbox)) == [6, 7, 8]
    assert outbox.take_dropped() == {outbox.boot: [(2, 3), (5, 5)]}
    assert "messages 2 to 3, 5 to 5 are lost" in caplog.text
    for _ in range(3):
        outbox.save_cursor()
    assert caplog.text.count("cursor cannot be written") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_of_another_user_are_one_sentence_and_stay(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, SMALL)
    outbox.put(messages(0, 1))
    kill(outbox)
    (log,) = tmp_path.glob("*.log")
    log.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        Outbox(tmp_path, SMALL)
    assert log.exists()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.root
def test_a_disk_that_is_really_full(tiny_disk: Path, clock: FakeClock) -> None:
    limits = Limits(disk_bytes=10_000_000, memory_bytes=20_000)
    outbox = Outbox(tiny_disk, limits, clock.monotonic)
    put = []
    while not outbox.disk_failing:
        put += outbox.put(messages(len(put), 7, 300))
    put += outbox.put(messages(len(put), 7, 300))
    assert read_all(outbox) == put
    on_disk = sum(path.stat().st_size for path in tiny_disk.glob("*.log"))
    assert outbox.disk_bytes == on_disk > 200_000
    kill(outbox)
    # A full disk must not keep us from delivering what fills it.
    outbox = Outbox(tiny_disk, limits, clock.monotonic)
    assert outbox.previous is not None
    assert outbox.previous.end == len(read_all(outbox)) > 0
    assert read_all(outbox) == put[: outbox.previous.end]
    live = outbox.put(messages(0, 5))
    assert outbox.disk_failing
    outbox.acknowledge(put[0].boot, [(0, len(put))])
    clock.seconds += 2
    live += outbox.put(messages(5, 5))
    assert not outbox.disk_failing
    outbox.close()
    assert read_all(Outbox(tiny_disk, limits)) == live


# Real processes, real threads, real sizes.

WRITER = """
import sys
from pathlib import Path
from typing import Any
from lineside_agent.outbox import Limits, Outbox
outbox = Outbox(Path(sys.argv[1]), Limits())
while True:
    entry = outbox.put([(1, 1, b"%d" % outbox.next_seq)])[0]
    print(entry.boot, entry.seq, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_put(tmp_path: Path) -> None:
    said: list[tuple[str, int]] = []
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for count, line in enumerate(process.stdout):
                if not line.endswith("\n"):
                    break  # killed in the middle of a word
                boot, seq = line.split()
                said.append((boot, int(seq)))
                if count == 1000:
                    process.kill()
    outbox = Outbox(tmp_path, Limits())
    entries = read_all(outbox)
    assert len({boot for boot, _ in said}) == 3
    assert set(said) <= {(entry.boot, entry.seq) for entry in entries}
    assert all(entry.payload == b"%d" % entry.seq for entry in entries)
    assert outbox.previous is not None
    assert outbox.previous.end > said[-1][1]
    assert outbox.waiting() == len(entries)


def test_one_thread_puts_while_another_reads_and_acknowledges(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, Limits(disk_bytes=200_000, commit_after_s=0.01))
    delivered: list[Entry] = []
    told: set[int] = set()
    ended = threading.Event()
    failures: list[BaseException] = []

    def deliver() -> None:
        position = Position()
        try:
            while True:
                last = ended.is_set()
                entries, following = outbox.read(position, 50)
                delivered.extend(entries)
                for entry in entries:
                    outbox.acknowledge(entry.boot, [(entry.seq, entry.last)])
                if following == position and last:
                    return
                position = following
                outbox.commit()
                outbox.save_cursor()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=deliver)
    thread.start()
    while outbox.next_seq < 2000:
        outbox.put(messages(outbox.next_seq, 5, 100))
        outbox.commit()
        for first, last in outbox.take_dropped().get(outbox.boot, []):
            told.update(range(first, last + 1))
    ended.set()
    thread.join(30)
    assert not thread.is_alive()
    assert not failures
    for first, last in outbox.take_dropped().get(outbox.boot, []):
        told.update(range(first, last + 1))
    order = seqs(delivered)
    assert all(before < after for before, after in pairwise(order))
    assert all(entry.payload == message(str(entry.seq), 100)[2] for entry in delivered)
    assert set(order) | told == set(range(outbox.next_seq))
    assert outbox.waiting() == 0


def test_a_million_waiting_messages_open_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outbox = Outbox(tmp_path, Limits(disk_bytes=1 << 30))
    payload = b"x" * 200
    for _ in range(1000):
        outbox.put([(1, 1, payload)] * 1000)
    kill(outbox)
    began = time.perf_counter()
    outbox = Outbox(tmp_path, Limits(disk_bytes=1 << 30))
    opened = time.perf_counter() - began
    assert outbox.waiting() == 1_000_000
    position, count, began = Position(), 0, time.perf_counter()
    while count < 200_000:
        entries, position = outbox.read(position, 64)
        count += len(entries)
    rate = count / (time.perf_counter() - began)
    with capsys.disabled():
        print(f"\n  1 000 000 messages waiting: opened in {opened * 1000:.0f} ms, read at {rate:,.0f}/s")
    assert opened < 2
    assert rate > 5_000


def test_what_a_killed_process_left_of_its_cursor_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".cursor.0123456789abcdef.part").write_bytes(b"half")
    (tmp_path / "0.part").write_bytes(b"not ours")
    Outbox(tmp_path, Limits()).close()
    assert [path.name for path in tmp_path.glob("*.part")] == ["0.part"]
    assert not list(tmp_path.glob(".*"))
