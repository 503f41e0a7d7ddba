"""Networks with states and settings as inputs, with open sizes, and with branches that ask only about sizes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_networks import saved

from lineside_contract.bundle import Bundle
from lineside_contract.errors import InputError
from lineside_export.candidates import variants
from lineside_export.networks.branches import settled
from lineside_export.networks.meaning import Meaning
from lineside_export.networks.network import Network
from lineside_export.networks.onnx_file import open_network

LENGTH, UNITS = 40, 24
GENERATOR = np.random.default_rng(7)
STORED = {
    "w": GENERATOR.normal(size=(1, 4 * UNITS, 1)) / 2,
    "r": GENERATOR.normal(size=(1, 4 * UNITS, UNITS)) / 5,
    "v": GENERATOR.normal(size=(UNITS, 1)),
}
FILLED = Meaning(output="speech", constants=(("state", 0.0), ("rate", 16000.0)))


def value(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def branch(name: str, nodes: list[onnx.NodeProto], stored: dict[str, np.ndarray]) -> onnx.GraphProto:
    tensors = [numpy_helper.from_array(each.astype(np.float32), key) for key, each in stored.items()]
    result = value(f"{name}_y", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, name, [], [result], tensors)


def recurrent(name: str, sign: float = 1.0) -> onnx.GraphProto:
    """A layer that remembers: its weights are in the branch, what it reads is outside."""
    nodes = [
        helper.make_node(
            "LSTM",
            ["steps", "w_in", "r_in", "", "", "state", "state"],
            ["", f"{name}_h"],
            hidden_size=UNITS,
        ),
        helper.make_node("Squeeze", [f"{name}_h", "first"], [f"{name}_y"]),
    ]
    return branch(name, nodes, {"w_in": sign * STORED["w"], "r_in": STORED["r"]})


def listener(condition: str = "sizes", state: str | int = "n") -> onnx.ModelProto:
    """A network of sound (n, ?) with a state (1, n, units) and a rate; in its branches are its weights.

    condition: what decides on the branch: sizes, or the sound itself.
    """
    decide = {
        "sizes": [
            helper.make_node("Shape", ["state"], ["sizes"]),
            helper.make_node("Size", ["sizes"], ["axes"]),
            helper.make_node("Equal", ["axes", "three"], ["same"]),
        ],
        "sound": [
            helper.make_node("ReduceMax", ["input"], ["loudest"], keepdims=0),
            helper.make_node("Less", ["loudest", "loud"], ["same"]),
        ],
    }[condition]
    nodes = [
        *decide,
        helper.make_node("Unsqueeze", ["input", "last"], ["cut"]),
        helper.make_node("Transpose", ["cut"], ["steps"], perm=[1, 0, 2]),
        helper.make_node(
            "If", ["same"], ["h"], then_branch=recurrent("then"), else_branch=recurrent("else", -1.0)
        ),
        helper.make_node("MatMul", ["h", "v"], ["z"]),
        helper.make_node("Equal", ["rate", "wanted"], ["right"]),
        helper.make_node("Where", ["right", "one", "none"], ["scale"]),
        helper.make_node("Mul", ["z", "scale"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["likely"]),
        helper.make_node("ReduceMean", ["likely", "second"], ["speech"], keepdims=1),
        helper.make_node("Unsqueeze", ["h", "first"], ["next"]),
    ]
    whole = {"three": 3, "first": [0], "second": [1], "last": [2], "wanted": 16000}
    tensors = [numpy_helper.from_array(np.array(number, np.int64), name) for name, number in whole.items()]
    real = {"v": STORED["v"], "one": np.array(1.0), "none": np.array(0.0), "loud": np.array(1.5)}
    tensors += [numpy_helper.from_array(each.astype(np.float32), name) for name, each in real.items()]
    graph = helper.make_graph(
        nodes,
        "listener",
        [
            value("input", TensorProto.FLOAT, ["n", "length"]),
            value("state", TensorProto.FLOAT, [1, state, UNITS]),
            value("rate", TensorProto.INT64, []),
        ],
        [value("speech", TensorProto.FLOAT, ["n", 1]), value("next", TensorProto.FLOAT, [1, "n", UNITS])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def opened(graph: onnx.ModelProto, meaning: Meaning = FILLED, length: int = LENGTH) -> Network:
    return open_network(saved(graph), meaning, length)


def expected(rows: np.ndarray) -> np.ndarray:
    """Answer one window at a time, as the file's own user would."""
    session = onnxruntime.InferenceSession("network.onnx")
    state, rate = np.zeros((1, 1, UNITS), np.float32), np.array(16000)
    return np.array(
        [session.run(["speech"], {"input": row[None], "state": state, "rate": rate})[0][0, 0] for row in rows]
    )


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_states_and_settings_become_constants(work) -> None:
    """What the command writes answers as the file does with these inputs; its state is for every row of a batch."""
    sound = GENERATOR.normal(size=(120, LENGTH)).astype(np.float32)
    saved(listener())
    work.rows(sound.reshape(-1, 1), names=["sound"])
    command = ("export", "network.onnx", "--data", "rows.csv", "--window", LENGTH, "--answer", "speech")
    refusal = work.run(*command, "-o", "m-1.0.0.bundle.zip")
    work.refused(
        refusal, "takes 3 inputs (input, state, rate)", "--constant state=NUMBER", "anew in each window"
    )
    given = ("--constant", "state=0", "--constant", "rate=16000", "--min-agreement", "0")
    result = work.run(*command, *given, "-o", "m-1.0.0.bundle.zip", "--candidate", "float32", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["task"] == "classification"  # a mean of what a Sigmoid makes
    predicted = work.run("predict", "m-1.0.0.bundle.zip", "rows.csv", "--json")
    found = [json.loads(line)["probability_1"] for line in predicted.out.splitlines()]
    np.testing.assert_allclose(found, expected(sound), atol=1e-5)
    stored = onnx.load_from_string(Bundle.open(Path("m-1.0.0.bundle.zip")).files["model.onnx"])
    assert [each.name for each in stored.graph.input] == ["input"]


def test_a_branch_that_sizes_decide_on_is_written_out() -> None:
    """So its weights are found, and stored in fewer bits; those of the other branch are gone."""
    graph = opened(listener()).graph
    kinds = [node.op_type for node in graph.graph.node]
    assert "LSTM" in kinds
    assert "If" not in kinds
    rows = GENERATOR.normal(size=(64, LENGTH)).astype(np.float32)
    plain = len(graph.SerializeToString())
    assert plain < 0.6 * Path("network.onnx").stat().st_size
    small = next(each for each in variants(graph, rows) if each.name == "int8-weights")
    assert small.model is not None
    assert len(small.model) < 0.5 * plain


def test_a_branch_that_readings_decide_on_stays() -> None:
    """However many readings agreed on it: the next ones may not."""

    def asked(*_: object) -> list[list[np.ndarray]]:
        raise AssertionError("nothing is to be tried")

    graph = listener("sound")
    assert settled(graph, asked) == graph


def test_a_branch_that_the_number_of_rows_decides_on_stays() -> None:
    graph = listener()
    graph.graph.node[1].CopyFrom(helper.make_node("ReduceMax", ["sizes"], ["axes"], keepdims=0))
    found = settled(graph, lambda *_: [[np.array(False)], [np.array(True)]])
    assert found == graph


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        ((("stat", 0.0), ("rate", 16000.0)), "no input 'stat'"),
        ((("state", 0.0), ("state", 1.0)), "no input 'state'"),
        ((("state", 0.0), ("rate", 0.5)), "rate is int64, which 0.5 is not"),
        ((("state", 1e39), ("rate", 1.0)), "state is float32, which 1e\\+39 is not"),
        ((("state", 0.0), ("rate", 1.0), ("input", 1.0)), "No input is left"),
        ((("state", 0.0),), "takes 2 inputs"),
    ],
)
def test_constants_that_do_not_do(constants, words) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        opened(listener(), Meaning(output="speech", constants=constants))
    assert refusal.value.hint


