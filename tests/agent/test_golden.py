"""Golden rows that no export writes are refused in a sentence, before a model sees them."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from onnx import TensorProto, helper

from lineside_agent.model import Answers, Model, read_golden, write_golden
from lineside_contract.bundle import GOLDEN, MODEL, Bundle
from lineside_contract.errors import BundleError
from lineside_contract.manifest import Channel, Manifest, Outputs

ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
ANSWERS = Answers(np.array(["a", "b", "a"]), np.full((3, 2), 0.5, np.float32), None, None)


def saved(**change: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer, **{"inputs": ROWS, "label": ANSWERS.label, "probabilities": ANSWERS.probabilities} | change
    )
    return buffer.getvalue()


def test_what_was_written_is_read() -> None:
    rows, answers = read_golden(write_golden(ROWS, ANSWERS))
    np.testing.assert_array_equal(rows, ROWS)
    np.testing.assert_array_equal(answers.label, ANSWERS.label)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (saved(inputs=ROWS.astype(np.float64)), "3 of float64; they must be float32"),
        (saved(inputs=ROWS.astype("U9")), "must be float32"),
        (saved(inputs=ROWS[:0]), "0 of float32; they must be float32, at least one"),
        (saved(label=np.zeros(3)), "The golden label cannot be float64"),
        (saved(probabilities=np.full((3, 2), "0.5")), "The golden probabilities cannot be <U3"),
        (saved(label=np.array([{}, {}, {}])), "cannot be read"),
        (b"PK", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_others_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_golden(data)


def test_rows_that_would_unpack_without_end_are_not_unpacked() -> None:
    inner = io.BytesIO()
    np.save(inner, np.zeros((1000, 1000), np.float32))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inputs.npy", inner.getvalue())
    with pytest.raises(BundleError, match="packed a second time"):
        read_golden(bomb.getvalue())


def test_rows_that_claim_more_than_there_is_take_no_memory() -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 44, 2)}
    )
    claims = io.BytesIO()
    with zipfile.ZipFile(claims, "w") as archive:
        archive.writestr("inputs.npy", header.getvalue() + bytes(100))
    with pytest.raises(BundleError, match="cannot be read"):
        read_golden(claims.getvalue())


def test_a_model_that_fails_while_it_runs_is_refused() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "shape"], ["seven"]),  # six numbers never fit
            helper.make_node("ReduceSum", ["seven"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        "fails",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor("shape", TensorProto.INT64, [2], [7, -1])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    manifest = Manifest(
        name="fails",
        version="1.0.0",
        created="2026-01-01T00:00:00Z",
        task="regression",
        estimator="none",
        input="x",
        channels=[Channel(name="a"), Channel(name="b")],
        outputs=Outputs(values="y", targets=["a", "b"]),
    )
    golden = write_golden(ROWS, Answers(None, None, ROWS, None))
    bundle = Bundle(manifest, {MODEL: made.SerializeToString(), GOLDEN: golden}, b"")
    with pytest.raises(BundleError, match=r"The model fails 1\.0\.0 fails at its own golden rows: .*Reshape"):
        Model.open(bundle)
