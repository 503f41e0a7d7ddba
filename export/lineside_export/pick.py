"""Which candidate is shipped, and why: rules only, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Literal, TypeAlias

from msgspec.structs import replace

from lineside_contract.manifest import Candidate

Objective: TypeAlias = Literal["latency", "size", "balanced"]

# Two latencies closer than this are the same: medians of one model differ by as much from run to run.
NOISE = 0.1


def pick(
    candidates: Sequence[Candidate], original: float, tolerance: float, objective: Objective
) -> list[Candidate]:
    """Give every candidate its verdict and reason. Exactly one is chosen.

    The first candidate is exact: float32, or trees written compactly; those already dropped or failed stay so.
    `original` is the original model's metric, `tolerance` how much of it (absolute) may be lost. The first is
    never dropped: it was held against the original row by row, and can only differ at ties.
    """
    plain = candidates[0]
    judged = [_drop(candidate, plain, original, tolerance) for candidate in candidates]
    left = [candidate for candidate in judged if candidate.verdict == "kept"]
    best = OBJECTIVES[objective](left, plain)
    return [_finish(candidate, best, plain, objective) for candidate in judged]


def _drop(candidate: Candidate, plain: Candidate, original: float, tolerance: float) -> Candidate:
    if candidate.verdict != "kept" or candidate is plain:
        return candidate
    lost = original - (candidate.metric or 0.0)
    if lost > tolerance:
        return replace(
            candidate, verdict="dropped", reason=f"loses {lost:.4f}; at most {tolerance:g} may be lost"
        )
    size, latency = _size(candidate, plain), _latency(candidate, plain)
    if size >= 1 and latency >= 1 - NOISE:
        return replace(candidate, verdict="dropped", reason=f"neither smaller nor faster than {plain.name}")
    return candidate


def _finish(candidate: Candidate, best: Candidate, plain: Candidate, objective: Objective) -> Candidate:
    if candidate is best:
        return replace(candidate, verdict="chosen", reason=_praise(candidate, plain, objective))
    if candidate.verdict == "kept":
        return replace(candidate, reason=f"good, but {best.name} is better for {objective}")
    return candidate


def _praise(best: Candidate, plain: Candidate, objective: Objective) -> str:
    if best is plain:
        return f"best for {objective}: nothing else is worth its loss"
    return (
        f"best for {objective}: {_size(best, plain):.0%} of {plain.name}'s bytes, "
        f"{_latency(best, plain):.0%} of its latency"
    )


def _size(candidate: Candidate, plain: Candidate) -> float:
    return (candidate.bytes or 0) / (plain.bytes or 1)


def _latency(candidate: Candidate, plain: Candidate) -> float:
    """Return the latency of one row in terms of float32's."""
    return (candidate.latency_1_us or 0.0) / (plain.latency_1_us or 1.0)


def _fastest(left: Sequence[Candidate], plain: Candidate) -> Candidate:
    least = min(_latency(candidate, plain) for candidate in left)
    as_fast = [candidate for candidate in left if _latency(candidate, plain) <= least * (1 + NOISE)]
    return min(as_fast, key=lambda candidate: _size(candidate, plain))


def _smallest(left: Sequence[Candidate], plain: Candidate) -> Candidate:
    return min(left, key=lambda candidate: (_size(candidate, plain), _latency(candidate, plain)))


def _balanced(left: Sequence[Candidate], plain: Candidate) -> Candidate:
    def both(candidate: Candidate) -> float:
        return sqrt(_size(candidate, plain) * _latency(candidate, plain))

    best = min(left, key=both)
    # What is not clearly better than float32 is not worth giving up exactness for.
    return best if both(best) < 1 - NOISE else plain


OBJECTIVES: dict[Objective, Callable[[Sequence[Candidate], Candidate], Candidate]] = {
    "latency": _fastest,
    "size": _smallest,
    "balanced": _balanced,
}
