"""Latencies of several programs for the same work, by turns, with rows that change from call to call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Answering: TypeAlias = Callable[[NDArray[np.float32]], Any]

# The same row over and over teaches the branch predictor the way through the trees: 16 us become 10.
_DIFFERENT = 64
_SECONDS, _QUICK_SECONDS = 0.3, 0.01
_ROUNDS, _QUICK_ROUNDS = 7, 2


def latencies(
    programs: Mapping[str, Answering], inputs: NDArray[np.float32], batch: int, *, quick: bool
) -> dict[str, list[float]]:
    """Return microseconds of every call with `batch` rows, by program.

    Each has its turn in each round, so that a busy moment of the machine does not fall on one alone.
    """
    generator = np.random.default_rng(0)
    batches = [
        np.ascontiguousarray(inputs[generator.integers(len(inputs), size=batch)]) for _ in range(_DIFFERENT)
    ]
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(_QUICK_ROUNDS if quick else _ROUNDS):
        for name, program in programs.items():
            taken[name] += _round(program, batches, _QUICK_SECONDS if quick else _SECONDS)
    return taken


def _round(program: Answering, batches: list[NDArray[np.float32]], seconds: float) -> list[float]:
    found: list[float] = []
    end = time.perf_counter() + seconds
    program(batches[-1])
    while time.perf_counter() < end or len(found) < 3:
        for rows in batches:
            start = time.perf_counter_ns()
            program(rows)
            found.append((time.perf_counter_ns() - start) / 1000)
            if time.perf_counter() > end:
                break
    return found
