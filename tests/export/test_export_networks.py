"""Trained networks in fewer bits: enough signal is left, and nothing that is slower and no smaller is offered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_networks import LENGTH, Machine, cnn, machine, model

from lineside_export.candidates import LEAST_SIGNAL, METHODS, QUANTIZED, Variant, variants
from lineside_export.networks.meaning import Meaning
from lineside_export.networks.onnx_file import open_network
from lineside_export.quantize import weights
from lineside_export.quantize.devices import Kernels
from lineside_export.quantize.integers import Static, _judged, static
from lineside_export.quantize.noise import signal_to_noise
from lineside_export.quantize.partial import ENOUGH, Judged, Ways, partly
from lineside_export.quantize.source import Source

TRAINED, SEEN = machine(240, 0), machine(120, 1)


def exported(trained: Machine) -> onnx.ModelProto:
    """The graph for the device of a network that was trained on these readings."""
    onnx.save(cnn(trained), "network.onnx")
    return open_network(Path("network.onnx"), Meaning(logits=True), LENGTH).graph


def offset(readings: Machine, by: float) -> Machine:
    """Readings of a sensor that does not begin at zero, such as a pressure."""
    return Machine(readings.readings + np.float32(by), readings.states)


def rows(seen: Machine) -> np.ndarray:
    return seen.readings.reshape(-1, 2 * LENGTH)


def run(graph: onnx.ModelProto, inputs: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"input": inputs})


def signal(graph: onnx.ModelProto, other: onnx.ModelProto, inputs: np.ndarray) -> float:
    return signal_to_noise(run(graph, inputs), run(other, inputs))


def operators(variant: Variant) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(variant.model).graph.node]


@pytest.fixture
def plain(tmp_path, monkeypatch) -> onnx.ModelProto:
    monkeypatch.chdir(tmp_path)
    return exported(TRAINED)


def test_a_convolution_s_answers_in_fewer_bits(plain) -> None:
    """Every candidate keeps its signal on windows that it was not calibrated with, and nearly every label."""
    seen = rows(SEEN)
    found = {each.name: each for each in variants(plain, rows(TRAINED)[:100], "pi5")}
    assert found.keys() == METHODS.keys()
    assert {name for name, each in found.items() if each.model is None} == {"int4-weights"}
    label = run(plain, seen)[0]
    assert np.mean(label == SEEN.labels) > 0.95
    for name, each in found.items():
        if each.model is None:
            continue
        graph = onnx.load_from_string(each.model)
        assert np.mean(run(graph, seen)[0] == label) > 0.97, name
        assert signal(plain, graph, seen) > LEAST_SIGNAL, name
        assert len(each.model) < 0.6 * plain.ByteSize(), name


def test_convolutions_are_never_quantized_while_they_run(plain) -> None:
    """onnxruntime has no fast code for them: only the last layer's scale is found then."""
    found = {each.name: each for each in variants(plain, rows(TRAINED)[:100])}
    names = operators(found["int8-dynamic"])
    assert "ConvInteger" not in names
    assert names.count("Conv") == 2
    assert names.count("MatMulInteger") == 1
    only_convolutions = onnx.ModelProto.FromString(plain.SerializeToString())
    gemm = next(node for node in only_convolutions.graph.node if node.op_type == "Gemm")
    del gemm.input[1:], gemm.attribute[:]
    gemm.op_type = "Softplus"
    del only_convolutions.graph.node[list(only_convolutions.graph.node).index(gemm) + 1 :]
    only_convolutions.graph.node.append(helper.make_node("Identity", [gemm.output[0]], ["out"]))
    del only_convolutions.graph.output[:]
    only_convolutions.graph.output.append(helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 32]))
    dynamic = next(
        each for each in variants(only_convolutions, rows(TRAINED)[:100]) if each.name == "int8-dynamic"
    )
    assert dynamic.model is None


