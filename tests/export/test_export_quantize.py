"""Weights in fewer bits: what is stored, what it costs in bytes and in accuracy, and that it costs no time."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lineside_agent.model import Model
from lineside_contract.bundle import Bundle
from lineside_export.candidates import METHODS, NOTHING, variants
from lineside_export.quantize import blocks, devices, weights
from lineside_export.quantize.devices import Kernels
from lineside_export.quantize.integers import Static, static
from lineside_export.quantize.layers import weights as find_weights
from lineside_export.quantize.noise import signal_to_noise
from lineside_export.quantize.ranges import CALIBRATIONS
from lineside_export.quantize.source import Source

ROWS = np.random.default_rng(0).normal(size=(300, 96)).astype(np.float32)
SIZES = (96, 256, 128, 4)
WEIGHT_ONLY = {"int8-weights": weights.int8, "float16-weights": weights.float16, "int4-weights": blocks.int4}


def network(kind: str = "MatMul", sizes: tuple[int, ...] = SIZES, largest: float = 1.0) -> onnx.ModelProto:
    """A network of layers written as MatMul and Add, as Gemm, or as Gemm with its weights transposed."""
    generator = np.random.default_rng(1)
    nodes, tensors, last = [], [], "input"
    for at, (inputs, outputs) in enumerate(pairwise(sizes)):
        matrix = generator.normal(size=(inputs, outputs)) * largest / np.sqrt(inputs)
        bias = generator.normal(size=outputs)
        named = {f"w{at}": matrix.T if kind == "transposed Gemm" else matrix, f"b{at}": bias}
        tensors += [
            numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
            for name, value in named.items()
        ]
        if kind == "MatMul":
            nodes.append(helper.make_node("MatMul", [last, f"w{at}"], [f"p{at}"]))
            nodes.append(helper.make_node("Add", [f"p{at}", f"b{at}"], [f"s{at}"]))
        else:
            transposed = int(kind == "transposed Gemm")
            nodes.append(helper.make_node("Gemm", [last, f"w{at}", f"b{at}"], [f"s{at}"], transB=transposed))
        last = f"y{at}" if at < len(sizes) - 2 else "output"
        nodes.append(helper.make_node("Tanh", [f"s{at}"], [last]))
    return model(nodes, tensors, sizes[0], sizes[-1])


def model(nodes, tensors, inputs: int, outputs: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, inputs])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, outputs])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def session(graph: onnx.ModelProto, optimized: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def answer(graph: onnx.ModelProto, rows: np.ndarray = ROWS) -> np.ndarray:
    return session(graph).run(None, {"input": rows})[0]


def noise(graph: onnx.ModelProto, other: onnx.ModelProto) -> float:
    """Return how far the answers differ, in terms of their spread."""
    exact = answer(graph)
    return float(np.sqrt(np.mean((answer(other) - exact) ** 2)) / exact.std())


@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "transposed Gemm"])
@pytest.mark.parametrize(
    ("name", "share", "difference"),
    [("int8-weights", 0.28, 0.02), ("float16-weights", 0.52, 1e-3), ("int4-weights", 0.19, 0.3)],
)
def test_weights_take_fewer_bytes_and_answers_stay_near(kind, name, share, difference) -> None:
    graph = network(kind)
    before = graph.SerializeToString()
    changed = WEIGHT_ONLY[name](graph)
    assert graph.SerializeToString() == before
    assert len(changed.SerializeToString()) < share * len(before)
    assert 0 < noise(graph, changed) < difference
    onnx.checker.check_model(changed, full_check=False)


@pytest.mark.parametrize("name", ["int8-weights", "float16-weights"])
@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "transposed Gemm"])
def test_what_runs_is_the_float32_model(name, kind, tmp_path) -> None:
    """After loading there is nothing left that the float32 graph does not have: so it is as fast."""
    session(network(kind), tmp_path / "plain.onnx")
    session(WEIGHT_ONLY[name](network(kind)), tmp_path / "changed.onnx")
    plain, changed = (onnx.load(tmp_path / f"{which}.onnx") for which in ("plain", "changed"))
    assert [node.op_type for node in changed.graph.node] == [node.op_type for node in plain.graph.node]
    weight_types = {each.data_type for each in changed.graph.initializer if len(each.dims) == 2}
    assert weight_types == {TensorProto.FLOAT}


@pytest.mark.parametrize("name", ["int8-weights", "float16-weights"])
def test_the_weights_that_run_are_those_that_arithmetic_gives_everywhere(name, tmp_path) -> None:
    """To the last bit what IEEE 754 says of a number times its scale: so no processor computes with others."""
    changed = WEIGHT_ONLY[name](network())
    stored = {each.name: numpy_helper.to_array(each) for each in changed.graph.initializer}
    session(changed, tmp_path / "changed.onnx")
    running = {
        each.name: numpy_helper.to_array(each)
        for each in onnx.load(tmp_path / "changed.onnx").graph.initializer
    }
    loaded = [value for value in running.values() if value.ndim == 2 and value.dtype == np.float32]
    for at in range(3):
        if name == "int8-weights":
            expected = stored[f"w{at}_int8"].astype(np.float32) * stored[f"w{at}_scale"]
        else:
            expected = stored[f"w{at}_float16"].astype(np.float32)
        assert any(np.array_equal(expected, value) for value in loaded)


def test_int8_weights_run_as_fast_as_float32() -> None:
    plain, changed = session(network()), session(weights.int8(network()))
    times: dict[onnxruntime.InferenceSession, list[int]] = {plain: [], changed: []}
    for row in range(600):
        for each, taken in times.items():
            start = time.perf_counter_ns()
            each.run(None, {"input": ROWS[row % 300 : row % 300 + 1]})
            taken.append(time.perf_counter_ns() - start)
    # A DequantizeLinear that stayed in the graph would take ten times as long.
    assert np.median(times[changed]) < 1.5 * np.median(times[plain])


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (24, 40), elements=st.floats(-1000, 1000, width=32)))
def test_no_int8_weight_is_off_by_more_than_half_a_step_of_its_channel(matrix) -> None:
    node = helper.make_node("MatMul", ["input", "w"], ["output"])
    graph = model([node], [numpy_helper.from_array(matrix, "w")], 24, 40)
    changed = weights.int8(graph)
    found = {each.name: numpy_helper.to_array(each) for each in changed.graph.initializer}
    error = np.abs(found["w_int8"] * found["w_scale"] - matrix)
    assert found["w_scale"].shape == (1, 40)
    assert (error <= np.abs(matrix).max(axis=0) / 254 * 1.001 + 1e-30).all()


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (70, 64), elements=st.floats(-1000, 1000, width=32)))
def test_four_bit_blocks_are_what_matmulnbits_reads(matrix) -> None:
    node = helper.make_node("MatMul", ["input", "w"], ["output"])
    changed = blocks.int4(model([node], [numpy_helper.from_array(matrix, "w")], 70, 64))
    assert [each.op_type for each in changed.graph.node] == ["MatMulNBits"]
    read = answer(changed, np.eye(70, dtype=np.float32))
    padded = np.zeros((96, 64), np.float32)
    padded[:70] = np.abs(matrix)
    step = padded.reshape(3, 32, 64).max(axis=1).repeat(32, axis=0)[:70] / 8
    # Half a step; a whole one at the end of the scale that has one step less.
    assert (np.abs(read - matrix) <= step * 1.001 + 1e-30).all()


@pytest.mark.parametrize("name", WEIGHT_ONLY)
def test_what_would_not_shrink_is_left_alone(name) -> None:
    small = network(sizes=(4, 8, 3))
    assert WEIGHT_ONLY[name](small).SerializeToString() == small.SerializeToString()
    assert METHODS.keys() >= WEIGHT_ONLY.keys()
    found = {each.name: each for each in variants(small, ROWS[:, :4])}
    assert found[name].reason == NOTHING
    assert found[name].model is None


def test_what_float16_cannot_hold_stays_float32() -> None:
    large = network(largest=1e6)
    assert weights.float16(large).SerializeToString() == large.SerializeToString()


def test_a_weight_with_another_use_stays() -> None:
    matrix = numpy_helper.from_array(np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32), "w")
    product = helper.make_node("MatMul", ["input", "w"], ["p"])
    assert len(find_weights(model([product], [matrix], 96, 96))) == 1
    both = [
        product,
        helper.make_node("ReduceMax", ["w"], ["m"]),
        helper.make_node("Add", ["p", "m"], ["output"]),
    ]
    assert find_weights(model(both, [matrix], 96, 96)) == []
    # Stored in another way it is the same for both.
    assert len(find_weights(model(both, [matrix], 96, 96), shared=True)) == 1
    # The same weight, once as it is and once transposed: a channel of one is not a channel of the other.
    other = helper.make_node("Gemm", ["p", "w"], ["output"], transB=1)
    assert find_weights(model([product, other], [matrix], 96, 96)) == []
    assert find_weights(model([product, other], [matrix], 96, 96), shared=True) == []


@pytest.fixture
def trained(work, classes):
    rows, target = classes
    model = make_pipeline(
        StandardScaler(), MLPClassifier(hidden_layer_sizes=(64, 32), max_iter=30, random_state=0)
    )
    work.save(model.fit(rows[:200], target[:200]))
    work.rows(rows[200:], target[200:])
    return work


@pytest.mark.filterwarnings("ignore")
def test_a_candidate_can_be_asked_for(trained) -> None:
    result = trained.export("--candidate", "float16-weights", "--json")
    assert result.code == 0, result.err
    bundle = Bundle.open(trained.folder / "m-1.0.0.bundle.zip")
    assert bundle.manifest.candidate == "float16-weights"
    # It computes in float32, so a device must answer as exactly as it would with float32.
    assert bundle.manifest.golden_tolerance == 1e-4
    Model.open(bundle)


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_had_is_refused_and_nothing_is_written(trained) -> None:
    trained.refused(trained.export("--candidate", "int8-weigths"), "Did you mean 'int8-weights'?")
    trained.refused(trained.export("--max-bytes", "1000"), "at most 1,000 bytes", "nearest is int")
    trained.refused(trained.export("--max-latency-us", "0.1"), "at most 0.1 us a row", "the nearest is")
    trained.refused(trained.export("--min-agreement", "1.5"), "from 0 to 1")
    trained.refused(trained.export("--max-bytes", "many"), "'many' is not a size; write it as")


@pytest.mark.filterwarnings("ignore")
def test_a_poor_metric_does_not_hide_a_changed_model(work, values) -> None:
    """R2 hardly moves where most of the truth is noise, although the answers do."""
    rows, target = values
    model = MLPRegressor(hidden_layer_sizes=(128, 128), max_iter=20, random_state=0)
    model.fit(rows[:200], target[:200])
    # Units that never answer, with weights so large that the others in their blocks round to little or nothing.
    model.coefs_[0][:, ::32] = 0
    model.intercepts_[0][::32] = -1
    model.coefs_[1][::32] *= 60
    work.save(model)
    work.rows(rows[200:], target[200:] + np.random.default_rng(0).normal(0, 30, 200))
    result = work.export("--objective", "size", "--json")
    assert result.code == 0, result.err
    manifest = json.loads(result.out)
    four_bits = next(each for each in manifest["candidates"] if each["name"] == "int4-weights")
    assert manifest["metric_original"] - four_bits["metric"] < 0.005
    assert four_bits["agreement"] < 0.99
    assert four_bits["verdict"] == "dropped"
    assert "at least 0.99 must" in four_bits["reason"]
    assert manifest["candidate"] != "int4-weights"


def quantized(graph: onnx.ModelProto) -> dict[str, set[int]]:
    """Return the types that a QDQ graph's activations and weights are stored in."""
    stored = {each.name: each.data_type for each in graph.graph.initializer}
    return {
        "activations": {
            stored[node.input[2]] for node in graph.graph.node if node.op_type == "QuantizeLinear"
        },
        "weights": {stored[name] for name in stored if name.endswith("_quantized") and name.startswith("w")},
    }


