"""Measure a written model: bytes, latency, metric and agreement with the original."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from lineside_agent.model import Answers, Model
from lineside_contract.errors import BundleError
from lineside_contract.manifest import Candidate, Outputs
from lineside_export.ask import ask
from lineside_export.candidates import Variant
from lineside_export.convert import INPUT
from lineside_export.metrics import Metric, agreement, largest_difference

# Rounds take turns, so that a busy moment of the machine does not fall on one candidate alone.
_ROUNDS = 5
_CALLS = {1: 100, 256: 10}
_ROUND_SECONDS = 0.2


class Truth(NamedTuple):
    """What candidates are measured by: held-back inputs, the original's answers, and the target if known."""

    inputs: NDArray[np.float32]
    original: Answers
    target: NDArray[Any] | None
    metric: Metric | None


class Measured(NamedTuple):
    """A candidate with its numbers, its bytes and its answers to the held-back rows (None if it failed)."""

    candidate: Candidate
    model: bytes | None = None
    answers: Answers | None = None


def measure(variants: Sequence[Variant], outputs: Outputs, truth: Truth) -> list[Measured]:
    """Measure every variant, on one thread. One that does not load is reported as failed."""
    found, sessions = [], []
    for variant in variants:
        measured, session = _judge(variant, outputs, truth)
        found.append(measured)
        sessions.append(session)
    timed = [index for index, session in enumerate(sessions) if session is not None]
    running = [session for session in sessions if session is not None]
    ones, many = (_latencies(running, truth.inputs, batch) for batch in _CALLS)
    for index, one, batch in zip(timed, ones, many, strict=True):
        candidate = _with_latency(found[index].candidate, one, batch)
        found[index] = found[index]._replace(candidate=candidate)
    return found


def _judge(variant: Variant, outputs: Outputs, truth: Truth) -> tuple[Measured, Model | None]:
    if variant.model is None:
        verdict = "failed" if variant.failed else "dropped"
        return Measured(_candidate(variant, verdict, variant.reason)), None
    try:
        session = Model(variant.model, INPUT, outputs)
        answers = ask(session, truth.inputs)
    except BundleError as error:
        return Measured(_candidate(variant, "failed", f"failed: {error.message}")), None
    except Exception as error:  # onnxruntime's errors share no base class
        text = str(error).strip().splitlines()[0]
        return Measured(_candidate(variant, "failed", f"failed to run: {text}")), None
    agreed = agreement(truth.original, answers)
    metric = agreed
    if truth.metric is not None and truth.target is not None:
        metric = truth.metric.of(answers, truth.target)
    candidate = Candidate(
        name=variant.name,
        verdict="kept",
        reason=variant.reason,
        bytes=len(variant.model),
        metric=metric,
        agreement=agreed,
        largest_difference=largest_difference(truth.original, answers),
    )
    return Measured(candidate, variant.model, answers), session


def _candidate(variant: Variant, verdict: Any, reason: str) -> Candidate:
    return Candidate(name=variant.name, verdict=verdict, reason=reason)


def _with_latency(candidate: Candidate, one: float, batch: float) -> Candidate:
    return replace(candidate, latency_1_us=round(one, 2), latency_256_us=round(batch, 2))


def _latencies(models: Sequence[Model], inputs: NDArray[np.float32], batch: int) -> list[float]:
    """Return each model's median time in microseconds for one call with `batch` rows.

    The rows change from call to call: the same row over and over teaches the branch predictor the way
    through the trees, which makes them look half as slow as they are.
    """
    calls = _CALLS[batch]
    repeated = np.resize(np.arange(len(inputs)), max(len(inputs), batch + calls))
    starts = np.arange(calls) * max(1, (len(repeated) - batch) // calls)
    batches = [np.ascontiguousarray(inputs[repeated[at : at + batch]]) for at in starts]
    taken: list[list[int]] = [[] for _ in models]
    for _ in range(_ROUNDS):
        for model, times in zip(models, taken, strict=True):
            start = time.perf_counter_ns()
            model.predict(batches[0])
            first = time.perf_counter_ns() - start
            # What takes this long needs no call before it to be warm.
            times.extend([first] if first > _ROUND_SECONDS * 1e9 else _round(model, batches))
    return [float(np.median(times)) / 1000 for times in taken]


def _round(model: Model, batches: Sequence[NDArray[np.float32]]) -> list[int]:
    times = []
    end = time.perf_counter() + _ROUND_SECONDS
    for rows in batches:
        start = time.perf_counter_ns()
        model.predict(rows)
        times.append(time.perf_counter_ns() - start)
        if time.perf_counter() > end:
            break
    return times
