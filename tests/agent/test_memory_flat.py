"""What the agent takes of a small device's memory does not grow with what it has done."""

from __future__ import annotations

import json
import subprocess
import sys

import memory_load

_ROUNDS, _LEAKING, _WARM_UP = 2500, 500, 1000
_MOST_BYTES = 1.5  # a prediction; the four that are kept on purpose must be seen
_MOST_OBJECTS = 0.01  # a prediction: one a round


def growth(samples: list[list[int]]) -> tuple[float, float]:
    """Return how many objects and bytes were kept for each prediction."""
    (first, *before), (last, *after) = samples[0], samples[-1]
    objects, resident = ((b - a) / (last - first) for a, b in zip(before, after, strict=True))
    return objects, resident


def test_hundreds_of_thousands_of_predictions_and_thousands_of_heartbeats_leave_nothing_in_memory() -> None:
    # A process of its own: in this one other tests have left their holes.
    command = [sys.executable, memory_load.__file__, str(_ROUNDS), str(_LEAKING)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=100).stdout)
    flat = [sample for sample in found["samples"] if sample[0] <= _ROUNDS * memory_load.BLOCK]
    warm = [sample for sample in flat if sample[0] > _WARM_UP * memory_load.BLOCK]
    assert found["waiting"] == 0
    assert found["published"] > found["samples"][-1][0] > 0.98 * (_ROUNDS + _LEAKING) * memory_load.BLOCK
    objects, resident = growth(warm)
    assert objects < _MOST_OBJECTS
    assert resident < _MOST_BYTES
    leaking = [flat[-1], *found["samples"][len(flat) :]]
    assert growth(leaking)[1] > _MOST_BYTES