@pytest.mark.parametrize(
    ("device", "offered"),
    [
        ("auto", {"int8-dynamic", "int8-static", "int8-static-pc"}),
        ("x86", {"int8-dynamic", "int8-static", "int8-static-pc"}),
        ("pi5", {"int8-dynamic", "int8-static", "int8-static-pc", "int8-s8s8", "int8-s8s8-pc"}),
        ("zero2w", {"int8-dynamic", "int8-static", "int8-static-pc", "int8-s8s8", "int8-s8s8-pc"}),
    ],
)
def test_which_int8_a_device_is_offered(device, offered, capsys) -> None:
    found = {each.name: each for each in variants(network(), ROWS, device)}
    assert {name for name, each in found.items() if each.model and "weights" not in name} == offered
    assert ("no int8 dot product" in found["int8-static"].reason) == (device == "zero2w")
    assert re.match(r"(min-max|percentile|entropy) ranges, \d\d dB", found["int8-static"].reason)
    for name in offered - {"int8-dynamic"}:
        assert 0 < noise(network(), onnx.load_from_string(found[name].model)) < 0.3
    assert capsys.readouterr().out == ""  # the quantizers print, and --json must stay JSON


@pytest.mark.parametrize(
    "kind", [Static(), Static(per_channel=True), Static(signed=True), Static(True, True)]
)
@pytest.mark.parametrize("full_range", [True, False])
@pytest.mark.parametrize("layer", ["MatMul", "Gemm"])
def test_static_graphs_hold_what_their_names_say(kind, full_range, layer) -> None:
    plain = network(layer)
    for bias in (each for each in plain.graph.initializer if each.name.startswith("b")):
        bias.dims.insert(0, 1)  # as skl2onnx writes them
    graph = static(Source(plain, ROWS, Kernels(full_range, True)), kind).judged.graph
    types = quantized(graph)
    assert types["activations"] == {TensorProto.INT8 if kind.signed else TensorProto.UINT8}
    assert types["weights"] == {TensorProto.INT8}
    found = {each.name: numpy_helper.to_array(each) for each in graph.graph.initializer}
    steps = np.abs(found["w0_quantized"].astype(int))
    # 7 bits where 8 could overflow, else the whole range.
    assert (steps.max() <= 64) == (not full_range)
    scale = next(value for name, value in found.items() if name.startswith("w0") and name.endswith("scale"))
    assert scale.size == (256 if kind.per_channel else 1)


