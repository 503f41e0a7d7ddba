"""Simple detectors, to tell how much of a model's score is its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from recordings import FAULT, Recording, ends, windows
from sklearn.ensemble import IsolationForest


class Verdict(NamedTuple):
    """On each window of a recording: whether it is said to be a fault, and a score that rises with the suspicion."""

    fault: NDArray[np.bool_]
    score: NDArray[np.float64]


Detector: TypeAlias = Callable[[Recording], Verdict]


def always(train: Sequence[Recording], learnt: int) -> Detector:
    """Say what most of the training recordings' readings are after the first `learnt`, whatever is measured."""
    states = np.concatenate([one.states[learnt:] for one in train])
    fault = bool(np.mean(states == FAULT) > 0.5)
    return lambda recording: Verdict(
        np.full(len(ends(recording)), fault), np.full(len(ends(recording)), float(fault))
    )


def stopwatch(train: Sequence[Recording], learnt: int) -> Detector:  # noqa: ARG001 (it learns no recording)
    """Say fault when most of the training recordings have one at the same reading: it looks at no sensor."""
    longest = max(len(one.states) for one in train)
    share = np.array(
        [np.mean([one.states[at] == FAULT for one in train if at < len(one.states)]) for at in range(longest)]
    )

    def detect(recording: Recording) -> Verdict:
        score = share[np.minimum(ends(recording), longest - 1)]
        return Verdict(score > 0.5, score)

    return detect


def isolation_forest(train: Sequence[Recording], learnt: int) -> Detector:  # noqa: ARG001 (unsupervised)
    """Learn each recording's own first windows as normal, as SKAB's protocol does (Liu et al. 2008)."""

    def detect(recording: Recording) -> Verdict:
        inputs = windows(recording)
        first = inputs[ends(recording) < learnt]
        model = IsolationForest(n_estimators=100, random_state=0).fit(first)
        score: NDArray[np.float64] = -model.decision_function(inputs)
        return Verdict(score > 0, score)

    return detect


BASELINES: dict[str, Callable[[Sequence[Recording], int], Detector]] = {
    "isolation forest of each recording": isolation_forest,
    "stopwatch, no sensor": stopwatch,
    "majority, always the same": always,
}
