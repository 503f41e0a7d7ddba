"""scikit-learn models as ONNX graphs, by skl2onnx."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Sequence
from typing import Any

import onnx
from skl2onnx import convert_sklearn
from skl2onnx._supported_operators import _get_sklearn_operator_name
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import FloatTensorType
from sklearn.pipeline import make_pipeline

from lineside_contract.errors import InputError
from lineside_export.convert import INPUT
from lineside_export.convert.additions import registry as additions
from lineside_export.convert.additions.bins import with_scalers_inside
from lineside_export.convert.additions.transforming import as_transformer
from lineside_export.features import graph as window_features
from lineside_export.rewrites.graph import rename
from lineside_export.schema import Schema
from lineside_export.trees.inside import round_thresholds_down

# Left to itself skl2onnx takes another opset for every estimator (9 to 22), and its newest ai.onnx.ml, which
# some of its own converters (IsolationForest) refuse. Every onnxruntime from 1.22 runs these.
OPSETS = {"": 21, "ai.onnx.ml": 3}
# What skl2onnx calls the results of a model, and of transformers alone as well.
_OUTPUTS = ("label", "probabilities", "scores", "variable")


def convert(model: Any, schema: Schema) -> onnx.ModelProto:
    """Write a fitted estimator as a graph. Raises InputError if skl2onnx has no converter for a part of it."""
    window_features.register()
    additions.register()
    bare = unwrap(copy.deepcopy(model))
    round_thresholds_down(bare)
    last = bare
    while hasattr(last, "steps"):
        last = last.steps[-1][1]
    options = window_features.options(bare)
    if for_last := _options(last, schema):
        options[id(last)] = for_last
    graph = _converted(bare, last, schema, options)
    set_opsets(graph)
    return graph


def convert_steps(steps: Sequence[Any], schema: Schema) -> onnx.ModelProto:
    """Write fitted transformers, one after the other, as a graph with one output. Raises InputError."""
    window_features.register()
    additions.register()
    whole = [as_transformer(unwrap(step)) for step in copy.deepcopy(list(steps))]
    bare = make_pipeline(*with_scalers_inside(whole))
    graph = _converted(bare, bare, schema, window_features.options(bare))
    for name in _OUTPUTS:  # so that whatever is written behind these steps can have these names
        rename(graph.graph, name, f"{name}_before")
    return graph


def _converted(bare: Any, last: Any, schema: Schema, options: dict[int, Any]) -> onnx.ModelProto:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph: onnx.ModelProto = convert_sklearn(
                bare,
                name=type(last).__name__,  # else a random one, and no two exports are the same
                initial_types=[(INPUT, FloatTensorType([None, schema.features]))],
                target_opset=OPSETS,
                options=options or None,
            )
    except InputError as error:
        raise InputError(
            f"{schema.estimator} cannot be exported: {error.message.rstrip('.')}.", hint=error.hint
        ) from error
    except Exception as error:  # what a converter raises on a model that it does not know is anything
        raise InputError(
            f"{schema.estimator} cannot be exported: {_reason(error)}.",
            hint="Replace that part by one that exports; docs/coverage.md lists every estimator of scikit-learn.",
        ) from error
    return graph


def unwrap(model: Any) -> Any:
    """Return the estimator that does the work inside searches, frozen estimators and pipelines of them."""
    if hasattr(model, "best_estimator_"):
        return unwrap(model.best_estimator_)
    if type(model).__name__ == "FrozenEstimator":
        return unwrap(model.estimator)
    if hasattr(model, "steps"):
        *before, last = [unwrap(step) for _, step in model.steps]
        whole = with_scalers_inside([*map(as_transformer, before), last])
        model.steps = [(f"step_{number}", step) for number, step in enumerate(whole)]
    if hasattr(model, "flatten_transform"):
        model.flatten_transform = False  # changes a vote's transform only, and skl2onnx writes no other
    return model


def set_opsets(graph: onnx.ModelProto) -> None:
    """State each opset once, and only those that the graph uses.

    skl2onnx repeats some and leaves others out, which onnxruntime's quantizers do not forgive
    (github.com/microsoft/onnxruntime/issues/15563).
    """
    stated = {entry.domain: entry.version for entry in graph.opset_import if entry.domain not in OPSETS}
    used = {node.domain for node in graph.graph.node}
    del graph.opset_import[:]
    wanted = OPSETS | {domain: version for domain, version in stated.items() if domain in used}
    graph.opset_import.extend(onnx.helper.make_opsetid(*entry) for entry in wanted.items())


def _options(last: Any, schema: Schema) -> dict[str, bool]:
    try:
        allowed = get_converter(_get_sklearn_operator_name(type(last))).get_allowed_options() or {}
    except (RuntimeError, ValueError):  # no converter: the conversion says so
        return {}
    # zipmap makes a list of dictionaries, four times slower, of the probabilities.
    wanted = {"zipmap": False}
    if schema.task == "classification" and not schema.probabilities:
        wanted["raw_scores"] = True
    return {name: value for name, value in wanted.items() if name in allowed}


def _reason(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if found := re.search(r"<class '[\w.]*?(\w+)'>", text):
        return f"skl2onnx has no converter for {found[1]}"
    return text.rstrip(".")
