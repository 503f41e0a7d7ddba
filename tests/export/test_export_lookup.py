"""Any texts, any encoder: the table says what scikit-learn says, in Python and in the graph."""

from __future__ import annotations

import csv
import io
import warnings

import numpy as np
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from lineside_contract.categories import UNKNOWN, Codes
from lineside_export.columns.decode import decode, unseen
from lineside_export.columns.tabulate import Source, tabulate
from lineside_export.convert import INPUT
from lineside_export.convert.sklearn import convert_steps
from lineside_export.schema import Schema

# No surrogates, which are no text, and no NUL, which NumPy cuts off.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
ENCODERS = st.sampled_from(
    [
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False, drop="if_binary"),
        OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-3, encoded_missing_value=-4),
        TargetEncoder(cv=2, random_state=0),
        make_pipeline(
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-3, encoded_missing_value=-4),
            StandardScaler(),
        ),
    ]
)
CATEGORIES = st.lists(TEXTS, min_size=2, max_size=6, unique=True)


@settings(max_examples=40, deadline=None)
@given(encoder=ENCODERS, categories=st.lists(CATEGORIES, min_size=1, max_size=3))
def test_tables_say_what_the_encoder_says(encoder, categories) -> None:
    generator = np.random.default_rng(0)
    rows = np.array([[generator.choice(texts) for texts in categories] for _ in range(60)], object)
    rows[: max(map(len, categories))] = [
        [texts[index % len(texts)] for texts in categories] for index in range(max(map(len, categories)))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder.fit(rows, np.arange(60) % 2)
        sources = [Source(texts, np.arange(len(texts), dtype=np.float32)) for texts in categories]
        found = tabulate(encoder, sources)
        assert found is not None
        codes = np.column_stack([generator.integers(-2, len(texts), 80) for texts in categories])
        asked = np.where(codes == -2, np.nan, codes).astype(np.float32)
        answers = encoder.transform(decode(asked, categories))
    expected = np.asarray(answers.todense() if hasattr(answers, "todense") else answers, np.float64)
    np.testing.assert_array_equal(found.step.transform(asked), expected)

    schema = Schema("regression", "steps", len(categories), (), (), probabilities=False, scores=False)
    graph = convert_steps([found.step], schema).SerializeToString()
    (written,) = onnxruntime.InferenceSession(graph).run(None, {INPUT: asked})
    np.testing.assert_array_equal(written, expected.astype(np.float32))


@given(CATEGORIES)
def test_texts_survive_a_csv_file(categories) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([text] for text in categories)
    buffer.seek(0)
    codes = Codes(categories)
    cells = [row[0] for row in csv.reader(io.StringIO(buffer.getvalue(), newline=""))]
    assert [codes.of(cell) for cell in cells] == list(range(len(categories)))
    assert codes.of(unseen(categories)) == UNKNOWN
