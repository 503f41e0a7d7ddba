"""Networks from ONNX files and PyTorch: they come as a graph already."""

from __future__ import annotations

import onnx

from lineside_export.networks.network import Network
from lineside_export.schema import Schema


def convert(model: Network, schema: Schema) -> onnx.ModelProto:
    """Return the network's graph."""
    del schema  # it is the network's own
    graph = onnx.ModelProto()
    graph.CopyFrom(model.graph)
    return graph
