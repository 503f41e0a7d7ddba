"""What a written tree is made of: packed integers, rounded thresholds; how large it is, and how soon it is there."""

from __future__ import annotations

import time
import zlib

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)

from lineside_export.convert import INPUT, convert
from lineside_export.schema import describe
from lineside_export.trees.encode import node
from lineside_export.trees.ensemble import Ensemble, Nodes
from lineside_export.trees.packing import attribute, message, varints
from lineside_export.trees.shrink import arranged, round_down, shrink
from lineside_export.trees.write import write


@given(st.lists(st.integers(0, 2**62) | st.integers(0, 300), max_size=40))
def test_packed_integers_are_what_protobuf_reads(values) -> None:
    data = attribute("numbers", np.array(values, np.int64))
    read = onnx.AttributeProto.FromString(data)
    assert (read.name, read.type, list(read.ints)) == ("numbers", onnx.AttributeProto.INTS, values)
    assert len(varints(np.array(values, np.int64))) == sum(max(1, -(-v.bit_length() // 7)) for v in values)
    assert message(1, b"x" * 300) == b"\x0a\xac\x02" + b"x" * 300


@given(st.floats(allow_nan=False))
def test_a_threshold_is_rounded_to_the_float32_below(threshold) -> None:
    (found,) = round_down(np.array([threshold]))
    with np.errstate(over="ignore"):
        above = np.nextafter(found, np.float32(np.inf))
    assert float(found) <= threshold
    assert float(above) > threshold or found == np.inf


def _complete(trees: int, depth: int) -> Ensemble:
    """Complete trees with a different value in every leaf."""
    size = 2 ** (depth + 1) - 1
    at = np.arange(size)
    inner = at < 2**depth - 1
    shift = np.repeat(np.arange(trees) * size, size)
    left, right = (
        np.where(np.tile(inner, trees), np.tile(2 * at + side, trees) + shift, -1) for side in (1, 2)
    )
    generator = np.random.default_rng(0)
    total = trees * size
    nodes = Nodes(
        np.arange(trees) * size,
        generator.integers(0, 20, total),
        generator.normal(size=total),
        generator.random(total) < 0.5,
        left,
        right,
    )
    return Ensemble(nodes, np.zeros(total, np.int64), generator.normal(size=total), 1, "values", average=True)


def test_a_million_nodes_are_written_in_seconds() -> None:
    ensemble = _complete(8, 16)
    assert len(ensemble.weight) > 1_000_000
    start = time.process_time()
    data = node(ensemble, arranged(shrink(ensemble)), INPUT, "sums")
    # Half a second on a workstation; skl2onnx takes ten.
    assert time.process_time() - start < 6
    assert len(data) < 13 * len(ensemble.weight)


@pytest.fixture(scope="module")
def digits() -> bytes:
    """The compact graph of a forest of 100 trees."""
    rows, labels = load_digits(return_X_y=True)
    model = RandomForestClassifier(100, random_state=0).fit(rows[:1078], labels[:1078])
    data = write(model, describe(model), INPUT, lambda _: pytest.fail("nothing to prepare"))
    assert data is not None
    return data


def test_the_digits_forest_takes_few_bytes(digits) -> None:
    assert len(digits) < 160_000
    # In a bundle, which deflates: in the order of training it would be 71,000.
    assert len(zlib.compress(digits, 9)) < 50_000


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model", "times"),
    [
        (RandomForestClassifier(30, random_state=0), 12),
        (RandomForestRegressor(30, random_state=0, max_depth=10), 4),
        (IsolationForest(n_estimators=30, random_state=0), 8),
        (HistGradientBoostingRegressor(max_iter=30), 3.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sizes_beside_the_converters(model, times) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(1500, 16))
    values = rows[:, 0] + rows[:, 1] * rows[:, 2]
    target = np.digitize(values, np.linspace(-2, 2, 9)) if times == 12 else values
    model.fit(rows, target)
    schema = describe(model)
    data = write(model, schema, INPUT, lambda _: pytest.fail("nothing to prepare"))
    assert data is not None
    size, other = len(data), len(convert(model, schema).SerializeToString())
    assert other > times * size, other / size
