"""What follows the sums of a tree ensemble: probabilities, labels, values and scores, in standard operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from lineside_export.schema import Schema
from lineside_export.trees.ensemble import Ensemble, Link

_SUMS = "sums"
# The names that skl2onnx gives, so that a reader of either graph finds the same.
_LABEL, _PROBABILITIES, _SCORES, _VALUES = "label", "probabilities", "scores", "variable"


class Steps:
    """Nodes and constants that are being put together; `sums` is what they call the ensemble's result."""

    def __init__(self) -> None:
        self.graph = onnx.GraphProto()
        self.sums = _SUMS

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        domain = attributes.pop("domain", "")
        self.graph.node.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a tensor, and return its name."""
        if value.dtype.kind in "US":
            value = value.astype(object)
        self.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        return name

    def give(self, name: str, kind: int, columns: int | None) -> None:
        """Make a result an output of the graph, of shape (rows,) or (rows, columns)."""
        shape: list[str | int] = ["rows"] if columns is None else ["rows", columns]
        self.graph.output.append(helper.make_tensor_value_info(name, kind, shape))


def link(ensemble: Ensemble, schema: Schema) -> Steps:
    """Return what follows the sums: the graph, and the name that the sums must have in it."""
    steps = Steps()
    source = _SUMS if ensemble.table is None else _rows_of_table(steps, ensemble, ensemble.table)
    _LINKS[ensemble.link](steps, source, ensemble, schema)
    return steps


def _rows_of_table(steps: Steps, ensemble: Ensemble, table: NDArray[Any]) -> str:
    """Every sum is the index of a row of the table; their mean is the answer."""
    if table.dtype == np.uint8:
        return _rows_of_bytes(steps, ensemble, table)
    return _mean(steps, _gathered(steps, table), ensemble.targets, "mean")


def _rows_of_bytes(steps: Steps, ensemble: Ensemble, table: NDArray[np.uint8]) -> str:
    numbers = steps.add("Cast", [_gathered(steps, table)], "votes_as_numbers", to=onnx.TensorProto.FLOAT)
    mean = _mean(steps, numbers, ensemble.targets, "mean_byte")
    low, step = (
        steps.constant(name, np.array(value, np.float32))
        for name, value in zip(("low", "step"), ensemble.steps, strict=True)
    )
    return steps.add("Add", [steps.add("Mul", [mean, step], "mean_above_low"), low], "mean")


def _gathered(steps: Steps, table: NDArray[Any]) -> str:
    index = steps.add("Cast", [_SUMS], "leaf", to=onnx.TensorProto.INT32)
    return steps.add("Gather", [steps.constant("leaves", table), index], "votes", axis=0)


def _mean(steps: Steps, rows: str, count: int, name: str) -> str:
    trees = steps.constant("trees", np.array([1]))
    if count == 1:
        return steps.add("Squeeze", [rows, trees], name)
    return steps.add("ReduceMean", [rows, trees], name, keepdims=0)


def _values(steps: Steps, source: str, ensemble: Ensemble, schema: Schema) -> None:
    del schema
    _finish(steps, source, _VALUES)
    width = ensemble.targets if ensemble.table is None else ensemble.table.shape[1]
    steps.give(_VALUES, onnx.TensorProto.FLOAT, width)


def _sigmoid(steps: Steps, source: str, ensemble: Ensemble, schema: Schema) -> None:
    _values(steps, steps.add("Sigmoid", [source], "shares"), ensemble, schema)


def _square(steps: Steps, source: str, ensemble: Ensemble, schema: Schema) -> None:
    """The square, with the sum's own sign: what undoes a root of the target."""
    size = steps.add("Abs", [source], "size")
    _values(steps, steps.add("Mul", [source, size], "squares"), ensemble, schema)


def _exp(steps: Steps, source: str, ensemble: Ensemble, schema: Schema) -> None:
    _values(steps, steps.add("Exp", [source], "powers"), ensemble, schema)


def _probabilities(steps: Steps, source: str, ensemble: Ensemble, schema: Schema) -> None:
    del ensemble
    _finish(steps, source, _PROBABILITIES)
    _label(steps, _PROBABILITIES, schema)
    steps.give(_PROBABILITIES, onnx.TensorProto.FLOAT, len(schema.classes))


