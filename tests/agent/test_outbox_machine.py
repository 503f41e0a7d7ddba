"""The outbox on a disk that fills up, loses power and cannot be read, against a model of what it owes."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from faulty_disk import FaultyDisk
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lineside_agent import segment
from lineside_agent.outbox import Limits, Outbox
from lineside_agent.reading import Position
from lineside_agent.segment import Entry
from lineside_contract.messages import Ranges

MESSAGE, EVENT = 1, 2
SHARED_MEMORY = Path("/dev/shm")
Id = tuple[str, int]


def union(sets: Iterable[set[Id]]) -> set[Id]:
    return set().union(*sets)


def ids_of(entry: Entry) -> set[Id]:
    return {(entry.boot, seq) for seq in range(entry.seq, entry.last + 1)}


def ids_in(ranges: Ranges) -> set[Id]:
    return {
        (boot, seq) for boot, some in ranges.items() for first, last in some for seq in range(first, last + 1)
    }


def settled_in(cursor: bytes) -> set[Id]:
    """Return what a cursor's file, if it is sound, says is settled."""
    _, _, content = cursor.partition(b" ")
    return ids_in(json.loads(content)["settled"]) if content else set()


class OutboxMachine(RuleBasedStateMachine):
    """Every message is pending, acknowledged, or told of as dropped; a power cut may take what is uncommitted."""

    @initialize(
        disk=st.sampled_from([32_768, 32_768, 65_536, 1 << 20]),
        memory=st.integers(500, 5000),
        commit_after=st.sampled_from([0.0, 0.1]),
    )
    def begin(self, disk: int, memory: int, commit_after: float) -> None:
        logging.disable(logging.CRITICAL)
        parent = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="lineside-outbox-", dir=parent))
        self.disk = FaultyDisk(self.folder)
        self.limits = Limits(disk, memory, commit_after)
        self.now = 0.0
        # The model.
        self.entries: dict[Id, Entry] = {}  # by the id of each message in it
        self.pending: set[Id] = set()  # to be delivered, or dropped but not yet told of
        self.acked: set[Id] = set()
        self.tells: dict[Id, set[Id]] = {}  # what each event tells of
        self.in_memory: set[Id] = set()  # what a kill may take
        self.uncommitted: set[Id] = set()  # what a power cut may take
        self.lost: set[Id] = set()  # what one did take
        self.owed: set[Id] = set()  # gone at a restart, and to be told of next
        self.excused: set[Id] = set()  # may be told of, but need not
        self.damaged = False
        self.boots: list[str] = []
        self.open()

    def teardown(self) -> None:
        if not hasattr(self, "disk"):
            return
        try:
            self.disk.room = None
            self.now += 2
            self.tell()
            self.tell()
            assert set(self.entries) - self.acked - self.pending <= self.told() | self.lost
        finally:
            self.end_process()
            self.disk.restore()
            logging.disable(logging.NOTSET)
            shutil.rmtree(self.folder)

    # What the device does.

    @rule(sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 300)), min_size=1, max_size=5))
    def put(self, sizes: list[tuple[int, int]]) -> None:
        self.put_messages([(MESSAGE, count, self.payload(i, size)) for i, (count, size) in enumerate(sizes)])

    @rule(entries=st.integers(10, 100), size=st.integers(50, 300))
    def put_many(self, entries: int, size: int) -> None:
        """Put enough for several segments, or for the limit."""
        self.put_messages([(MESSAGE, 1, self.payload(i, size)) for i in range(entries)])

    @rule()
    def commit(self) -> None:
        self.outbox.commit()
        assert self.outbox.commit_at is None
        self.uncommitted &= self.in_memory

    @rule()
    def tell(self) -> None:
        gone = self.pending - self.readable()
        ranges = self.outbox.take_dropped()
        told = ids_in(ranges)
        self.pending -= gone
        must = gone | self.owed | self.told_in_vain()
        assert must <= told <= must | self.excused
        self.pending -= told
        self.owed = set()
        self.excused |= told
        if told:
            event = self.put_messages([(EVENT, 1, json.dumps(ranges).encode())])[0]
            self.tells[event.boot, event.seq] = told

    @rule(sync=st.booleans())
    def save_cursor(self, sync: bool) -> None:
        self.outbox.save_cursor(sync=sync)
        if self.disk.room is None:
            assert self.acked & union(map(ids_of, self.on_disk())) <= settled_in(self.disk.cursor())

    @rule(limit=st.integers(1, 400), anew=st.integers(0, 4))
    def read_on(self, limit: int, anew: int) -> None:
        if anew == 4:
            self.position, self.read_so_far = Position(), []
        entries, position = self.outbox.read(self.position, limit)
        assert len(entries) <= limit
        self.check_sound(entries)
        self.check_order([*self.read_so_far[-1:], *entries])
        self.read_so_far += entries
        if position == self.position:
            assert not entries
            assert self.readable() <= union(map(ids_of, self.read_so_far))
        self.position = position

    @rule(count=st.integers(1, 100))
    def acknowledge_what_was_read(self, count: int) -> None:
        entries = self.read_so_far[-count:]
        for boot in {entry.boot for entry in entries}:
            self.acknowledge(boot, [(entry.seq, entry.last) for entry in entries if entry.boot == boot])

    @rule(
        boot=st.integers(0, 20),
        ranges=st.lists(st.tuples(st.integers(-3, 300), st.integers(-1, 150)), max_size=4),
    )
    def acknowledge_anything(self, boot: int, ranges: list[tuple[int, int]]) -> None:
        boots = [*self.boots[-5:], "another-1"]
        self.acknowledge(boots[boot % len(boots)], [(first, first + length) for first, length in ranges])

    @rule(but=st.integers(0, 5))
    def acknowledge_almost_all(self, but: int) -> None:
        """Acknowledge everything but for a few of the newest."""
        for boot in self.boots:
            newest = self.outbox.next_seq - 1 - but if boot == self.outbox.boot else 10_000_000
            self.acknowledge(boot, [(0, newest)])

    # What the disk does.

    @rule(room=st.integers(0, 3000), takes_files=st.booleans(), entries=st.integers(1, 40))
    def fill_disk(self, room: int, takes_files: bool, entries: int) -> None:
        self.disk.room, self.disk.takes_files = room, takes_files
        self.put_many(entries, 100)

    @precondition(lambda self: self.disk.room is not None)
    @rule(entries=st.integers(1, 40))
    def make_room(self, entries: int) -> None:
        self.disk.room = None
        self.now += 1.1
        self.put_many(entries, 100)

    @rule(limit=st.integers(1, 60))
    def fail_to_read(self, limit: int) -> None:
        waiting = self.outbox.waiting()
        self.disk.unreadable = True
        self.check_sound(self.read_all(limit))
        self.disk.unreadable = False
        assert self.outbox.waiting() == waiting

    # How a process ends.

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        how = data.draw(st.sampled_from(["killed", "closed", "cut"]))
        if how == "killed":
            self.kill()
        elif how == "closed":
            self.close()
        else:
            self.cut_power(data)

    def kill(self) -> None:
        there = self.readable()
        self.end_process()
        self.restart(there, self.in_memory)

    def close(self) -> None:
        self.outbox.close()  # which may need room, and drop the oldest for it
        there = self.readable()
        self.restart(there, self.in_memory if self.outbox.disk_failing else set())

    def cut_power(self, data: st.DataObject) -> None:
        def cut(content: bytes, synced: int) -> bytes:
            size = data.draw(st.integers(synced, len(content)), label="cut at")
            torn = bytearray(content[:size])
            if size > synced:
                places = st.tuples(st.integers(synced, size - 1), st.integers(0, 255))
                for at, value in data.draw(st.lists(places, max_size=4), label="altered"):
                    torn[at] = value
            return bytes(torn)

        there = self.readable()
        self.end_process()
        cursors = self.disk.possible_cursors()
        cursor = data.draw(st.sampled_from(cursors), label="cursor")
        self.disk.cut_power(cursor, cut, lambda: data.draw(st.booleans(), label="comes back"))
        self.damaged = True
        # Nobody made sure that what is acknowledged, or the word of it, was on disk.
        self.excused |= self.acked - settled_in(cursor)
        self.restart(there, self.uncommitted | self.in_memory)

    # The model's part.

    def payload(self, number: int, size: int) -> bytes:
        return f"{len(self.entries)}.{number}:".encode().ljust(size, b"{")

    def put_messages(self, messages: list[tuple[int, int, bytes]]) -> list[Entry]:
        first = self.outbox.next_seq
        entries = self.outbox.put(messages)
        assert [(entry.kind, entry.messages, entry.payload) for entry in entries] == messages
        for entry in entries:
            assert (entry.boot, entry.seq) == (self.outbox.boot, first)
            first = entry.last + 1
            new = ids_of(entry)
            self.entries.update(dict.fromkeys(new, entry))
            self.pending |= new
            self.in_memory |= new
            self.uncommitted |= new
        assert self.outbox.next_seq == first
        if not self.outbox.disk_failing:
            self.in_memory = set()
        if self.limits.commit_after_s == 0:
            self.uncommitted &= self.in_memory
        else:
            assert self.outbox.commit_at is not None
        return entries

    def acknowledge(self, boot: str, ranges: list[tuple[int, int]]) -> None:
        there = self.readable()
        self.outbox.acknowledge(boot, ranges)
        done = {i for i in self.pending if i[0] == boot and any(0 <= f <= i[1] <= to for f, to in ranges)}
        self.excused |= done - there  # dropped meanwhile
        self.acked |= done
        self.pending -= done

    def read_all(self, limit: int = 50) -> list[Entry]:
        position, entries = Position(), []
        while True:
            found, following = self.outbox.read(position, limit)
            entries += found
            if following == position:
                return entries
            position = following

    def on_disk(self) -> set[Entry]:
        return {
            entry
            for path in self.disk.segments()
            for entry, _ in segment.read(path, path.stem[13:].rpartition("-")[0], 0, path.stat().st_size)
        }

    def readable(self) -> set[Id]:
        """Return what there is to deliver, after checking it."""
        waiting = self.outbox.waiting()
        entries = self.read_all()
        self.check_sound(entries)
        self.check_order(entries)
        there = union(map(ids_of, entries)) - self.acked
        assert there <= self.pending
        assert len(there) == self.outbox.waiting()
        assert self.damaged or len(there) == waiting
        return there

    def check_sound(self, entries: list[Entry]) -> None:
        for entry in entries:
            assert self.entries[entry.boot, entry.seq] == entry
            assert self.outbox.unsettled([entry])

    def check_order(self, entries: list[Entry]) -> None:
        order = [(self.boots.index(entry.boot), entry.seq) for entry in entries]
        assert order == sorted(set(order))

    def told(self) -> set[Id]:
        """Return what is told of by events that arrived or still wait."""
        return union(told for event, told in self.tells.items() if event in self.acked | self.pending)

    def told_in_vain(self) -> set[Id]:
        """Return what only events told of that are lost themselves."""
        in_vain = [event for event in self.tells if event not in self.acked | self.pending]
        return union([self.tells.pop(event) for event in in_vain]) - self.told()

    def end_process(self) -> None:
        self.outbox._log.end_segment(sync=False)  # gives only the descriptor back

    def open(self) -> None:
        self.outbox = Outbox(self.folder, self.limits, lambda: self.now)
        assert self.outbox.boot not in self.boots
        self.boots.append(self.outbox.boot)
        self.bytes_at_start = self.outbox.disk_bytes  # a power cut may bring back a file that was deleted
        self.position, self.read_so_far = Position(), []

    def restart(self, before: set[Id], may_lose: set[Id]) -> None:
        """Open anew and compare with what was there before."""
        saved = settled_in(self.disk.cursor())
        self.open()
        there = union(map(ids_of, self.read_all()))
        assert before - may_lose <= there
        self.check_end(there)
        # What is acknowledged, but nowhere written down as such, is delivered again.
        again = (self.acked - saved) & there
        # And a power cut may bring back what was dropped and told of.
        again |= there & self.excused if self.damaged else set()
        self.acked -= again
        self.pending |= again
        self.excused -= again
        gone = self.pending - there
        self.pending -= gone
        gone |= self.told_in_vain() - self.pending
        self.lost |= gone & may_lose
        self.excused |= gone & may_lose
        self.owed |= gone - may_lose
        self.in_memory, self.uncommitted = set(), set()
        self.readable()

    def check_end(self, known: set[Id]) -> None:
        boot = self.boots[-2]
        assert self.outbox.previous is not None
        assert self.outbox.previous.boot == boot
        end = self.outbox.previous.end
        assert all(seq < end for name, seq in known if name == boot)
        assert end == 0 or (boot, end - 1) in self.entries

    @invariant()
    def bounds_hold(self) -> None:
        if not hasattr(self, "disk"):
            return
        assert self.outbox.disk_bytes == self.disk.bytes_used()
        assert self.outbox.disk_bytes <= max(self.limits.disk_bytes, self.bytes_at_start)
        if self.in_memory:
            in_memory = set(self.read_all()) - self.on_disk()
            assert len(in_memory) == 1 or sum(len(e.payload) for e in in_memory) <= self.limits.memory_bytes


OutboxMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("LINESIDE_HYPOTHESIS_EXAMPLES", "60")),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestOutbox = OutboxMachine.TestCase
