"""Every message on the wire: JSON objects, `ts` in milliseconds since the Unix epoch (UTC), units in names.

A field that is unknown to the reader is ignored, so that messages may grow. Fields at their default are
left out. A value that JSON cannot say (NaN, an infinity) is written as null.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from lineside_contract.errors import InputError

Label: TypeAlias = str | int
# A closed range of sequence numbers, as [first, last].
Range: TypeAlias = tuple[int, int]
# Ranges by boot id.
Ranges: TypeAlias = dict[str, list[Range]]
Promise: TypeAlias = Literal["broker", "collector"]


class Prediction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One prediction. Which of the optional fields are there depends on the model's task.

    `ts` is the time of the newest reading in the window. A classifier gives `label` and, if the model has
    them, `probability` of that label and `probabilities` by label; a regressor gives `value`, or `values` by
    target; an outlier detector gives `label` (1 or -1, as in scikit-learn) and `score` (negative is an outlier).
    A model that has no answer to a reading (its probabilities or scores are NaN) gives no label: null.
    """

    ts: int
    device: str
    boot: str
    seq: int
    model: str
    model_version: str
    label: Label | None = None
    probability: float | None = None
    probabilities: dict[str, float | None] | None = None
    value: float | None = None
    values: dict[str, float | None] | None = None
    score: float | None = None
    scores: dict[str, float | None] | None = None
    replayed: bool = False


class Predictions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Many predictions in columns: the same fields as `Prediction`, each a list of the same length.

    The first has sequence number `seq`, the others follow without a hole.
    """

    ts: list[int]
    device: str
    boot: str
    seq: int
    model: str
    model_version: str
    label: list[Label | None] | None = None
    probability: list[float | None] | None = None
    probabilities: dict[str, list[float | None]] | None = None
    value: list[float | None] | None = None
    values: dict[str, list[float | None]] | None = None
    score: list[float | None] | None = None
    scores: dict[str, list[float | None]] | None = None
    replayed: bool = False


EventKind: TypeAlias = Literal[
    "model_activated",
    "sensor_failed",
    "sensor_recovered",
    "sensor_ended",
    "readings_left_out",
    "readings_complete",
    "outbox_dropped",
    "disk_full",
    "disk_recovered",
]


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened on the device. Shares its sequence with the predictions.

    `readings_left_out`: readings begin to hold a NaN or an infinity; `readings_complete`: for a minute none did.
    `dropped` (of `outbox_dropped`) tells which messages will never arrive.
    """

    ts: int
    device: str
    boot: str
    seq: int
    event: EventKind
    detail: str = ""
    sensor: str | None = None
    dropped: Ranges | None = None
    replayed: bool = False


class PreviousBoot(Struct, frozen=True, kw_only=True):
    """The boot before this one, and one past the last sequence number that reached its disk."""

    boot: str
    end: int


class Status(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Retained birth (`online`), clean stop (`stopped`) and last will (`offline`) of an agent.

    The will carries the boot and the connection count of the birth that it belongs to. A reader ignores an
    `offline` whose boot is older than, or whose connection is lower than, that of the newest `online`.
    `end`, on `stopped`, is how many messages this boot numbered.
    """

    ts: int
    device: str
    boot: str
    connection: int
    state: Literal["online", "stopped", "offline"]
    agent_version: str = ""
    model: str = ""
    model_version: str = ""
    promise: Promise | None = None
    previous: PreviousBoot | None = None
    end: int | None = None


class SensorHealth(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one sensor is doing."""

    state: Literal["ok", "failed", "ended", "waiting"]
    readings: int = 0
    non_finite: int = 0
    failures: int = 0
    last_reading_age_s: float | None = None
    detail: str = ""


class Heartbeat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The health of a device at regular intervals. `seq` counts heartbeats, apart from the predictions.

    `next_seq` is the number that the next prediction or event will get: with it a reader can see that the
    newest messages are missing. `outbox_messages` counts what is not yet acknowledged.
    """

    ts: int
    device: str
    boot: str
    seq: int
    uptime_s: float
    next_seq: int
    model: str
    model_version: str
    predictions: int
    predictions_per_s: float
    inference_us: float | None = None
    outbox_messages: int = 0
    outbox_bytes: int = 0
    outbox_oldest_age_s: float = 0.0
    outbox_in_memory: bool = False
    dropped: int = 0
    replayed: int = 0
    connection: int = 0
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    cpu_temperature_c: float | None = None
    disk_free_bytes: int | None = None
    sensors: dict[str, SensorHealth] = {}


class Ack(Struct, frozen=True, kw_only=True):
    """A collector's word to one device: these messages are committed, exactly these."""

    ts: int
    collector: str
    committed: Ranges


class CollectorStatus(Struct, frozen=True, kw_only=True):
    """Retained word of a collector about itself. `run` is new at every connection."""

    ts: int
    collector: str
    run: str
    state: Literal["online", "stopped", "offline"]


M = TypeVar("M")
_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type, msgspec.json.Decoder[object]] = {}


def encode(message: Struct) -> bytes:
    """Return the JSON of a message."""
    return _ENCODER.encode(message)


def decode(payload: bytes, kind: type[M]) -> M:
    """Read a message of the given kind. Raises InputError if it is not one."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(payload)  # type: ignore[return-value]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"Not a message of type {kind.__name__}: {error}.") from error


def mark_replayed(payload: bytes) -> bytes:
    """Return an encoded message with `"replayed": true` added, without decoding it."""
    return payload[:-1] + b',"replayed":true}'
