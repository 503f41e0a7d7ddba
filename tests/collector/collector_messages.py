"""Messages as devices send them."""

from __future__ import annotations

from typing import Any

from lineside_collector.records import Batch
from lineside_contract.messages import Event, Heartbeat, Prediction, Predictions, Status, encode
from lineside_contract.topics import Kind, device_topic

SITE = "site-1"
KINDS = {
    Prediction: Kind.PREDICTION,
    Predictions: Kind.PREDICTIONS,
    Event: Kind.EVENT,
    Status: Kind.STATUS,
    Heartbeat: Kind.HEARTBEAT,
}
Wire = tuple[str, bytes]


def wire(message: Any, site: str = SITE) -> Wire:
    return device_topic(site, message.device, KINDS[type(message)]), encode(message)


def batch(*messages: Any, received_ts: int = 1_000) -> Batch:
    return Batch.read([one if isinstance(one, tuple) else wire(one) for one in messages], received_ts)


def prediction(seq: int, device: str = "press-4", boot: str = "aa-1", **more: Any) -> Prediction:
    given = {"ts": 1_700_000_000_000 + seq, "model": "m", "model_version": "1", "label": "ok", **more}
    return Prediction(device=device, boot=boot, seq=seq, **given)


def predictions(
    first: int, last: int, device: str = "press-4", boot: str = "aa-1", **more: Any
) -> Predictions:
    seqs = range(first, last + 1)
    given: dict[str, Any] = {"model": "m", "model_version": "1", "label": ["ok" for _ in seqs], **more}
    return Predictions(
        device=device, boot=boot, seq=first, ts=[1_700_000_000_000 + seq for seq in seqs], **given
    )


def status(
    state: Any, boot: str = "aa-1", connection: int = 1, device: str = "press-4", **more: Any
) -> Status:
    return Status(ts=1, device=device, boot=boot, connection=connection, state=state, **more)


def heartbeat(seq: int, next_seq: int, device: str = "press-4", boot: str = "aa-1", **more: Any) -> Heartbeat:
    given: dict[str, Any] = {
        "ts": 1_700_000_000_000 + seq,
        "uptime_s": 1.0,
        "model": "m",
        "model_version": "1",
        "predictions": next_seq,
        "predictions_per_s": 1.0,
        **more,
    }
    return Heartbeat(device=device, boot=boot, seq=seq, next_seq=next_seq, **given)
