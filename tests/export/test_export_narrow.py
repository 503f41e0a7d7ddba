"""Constants in the narrowest type that holds them: onnxruntime must compute with the very same numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import helper, numpy_helper

from lineside_export.narrow import narrowed


def model(values: np.ndarray) -> onnx.ModelProto:
    """A model that answers its own constant."""
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["constant"], ["output"])],
        "constant",
        [],
        [helper.make_tensor_value_info("output", kind, values.shape)],
        [numpy_helper.from_array(values, "constant")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def stored(graph: onnx.ModelProto) -> np.ndarray:
    return numpy_helper.to_array(graph.graph.initializer[0])


def answer(graph: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    return np.asarray(session.run(None, {})[0])


NUMBERS = st.one_of(
    st.integers(-140, 300).map(float),
    st.floats(width=16),
    st.floats(width=32),
    st.sampled_from([-0.0, np.nan, np.inf, -np.inf, 65504.0, 65520.0, 2.0**-24, 2.0**-25, 32768.0, 65536.0]),
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["float32", "float64", "int64"]), copies=st.sampled_from([1, 60]))
def test_every_bit_comes_back(data, kind, copies) -> None:
    numbers = NUMBERS if kind != "int64" else st.integers(-(2**40), 2**40) | st.integers(-200, 300)
    shape = data.draw(array_shapes(max_dims=3, max_side=5))
    values = np.tile(
        data.draw(arrays(np.float64 if kind != "int64" else np.int64, shape, elements=numbers)), copies
    )
    with np.errstate(all="ignore"):
        values = values.astype(kind)
    found = narrowed(model(values))
    assert found.ByteSize() <= model(values).ByteSize()
    assert answer(found).dtype == values.dtype
    assert answer(found).tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(200.0).astype(np.float32) - 100, "int8"),
        (np.arange(200.0) + 50, "uint8"),
        (np.arange(200) * 100, "int16"),
        (np.arange(200) * 300, "uint16"),
        (np.arange(200) * 3000, "int32"),
        (np.arange(200.0).astype(np.float32) / 8, "float16"),
        (np.float32(0.1) * np.arange(200, dtype=np.float64).astype(np.float32).astype(np.float64), "float64"),
        ((np.arange(200, dtype=np.float32) * np.float32(0.1)).astype(np.float64), "float32"),
        (np.arange(200, dtype=np.float32) * np.float32(0.1), "float32"),
        (np.append(np.arange(200.0), -0.0).astype(np.float32), "float16"),  # an integer has no -0.0
        (np.arange(20.0).astype(np.float32), "float32"),  # a Cast takes more than it saves
    ],
)
def test_the_narrowest_type_is_taken(values: np.ndarray, kind: str) -> None:
    assert stored(narrowed(model(values))).dtype == kind
    assert answer(narrowed(model(values))).tobytes() == values.tobytes()


def test_a_model_without_such_constants_stays_as_it_is() -> None:
    plain = model(np.random.default_rng(0).normal(size=(30, 30)).astype(np.float32))
    assert narrowed(plain) is plain


def test_onnxruntime_widens_them_once(tmp_path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    found = narrowed(model(np.arange(500.0).astype(np.float32)))
    assert [node.op_type for node in found.graph.node] == ["Cast", "Identity"]
    onnxruntime.InferenceSession(found.SerializeToString(), options)
    assert "Cast" not in {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}
