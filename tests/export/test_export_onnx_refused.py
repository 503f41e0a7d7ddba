"""ONNX files that do not do: each is refused in one sentence with a next step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from small_networks import LENGTH, STATES, cnn, dense, machine, model, saved

from lineside_contract.errors import InputError
from lineside_export.networks.meaning import Meaning
from lineside_export.networks.onnx_file import open_network

SEEN = machine(120, 1)
NETWORK = cnn(machine(240, 0))
COMMAND = ("--data", "rows.csv", "--window", LENGTH, "-o", "m-1.0.0.bundle.zip")


@pytest.fixture
def vibration(work):
    work.rows(SEEN.readings, [STATES[state] for state in SEEN.states], ["x", "y"], target_name="state")
    return work


def test_a_network_that_looks_at_other_rows_is_refused(tmp_path, monkeypatch) -> None:
    """Batch normalisation left in training mode: a row's answer depends on what else is asked."""
    monkeypatch.chdir(tmp_path)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axis"], ["m"], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    graph = model(nodes, {"axis": np.array([0])}, ("x", ["n", 4]), ("y", ["n", 4]), opset=18)
    with pytest.raises(InputError, match="several rows at once"):
        open_network(saved(graph), Meaning(task="regression"), 1)


def two_inputs() -> onnx.ModelProto:
    graph = dense(4, 2)
    graph.graph.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, ["n", 4]))
    return graph


def of_whole_numbers() -> onnx.ModelProto:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)]
    return model(nodes, {}, ("x", ["n", 4]), ("y", ["n", 4]), kind=TensorProto.INT32)


def of_a_stranger() -> onnx.ModelProto:
    nodes = [helper.make_node("Resonate", ["x"], ["y"], domain="com.example")]
    graph = model(nodes, {}, ("x", ["n", 4]), ("y", ["n", 4]))
    graph.opset_import.append(helper.make_opsetid("com.example", 1))
    return graph


def of_one_row_for_all() -> onnx.ModelProto:
    return model([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], {}, ("x", ["n", 4]), ("y", []))


def of_labels() -> onnx.ModelProto:
    graph = model([helper.make_node("ArgMax", ["x"], ["y"], axis=1)], {}, ("x", ["n", 4]), ("y", ["n", 1]))
    graph.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    return graph


def of_one_row(rows: int, features: int) -> onnx.ModelProto:
    node = helper.make_node("ReduceMax", ["x"], ["y"], axes=[1])
    return model([node], {}, ("x", [rows, features]), ("y", [rows, 1]))


def without_output() -> onnx.ModelProto:
    graph = dense(4, 2)
    del graph.graph.output[:]
    return graph


def of_nothing() -> onnx.ModelProto:
    stored = {"w": np.full((4, 2), np.nan, np.float32)}
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], stored, ("x", ["n", 4]), ("y", ["n", 2]))


@pytest.mark.parametrize(
    ("graph", "meaning", "words"),
    [
        (two_inputs(), Meaning(), "takes 2 inputs"),
        (of_whole_numbers(), Meaning(), "is int32"),
        (of_a_stranger(), Meaning(task="regression"), "cannot load the network"),
        (of_one_row_for_all(), Meaning(task="regression"), "several rows at once"),
        (of_labels(), Meaning(), "holds no real numbers"),
        (of_nothing(), Meaning(task="regression"), "answers no numbers"),
        (of_one_row(1, 1 << 40), Meaning(task="regression"), "1 x 1099511627776 values at once"),
        (of_one_row(1 << 40, 4), Meaning(task="regression"), "1099511627776 x 4 values at once"),
        (without_output(), Meaning(task="regression"), "has no output"),
        (
            model([helper.make_node("Abs", ["x"], ["y"])], {}, ("x", [4]), ("y", [4])),
            Meaning(),
            "no axis of rows",
        ),
        (dense(4, 3), Meaning(), "does not tell what its 3 numbers mean"),
        (dense(4, 1), Meaning(), "does not tell what its number means"),
        (dense(4, 3, "Softmax"), Meaning(classes=("a", "b")), "tells 3 classes apart, but 2 are named"),
        (dense(4, 3, "Softmax"), Meaning(classes=("a", "b", "a")), "tells 3 classes apart, but 2 are named"),
        (dense(4, 3, "Softmax"), Meaning(logits=True), "comes out of a Softmax"),
        (dense(4, 3), Meaning(task="outlier", threshold=1.0), "neither one score nor its input"),
        (dense(4, 1), Meaning(task="outlier"), "does not tell"),
        (dense(4, 1), Meaning(task="regression", threshold=1.0), "--threshold is for"),
        (dense(4, 2), Meaning(task="regression", classes=("a", "b")), "are for --task classification"),
    ],
)
def test_networks_that_do_not_do(tmp_path, monkeypatch, graph, meaning, words) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words) as refusal:
        open_network(saved(graph), meaning, 1)
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a valid ONNX model"),
        (b"not a model", "not an ONNX model"),
        (NETWORK.SerializeToString()[:-700], "ONNX model"),
    ],
)
def test_files_that_are_no_network(vibration, content, words) -> None:
    Path("network.onnx").write_bytes(content)
    vibration.refused(vibration.run("export", "network.onnx", *COMMAND, "--target", "state"), words)
    vibration.refused(vibration.run("export", "nothing.onnx", *COMMAND), "cannot be read")


