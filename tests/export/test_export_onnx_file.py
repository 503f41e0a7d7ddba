"""ONNX files from anywhere: read and checked, given windows as they take them, and answering what they mean."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from small_networks import LENGTH, STATES, cnn, dense, machine, model, saved

from lineside_agent.model import Model
from lineside_contract.bundle import Bundle
from lineside_contract.errors import InputError
from lineside_export.candidates import variants
from lineside_export.networks.layout import Arrangement, arrangement
from lineside_export.networks.meaning import Meaning
from lineside_export.networks.onnx_file import open_network
from lineside_export.rewrites.graph import Graph

TRAINED, SEEN = machine(240, 0), machine(120, 1)
NETWORK = cnn(TRAINED)
GENERATOR = np.random.default_rng(3)
COMMAND = ("--data", "rows.csv", "--window", LENGTH, "-o", "m-1.0.0.bundle.zip")


def run(graph: onnx.ModelProto, inputs: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(graph.SerializeToString()).run(
        None, {graph.graph.input[0].name: inputs}
    )


@pytest.fixture
def vibration(work):
    work.rows(SEEN.readings, [STATES[state] for state in SEEN.states], ["x", "y"], target_name="state")
    return work


def answers(graph: onnx.ModelProto, inputs: np.ndarray, meaning: Meaning = Meaning(), length: int = 1):  # noqa: B008
    """Return what the exported graph and the original say about inputs (n, features)."""
    network = open_network(saved(graph), meaning, length)
    from lineside_export import schema
    from lineside_export.convert import convert

    written = convert(network, network.schema)
    names = [output.name for output in written.graph.output]
    outputs = schema.outputs(network.schema, names, ("value",))
    return Model(written.SerializeToString(), "input", outputs).predict(inputs), network.answer(inputs)


def test_a_network_becomes_a_bundle_that_answers_as_it_does(vibration) -> None:
    """Also one of an old opset that takes one window at a time, as exporters write them."""
    network = cnn(TRAINED, batch=1, opset=11)
    saved(network)
    command = (
        "export",
        "network.onnx",
        *COMMAND,
        "--target",
        "state",
        "--classes",
        "ok,worn",
        "--logits",
        "--json",
    )
    result = vibration.run(*command)
    assert result.code == 0, result.err
    manifest = json.loads(result.out)
    assert manifest["metric_exported"] > 0.9
    assert manifest["estimator"] == "ONNX(Conv, Gemm)"
    assert (
        "the file itself, run by onnxruntime unoptimised"
        in Bundle.open(Path("m-1.0.0.bundle.zip")).files["card.md"].decode()
    )
    predicted = vibration.run("predict", "m-1.0.0.bundle.zip", "rows.csv", "--json")
    found = [json.loads(line) for line in predicted.out.splitlines()]
    logits = np.concatenate([run(network, window[None])[0] for window in SEEN.windows])
    likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert [each["label"] for each in found] == [STATES[at] for at in logits.argmax(axis=1)]
    exact = manifest["candidate"] == "float32"
    np.testing.assert_allclose(
        [each["probability_worn"] for each in found], likely[:, 1], atol=1e-5 if exact else 0.05
    )
    stored = onnx.load_from_string(Bundle.open(Path("m-1.0.0.bundle.zip")).files["model.onnx"])
    assert {each.version for each in stored.opset_import if each.domain == ""} == {21}


@pytest.mark.parametrize(
    ("batch", "opset"), [("rows", 17), (-1, 17), (1, 17), (4, 12), ("rows", 22), ("rows", 24)]
)
def test_networks_of_any_opset_and_number_of_rows(tmp_path, monkeypatch, batch, opset) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = SEEN.readings.reshape(-1, 2 * LENGTH)[:30]
    found, original = answers(cnn(TRAINED, batch=batch, opset=opset), inputs, Meaning(logits=True), LENGTH)
    expected = run(NETWORK, SEEN.windows[:30])[0]
    assert (found.label == expected.argmax(axis=1)).all()
    np.testing.assert_allclose(found.probabilities, original.probabilities, atol=1e-5)


def test_an_opset_that_cannot_be_brought_up_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    def fails(*_: object) -> None:
        raise RuntimeError("No Adapter From Version $17 for Conv")

    monkeypatch.setattr("lineside_export.networks.modern.version_converter.convert_version", fails)
    network = open_network(saved(NETWORK), Meaning(logits=True), LENGTH)
    assert any("stays at opset 17" in note and "No Adapter" in note for note in network.notes)
    assert {entry.version for entry in network.graph.opset_import if entry.domain == ""} == {17}


FINISHED = [
    ("", Meaning(task="classification"), "scores"),
    ("", Meaning(logits=True), "probabilities"),
    ("Softmax", Meaning(), "probabilities"),
    ("LogSoftmax", Meaning(classes=("a", "b", "c")), "probabilities"),
]


@pytest.mark.parametrize(("finish", "meaning", "field"), FINISHED)
def test_what_several_numbers_mean(tmp_path, monkeypatch, finish, meaning, field) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = GENERATOR.normal(size=(50, 5)).astype(np.float32)
    graph = dense(5, 3, finish)
    (found, original), raw = answers(graph, inputs, meaning), run(graph, inputs)[0]
    expected = {"": raw, "Softmax": raw, "LogSoftmax": np.exp(raw)}[finish]
    if meaning.logits:
        expected = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(getattr(found, field), expected, atol=1e-5)
    np.testing.assert_allclose(getattr(original, field), expected, atol=1e-5)
    classes = np.array(meaning.classes or range(3))
    assert (found.label == classes[raw.argmax(axis=1)]).all()
    assert (original.label == found.label).all()


@pytest.mark.parametrize(
    ("finish", "meaning"),
    [("Sigmoid", Meaning()), ("", Meaning(logits=True)), ("", Meaning(task="classification"))],
)
def test_what_one_number_of_two_classes_means(tmp_path, monkeypatch, finish, meaning) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = GENERATOR.normal(size=(50, 5)).astype(np.float32)
    graph = dense(5, 1, finish)
    (found, original), raw = answers(graph, inputs, meaning), run(graph, inputs)[0][:, 0]
    second = 1 / (1 + np.exp(-raw)) if meaning.logits else raw
    columns = found.probabilities if finish or meaning.logits else found.scores
    np.testing.assert_allclose(columns[:, 1], second, atol=1e-5)
    assert (found.label == (raw > (0.5 if finish else 0))).all()
    assert (found.label == original.label).all()


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_values_of_any_real_type(tmp_path, monkeypatch, kind) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = GENERATOR.normal(size=(20, 4)).astype(np.float32)
    graph = dense(4, 2, kind=kind)
    found, original = answers(graph, inputs, Meaning(task="regression"))
    raw = run(graph, inputs.astype(helper.tensor_dtype_to_np_dtype(kind)))[0]
    np.testing.assert_allclose(
        found.values, raw, rtol=5e-3 if kind == TensorProto.FLOAT16 else 1e-5, atol=1e-3
    )
    assert found.values.dtype == np.float32
    assert original.values.dtype == np.float64


def test_an_autoencoder_tells_outliers_by_its_error(vibration) -> None:
    """The network gives back what lies in the directions that the good windows have, and loses the rest."""
    good = TRAINED.windows[TRAINED.labels == 0].reshape(-1, 2 * LENGTH)
    directions = np.linalg.svd(good, full_matrices=False)[2][:6].astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "down"], ["code"]),
        helper.make_node("MatMul", ["code", "up"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["y"]),
    ]
    stored = {"down": np.ascontiguousarray(directions.T), "up": directions, "shape": np.array([0, 2, LENGTH])}
    saved(model(nodes, stored, ("x", ["n", 2, LENGTH]), ("y", ["n", 2, LENGTH])))
    scores = ((SEEN.windows - run(onnx.load("network.onnx"), SEEN.windows)[0]) ** 2).mean(axis=(1, 2))
    threshold = float(np.median(scores))
    result = vibration.run(
        "export", "network.onnx", *COMMAND, "--ignore", "state", "--threshold", threshold, "--json"
    )
    assert result.code == 0, result.err
    assert json.loads(result.out)["task"] == "outlier"
    predicted = vibration.run("predict", "m-1.0.0.bundle.zip", "rows.csv", "--json")
    found = [json.loads(line) for line in predicted.out.splitlines()]
    np.testing.assert_allclose([each["score"] for each in found], threshold - scores, atol=2e-3)
    assert np.mean([each["label"] == -1 for each in found] == (scores > threshold)) > 0.98


def test_windows_channels_first_and_last(tmp_path, monkeypatch) -> None:
    """The device gives readings in order of time: whatever the network's axes, it sees the same signal."""
    monkeypatch.chdir(tmp_path)
    windows = GENERATOR.normal(size=(20, 3, 7)).astype(np.float32)
    flat = windows.transpose(0, 2, 1).reshape(20, -1)
    for shape, axes in (
        ((3, 7), windows),
        ((7, 3), windows.transpose(0, 2, 1)),
        ((1, 3, 7), windows[:, None]),
    ):
        graph = dense(21, 2, shape=list(shape))
        found, original = answers(graph, flat, Meaning(task="regression"), length=7)
        expected = run(graph, np.ascontiguousarray(axes))[0]
        np.testing.assert_allclose(found.values, expected, atol=1e-5)
        np.testing.assert_allclose(original.values, expected, atol=1e-5)
    # Without a window the columns are in the network's own order.
    found, _ = answers(dense(21, 2, shape=[3, 7]), flat, Meaning(task="regression"))
    assert found.values.shape == (20, 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(2, 9), st.booleans(), st.integers(0, 2), st.booleans())
