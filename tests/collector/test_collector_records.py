from __future__ import annotations

import json
from typing import Any

import pytest
from collector_messages import KINDS, SITE, batch, heartbeat, prediction, predictions, status, wire
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lineside_collector.records import Batch, Record, Rejected, read
from lineside_collector.sqlite_store import SQLiteStore
from lineside_contract.messages import Event
from lineside_contract.topics import Kind, device_topic

TOPIC = device_topic(SITE, "press-4", Kind.PREDICTIONS)
GOOD = [
    prediction(0, probabilities={"ok": 1.0}),
    predictions(1, 3, value=[1.0, 2.0, None]),
    Event(ts=1, device="press-4", boot="aa-1", seq=4, event="outbox_dropped", dropped={"aa-0": [(0, 3)]}),
    status("stopped", end=5),
    heartbeat(0, 5),
]


def refused(topic: str, payload: bytes) -> Rejected:
    found = read(topic, payload, 1)
    assert isinstance(found, Rejected)
    return found


@pytest.mark.parametrize("message", GOOD, ids=lambda message: type(message).__name__)
def test_every_kind_is_read(message: Any) -> None:
    found = read(*wire(message), 9)
    assert isinstance(found, Record)
    assert (found.device, str(found.boot), found.received_ts) == ("press-4", "aa-1", 9)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required"),
        (b'{"x":' + b"[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_message_is_rejected_with_its_reason(payload: bytes, reason: str) -> None:
    found = refused(TOPIC, payload)
    assert reason in found.reason
    assert (found.topic, found.device, found.payload) == (TOPIC, "press-4", payload)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"device": "press-5"}, "its topic 'press-4'"),
        ({"boot": "x"}, "not a boot id"),
        ({"boot": "aa-" + "9" * 5000}, "too long"),
        ({"boot": "aa-" + "9" * 30}, "not a boot id"),
        ({"seq": -1}, "no sequence numbers"),
        ({"seq": 2**63}, "no sequence numbers"),
        ({"seq": 2**63 - 2}, "no sequence numbers"),
        ({"ts": []}, "empty"),
        ({"ts": [1]}, "differ in length"),
        ({"ts": [1, 2**63]}, "out of range"),
        ({"label": ["a", 10**40]}, "out of range"),
        ({"label": ["a"]}, "differ in length"),
        ({"label": ["a", 0.5]}, "got `float`"),
        ({"scores": {"s": [1.0]}}, "differ in length"),
    ],
)
def test_what_cannot_be_stored_is_rejected(change: dict[str, Any], reason: str) -> None:
    payload = {**json.loads(wire(predictions(1, 2))[1]), **change}
    assert reason in refused(TOPIC, json.dumps(payload).encode()).reason


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "a/b",
        f"lineside/v1/{SITE}/press-4/ack",
        f"lineside/v1/{SITE}/press-4/other",
        f"lineside/v1/{SITE}/models/event",
    ],
)
def test_foreign_topics_are_rejected(topic: str) -> None:
    assert refused(topic, wire(prediction(0))[1]).reason


def test_the_committed_ranges_are_exactly_those_of_the_batch() -> None:
    found = batch(
        predictions(0, 4), prediction(9), prediction(4), predictions(2, 6), prediction(1, boot="aa-2"),
        prediction(3, "other"), status("online"), heartbeat(0, 99), ("x", b""),
    )  # fmt: skip
    assert found.committed() == {
        "press-4": {"aa-1": [(0, 6), (9, 9)], "aa-2": [(1, 1)]},
        "other": {"aa-1": [(3, 3)]},
    }


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def almost(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good message with some of its fields replaced by anything."""
    message = draw(st.sampled_from(GOOD))
    fields = json.loads(wire(message)[1])
    names = st.sampled_from([*message.__struct_fields__])
    odd = st.one_of(Json, st.integers(2**63 - 3, 2**64 + 1), st.lists(st.integers(), max_size=3))
    fields |= draw(st.dictionaries(names, odd, max_size=2))
    kind = draw(st.sampled_from([KINDS[type(message)]] * 5 + list(Kind)))
    return device_topic(SITE, "press-4", kind), json.dumps(fields).encode()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(almost() | st.tuples(st.text(), st.binary()), min_size=1, max_size=4))
@example(messages=[(device_topic(SITE, "press-4", Kind.EVENT), b'{"event":"\\ud800"}')])
def test_nothing_that_arrives_can_stop_the_store(
    store: SQLiteStore, messages: list[tuple[str, bytes]]
) -> None:
    found = Batch.read(messages, 1)
    assert len(found.records) + len(found.rejected) == len(messages)
    store.save(found)