@pytest.mark.parametrize("by", [100, 500])
def test_the_layer_that_ruins_the_answers_is_left_out(tmp_path, monkeypatch, by) -> None:
    """Readings far from zero: in 256 steps of all that the first layer sees, its signal drowns."""
    monkeypatch.chdir(tmp_path)
    graph, seen = exported(offset(TRAINED, by)), rows(offset(SEEN, by))
    source = Source(graph, rows(offset(TRAINED, by))[:100], Kernels(False, False))
    whole = _judged(source, Static(), "min-max", ())
    assert whole.snr < 5
    found = static(source, Static()).judged
    assert found.left_out == (next(iter(source.layers)),)
    assert signal(graph, found.graph, seen) > LEAST_SIGNAL  # windows that it was not calibrated with
    assert found.graph.ByteSize() < 0.6 * graph.ByteSize()
    # The weights alone: those of the first layer are float16, because int8 is too coarse for them.
    named = {each.name: each for each in variants(graph, rows(offset(TRAINED, by))[:100])}
    mixed = onnx.load_from_string(named["int8-weights"].model)
    assert "as float16" in named["int8-weights"].reason
    assert "1 of 3 layers in float32" in named["int8-static"].reason
    kinds = {each.data_type for each in mixed.graph.initializer}
    assert {TensorProto.INT8, TensorProto.FLOAT16} <= kinds
    assert signal(graph, mixed, seen) > LEAST_SIGNAL > signal(graph, weights.int8(graph), seen)


def test_what_stays_noisy_is_not_offered(plain, monkeypatch) -> None:
    """A network whose one layer cannot be left out without leaving nothing."""
    wild = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    wild[0] *= 1e6
    graph = model(
        [helper.make_node("MatMul", ["input", "w"], ["y"])],
        {"w": wild},
        ("input", ["n", 64]),
        ("y", ["n", 32]),
        opset=21,
    )
    inputs = np.random.default_rng(1).normal(size=(200, 64)).astype(np.float32)
    inputs[:, 0] = 1e-6 * inputs[:, 0] ** 5
    found = {each.name: each for each in variants(graph, inputs)}
    for name in ("int8-static", "int8-dynamic"):
        assert found[name].model is None
        assert "too noisy" in found[name].reason
        assert not found[name].failed


def test_parts_are_left_out_by_their_noise_for_what_they_save() -> None:
    """In decibels: a large part with some noise stays, a small one with as much goes."""
    graph, tried = onnx.ModelProto(), []
    noise = {"large": 0.002, "small": 0.002, "noisy": 0.1, "clear": 1e-6}

    def without(left_out):
        tried.append(tuple(left_out))
        left = sum(value for name, value in noise.items() if name not in left_out)
        return Judged(graph, -10 * np.log10(left), tuple(left_out))

    sizes = {"large": 1000, "small": 10, "noisy": 500, "clear": 10}
    found = partly(sizes, Ways(without, lambda name: float(-10 * np.log10(noise[name]))))
    assert found.left_out == ("small", "noisy")
    assert found.snr > ENOUGH
    assert tried == [(), ("small", "noisy")]


def test_parts_stay_if_there_is_enough_signal_anyway() -> None:
    judged = Judged(onnx.ModelProto(), ENOUGH)

    def never(name: str) -> float:
        raise AssertionError

    assert partly({"a": 1, "b": 1}, Ways(lambda _: judged, never)) is judged


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_weights(kind) -> None:
    """Gates keep their scales apart, and the network runs as fast: after loading its weights are float32 again."""
    gates, hidden, generator = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 24, np.random.default_rng(2)
    stored = {
        "w": generator.normal(size=(1, gates * hidden, 8)).astype(np.float32) / 3,
        "r": generator.normal(size=(1, gates * hidden, hidden)).astype(np.float32) / 5,
        "shape": np.array([0, 16, 8]),
        "axis": np.array([0]),
    }
    nodes = [
        helper.make_node("Reshape", ["input", "shape"], ["x"]),
        helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        helper.make_node(kind, ["steps", "w", "r"], ["", "last"], hidden_size=hidden),
        helper.make_node("Squeeze", ["last", "axis"], ["y"]),
    ]
    graph = model(nodes, stored, ("input", ["n", 128]), ("y", ["n", hidden]), opset=21)
    inputs = generator.normal(size=(60, 128)).astype(np.float32)
    found = {each.name: each for each in variants(graph, inputs)}
    assert len(found["int8-weights"].model) < 0.5 * graph.ByteSize()
    small = onnx.load_from_string(found["int8-weights"].model)
    assert signal(graph, small, inputs) > ENOUGH
    scales = {each.name: each for each in small.graph.initializer if each.name.endswith("_scale")}
    assert numpy_helper.to_array(scales["w_scale"]).shape == (1, gates * hidden, 1)
    # Only for an LSTM has onnxruntime arithmetic that finds its scales when it runs.
    assert (found["int8-dynamic"].model is not None) == (kind == "LSTM")
    assert found["int8-static"].model is None


