"""On a terminal `lineside watch` tells a message in a few words; in a pipe it prints all of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lineside_cli import watch
from lineside_contract.messages import (
    Ack,
    Event,
    Heartbeat,
    Prediction,
    Predictions,
    SensorHealth,
    Status,
    encode,
)

SENT: dict[str, Any] = {"device": "pump-1", "boot": "aa-1", "seq": 7}
BY: dict[str, Any] = {**SENT, "model": "pump", "model_version": "1.0.0"}
TS = 1_700_000_000_000  # 22:13:20 UTC


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def line(kind: str, payload: bytes, *, retained: bool = False) -> str:
    topic = f"lineside/v1/site-1/pump-1/{kind}"
    return str(watch._printer()(watch.Received(TS + 5, topic, retained, payload)))


HEARTBEAT = Heartbeat(
    ts=TS, **BY, uptime_s=1.0, next_seq=9, predictions=1, predictions_per_s=1.0, memory_bytes=63_400_000
)


@pytest.mark.parametrize(
    ("kind", "message", "told"),
    [
        ("prediction", Prediction(ts=TS, **BY, label="worn", probability=0.93), "prediction  worn 0.930"),
        ("prediction", Prediction(ts=TS, **BY, label=-1, score=-0.25), "prediction  -1, score -0.25"),
        ("prediction", Prediction(ts=TS, **BY, value=20.5), "prediction  20.5"),
        ("prediction", Prediction(ts=TS, **BY, values={"a": 1.0, "b": None}), "prediction  a 1, b -"),
        (
            "prediction",
            Prediction(ts=TS - 60_000, **BY, value=1.0, replayed=True),
            "prediction  1 (replayed, of 23:12:20.000)",
        ),
        (
            "predictions",
            Predictions(ts=[TS, TS, TS], **BY, label=["ok", "worn", "ok"]),
            "predictions 3 predictions: 2 ok, 1 worn",
        ),
        ("predictions", Predictions(ts=[TS], **BY, value=[1.0]), "predictions 1 prediction"),
        (
            "event",
            Event(ts=TS, **SENT, event="sensor_failed", sensor="main", detail="No reading."),
            "event       sensor_failed main No reading.",
        ),
        (
            "status",
            Status(
                ts=TS,
                device="pump-1",
                boot="aa-1",
                connection=1,
                state="online",
                model="pump",
                model_version="1.0.0",
            ),
            "status      online pump 1.0.0",
        ),
        ("heartbeat", HEARTBEAT, "heartbeat   1 prediction, 0 waiting, 63 MB"),
        (
            "ack",
            Ack(ts=TS, collector="main", committed={"aa-1": [(0, 4), (7, 7)]}),
            "ack         main has committed 6 messages",
        ),
    ],
)
def test_a_terminal_gets_words(terminal: None, kind: str, message: Any, told: str) -> None:
    assert line(kind, encode(message)) == f"23:13:20.005 site-1/pump-1 {told}"


def test_a_sensor_that_is_not_well_is_told(terminal: None) -> None:
    from msgspec.structs import replace

    message = replace(
        HEARTBEAT, sensors={"main": SensorHealth(state="failed"), "b": SensorHealth(state="ok")}
    )
    assert line("heartbeat", encode(message)).endswith("63 MB, main failed")


def test_what_is_retained_is_marked(terminal: None) -> None:
    message = Status(ts=TS, device="pump-1", boot="aa-1", connection=1, state="offline")
    assert line("status", encode(message), retained=True).endswith("status      offline (retained)")


def test_a_device_without_a_clock_is_no_error(terminal: None) -> None:
    message = Prediction(ts=-(2**62), **BY, value=1.0, replayed=True)
    assert line("prediction", encode(message)).endswith(f"1 (replayed, of -{2**62})")


def test_nothing_that_a_device_says_steers_the_terminal(terminal: None) -> None:
    told = line("prediction", encode(Prediction(ts=TS, **BY, label="\x1b[2J")))
    assert told.endswith("prediction  \\x1b[2J")


@pytest.mark.parametrize(
    ("kind", "payload"), [("prediction", b'{"seq": 1}'), ("prediction", b"no JSON"), ("desired", b"{}")]
)
def test_what_is_no_such_message_is_printed_whole(terminal: None, kind: str, payload: bytes) -> None:
    assert line(kind, payload) == f"23:13:20.005 lineside/v1/site-1/pump-1/{kind} {payload.decode()}"


def test_a_pipe_gets_all_of_it() -> None:
    payload = encode(Prediction(ts=TS, **BY, label="worn"))
    assert line("prediction", payload).endswith(watch._text(payload))
