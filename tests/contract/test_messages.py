from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from lineside_contract import messages, schemas
from lineside_contract.errors import InputError
from lineside_contract.manifest import Manifest

DOCS = Path(__file__).parents[2] / "docs"
INT64 = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(max_size=20)
KINDS = sorted({published.type for published in schemas.PUBLISHED.values()}, key=lambda kind: kind.__name__)
st.register_type_strategy(int, INT64)
st.register_type_strategy(float, FINITE)
st.register_type_strategy(str, TEXT)


def made(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return a strategy for messages, from the types of their fields."""
    fields = msgspec.structs.fields(kind)
    needed = {field.name: st.from_type(field.type) for field in fields if field.required}
    others = {field.name: st.from_type(field.type) for field in fields if not field.required}
    return st.fixed_dictionaries(needed, optional=others).map(lambda values: kind(**values))


for struct in (messages.PreviousBoot, messages.SensorHealth):
    st.register_type_strategy(struct, made(struct))
ANY_MESSAGE = st.sampled_from(KINDS).flatmap(made)
NUMBERED = st.sampled_from([messages.Prediction, messages.Predictions, messages.Event]).flatmap(made)


@given(ANY_MESSAGE)
def test_messages_are_read_as_they_are_written(message: Any) -> None:
    payload = messages.encode(message)
    assert messages.decode(payload, type(message)) == message
    assert isinstance(json.loads(payload), dict)


@given(NUMBERED)
def test_marking_as_replayed_changes_nothing_else(message: Any) -> None:
    marked = messages.mark_replayed(messages.encode(message))
    assert messages.decode(marked, type(message)) == msgspec.structs.replace(message, replayed=True)
    assert json.loads(marked)["replayed"] is True


@given(ANY_MESSAGE)
def test_messages_fit_their_published_schema(message: Any) -> None:
    name = type(message).__name__
    validator = VALIDATORS[name]
    assert not list(validator.iter_errors(json.loads(messages.encode(message))))


VALIDATORS = {
    kind.__name__: Draft202012Validator(json.loads((DOCS / "schema" / f"{kind.__name__}.json").read_text()))
    for kind in KINDS
}


@given(ANY_MESSAGE, TEXT.filter(lambda name: not name.isidentifier()), st.none() | TEXT | st.lists(INT64))
def test_unknown_fields_are_ignored(message: Any, name: str, value: object) -> None:
    grown = {**json.loads(messages.encode(message)), name: value}
    assert messages.decode(json.dumps(grown).encode(), type(message)) == message


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_any_other_bytes_are_refused(kind: type, payload: bytes) -> None:
    with pytest.raises(InputError, match="Not a message of type"):
        messages.decode(payload, kind)


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b"{}", b"\xff", b'{"ts":"1"}', b'{"ts":1,"x":' + b"[" * 200_000, b"9" * 5000],
)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_payloads_are_refused(kind: type, payload: bytes) -> None:
    with pytest.raises(InputError, match=f"Not a message of type {kind.__name__}"):
        messages.decode(payload, kind)


def test_what_json_cannot_say_is_null() -> None:
    message = messages.Prediction(
        ts=1,
        device="d",
        boot="b-1",
        seq=0,
        model="m",
        model_version="1",
        value=float("nan"),
        score=float("inf"),
    )
    written = json.loads(messages.encode(message))
    assert (written["value"], written["score"]) == (None, None)


def test_generated_documents_are_current() -> None:
    """`make docs` writes them."""
    for name, text in schemas.documents().items():
        assert (DOCS / name).read_text() == text, f"docs/{name} is old: run `make docs`"
    published = {path.relative_to(DOCS).as_posix() for path in (DOCS / "schema").iterdir()} | {
        "asyncapi.json"
    }
    assert published == set(schemas.documents())


@pytest.mark.parametrize("kind", [*KINDS, Manifest])
def test_schemas_are_schemas(kind: type) -> None:
    Draft202012Validator.check_schema(json.loads((DOCS / "schema" / f"{kind.__name__}.json").read_text()))


def test_asyncapi_is_whole() -> None:
    """The rules of AsyncAPI 3.0.0 that tools trip over: references lead somewhere, parameters are declared."""
    document = json.loads((DOCS / "asyncapi.json").read_text())
    assert document["asyncapi"] == "3.0.0"
    assert set(document) <= {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"}
    assert {"title", "version"} <= set(document["info"])
    for reference in _references(document):
        assert _resolve(document, reference) is not None, reference
    for channel in document["channels"].values():
        levels = channel["address"].split("/")
        assert set(channel["parameters"]) == {level[1:-1] for level in levels if level.startswith("{")}
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = _resolve(document, operation["channel"]["$ref"])
        for message in operation["messages"]:
            assert message["$ref"].rsplit("/", 1)[1] in channel["messages"]
        assert operation["bindings"]["mqtt"]["qos"] in (0, 1, 2)
    for message in document["components"]["messages"].values():
        Draft202012Validator.check_schema(message["payload"])


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []


def _resolve(document: Any, reference: str) -> Any:
    assert reference.startswith("#/")
    for level in reference[2:].split("/"):
        document = document[level]
    return document


def test_every_kind_of_topic_is_published() -> None:
    from lineside_contract.topics import Kind

    levels = {published.address.rsplit("/", 1)[1] for published in schemas.PUBLISHED.values()}
    assert levels == set(Kind)