@pytest.mark.parametrize("device", ["auto", "pi5"])
def test_readings_that_move_between_the_layers(device) -> None:
    """onnxruntime moves int8 past what only moves readings, and in some versions then refuses its own graph."""
    generator = np.random.default_rng(4)
    stored = {
        "cut": np.array([0, 2, 40]),
        "f": generator.normal(size=(24, 2, 5)).astype(np.float32),
        "w": generator.normal(size=(24, 32)).astype(np.float32) / 5,
        "end": np.array([0, 36 * 32]),
    }
    nodes = [
        helper.make_node("Reshape", ["input", "cut"], ["x"]),
        helper.make_node("Conv", ["x", "f"], ["c"]),
        helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "w"], ["m"]),
        helper.make_node("Reshape", ["m", "end"], ["y"]),
    ]
    graph = model(nodes, stored, ("input", ["n", 80]), ("y", ["n", 36 * 32]), opset=21)
    inputs = generator.normal(size=(200, 80)).astype(np.float32)
    found = {each.name: each for each in variants(graph, inputs, device)}
    for name in (
        "int8-static",
        "int8-static-pc",
        *(["int8-s8s8", "int8-s8s8-pc"] if device == "pi5" else []),
    ):
        assert found[name].model is not None, found[name].reason
        assert signal(graph, onnx.load_from_string(found[name].model), inputs) > ENOUGH


def test_few_rows_calibrate_what_is_large() -> None:
    """A network that would hold a gigabyte of activations for all rows is asked about some of them."""
    nodes = [
        helper.make_node("Reshape", ["input", "shape"], ["x"]),
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    stored = {"w": np.ones((64, 1, 1), np.float32), "shape": np.array([0, 1, 4096])}
    graph = model(nodes, stored, ("input", ["n", 4096]), ("y", ["n", 64]), opset=21)
    inputs = np.zeros((500, 4096), np.float32)
    assert 32 <= len(Source(graph, inputs, Kernels(False, False)).rows) < 100
    small = model(
        [helper.make_node("Relu", ["input"], ["y"])], {}, ("input", ["n", 4]), ("y", ["n", 4]), opset=21
    )
    assert len(Source(small, inputs[:, :4], Kernels(False, False)).rows) == 500


def test_what_is_quantized_already_is_left_alone(plain) -> None:
    found = {each.name: each for each in variants(plain, rows(TRAINED)[:100])}
    again = variants(onnx.load_from_string(found["int8-static"].model), rows(TRAINED)[:100])
    assert {(each.model, each.reason) for each in again} == {(None, QUANTIZED)}


def test_a_graph_keeps_its_own_opset(plain, tmp_path) -> None:
    """What could not be raised must not be called newer than it is."""
    old = cnn(TRAINED, opset=13)
    old.graph.node[0].input[0] = "input"
    old.graph.input[0].name = "input"
    old.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    reshape = helper.make_node("Reshape", ["rows", "cut"], ["input"])
    old.graph.node.insert(0, reshape)
    old.graph.initializer.append(numpy_helper.from_array(np.array([0, 2, LENGTH]), "cut"))
    del old.graph.input[:]
    old.graph.input.append(helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 2 * LENGTH]))
    for node in old.graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                names[at] = {"rows": "input", "input": "x"}.get(name, name)
    old.graph.input[0].name = "input"
    for each in variants(old, rows(TRAINED)[:60]):
        if each.model is not None:
            graph = onnx.load_from_string(each.model)
            assert {entry.version for entry in graph.opset_import if entry.domain == ""} == {13}, each.name