def test_the_graph_arranges_as_the_original_was_given(channels, length, first, ones, dynamic) -> None:
    sizes: list[int | None] = [channels, length] if first else [length, channels]
    if channels == length:
        return
    if dynamic and channels > 1:
        sizes[sizes.index(length)] = None
    arranged = arrangement([*[1] * ones, *sizes], length, None)
    graph = Graph("t_")
    rows = GENERATOR.normal(size=(6, channels * length)).astype(np.float32)
    name = arranged.write(graph, "input")
    graph.give(graph.add("Identity", name), "y", TensorProto.FLOAT, None)
    value = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", channels * length])
    del graph.proto.output[:]
    graph.proto.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", *arranged.shape]))
    graph.proto.input.append(value)
    graph.proto.name = "arrange"
    whole = helper.make_model(graph.proto, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    found = run(whole, rows)[0]
    np.testing.assert_array_equal(found, arranged.arrange(rows))
    by_time = rows.reshape(6, length, channels)
    expected = by_time.transpose(0, 2, 1) if first else by_time
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


@pytest.mark.parametrize(
    ("sizes", "length", "layout", "words"),
    [
        ((16, 16), 16, None, "in two ways"),
        ((3, 100), 64, None, "do not fill"),
        ((3, 100), 100, "channels-last", "as channels-last"),
        ((None, None), 100, None, "do not fill"),
        ((2, 5, 7), 7, None, "more axes"),
        ((None,), 1, None, "leaves open"),
        ((3, None), 1, None, "leaves open"),
        ((12,), 1, "channels-last", "--layout is for"),
    ],
)
def test_windows_that_fit_in_no_way_or_in_two(sizes, length, layout, words) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        arrangement(sizes, length, layout)
    assert refusal.value.hint


def test_a_layout_decides_between_two_ways() -> None:
    assert arrangement((16, 16), 16, "channels-first") == Arrangement((16, 16), True)
    assert arrangement((16, 16), 16, "channels-last") == Arrangement((16, 16), False)
    assert arrangement((1, None), 50, None) == Arrangement((1, 50))


@pytest.mark.parametrize("text", [True, False])
def test_a_classifier_with_a_label_and_a_zipmap(tmp_path, monkeypatch, text) -> None:
    monkeypatch.chdir(tmp_path)
    rows, states = SEEN.windows.mean(axis=2), SEEN.labels
    fitted = LogisticRegression().fit(rows, np.array(STATES)[states] if text else states)
    graph = to_onnx(fitted, rows[:1], target_opset={"": 18, "ai.onnx.ml": 3})
    assert "ZipMap" in [node.op_type for node in graph.graph.node]
    found, original = answers(graph, rows)
    assert (found.label == fitted.predict(rows)).all()
    assert (original.label == found.label).all()
    np.testing.assert_allclose(found.probabilities, fitted.predict_proba(rows), atol=1e-5)


def test_the_classes_of_a_file_s_metadata(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ('["a", "b", "c"]', "{0: 'a', 1: 'b', 2: 'c'}", "a, b,c"):
        graph = dense(4, 3, "Softmax")
        helper.set_model_props(graph, {"names": text})
        assert open_network(saved(graph), Meaning(), 1).schema.classes == ("a", "b", "c")
    helper.set_model_props(graph, {"names": "a,b"})  # of something else
    assert open_network(saved(graph), Meaning(), 1).schema.classes == (0, 1, 2)
    assert open_network(saved(graph), Meaning(classes=("7", "8", "9")), 1).schema.classes == (7, 8, 9)


def test_one_of_several_outputs(tmp_path, monkeypatch) -> None:
    """What only the other output needs is not in the bundle."""
    monkeypatch.chdir(tmp_path)
    graph = dense(4, 3, "Softmax")
    graph.graph.node.append(helper.make_node("MatMul", ["x", "large"], ["other"]))
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 5000), np.float32), "large"))
    graph.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, ["n", 5000]))
    with pytest.raises(InputError, match="2 outputs: y, other"):
        open_network(saved(graph), Meaning(), 1)
    with pytest.raises(InputError, match="no output 'othr'") as refusal:
        open_network(saved(graph), Meaning(output="othr"), 1)
    assert "'other'" in refusal.value.hint
    network = open_network(saved(graph), Meaning(output="y"), 1)
    assert network.graph.ByteSize() < 2000