def _binary(steps: Steps, source: str, ensemble: Ensemble, schema: Schema) -> None:
    """The sum is what the second class's probability exceeds a half by: equal votes are exactly 0."""
    del ensemble
    _two_classes(steps, source, schema, (0.5, 0.5), last=False)


def _logistic(steps: Steps, source: str, ensemble: Ensemble, schema: Schema) -> None:
    chance = steps.add("Sigmoid", [source], "chance")
    # Gradient boosting gives a tie to the second class, the others to the first.
    _two_classes(steps, chance, schema, (1.0, 0.0), last=ensemble.link == "logistic last")


def _two_classes(
    steps: Steps, source: str, schema: Schema, offset: tuple[float, float], *, last: bool
) -> None:
    """From a number p to offset[0] - p and offset[1] + p."""
    weights = steps.constant("sides", np.array([[-1, 1]], np.float32))
    whole = steps.constant("whole", np.array(offset, np.float32))
    steps.add("Gemm", [source, weights, whole], _PROBABILITIES)
    _label(steps, _PROBABILITIES, schema, last=last)
    steps.give(_PROBABILITIES, onnx.TensorProto.FLOAT, 2)


def _softmax(steps: Steps, source: str, ensemble: Ensemble, schema: Schema) -> None:
    del ensemble
    _label(steps, source, schema)
    steps.add("Softmax", [source], _PROBABILITIES)
    steps.give(_PROBABILITIES, onnx.TensorProto.FLOAT, len(schema.classes))


def _one_against_rest(steps: Steps, source: str, ensemble: Ensemble, schema: Schema) -> None:
    """Each class by itself: the probabilities need not sum to 1."""
    del ensemble
    _label(steps, source, schema)
    steps.add("Sigmoid", [source], _PROBABILITIES)
    steps.give(_PROBABILITIES, onnx.TensorProto.FLOAT, len(schema.classes))


def _outlier(steps: Steps, source: str, ensemble: Ensemble, schema: Schema) -> None:
    """scikit-learn's decision function: minus the score, minus the offset; negative for an outlier."""
    del schema
    score = steps.add("Exp", [source], "score")
    steps.add("Sub", [steps.constant("offset", np.array([-ensemble.offset], np.float32)), score], _SCORES)
    outlying = steps.add("Less", [_SCORES, steps.constant("zero", np.zeros(1, np.float32))], "outlying")
    sides = [steps.constant(name, np.array([side])) for name, side in (("out", -1), ("in", 1))]
    steps.add("Where", [outlying, *sides], _LABEL)
    steps.give(_LABEL, onnx.TensorProto.INT64, 1)
    steps.give(_SCORES, onnx.TensorProto.FLOAT, 1)


def _label(steps: Steps, columns: str, schema: Schema, *, last: bool = False) -> None:
    """The class of the largest column; of equal ones the first, or the last."""
    classes = np.asarray(schema.classes)
    numbered = classes.dtype.kind == "i" and bool((classes == np.arange(len(classes))).all())
    text = classes.dtype.kind in "US"
    extra = {"select_last_index": 1} if last else {}
    best = _LABEL if numbered else "best"
    steps.add("ArgMax", [columns], best, axis=1, keepdims=0, **extra)
    if not numbered:
        names = steps.constant("classes", classes if text else classes.astype(np.int64))
        steps.add("Gather", [names, best], _LABEL)
    steps.give(_LABEL, onnx.TensorProto.STRING if text else onnx.TensorProto.INT64, None)


def _finish(steps: Steps, source: str, name: str) -> None:
    """Give a result its public name: that of the last node, or the sums themselves."""
    if source == _SUMS:
        steps.sums = name
    else:
        steps.graph.node[-1].output[0] = name


_LINKS: dict[Link, Callable[[Steps, str, Ensemble, Schema], None]] = {
    "values": _values,
    "exp": _exp,
    "sigmoid": _sigmoid,
    "square": _square,
    "probabilities": _probabilities,
    "binary": _binary,
    "logistic": _logistic,
    "logistic last": _logistic,
    "softmax": _softmax,
    "one against rest": _one_against_rest,
    "outlier": _outlier,
}
