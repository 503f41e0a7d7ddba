from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
import pytest

from lineside_agent.encode import MOST_IN_COLUMNS, Code, Encoder, Identity
from lineside_agent.model import Answers
from lineside_contract.manifest import Channel, Manifest, Outputs
from lineside_contract.messages import Prediction, Predictions, decode, encode

IDENTITY = Identity("dev", "abc-1", "pump", "1.2.0")


def manifest(**outputs: Any) -> Manifest:
    return Manifest(
        name="pump",
        version="1.2.0",
        created="",
        task="classification",
        estimator="",
        input="input",
        channels=[Channel(name="a")],
        outputs=Outputs(**outputs),
    )


def stamps(count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.arange(count, dtype=np.int64) * 1_000_000 + 1_700_000_000_000_000_000


CLASSIFIED = Answers(np.array(["ok", "bad"]), np.array([[0.25, 0.75], [0.5, 0.5]], np.float32), None, None)


def test_a_classifiers_message_carries_the_probability_of_the_label_that_was_given() -> None:
    """Not the largest one: a tuned threshold may give the less probable label."""
    encoder = Encoder(IDENTITY, manifest(classes=["bad", "ok"]), "single")
    answers = CLASSIFIED._replace(label=np.array(["bad", "ok"]))
    messages = list(encoder.encode(stamps(2), answers, 7))
    assert [(code, count) for code, count, _ in messages] == [(Code.PREDICTION, 1)] * 2
    first = decode(messages[0][2], Prediction)
    assert (first.seq, first.device, first.boot, first.model_version) == (7, "dev", "abc-1", "1.2.0")
    assert first.ts == 1_700_000_000_000
    assert (first.label, first.probability) == ("bad", 0.25)
    assert first.probabilities == {"bad": 0.25, "ok": 0.75}


def test_integer_labels_stay_integers() -> None:
    encoder = Encoder(IDENTITY, manifest(classes=[0, 1]), "single")
    answers = CLASSIFIED._replace(label=np.array([1, 0]))
    label = decode(next(encoder.encode(stamps(2), answers, 0))[2], Prediction).label
    assert label == 1
    assert isinstance(label, int)


@pytest.mark.parametrize(
    ("values", "targets", "expected"),
    [([[1.5]], ["y"], {"value": 1.5}), ([[1.5, 2.5]], ["y", "z"], {"values": {"y": 1.5, "z": 2.5}})],
)
def test_a_regressors_message(
    values: list[list[float]], targets: list[str], expected: dict[str, Any]
) -> None:
    encoder = Encoder(IDENTITY, manifest(targets=targets), "single")
    answers = Answers(None, None, np.array(values, np.float32), None)
    said = msgspec.json.decode(next(encoder.encode(stamps(1), answers, 0))[2])
    assert {key: said[key] for key in expected} == expected
    assert "label" not in said


def test_what_json_cannot_say_is_null_and_can_be_read_again() -> None:
    encoder = Encoder(IDENTITY, manifest(targets=["y"]), "columns")
    answers = Answers(None, None, np.array([[np.nan], [np.inf], [1.0]], np.float32), None)
    _, count, payload = next(encoder.encode(stamps(3), answers, 0))
    assert count == 3
    assert decode(payload, Predictions).value == [None, None, 1.0]


NAN = float("nan")


@pytest.mark.parametrize("messages", ["single", "columns"])
@pytest.mark.parametrize(
    ("answers", "labels"),
    [
        (CLASSIFIED._replace(probabilities=np.array([[0.25, 0.75], [NAN, NAN]], np.float32)), ["ok", None]),
        (CLASSIFIED._replace(probabilities=np.array([[NAN, 0.75], [0.5, 0.5]], np.float32)), [None, "bad"]),
        (Answers(np.array([1, -1]), None, None, np.array([[NAN], [-np.inf]], np.float32)), [None, -1]),
        (Answers(np.array([0, 1]), None, None, np.array([[1, 2], [2, NAN]], np.float32)), [0, None]),
        (Answers(np.array([0, 1]), None, None, None), [0, 1]),  # nothing tells
    ],
)
def test_where_a_model_has_no_answer_there_is_no_label(
    messages: Literal["single", "columns"], answers: Answers, labels: list[str | int | None]
) -> None:
    classes = ["bad", "ok"] if answers.probabilities is not None else []
    encoder = Encoder(IDENTITY, manifest(classes=classes), messages)
    found: list[Any] = []
    probable: list[Any] = []
    for _, _, payload in encoder.encode(stamps(2), answers, 0):
        if messages == "single":
            one = decode(payload, Prediction)
            found.append(one.label)
            probable.append(one.probability)
        else:
            many = decode(payload, Predictions)
            found, probable = many.label or [], many.probability or []
    assert found == labels
    if answers.probabilities is not None:
        assert [each is None for each in probable] == [label is None for label in labels]


@pytest.mark.parametrize(
    ("answers", "outputs"),
    [
        (CLASSIFIED, {"classes": ["bad", "ok"]}),
        (Answers(np.array([1, -1]), None, None, np.array([[0.5], [-np.inf]], np.float32)), {}),
        (
            Answers(None, None, np.array([[1.5, np.nan], [2.5, 3.5]], np.float32), None),
            {"targets": list("yz")},
        ),
        (
            Answers(np.array(["ä\n", '"']), None, None, np.array([[1, 2], [3, 4]], np.float32)),
            {"classes": ["ä\n", '"']},
        ),
    ],
)
def test_a_single_message_is_byte_for_byte_what_the_contract_makes_of_it(
    answers: Answers, outputs: dict[str, Any]
) -> None:
    identity = Identity("50%d", "abc-1", 'pu"mp', "1.%2.0")
    encoder = Encoder(identity, manifest(**outputs), "single")
    payloads = [payload for _, _, payload in encoder.encode(stamps(2), answers, 41)]
    assert len(payloads) == 2
    for number, payload in enumerate(payloads):
        message = decode(payload, Prediction)
        assert (message.seq, message.model) == (41 + number, 'pu"mp')
        fields = {name: getattr(message, name) for name in Prediction.__struct_fields__}
        assert payload == encode(Prediction(**fields)) or b"null" in payload
        assert list(msgspec.json.decode(payload)) == [
            name for name in Prediction.__struct_fields__ if f'"{name}":'.encode() in payload
        ]


def test_columns_hold_the_same_as_single_messages_and_are_bounded() -> None:
    count = MOST_IN_COLUMNS * 2 + 3
    probabilities = np.random.default_rng(0).random((count, 2)).astype(np.float32)
    answers = Answers(np.array(["ok", "bad"] * count)[:count], probabilities, None, None)
    classes = manifest(classes=["bad", "ok"])
    single = [
        decode(payload, Prediction)
        for _, _, payload in Encoder(IDENTITY, classes, "single").encode(stamps(count), answers, 5)
    ]
    seen = 0
    for code, many, payload in Encoder(IDENTITY, classes, "columns").encode(stamps(count), answers, 5):
        assert code == Code.PREDICTIONS
        assert many <= MOST_IN_COLUMNS
        message = decode(payload, Predictions)
        assert message.seq == 5 + seen
        for row in range(many):
            one = single[seen + row]
            assert message.ts[row] == one.ts
            assert message.label is not None
            assert message.label[row] == one.label
            assert message.probability is not None
            assert message.probability[row] == one.probability
            assert {
                key: values[row] for key, values in (message.probabilities or {}).items()
            } == one.probabilities
        seen += many
    assert seen == count
