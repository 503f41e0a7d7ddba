"""Put a graph together node by node, its names made up on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import DTypeLike, NDArray
from onnx import helper, numpy_helper

from lineside_contract.messages import Label

# The names that skl2onnx gives.
LABEL, COLUMNS, SCORES, VALUES = "label", "probabilities", "scores", "variable"


class Graph:
    """Nodes and constants that are being put together, every name beginning with `prefix`.

    `kind` is the type of the real numbers inside: float32, or float64 where float32 would lose too much. What
    goes in and comes out is float32 either way.
    """

    def __init__(self, prefix: str = "", kind: DTypeLike = np.float32) -> None:
        self.proto = onnx.GraphProto()
        self._prefix = prefix
        self.kind = np.dtype(kind)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        output = f"{self._prefix}{operator.lower()}_{len(self.proto.node)}"
        self.proto.node.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def largest(self, source: str, count: int, *, smallest: bool = False) -> tuple[str, str]:
        """Return the `count` largest columns of each row in order, and their numbers; of equal ones the first."""
        name = f"{self._prefix}topk_{len(self.proto.node)}"
        outputs = [f"{name}_values", f"{name}_indices"]
        inputs = [source, self.constant(np.array([count]))]
        self.proto.node.append(
            helper.make_node("TopK", inputs, outputs, name=name, largest=int(not smallest))
        )
        return outputs[0], outputs[1]

    def constant(self, value: Any) -> str:
        """Add a tensor, real numbers as `kind`, and return its name."""
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(self.kind)
        name = f"{self._prefix}constant_{len(self.proto.initializer)}"
        self.proto.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def enter(self, source: str) -> str:
        """Return the float32 rows as `kind`."""
        return source if self.kind == np.float32 else self.add("Cast", source, to=onnx.TensorProto.DOUBLE)

    def leave(self, source: str) -> str:
        """Return a result as float32."""
        return source if self.kind == np.float32 else self.add("Cast", source, to=onnx.TensorProto.FLOAT)

    def product(self, source: str, matrix: NDArray[Any], offset: NDArray[Any] | None = None) -> str:
        """Return rows (n, f) @ matrix (f, m) + offset (m,)."""
        inputs = [source, self.constant(matrix)]
        if offset is not None:
            inputs.append(self.constant(offset))
        return self.add("Gemm", *inputs)

    def give(self, source: str, name: str, kind: int, columns: int | None) -> None:
        """Make a result an output of the graph, of shape (rows,) or (rows, columns)."""
        self.rename(source, name)
        shape: list[str | int] = ["rows"] if columns is None else ["rows", columns]
        self.proto.output.append(helper.make_tensor_value_info(name, kind, shape))

    def give_values(self, source: str, columns: int) -> None:
        """Make a regressor's values the output."""
        self.give(self.leave(source), VALUES, onnx.TensorProto.FLOAT, columns)

    def give_classes(
        self, best: str, columns: str | None, classes: Sequence[Label], width: int | None = None
    ) -> None:
        """Make the label, and the probabilities or scores if there are any, the outputs.

        `best` is the class's number, (rows,). `width` is how many columns there are, if not one for each class.
        """
        text = bool(classes) and isinstance(classes[0], str)
        if list(classes) != list(range(len(classes))):
            best = self.add("Gather", self.constant(np.array(classes, object if text else np.int64)), best)
        kind = onnx.TensorProto.STRING if text else onnx.TensorProto.INT64
        self.give(best, LABEL, kind, None)
        if columns is not None:
            self.give(self.leave(columns), COLUMNS, onnx.TensorProto.FLOAT, width or len(classes))

    def give_outlier(self, scores: str, *, at_zero: bool = False) -> None:
        """Make the label, -1 where the score is negative and otherwise 1, and the scores (n, 1) the outputs.

        at_zero: a score of 0 is an outlier's, too.
        """
        outlying = self.add("LessOrEqual" if at_zero else "Less", scores, self.constant(np.zeros(1)))
        label = self.add("Where", outlying, self.constant(np.array([-1])), self.constant(np.array([1])))
        self.give(label, LABEL, onnx.TensorProto.INT64, 1)
        self.give(self.leave(scores), SCORES, onnx.TensorProto.FLOAT, 1)

    def best(self, columns: str, *, last: bool = False) -> str:
        """Return the number of each row's largest column; of equal ones the first, or the last."""
        return self.add("ArgMax", columns, axis=1, keepdims=0, **({"select_last_index": 1} if last else {}))

    def rename(self, old: str, new: str) -> None:
        """Call a result something else."""
        rename(self.proto, old, new)


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Call a result something else wherever it occurs."""
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
    for output in graph.output:
        if output.name == old:
            output.name = new
