"""The outbox beside SQLite: puts a second, bytes written to the disk, and the time to open a full one."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from lineside_benchmarks.outage.disk import Disk, may_mount
from lineside_benchmarks.programs import MEASURED, Program, running
from lineside_benchmarks.queue_work import QUEUES
from lineside_benchmarks.table import Cell, Plot, Table, middle
from lineside_benchmarks.workshop import Workshop

_NAMES = {"outbox": "outbox", "sqlite": "SQLite"}


class Amount(NamedTuple):
    """How much of everything is done."""

    rounds: int
    puts: int
    synced_puts: int
    paced_s: float
    waiting: int


_FULL = Amount(rounds=3, puts=200_000, synced_puts=1_000, paced_s=20.0, waiting=1_000_000)
_QUICK = Amount(rounds=1, puts=5_000, synced_puts=50, paced_s=2.5, waiting=20_000)


def run(workshop: Workshop) -> Table:
    """Do the same work with both, in turns; what is only counted in bytes, at once."""
    amount = _QUICK if workshop.quick else _FULL
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(amount.rounds):
        for unit, commit_s, count in (
            ("puts/s, on disk within 100 ms", 0.1, amount.puts),
            ("puts/s, each on disk before the next", 0, amount.synced_puts),
        ):
            for queue in QUEUES:
                done = _work(queue, "saturate", workshop.new_folder(), count, commit_s)
                found.setdefault(unit, {}).setdefault(queue, []).append(done["per_s"])
    _pace(workshop, amount, found)
    for queue in QUEUES:
        folder = workshop.new_folder()
        _work(queue, "fill", folder, amount.waiting)
        unit = f"ms to open {amount.waiting:,} waiting and read the first 100"
        times = [_work(queue, "reopen", folder, amount.waiting)["ms"] for _ in range(amount.rounds)]
        found.setdefault(unit, {})[queue] = times
    return _table(found, amount)


class _Paced(NamedTuple):
    """A program that puts 100 messages a second, and the disk that it alone writes to, where there can be one."""

    program: Program
    disk: Disk
    before: int


def _pace(workshop: Workshop, amount: Amount, found: dict[str, dict[str, list[float]]]) -> None:
    """Count what the process has the kernel write and, as root, what reaches its own block device."""
    real = may_mount()
    with ExitStack() as stack:
        running_: dict[tuple[bool, float, str], _Paced] = {}
        for settled in (True, False):
            for commit_s in (0.1, 1.0):
                for queue in QUEUES:
                    disk = Disk(workshop.new_folder(), real=real)
                    stack.callback(disk.close)
                    before = disk.bytes_written() if real else 0
                    command = _command(queue, "pace", disk.path, amount.paced_s, commit_s, settled)
                    program = stack.enter_context(running(command, MEASURED))
                    running_[settled, commit_s, queue] = _Paced(program, disk, before)
        for (settled, commit_s, queue), paced in running_.items():
            state = "delivered at once" if settled else "nothing delivered"
            unit = f"bytes {{}} per payload byte, on disk within {commit_s:g} s, {state}"
            answer = _answer(paced.program)
            found.setdefault(unit.format("written"), {})[queue] = [answer["amplification"]]
            if real:
                at_device = (paced.disk.bytes_written() - paced.before) / answer["payload_bytes"]
                found.setdefault(unit.format("at the block device"), {})[queue] = [at_device]


def _command(queue: str, work: str, folder: Path, *arguments: float) -> list[str]:
    written = [json.dumps(argument) for argument in arguments]
    return [sys.executable, "-m", "lineside_benchmarks.queue_work", queue, work, str(folder), *written]


def _work(queue: str, work: str, folder: Path, *arguments: float) -> dict[str, float]:
    with running(_command(queue, work, folder, *arguments), MEASURED) as program:
        return _answer(program)


def _answer(program: Program) -> dict[str, float]:
    program.end()
    answer: dict[str, float] = json.loads(program.output().splitlines()[-1])
    return answer


def _table(found: dict[str, dict[str, list[float]]], amount: Amount) -> Table:
    rows: list[list[Cell]] = [
        [unit, *(middle(by_queue[queue]) for queue in QUEUES)] for unit, by_queue in found.items()
    ]
    return Table(
        title="The outbox, beside a queue in SQLite",
        how="Payloads of 200 bytes. SQLite: one table, write-ahead log, `synchronous = FULL`, rows deleted"
        " when delivered. Bytes are what the kernel counts for the process (`write_bytes` in"
        f" `/proc/PID/io`) at 100 messages a second for {amount.paced_s:g} s, without the file system's own"
        " journal; at the block device (ext4 on a loop device for each, as root) with it. Before opening, the files"
        " are put out of the kernel's cache (`posix_fadvise`)."
        f" Medians of {amount.rounds} rounds, the bytes of one.",
        columns=["", *(_NAMES[queue] for queue in QUEUES)],
        rows=rows,
        samples={
            f"{unit}, {_NAMES[queue]}": values
            for unit, by_queue in found.items()
            for queue, values in by_queue.items()
        },
        plots=[
            Plot(
                name="outbox",
                title="Bytes written to flash",
                unit="for each byte of payload",
                bars={
                    f"{unit.partition(', ')[2]}, {_NAMES[queue]}": values[0]
                    for unit, by_queue in found.items()
                    if unit.startswith("bytes written")
                    for queue, values in by_queue.items()
                },
            )
        ],
    )
