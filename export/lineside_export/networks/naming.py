"""The names in a graph and in its branches and loops: one space, as what is inside reads from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter

import onnx


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph, and those of its branches and loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def names(graph: onnx.GraphProto) -> set[str]:
    """Return every name of a value in a graph, and in its branches and loops."""
    found: set[str] = set()
    for each in graphs(graph):
        found.update(value.name for value in (*each.input, *each.initializer, *each.output))
        for node in each.node:
            found.update(node.input, node.output)
    return found


def rename(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    """Give values other names in a graph, and in its branches and loops."""
    for each in graphs(graph):
        for value in (*each.input, *each.initializer, *each.output, *each.value_info):
            value.name = new.get(value.name, value.name)
        for node in each.node:
            for given in (node.input, node.output):
                given[:] = [new.get(name, name) for name in given]


def free(name: str, taken: set[str]) -> str:
    """Return a name like this that is not taken, and take it."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def ordered(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return a graph's nodes, each after those that it reads. Raises graphlib.CycleError."""
    maker = {name: at for at, node in enumerate(graph.node) for name in node.output if name}
    before: dict[int, set[int]] = {}
    for at, node in enumerate(graph.node):
        inside = (names(each.g) for each in node.attribute if each.type == onnx.AttributeProto.GRAPH)
        before[at] = {maker[name] for name in {*node.input}.union(*inside) if name in maker}
    return [graph.node[at] for at in TopologicalSorter(before).static_order()]
