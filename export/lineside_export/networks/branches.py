"""Branches that are always, or never, taken: written out, or left out.

Exporters write what a program asks about shapes ("is there one row?") as an If, and put the recurrent layers with all
their weights into its branches, where nothing that stores weights in fewer bits, or makes a graph faster, looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from lineside_export.networks.naming import free, names, rename

# What answers the same whatever the values are: it sees sizes only.
_OF_SIZES = frozenset({"Shape", "Size", "Constant"})
_CHANCE = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial"})
_MOST_DEPTH = 16

# Returns the values of some names in a model, for each number of rows that is to be tried.
Ask = Callable[[onnx.ModelProto, Sequence[str]], list[list[NDArray[np.bool_]]]]


def settled(model: onnx.ModelProto, ask: Ask) -> onnx.ModelProto:
    """Return a copy without the Ifs whose condition depends on sizes alone, and is the same for all rows tried.

    Raises what `ask` does.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for _ in range(_MOST_DEPTH):  # a branch may hold others
        open_ = [
            node for node in result.graph.node if node.op_type == "If" and _of_sizes(result, node.input[0])
        ]
        if not open_:
            break
        answers = ask(result, [node.input[0] for node in open_])
        sure = [(node, found[0].item()) for node, *found in zip(open_, *answers, strict=True) if _same(found)]
        if not sure:
            break
        for node, taken in sure:
            _write_out(result.graph, node, "then_branch" if taken else "else_branch")
    return result


def _same(found: Sequence[NDArray[np.bool_]]) -> bool:
    return all(each.size == 1 for each in found) and len({bool(each.item()) for each in found}) == 1


def _of_sizes(model: onnx.ModelProto, name: str) -> bool:
    """Tell whether a value is made of sizes and constants alone."""
    made = {result: node for node in model.graph.node for result in node.output}
    left, seen = [name], {each.name for each in model.graph.initializer}
    while left:
        at = left.pop()
        if at in seen:
            continue
        seen.add(at)
        node = made.get(at)
        if node is None or node.op_type in _CHANCE or _has_graph(node):
            return False
        if node.op_type not in _OF_SIZES:
            left.extend(each for each in node.input if each)
    return True


def _has_graph(node: onnx.NodeProto) -> bool:
    return any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute)


def _write_out(graph: onnx.GraphProto, node: onnx.NodeProto, which: str) -> None:
    """Put the nodes of a branch where its If is."""
    at = next(index for index, each in enumerate(graph.node) if each.output == node.output)
    branch = onnx.GraphProto()
    branch.CopyFrom(next(each.g for each in node.attribute if each.name == which))
    results = list(node.output)
    del graph.node[at]
    taken = names(graph)
    own = {each.name for each in branch.initializer} | {name for each in branch.node for name in each.output}
    rename(branch, {name: free(f"{name}_{results[0]}", taken) for name in sorted(own) if name})
    graph.initializer.extend(branch.initializer)
    last = [
        helper.make_node("Identity", [inner.name], [outer])
        for inner, outer in zip(branch.output, results, strict=True)
        if outer
    ]
    for each in reversed([*branch.node, *last]):
        graph.node.insert(at, each)
