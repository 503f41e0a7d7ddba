"""What fails in the outage benchmark fails as it does in the field: disks, links, sensors."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineside_benchmarks.outage.disk import Disk, may_mount
from lineside_benchmarks.outage.feed import Pipe
from lineside_benchmarks.outage.link import Link, may_lose_packets

needs_mounts = pytest.mark.skipif(not may_mount(), reason="mounting needs root and loop devices")
needs_network = pytest.mark.skipif(not may_lose_packets(), reason="needs root, ip and nft")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "device", real=True)
    yield made
    made.close()


@needs_mounts
def test_a_power_cut_takes_what_was_not_synced_and_leaves_what_was(disk: Disk) -> None:
    kept, gone = disk.path / "kept", disk.path / "gone"
    with kept.open("wb") as file:
        file.write(b"synced")
        file.flush()
        os.fsync(file.fileno())
    gone.write_bytes(b"not synced")
    assert gone.read_bytes() == b"not synced"
    disk.freeze()
    disk.cut()
    assert kept.read_bytes() == b"synced"
    assert not gone.exists() or gone.read_bytes() == b""


@needs_mounts
def test_a_full_disk_takes_nothing_until_it_is_freed(disk: Disk) -> None:
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        (disk.path / "x").write_bytes(bytes(100_000))
    disk.free()
    (disk.path / "x").write_bytes(bytes(100_000))


@needs_mounts
def test_bytes_at_the_device_are_counted(disk: Disk) -> None:
    before = disk.bytes_written()
    with (disk.path / "x").open("wb") as file:
        file.write(os.urandom(1_000_000))
        file.flush()
        os.fsync(file.fileno())
    assert disk.bytes_written() - before >= 1_000_000


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    made = Pipe(tmp_path / "sensor")
    yield made
    made.end()


def test_a_sensor_does_not_wait(pipe: Pipe) -> None:
    for number in range(1000):
        pipe.give(number)
    assert 100 < len(pipe.given) - len(pipe.refused) < 200
    with pipe.path.open("rb", 0) as reader:
        lines = os.read(reader.fileno(), 65536).splitlines()
    assert [json.loads(line)["count"] for line in lines] == [n for n in range(1000) if n not in pipe.refused]


def test_a_killed_program_is_given_nothing_until_it_reads_again(pipe: Pipe) -> None:
    pipe.give(0)
    pipe.leave()
    pipe.give(1)
    pipe.knock(-1)
    pipe.give(2)  # it has not read yet
    with pipe.path.open("rb", 0) as reader:
        assert json.loads(os.read(reader.fileno(), 4096))["count"] == -1
        pipe.give(3)
        assert json.loads(os.read(reader.fileno(), 4096))["count"] == 3
    assert sorted(pipe.given) == [-1, 0, 3]


@needs_network
def test_a_cut_link_tells_nobody_and_heals() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        link = Link(server.getsockname()[1])
        try:
            # The device's side is another network: only a program in it sees the link.
            program = [sys.executable, "-c", _TALK, link.host, str(link.port)]
            with subprocess.Popen(
                link.inside(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            ) as device:
                assert device.stdin is not None
                assert device.stdout is not None
                device.stdin.write("one\n")
                assert device.stdout.readline() == "one\n"
                link.cut()
                device.stdin.write("two\n")
                assert device.stdout.readline() == "nothing, and no error\n"
                link.mend()
                assert device.stdout.readline() == "two\n"
                device.stdin.close()
        finally:
            link.close()


_TALK = """
import socket, sys
link = socket.create_connection((sys.argv[1], int(sys.argv[2])))
link.settimeout(0.5)
for line in sys.stdin:
    link.sendall(line.encode())
    while True:
        try:
            print(link.recv(100).decode(), end="", flush=True)
            break
        except TimeoutError:
            print("nothing, and no error", flush=True)
            link.settimeout(20)
"""


def _echo(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(100):
            connection.sendall(data)