def test_damaged_files_are_refused_in_a_sentence(tmp_path, monkeypatch) -> None:
    """Bytes changed where names, shapes and nodes lie: whatever comes of it, no traceback and no crash."""
    monkeypatch.chdir(tmp_path)
    whole, generator = NETWORK.SerializeToString(), np.random.default_rng(5)
    refusals = []
    for _ in range(40):
        data = bytearray(whole)
        ends = generator.integers(0, 500, 4)
        for at in (*ends[:2], *(len(data) - 1 - ends[2:])):
            data[at] = generator.integers(0, 256)
        Path("network.onnx").write_bytes(data)
        try:
            open_network(Path("network.onnx"), Meaning(logits=True), LENGTH)
        except InputError as refusal:
            refusals.append(refusal)
    assert len(refusals) > 20
    assert all(refusal.hint for refusal in refusals)


def test_what_is_said_of_an_estimator_is_refused(vibration) -> None:
    vibration.save(LogisticRegression().fit(SEEN.readings, SEEN.states))
    command = ("export", "model.skops", "--data", "rows.csv", "--target", "state", "-o", "m-1.0.0.bundle.zip")
    vibration.refused(vibration.run(*command, "--logits"), "are for networks, which model.skops is not")
    vibration.refused(vibration.run(*command, "--input-shape", "3,x"), "'3,x' is no shape")
    vibration.refused(vibration.run(*command, "--threshold", "nan"), "'nan' is not a number")


def test_a_missing_reading_is_refused(vibration) -> None:
    saved(NETWORK)
    text = Path("rows.csv").read_text().splitlines()
    text[300] = f",{text[300].split(',', 1)[1]}"
    Path("rows.csv").write_text("\n".join(text))
    command = ("export", "network.onnx", *COMMAND, "--target", "state", "--classes", "ok,worn", "--logits")
    vibration.refused(vibration.run(*command), "has an empty cell, which ONNX(Conv, Gemm) does not take")


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        ("Log", "The model's value of output 1 (from 0) is infinite in 90 of 90 rows"),
        ("Sqrt", "The model's value of output 1 (from 0) is NaN in 90 of 90 rows"),
    ],
)
def test_an_output_that_is_never_a_number_is_named(work, operator, words) -> None:
    """The others are, so the network runs; a column of it is made of what is always 0, or always negative."""
    shift = np.array([10.0, 0.0 if operator == "Log" else -1.0, 10.0], np.float32)
    nodes = [
        helper.make_node("Mul", ["x", "mask"], ["m"]),
        helper.make_node("Add", ["m", "shift"], ["s"]),
        helper.make_node(operator, ["s"], ["y"]),
    ]
    stored = {"mask": np.array([1.0, 0.0, 1.0], np.float32), "shift": shift}
    saved(model(nodes, stored, ("x", ["n", 3]), ("y", ["n", 3])))
    work.rows(np.random.default_rng(0).uniform(0, 1, (90, 3)))
    command = (
        "export",
        "network.onnx",
        "--data",
        "rows.csv",
        "--task",
        "regression",
        "-o",
        "m-1.0.0.bundle.zip",
    )
    work.refused(work.run(*command), words, "Leave that output out of the model")
