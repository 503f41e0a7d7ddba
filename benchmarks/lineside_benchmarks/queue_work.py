"""One piece of work with one queue, in a process of its own, so that the kernel counts only its bytes.

python -m lineside_benchmarks.queue_work QUEUE WORK FOLDER ARGUMENT...
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lineside_benchmarks.queues import LinesideOutbox, Queue, SQLiteQueue

QUEUES: dict[str, Callable[[Path], Queue]] = {"outbox": LinesideOutbox, "sqlite": SQLiteQueue}
_PER_SECOND = 100
_FILL = 1000
_SAVE_S = 1.0


def _payload(number: int) -> bytes:
    """Return a prediction as the agent words it, some 200 bytes, no two alike."""
    shares = (
        f'{{"bearing":0.{number % 100:02d},"imbalance":0.{number % 37:02d},"normal":0.{number % 61:02d}}}'
    )
    return (
        f'{{"ts":{1_700_000_000_000 + number},"device":"pump-1","boot":"1f2e3d4c-7","seq":{number},'
        f'"model":"forest","model_version":"1.0.0","label":"normal","probability":0.{number % 97:02d},'
        f'"probabilities":{shares}}}'
    ).encode()


def saturate(kind: str, folder: Path, count: int, commit_s: float) -> dict[str, float]:
    """Put one message after the other, as fast as possible, committed every `commit_s` seconds or each (0)."""
    payloads = [[_payload(number)] for number in range(count)]
    queue = QUEUES[kind](folder)
    start = committed = time.perf_counter()
    for payload in payloads:
        queue.put(payload)
        if time.perf_counter() - committed >= commit_s:
            queue.commit()
            committed = time.perf_counter()
    queue.commit()
    return {"per_s": count / (time.perf_counter() - start)}


def pace(kind: str, folder: Path, seconds: float, commit_s: float, settled: bool) -> dict[str, float]:
    """Put 100 messages a second and count the bytes that the process has the kernel write for them.

    With `settled`, what a commit has put on disk is delivered at once; without, nothing is delivered.
    """
    queue = QUEUES[kind](folder)
    before, cpu = _written(), time.process_time()
    start = committed = saved = time.monotonic()
    payload_bytes = 0
    count = int(seconds * _PER_SECOND)
    for number in range(count):
        time.sleep(max(0.0, start + number / _PER_SECOND - time.monotonic()))
        payload = _payload(number)
        payload_bytes += len(payload)
        queue.put([payload])
        now = time.monotonic()
        if now - committed >= commit_s:
            committed = now
            queue.commit()
            if settled:
                queue.settle()
        if now - saved >= _SAVE_S:
            saved = now
            queue.save()
    queue.commit()
    written = _written() - before
    return {
        "written_per_message": written / count,
        "amplification": written / payload_bytes,
        "payload_bytes": float(payload_bytes),
        "cpu_us": 1e6 * (time.process_time() - cpu) / count,
    }


def fill(kind: str, folder: Path, count: int) -> dict[str, float]:
    """Leave `count` messages waiting, all on disk and none in the kernel's cache."""
    queue = QUEUES[kind](folder)
    for start in range(0, count, _FILL):
        queue.put([_payload(number) for number in range(start, min(start + _FILL, count))])
    queue.close()
    return {"bytes": float(sum(path.stat().st_size for path in folder.rglob("*")))}


def reopen(kind: str, folder: Path, count: int) -> dict[str, float]:
    """Open what `fill` left, count what waits and look at the first hundred, after emptying the cache."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    start = time.perf_counter()
    queue = QUEUES[kind](folder)
    waiting = queue.count()
    first = queue.first(100)
    elapsed_ms = 1e3 * (time.perf_counter() - start)
    if waiting != count or len(first) != min(100, count) or first[0] != _payload(0):
        raise SystemExit(f"{kind} holds {waiting} of {count} messages")
    return {"ms": elapsed_ms}


def _written() -> int:
    """Return how many bytes this process has had the kernel write to a disk (proc(5), /proc/pid/io)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


_WORK: dict[str, Callable[..., dict[str, float]]] = {
    "saturate": saturate,
    "pace": pace,
    "fill": fill,
    "reopen": reopen,
}

if __name__ == "__main__":
    name, work, where, *arguments = sys.argv[1:]
    print(json.dumps(_WORK[work](name, Path(where), *map(json.loads, arguments))))
