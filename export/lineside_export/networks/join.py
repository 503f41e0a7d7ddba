"""Put what arranges the readings before a network, and what its numbers mean after it: the graph for the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from lineside_export.convert import INPUT
from lineside_export.networks import heads
from lineside_export.networks.heads import Head
from lineside_export.networks.layout import Arrangement
from lineside_export.networks.naming import free, names, rename
from lineside_export.networks.read import nodes
from lineside_export.rewrites.graph import COLUMNS, LABEL, SCORES, VALUES, Graph

_PREFIX = "lineside_"
_OWN_NAMES = frozenset({INPUT, LABEL, COLUMNS, SCORES, VALUES})


class Parts(NamedTuple):
    """Which of a network's outputs answers, and which is its label if it gives one itself.

    columns: how many numbers each row has; flat: whether they are the only axis beside that of the rows.
    """

    answering: int
    label: int | None
    columns: int
    flat: bool


def join(model: onnx.ModelProto, arranged: Arrangement, head: Head, parts: Parts) -> onnx.ModelProto:
    """Return the graph that takes INPUT (rows, features) and gives what the head says; the model is left alone."""
    model = _apart(model)
    outputs, given = list(model.graph.output), model.graph.input[0]
    before, after = Graph(f"{_PREFIX}before_"), Graph(f"{_PREFIX}after_")
    entered = arranged.write(before, INPUT)
    _enter(before, entered, given)
    flat = entered
    if head.task == "outlier" and len(arranged.shape) > 1:
        flat = after.add("Reshape", entered, after.constant(np.array([0, arranged.features])))
    label = None if parts.label is None else outputs[parts.label].name
    heads.write(head, after, _columns(after, outputs[parts.answering], parts), parts.columns, (flat, label))
    every = [*before.proto.node, *model.graph.node, *after.proto.node]
    stored = [*before.proto.initializer, *model.graph.initializer, *after.proto.initializer]
    kept = _needed(every, [output.name for output in after.proto.output])
    for node in kept:  # where in its source code PyTorch found each of them
        del node.metadata_props[:]
        node.ClearField("doc_string")
    read = {name for node in kept for name in _reads(node)}
    rows = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", arranged.features])
    graph = helper.make_graph(
        kept, "network", [rows], list(after.proto.output), [each for each in stored if each.name in read]
    )
    used = {node.domain for node in nodes(graph)} | {""}
    opsets = [each for each in model.opset_import if each.domain in used]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=model.ir_version, producer_name="lineside"
    )


def _apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a network whose names are none of those that are put around it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    taken = names(copy.graph)
    ours = sorted(name for name in taken if name in _OWN_NAMES or name.startswith(_PREFIX))
    rename(copy.graph, {name: free(f"network_{name}", taken) for name in ours})
    return copy


def _enter(graph: Graph, arranged: str, given: onnx.ValueInfoProto) -> None:
    """Call the arranged readings what the network calls its input, in the type that it takes."""
    kind = given.type.tensor_type.elem_type
    is_float = kind == TensorProto.FLOAT
    graph.rename(
        graph.add("Identity", arranged) if is_float else graph.add("Cast", arranged, to=kind), given.name
    )


def _columns(graph: Graph, output: onnx.ValueInfoProto, parts: Parts) -> str:
    """Add what makes float32 (rows, columns) of the network's output, and return its name."""
    if parts.flat:
        found = graph.add("Identity", output.name)
    else:
        found = graph.add("Reshape", output.name, graph.constant(np.array([0, parts.columns])))
    if output.type.tensor_type.elem_type == TensorProto.FLOAT:
        return found
    return graph.add("Cast", found, to=TensorProto.FLOAT)


def _needed(every: list[onnx.NodeProto], outputs: list[str]) -> list[onnx.NodeProto]:
    """Return the nodes, in their order, that the outputs come from."""
    wanted = set(outputs)
    kept = []
    for node in reversed(every):
        if wanted.intersection(node.output):
            wanted.update(_reads(node))
            kept.append(node)
    return kept[::-1]


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, also what its branches read from outside."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in nodes(attribute.g):
                yield from inner.input
