"""Ways of writing where missing readings go: which is taken, and that each is exact at the ends of float32."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from lineside_export.convert import INPUT
from lineside_export.schema import describe
from lineside_export.trees.ensemble import Ensemble, Nodes
from lineside_export.trees.write import write

_FEATURES = 8
_LARGEST = float(np.finfo(np.float32).max)
_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
_ENDS = np.array([0.0, -0.0, _SMALLEST, -_SMALLEST, _LARGEST, -_LARGEST, -np.inf, 1.5, -1.5])


def _written(model, change=None) -> tuple[ort.InferenceSession, dict[str, onnx.AttributeProto]]:
    data = write(model, describe(model), INPUT, lambda _: pytest.fail("nothing to prepare"), change=change)
    assert data is not None
    (trees,) = (each for each in onnx.load_from_string(data).graph.node if each.op_type == "TreeEnsemble")
    return ort.InferenceSession(data), {each.name: each for each in trees.attribute}


def _modes(attributes: dict[str, onnx.AttributeProto]) -> set[int]:
    return set(onnx.numpy_helper.to_array(attributes["nodes_modes"].t).tolist())


def _complete(trees: int, depth: int, thresholds: NDArray[np.float64]) -> Ensemble:
    """Complete trees whose splits are drawn from `thresholds`, and every leaf of which is a different power."""
    size = 2 ** (depth + 1) - 1
    at = np.arange(size)
    inner = np.tile(at < 2**depth - 1, trees)
    shift = np.repeat(np.arange(trees) * size, size)
    left, right = (np.where(inner, np.tile(2 * at + side, trees) + shift, -1) for side in (1, 2))
    generator = np.random.default_rng(0)
    nodes = Nodes(
        roots=np.arange(trees) * size,
        feature=generator.integers(0, _FEATURES, trees * size),
        threshold=generator.choice(thresholds, trees * size),
        missing_left=(generator.random(trees * size) < 0.5) & inner,
        left=left,
        right=right,
    )
    weight = generator.permutation(trees * size).astype(np.float64)
    return Ensemble(nodes, np.zeros(trees * size, np.int64), weight, 1, "values")


def _walked(ensemble: Ensemble, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    nodes = ensemble.nodes
    at = np.tile(nodes.roots, (len(rows), 1))
    while (inner := nodes.left[at] >= 0).any():
        seen = np.take_along_axis(rows, nodes.feature[at], axis=1)
        left = np.where(np.isnan(seen), nodes.missing_left[at], seen <= nodes.threshold[at])
        at = np.where(inner, np.where(left, nodes.left[at], nodes.right[at]), at)
    return ensemble.weight[at].sum(axis=1)


@pytest.mark.parametrize(
    ("trees", "thresholds", "mirrored"),
    [
        (80, _ENDS, True),
        (8, _ENDS, False),  # too few for the two further nodes
        (80, np.append(_ENDS, np.inf), False),  # the mirror of `at most infinity` is no comparison
    ],
)
def test_every_way_is_exact_at_the_ends_of_float32(trees, thresholds, mirrored) -> None:
    ensemble = _complete(trees, 6, thresholds)
    model = RandomForestRegressor(1).fit(np.eye(_FEATURES), np.arange(_FEATURES))
    session, attributes = _written(model, lambda _: ensemble)
    assert ("nodes_missing_value_tracks_true" in attributes) is not mirrored
    assert _modes(attributes) == {0}

    values = np.concatenate([_ENDS, [np.inf, np.nan, np.nan, 1.0, -2.0]]).astype(np.float32)
    steps = [np.nextafter(values, np.float32(end)) for end in (-np.inf, np.inf)]
    readings = np.concatenate([values, *steps])
    rows = np.random.default_rng(1).choice(readings, size=(2000, _FEATURES))
    (found,) = session.run(None, {INPUT: rows})
    # Whole numbers below 2**24: their sums are the same in any order.
    assert (np.ravel(found) == _walked(ensemble, rows)).all()


def test_a_forest_of_votes_that_is_small_takes_two_tests_and_a_large_one_a_mirror() -> None:
    rows, labels = load_digits(return_X_y=True)
    for trees, modes in ((20, {0, 3}), (100, {0})):
        model = RandomForestClassifier(trees, random_state=0).fit(rows[:1078], labels[:1078])
        session, attributes = _written(model)
        assert "nodes_missing_value_tracks_true" not in attributes
        assert _modes(attributes) == modes
        held = rows[1078:].astype(np.float32)
        held[np.random.default_rng(0).random(held.shape) < 0.2] = np.nan
        label, _ = session.run(None, {INPUT: held})
        assert (label == model.predict(held)).mean() > 0.995  # but for ties