def test_names_of_the_network_s_own_do_no_harm(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = GENERATOR.normal(size=(9, 4)).astype(np.float32)
    graph = dense(4, 3)
    renamed = onnx.ModelProto.FromString(graph.SerializeToString())
    names = {"x": "input", "f": "probabilities", "y": "label", "w": "lineside_w"}
    for node in renamed.graph.node:
        for listed in (node.input, node.output):
            for at, name in enumerate(listed):
                listed[at] = names.get(name, name)
    for value in (*renamed.graph.input, *renamed.graph.output, *renamed.graph.initializer):
        value.name = names.get(value.name, value.name)
    found, _ = answers(renamed, inputs, Meaning(task="regression"))
    np.testing.assert_allclose(found.values, run(graph, inputs)[0], atol=1e-5)


def test_weights_that_are_constants_are_found(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    graph = cnn(TRAINED)
    constants = [
        helper.make_node("Constant", [], [each.name], value=each) for each in graph.graph.initializer
    ]
    kept = [*constants, *graph.graph.node]
    del graph.graph.initializer[:], graph.graph.node[:]
    graph.graph.node.extend(kept)
    network = open_network(saved(graph), Meaning(logits=True), LENGTH)
    assert {"f1", "f2"} <= {each.name for each in network.graph.graph.initializer}
    assert "Constant" not in [node.op_type for node in network.graph.graph.node]


def test_weights_in_a_file_beside(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    graph = dense(60, 30)
    onnx.save(graph, "network.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    inputs = GENERATOR.normal(size=(5, 60)).astype(np.float32)
    network = open_network(Path("network.onnx"), Meaning(task="regression"), 1)
    np.testing.assert_allclose(network.answer(inputs).values, run(dense_again(graph), inputs)[0], atol=1e-4)
    assert Path("network.onnx").stat().st_size < 2000 < network.graph.ByteSize()
    Path("weights.bin").unlink()
    with pytest.raises(InputError, match="another file"):
        open_network(Path("network.onnx"), Meaning(task="regression"), 1)


def dense_again(graph: onnx.ModelProto) -> onnx.ModelProto:
    """onnx.save leaves a model that points at its file."""
    onnx.external_data_helper.load_external_data_for_model(graph, ".")
    for tensor in graph.graph.initializer:
        del tensor.external_data[:]
        tensor.data_location = TensorProto.DEFAULT
    return graph


def test_weights_from_elsewhere_are_not_read(tmp_path, monkeypatch) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(60 * 30 * 4))
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    graph = dense(60, 30)
    for tensor in graph.graph.initializer:
        onnx.external_data_helper.set_external_data(tensor, "../secret.bin")
        tensor.ClearField("raw_data")
    Path("network.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(InputError, match="another file"):
        open_network(Path("network.onnx"), Meaning(task="regression"), 1)


class _Reader(CalibrationDataReader):
    def __init__(self, windows: np.ndarray) -> None:
        self._batches = iter([{"x": windows}])

    def get_next(self):
        return next(self._batches, None)


def test_a_network_that_is_quantized_already_stays_as_it_is(vibration) -> None:
    saved(NETWORK, "plain.onnx")
    quantize_static("plain.onnx", "network.onnx", _Reader(TRAINED.windows))
    result = vibration.run(
        "export", "network.onnx", *COMMAND, "--target", "state", "--classes", "ok,worn", "--logits", "--json"
    )
    assert result.code == 0, result.err
    assert "is quantized already" in result.err
    manifest = json.loads(result.out)
    assert manifest["candidate"] == "float32"
    reasons = {each["reason"] for each in manifest["candidates"] if each["name"] != "float32"}
    assert reasons == {"not tried: the model is quantized already"}
    # Another processor rounds to other steps: the golden rows leave room for that.
    assert manifest["golden_tolerance"] >= 1e-3


@pytest.mark.parametrize("keep", [True, False])
def test_a_network_of_float16_computes_in_float32(tmp_path, monkeypatch, keep) -> None:
    """As onnxruntime's converter writes it, its nodes out of order; its weights are float16's, and stay so."""
    monkeypatch.chdir(tmp_path)
    narrow = convert_float_to_float16(NETWORK, keep_io_types=keep)
    order = [*narrow.graph.node][::-1]
    del narrow.graph.node[:]
    narrow.graph.node.extend(order)
    network = open_network(saved(narrow), Meaning(logits=True), LENGTH)
    assert any("computes in float16" in note for note in network.notes)
    inputs = SEEN.readings.reshape(-1, 2 * LENGTH)[:30]
    expected = run(NETWORK, SEEN.windows[:30])[0]
    found = network.answer(inputs)
    assert (found.label == expected.argmax(axis=1)).all()
    likely = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, likely, atol=5e-3)
    kinds = {each.data_type for each in network.graph.graph.initializer}
    assert TensorProto.FLOAT16 not in kinds
    small = next(each for each in variants(network.graph, inputs) if each.name == "float16-weights")
    np.testing.assert_array_equal(
        *(run(each, inputs)[1] for each in (network.graph, onnx.load_from_string(small.model)))
    )


def test_nodes_in_a_circle_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["a", "a"], ["b"])]
    with pytest.raises(InputError, match="not a valid ONNX model") as refusal:
        open_network(saved(model(nodes, {}, ("x", ["n", 3]), ("b", ["n", 3]))), Meaning(), 1)
    assert refusal.value.hint