@pytest.mark.parametrize(
    ("machine", "flags", "exact"),
    [
        ("aarch64", "fp asimd", True),
        ("x86_64", "avx2 avx512_vnni", True),
        ("x86_64", "avx2 avx_vnni", True),
        ("x86_64", "avx2 avx512f", False),
    ],
)
def test_full_range_is_only_offered_where_it_can_be_judged(
    machine, flags, exact, tmp_path, monkeypatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    monkeypatch.setattr(devices, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert devices.exact_here() == exact
    assert devices.kernels("pi5").full_range == exact
    assert devices.kernels("pi5").signed
    for device in ("auto", "x86"):
        assert devices.kernels(device) == Kernels(full_range=False, signed=False)


def test_the_ranges_that_leave_most_signal_are_taken() -> None:
    """One wild row stretches the min-max range of everything, which leaves few steps for the others."""
    wild = ROWS.copy()
    wild[7] *= 40
    source = Source(network(), wild, Kernels(False, False))
    ratios = {}
    for name in CALIBRATIONS:
        only = pytest.MonkeyPatch()
        only.setattr("lineside_export.quantize.ranges.CALIBRATIONS", {name: CALIBRATIONS[name]})
        ratios[name] = static(source, Static()).judged.snr
        only.undo()
    best, calibration = static(source, Static())
    assert best.snr == max(ratios.values())
    assert ratios[calibration] == best.snr
    assert best.snr > ratios["min-max"]


def test_signal_to_noise() -> None:
    labels, values = np.array([1, 2]), np.array([[1.0], [3.0]], np.float32)
    assert signal_to_noise([labels, values], [labels, values]) == np.inf
    near = values + np.float32(0.1)
    assert signal_to_noise([labels, values], [labels[::-1], near]) == pytest.approx(20, abs=1e-4)
    both = signal_to_noise([values, values], [near, values + np.float32(1)])
    assert both == pytest.approx(0, abs=1e-4)
