"""The rules without I/O: windows, ties, comparison, thresholds, and which candidate is shipped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sklearn.ensemble import HistGradientBoostingRegressor, IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from lineside_agent.model import Answers, Model, read_golden
from lineside_contract.errors import InputError
from lineside_contract.manifest import Candidate, Outputs
from lineside_export import golden
from lineside_export.candidates import Written, decibels, variants
from lineside_export.check import compare
from lineside_export.convert import convert
from lineside_export.dataset import split
from lineside_export.metrics import agreement
from lineside_export.pick import LEAST_ROWS, Rules, pick
from lineside_export.probes import probes
from lineside_export.schema import describe
from lineside_export.trees.inside import round_thresholds_down, splits
from lineside_export.windows import newest, sliding

PLAIN = Candidate(
    name="float32", verdict="kept", reason="", bytes=1000, latency_1_us=10.0, latency_256_us=100.0, metric=0.9
)


def small(**change: object) -> Candidate:
    return replace(PLAIN, **({"name": "int8"} | change))


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 12), st.integers(1, 4))
def test_windows_are_what_a_loop_would_cut(count: int, length: int, hop: int, channels: int) -> None:
    values = np.arange(count * channels, dtype=np.float32).reshape(count, channels)
    found = sliding(values, length, hop)
    expected = [values[at : at + length].ravel() for at in range(0, count - length + 1, hop)]
    assert found.shape == (len(expected), length * channels)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, np.array(expected).reshape(found.shape))
    np.testing.assert_array_equal(newest(count, length, hop), [*range(length - 1, count, hop)])


@given(st.integers(2, 500), st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_split_is_a_partition_and_never_changes(count: int, share: float, seed: int) -> None:
    if not 0 < round(count * share) < count:
        return
    rows = split(count, share, seed)
    assert sorted([*rows.calibration, *rows.held_back]) == list(range(count))
    assert len(rows.held_back) == round(count * share)
    np.testing.assert_array_equal(rows.held_back, split(count, share, seed).held_back)


@pytest.mark.parametrize(
    ("other", "objective", "chosen", "why"),
    [
        (small(bytes=300), "size", "int8", "30% of float32's bytes"),
        (small(bytes=300), "balanced", "int8", "30% of float32's bytes"),
        (small(bytes=300, latency_1_us=40.0), "balanced", "float32", "better for balanced"),
        (small(bytes=300, latency_1_us=40.0), "size", "int8", ""),
        (small(bytes=300, latency_1_us=40.0), "latency", "float32", "better for latency"),
        (small(bytes=300, latency_1_us=10.5), "latency", "int8", ""),
        (small(bytes=1500, latency_1_us=5.0), "latency", "int8", ""),
        (small(bytes=1500, latency_1_us=9.5), "latency", "float32", "neither smaller nor faster"),
        (small(bytes=1000, latency_1_us=20.0), "size", "float32", "neither smaller nor faster"),
        (small(bytes=300, metric=0.8), "size", "float32", "loses 0.1000"),
        (small(bytes=300, metric=0.896), "size", "int8", ""),
        (small(bytes=None, verdict="failed", reason="no"), "size", "float32", "no"),
        (small(bytes=300, agreement=0.98), "size", "float32", "agrees on 0.9800"),
        (small(bytes=300, agreement=0.99), "size", "int8", ""),
        (small(bytes=980, agreement=0.99), "size", "float32", "better for size"),
        (small(bytes=300, reason="31 dB"), "size", "int8", "(31 dB)"),
    ],
)
def test_which_candidate_is_shipped(other, objective, chosen, why) -> None:
    judged = pick([PLAIN, other], 0.9, Rules(objective))
    assert [each.name for each in judged if each.verdict == "chosen"] == [chosen]
    assert all(each.reason for each in judged)
    assert why in judged[1].reason


def test_few_rows_leave_it_at_the_exact_one() -> None:
    others = [small(bytes=300), small(name="int8-static", bytes=200)]
    judged = pick([PLAIN, *others], 0.9, Rules("size", rows=LEAST_ROWS - 1))
    assert [each.verdict for each in judged] == ["chosen", "kept", "kept"]
    assert "only 9 rows judge this" in judged[1].reason
    asked = pick([PLAIN, *others], 0.9, Rules("size", rows=1, candidate="int8"))
    assert asked[1].verdict == "chosen"
    limited = pick([PLAIN, *others], 0.9, Rules("size", rows=1, max_bytes=400))
    assert limited[2].verdict == "chosen"


def test_where_nearly_all_rows_are_ties_the_one_that_decides_them_as_the_original_is_taken() -> None:
    own, other = replace(PLAIN, name="compact", metric=0.4), replace(PLAIN, bytes=5000)
    assert [each.verdict for each in pick([own, other], 0.9, Rules())] == ["dropped", "chosen"]
    own = replace(own, metric=0.9)
    assert [each.verdict for each in pick([own, other], 0.9, Rules())] == ["chosen", "dropped"]
    both = [replace(own, metric=0.4), replace(other, metric=0.4)]
    assert pick(both, 0.9, Rules())[0].verdict == "chosen"


@pytest.mark.parametrize("unit", [1e6, 1.0, 1e-5, 1e-9])
def test_values_are_held_against_the_original_in_any_unit(unit: float) -> None:
    values = np.random.default_rng(0).normal(size=(200, 1)) * unit
    original, off, near = (Answers(None, None, values * by, None) for by in (1.0, 1.5, 1 + 1e-6))
    assert len(compare(original, off, "regression").mismatches) > 190
    assert agreement(original, off) < 0.2
    assert not compare(original, near, "regression").mismatches
    assert agreement(original, near) == 1.0


def test_what_is_left_of_numbers_that_cancelled_is_nothing() -> None:
    left = np.random.default_rng(0).normal(size=(200, 1)) * 1e-16
    original, other = Answers(None, None, left, None), Answers(None, None, 1e7 * left, None)
    assert not compare(original, other, "regression").mismatches


@pytest.mark.parametrize(
    ("snr", "said"), [(np.inf, "no noise"), (31.4, "31 dB"), (19.96, "20.0 dB"), (-4.2, "-4 dB")]
)
def test_noise_is_said_with_as_many_digits_as_matter(snr: float, said: str) -> None:
    assert decibels(snr) == said


@given(
    st.lists(st.tuples(st.integers(100, 3000), st.floats(1, 50), st.floats(0.8, 1)), max_size=5),
    st.sampled_from(["latency", "size", "balanced"]),
)
def test_what_is_shipped_is_never_worse_all_round(numbers, objective) -> None:
    others = [
        small(name=f"v{i}", bytes=size, latency_1_us=latency, metric=metric)
        for i, (size, latency, metric) in enumerate(numbers)
    ]
    judged = pick([PLAIN, *others], 0.9, Rules(objective))
    (best,) = [each for each in judged if each.verdict == "chosen"]
    assert best is not None
    assert best.name == "float32" or best.metric >= 0.895
    assert best.bytes <= PLAIN.bytes or best.latency_1_us <= PLAIN.latency_1_us


SMALL, FAST = (
    small(name="small", bytes=300, latency_1_us=20.0),
    small(name="fast", bytes=900, latency_1_us=5.0),
)
BAD = small(name="bad", bytes=100, agreement=0.9)


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        (Rules("latency", max_bytes=500), "small"),
        (Rules("size", max_latency_us=12), "fast"),
        (Rules("size", max_bytes=1000, max_latency_us=10), "fast"),
        (Rules("balanced", max_bytes=300), "small"),
        (Rules("size", candidate="fast"), "fast"),
        (Rules("size", candidate="float32"), "float32"),
        (Rules("size", min_agreement=0.9), "bad"),
    ],
)
def test_limits_and_wishes(rules, chosen) -> None:
    judged = pick([PLAIN, SMALL, FAST, BAD], 0.9, rules)
    assert [each.name for each in judged if each.verdict == "chosen"] == [chosen]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (Rules(max_bytes=200), ["at most 200 bytes", "nearest is small with 300 bytes"]),
        (Rules(max_latency_us=2.5), ["at most 2.5 us a row", "nearest is fast with 900 bytes and 5.0 us"]),
        (Rules(max_bytes=500, max_latency_us=10), ["500 bytes and at most 10 us a row", "nearest is fast"]),
        (Rules(candidate="bad"), ["bad cannot be taken", "agrees on 0.9000", "float32, small, fast"]),
        (Rules(candidate="smal"), ["no candidate called 'smal'", "Did you mean 'small'?"]),
        (Rules(candidate="x"), ["no candidate called 'x'", "There are: float32, small, fast, bad."]),
        (Rules(candidate="fast", max_bytes=500), ["fast cannot be taken", "900 bytes", "at most 500 bytes"]),
        (Rules(candidate="small", max_bytes=10), ["None of the others"]),
    ],
)
def test_what_cannot_be_had_is_refused(rules, words) -> None:
    with pytest.raises(InputError) as refused:
        pick([PLAIN, SMALL, FAST, BAD], 0.9, rules)
    for word in words:
        assert word in str(refused.value)


def _answers(label, probabilities) -> Answers:
    return Answers(np.array(label), np.array(probabilities), None, None)


def test_labels_may_differ_at_ties_only() -> None:
    expected = _answers([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.4999, 0.5001]])
    same = compare(expected, expected, "classification")
    assert (same.rows, same.ties, same.mismatches) == (3, 1, [])
    other = compare(expected, expected._replace(label=np.array([0, 0, 0])), "classification")
    assert [mismatch.row for mismatch in other.mismatches] == [1]
    assert str(other.mismatches[0]) == "label 0 instead of 1"


def test_a_value_may_differ_by_a_share_of_the_spread() -> None:
    values = np.linspace(1000, 1001, 50).reshape(-1, 1)
    expected = Answers(None, None, values, None)
    assert not compare(expected, expected._replace(values=values + 0.005), "regression").mismatches
    assert len(compare(expected, expected._replace(values=values + 0.05), "regression").mismatches) == 50
    assert len(compare(expected, expected._replace(values=values * np.nan), "regression").mismatches) == 50


def test_thresholds_are_rounded_so_that_no_float32_changes_sides(values) -> None:
    rows, target = values
    model = HistGradientBoostingRegressor(max_iter=5).fit(rows, target)
    exact = np.concatenate([each.thresholds for each in splits(model)])
    round_thresholds_down(model)
    rounded = np.concatenate([each.thresholds for each in splits(model)])
    assert (exact != rounded).any()
    for value in (rounded, np.nextafter(rounded.astype(np.float32), np.float32(np.inf))):
        at = value.astype(np.float32).astype(float)
        np.testing.assert_array_equal(at <= exact, at <= rounded)


@pytest.mark.parametrize(
    "model", [RandomForestClassifier(3, random_state=0), IsolationForest(n_estimators=3)]
)
def test_probes_lie_on_both_sides_of_every_threshold(binary, model) -> None:
    rows, target = binary
    model.fit(rows, target)
    made = probes(model, rows.astype(np.float32), 0)
    assert made.dtype == np.float32
    for each in splits(model):
        for feature, threshold in zip(each.features, each.thresholds.astype(np.float32), strict=True):
            column = made[:, feature]
            assert (column == threshold).any()
            assert (column == np.nextafter(threshold, np.float32(-np.inf))).any()


def test_a_method_that_fails_or_does_nothing_is_reported(binary, monkeypatch) -> None:
    model = RandomForestClassifier(3, random_state=0).fit(*binary)
    graph = convert(model, describe(model))

    def broken(source):
        raise ValueError("no luck\nat all")

    monkeypatch.setattr(
        "lineside_export.candidates.METHODS", {"broken": broken, "idle": lambda source: Written(source.graph)}
    )
    failed, idle = variants(graph, binary[0].astype(np.float32))
    assert (failed.model, failed.failed, failed.reason) == (None, True, "failed: no luck")
    assert (idle.model, idle.failed) == (None, False)
    assert "changes nothing" in idle.reason


def test_golden_rows_are_no_ties(binary) -> None:
    model = LogisticRegression().fit(*binary)
    weights, offset = model.coef_[0], model.intercept_[0]
    inputs = binary[0][:50]
    # Every second row is moved onto the line between the classes.
    inputs = inputs - (np.arange(50) % 2)[:, None] * np.outer(
        inputs @ weights + offset, weights / (weights @ weights)
    )
    graph = convert(model, describe(model)).SerializeToString()
    outputs = Outputs(label="label", probabilities="probabilities", classes=[0, 1])
    loaded = Model(graph, "input", outputs)

    exact = golden.choose(loaded, inputs.astype(np.float32), None, "classification")
    rows, answers = read_golden(exact.data)
    assert exact.tolerance == 1e-4
    assert len(rows) == 25
    np.testing.assert_array_equal(rows, inputs[::2].astype(np.float32))
    assert np.abs(answers.probabilities[:, 0] - 0.5).min() > 1e-3

    found = loaded.predict(inputs.astype(np.float32))
    moved = found._replace(probabilities=found.probabilities + np.float32(0.05))
    loose = golden.choose(loaded, inputs.astype(np.float32), moved, "classification")
    assert loose.tolerance == pytest.approx(0.05, abs=1e-5)
    rows, answers = read_golden(loose.data)
    assert 0 < len(rows) < 25
    assert np.abs(answers.probabilities[:, 0] - answers.probabilities[:, 1]).min() > 0.1


def test_an_output_that_hardly_varies_agrees_where_it_is_exact() -> None:
    """A map's dark corner: float32's roundings are as large as what varies there."""
    values = np.array([[1.0, 5.0], [1.0 + 1e-7, 6.0], [1.0, 7.0]])
    original = Answers(None, None, values, None)
    assert agreement(original, original._replace(values=values + 2e-6)) == 1.0
    assert agreement(original, original._replace(values=values + np.array([1e-3, 0]))) == 0.0


def test_of_equals_the_steadiest_is_taken() -> None:
    """As small and as fast, as far as can be measured: what computes in float32, then what differs less."""
    half = replace(
        PLAIN, name="float16-weights", bytes=301, latency_1_us=9.9, agreement=1.0, largest_difference=0.02
    )
    noisy = replace(
        PLAIN, name="int8-dynamic", bytes=300, latency_1_us=9.7, agreement=1.0, largest_difference=0.04
    )
    clear = replace(noisy, name="int8-weights", bytes=301, latency_1_us=10.1, largest_difference=0.01)
    near = replace(clear, name="int8-static", largest_difference=0.001)
    slow = replace(clear, name="slow", latency_1_us=12.0, largest_difference=0.0)
    for objective in ("balanced", "size", "latency"):
        plain = replace(PLAIN, latency_1_us=15.0)
        judged = pick([plain, near, noisy, half, clear, slow], 0.9, Rules(objective=objective))
        assert [each.name for each in judged if each.verdict == "chosen"] == ["int8-weights"]


def test_the_dark_corner_of_a_map_is_judged_by_the_map() -> None:
    """A hundred numbers are one quantity at many places; three may have units of their own."""
    bright = np.random.default_rng(0).normal(size=(50, 120))
    bright[:, :20] = 0.15 + 1e-7 * bright[:, :20]
    dark = np.where(np.arange(120) < 20, 4e-6, 0)
    for shown, mismatches in ((slice(None), 0), (slice(19, 22), 50)):
        original = Answers(None, None, bright[:, shown], None)
        found = compare(original, original._replace(values=(bright + dark)[:, shown]), "regression")
        assert len(found.mismatches) == mismatches
