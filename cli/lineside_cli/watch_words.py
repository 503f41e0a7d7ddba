"""What a message says, in a few words for a person at a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from lineside_contract.errors import InputError
from lineside_contract.messages import Ack, Event, Heartbeat, Prediction, Predictions, Status, decode
from lineside_contract.plurals import plural
from lineside_contract.topics import Kind, parse_device_topic


class Words(NamedTuple):
    """Who says what. `made` is the message's own time in milliseconds if it comes late, else None."""

    who: str
    kind: str
    what: str
    made: int | None


def words(topic: str, payload: bytes) -> Words | None:
    """Return what a device's or to a device a collector says; None for what is no message of the contract."""
    try:
        place = parse_device_topic(topic)
        form, tell = _TELL[place.kind]
        said: Any = decode(payload, form)
        made = _newest(said.ts) if getattr(said, "replayed", False) else None
        return Words(f"{place.site}/{place.device}", place.kind, tell(said), made)
    except (ValueError, InputError):
        return None


def clock(ms: int) -> str:
    """Return a time of day in local time, or the number if no clock shows such a time."""
    try:
        return datetime.fromtimestamp(ms / 1000).strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return str(ms)


def _newest(ts: int | list[int]) -> int:
    return ts if isinstance(ts, int) else max(ts, default=0)


def _prediction(said: Prediction) -> str:
    if said.label is not None:
        share = "" if said.probability is None else f" {said.probability:.3f}"
        score = "" if said.score is None else f", score {said.score:.4g}"
        return f"{said.label}{share}{score}"
    if said.value is not None:
        return f"{said.value:.6g}"
    named = said.values or said.scores or said.probabilities or {}
    return ", ".join(f"{name} {'-' if cell is None else format(cell, '.6g')}" for name, cell in named.items())


def _predictions(said: Predictions) -> str:
    labels = ", ".join(f"{count} {label}" for label, count in Counter(said.label or []).most_common(4))
    return plural(len(said.ts), "prediction") + (f": {labels}" if labels else "")


def _event(said: Event) -> str:
    return " ".join(part for part in (said.event, said.sensor or "", said.detail) if part)


def _status(said: Status) -> str:
    return f"{said.state} {said.model} {said.model_version}".rstrip()


def _heartbeat(said: Heartbeat) -> str:
    memory = "" if said.memory_bytes is None else f", {said.memory_bytes / 1e6:.0f} MB"
    sensors = "".join(f", {name} {one.state}" for name, one in said.sensors.items() if one.state != "ok")
    return f"{plural(said.predictions, 'prediction')}, {said.outbox_messages:,} waiting{memory}{sensors}"


def _ack(said: Ack) -> str:
    count = sum(last - first + 1 for ranges in said.committed.values() for first, last in ranges)
    return f"{said.collector} has committed {plural(count, 'message')}"


_TELL: dict[Kind, tuple[type[Any], Callable[[Any], str]]] = {
    Kind.PREDICTION: (Prediction, _prediction),
    Kind.PREDICTIONS: (Predictions, _predictions),
    Kind.EVENT: (Event, _event),
    Kind.STATUS: (Status, _status),
    Kind.HEARTBEAT: (Heartbeat, _heartbeat),
    Kind.ACK: (Ack, _ack),
}
