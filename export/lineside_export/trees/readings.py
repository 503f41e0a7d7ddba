"""What comes before the trees: what counts as missing, and on which side of categorical splits a row is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from lineside_export.trees.ensemble import Categorical, Ensemble, Rounding
from lineside_export.trees.links import Steps

_DOMAIN = "ai.onnx.ml"


def readings(steps: Steps, ensemble: Ensemble, source: str) -> str:
    """Return the name of what the trees of an ensemble see, for a graph's input of the name `source`."""
    numbers = source if ensemble.absent is None else _present(steps, ensemble.absent, source)
    if not ensemble.categories:
        return numbers
    sides = _sides(steps, ensemble.categories, source)
    return steps.add("Concat", [numbers, sides], "input_and_categories", axis=1)


def _present(steps: Steps, absent: tuple[float, float], source: str) -> str:
    """Let readings from absent[0] to absent[1] be missing."""
    low, high = (steps.constant(f"absent_{i}", np.array(end, np.float32)) for i, end in enumerate(absent))
    inside = steps.add(
        "And",
        [
            steps.add("GreaterOrEqual", [source, low], "not_below"),
            steps.add("LessOrEqual", [source, high], "not_above"),
        ],
        "absent",
    )
    missing = steps.constant("missing", np.array(np.nan, np.float32))
    return steps.add("Where", [inside, missing, source], "present")


def _sides(steps: Steps, categories: Sequence[Categorical], source: str) -> str:
    """Look up on which side of every categorical split a row is, as further columns of the input.

    A tree could test membership itself (BRANCH_MEMBER), but onnxruntime does not agree with itself there: 1.22
    answers wrong for sets that hold 0, later ones take 2.5 for 2.
    """
    found = []
    for each in categories:
        name = f"category_{each.feature}"
        column = steps.constant(f"{name}_index", np.array(each.feature))
        value = steps.add("Gather", [source, column], f"{name}_value", axis=1)
        code = steps.add(
            "LabelEncoder",
            [_rounded(steps, value, name, each.rounding)],
            f"{name}_code",
            domain=_DOMAIN,
            keys_floats=each.keys,
            values_int64s=np.arange(1, len(each.keys) + 1),
            default_int64=0,
        )
        table = steps.constant(f"{name}_sides", each.sides)
        found.append(steps.add("Gather", [table, code], f"{name}_column", axis=0))
    sides = steps.add("Concat", found, "category_sides", axis=1) if len(found) > 1 else found[0]
    return steps.add("Cast", [sides], "category_numbers", to=onnx.TensorProto.FLOAT)


def _rounded(steps: Steps, value: str, name: str, rounding: Rounding) -> str:
    if rounding == "none":
        return value
    if rounding == "down":
        return steps.add("Floor", [value], f"{name}_whole")
    # Towards zero from -1 on; what is not above -1 is no category, and NaN is not above it either.
    above = steps.add(
        "Greater", [value, steps.constant(f"{name}_bound", np.array(-1, np.float32))], f"{name}_above"
    )
    whole = steps.add("Floor", [steps.add("Abs", [value], f"{name}_size")], f"{name}_floor")
    return steps.add("Where", [above, whole, value], f"{name}_whole")