def test_a_state_of_one_row_is_refused() -> None:
    with pytest.raises(InputError, match="several rows at once"):
        opened(listener(state=1))


def test_a_constant_too_large_is_refused() -> None:
    graph = listener()
    graph.graph.input[1].type.tensor_type.shape.dim[2].dim_value = 1 << 40
    with pytest.raises(InputError, match="too many for a constant"):
        opened(graph)


def picture() -> onnx.ModelProto:
    """A network of pictures of any size."""
    weight = numpy_helper.from_array(GENERATOR.normal(size=(4, 3, 3, 3)).astype(np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalMaxPool", ["c"], ["m"]),
        helper.make_node("Flatten", ["m"], ["y"]),
    ]
    given = value("x", TensorProto.FLOAT, [-1, 3, "height", "width"])
    result = value("y", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph(nodes, "picture", [given], [result], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)


def test_open_sizes_are_said() -> None:
    with pytest.raises(InputError, match="leaves open how many values") as refusal:
        opened(picture(), Meaning(task="regression"), 1)
    assert "--input-shape 3,32,32" in refusal.value.hint
    network = opened(picture(), Meaning(task="regression", shape=(3, 6, 10)), 1)
    rows = GENERATOR.normal(size=(5, 180)).astype(np.float32)
    session = onnxruntime.InferenceSession("network.onnx")
    np.testing.assert_allclose(
        network.answer(rows).values, session.run(None, {"x": rows.reshape(5, 3, 6, 10)})[0], atol=1e-5
    )


@pytest.mark.parametrize("shape", [(3, 6), (1, 6, 10), (3, 6, 10, 1)])
def test_sizes_that_do_not_fit(shape) -> None:
    with pytest.raises(InputError, match=r"does not fit the network's input \(n, 3, \?, \?\)"):
        opened(picture(), Meaning(task="regression", shape=shape), 1)


def test_an_answer_at_each_step_is_no_classification() -> None:
    """A Softmax over the last of several axes is not one distribution over all of them."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["y"], axis=-1),
    ]
    weight = numpy_helper.from_array(GENERATOR.normal(size=(5, 3)).astype(np.float32), "w")
    given, result = (value(name, TensorProto.FLOAT, ["n", 4, size]) for name, size in (("x", 5), ("y", 3)))
    graph = helper.make_graph(nodes, "steps", [given], [result], [weight])
    steps = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(InputError, match="gives 4 x 3 numbers for one input") as refusal:
        opened(steps, Meaning(), 1)
    assert "--task regression" in refusal.value.hint
    rows = GENERATOR.normal(size=(5, 20)).astype(np.float32)
    assert opened(steps, Meaning(task="regression"), 1).answer(rows).values.shape == (5, 12)


def test_a_size_that_the_network_cannot_take_is_told() -> None:
    graph = picture()
    graph.graph.node[0].attribute[0].ints[:] = [0, 0, 0, 0]
    with pytest.raises(InputError, match="does not run on its own: ") as refusal:
        opened(graph, Meaning(task="regression", shape=(3, 2, 2)), 1)
    assert "--input-shape" in refusal.value.hint
    assert "Status Message" not in refusal.value.message
