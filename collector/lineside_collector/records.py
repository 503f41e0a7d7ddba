"""What a received message says, or why it says nothing: nothing that arrives here can stop the collector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from lineside_contract.errors import InputError
from lineside_contract.ids import Boot
from lineside_contract.messages import (
    Event,
    Heartbeat,
    Prediction,
    Predictions,
    Ranges,
    Status,
    decode,
    encode,
)
from lineside_contract.ranges import SeqRanges
from lineside_contract.topics import Kind, check_name, parse_device_topic

Message: TypeAlias = Predictions | Event | Status | Heartbeat
# The integers that a database column can hold.
SMALLEST, LARGEST = -(2**63), 2**63 - 1
LONGEST_BOOT = 100


class Record(NamedTuple):
    """A message that was understood. A single prediction is a column of length one."""

    device: str
    boot: Boot
    received_ts: int
    message: Message

    @property
    def seqs(self) -> tuple[int, int] | None:
        """The first and last number in the boot's sequence; None for a message outside of it."""
        message = self.message
        if isinstance(message, Predictions):
            return message.seq, message.seq + len(message.ts) - 1
        return (message.seq, message.seq) if isinstance(message, Event) else None


class Rejected(NamedTuple):
    """A message that was not understood, and why. `device` is the topic's, which may be empty."""

    received_ts: int
    topic: str
    device: str
    reason: str
    payload: bytes


class Batch(NamedTuple):
    """What is saved together: all of it or nothing."""

    records: list[Record]
    rejected: list[Rejected]

    @classmethod
    def read(cls, messages: list[tuple[str, bytes]], received_ts: int) -> Batch:
        """Read messages given as (topic, payload)."""
        batch = cls([], [])
        for topic, payload in messages:
            record = read(topic, payload, received_ts)
            if isinstance(record, Rejected):
                batch.rejected.append(record)
            else:
                batch.records.append(record)
        return batch

    def committed(self) -> dict[str, Ranges]:
        """Return which numbers the batch holds: by device, then by boot."""
        found: dict[str, dict[str, SeqRanges]] = {}
        for record in self.records:
            if seqs := record.seqs:
                boots = found.setdefault(record.device, {})
                boots.setdefault(record.message.boot, SeqRanges()).add(*seqs)
        return {
            device: {boot: list(ranges) for boot, ranges in boots.items()} for device, boots in found.items()
        }


def read(topic: str, payload: bytes, received_ts: int) -> Record | Rejected:
    """Read one message. Never raises: whatever cannot be stored is rejected with its reason."""
    device = ""
    try:
        parsed = parse_device_topic(topic)
        device = check_name(parsed.device, "The device")
        message = _READERS[parsed.kind](payload)
        if message.device != device:
            raise InputError(f"It calls its device {message.device!r}, its topic {device!r}.")
        return Record(device, _boot(message.boot), received_ts, message)
    except KeyError:
        reason = "It is of a kind that devices do not send."
    except (InputError, ValueError, OverflowError) as error:
        reason = str(error)
    return Rejected(received_ts, topic, device, reason[:500], payload)


def _boot(text: str) -> Boot:
    if len(text) > LONGEST_BOOT:
        raise InputError("Its boot id is too long.")
    return Boot.parse(text)


def _check_numbers(*numbers: int) -> None:
    if min(numbers) < SMALLEST or max(numbers) > LARGEST:
        raise InputError("It holds a number that is out of range.")


def _check_seqs(first: int, last: int) -> None:
    if not 0 <= first <= last < LARGEST:
        raise InputError(f"{first} to {last} are no sequence numbers.")


def _read_prediction(payload: bytes) -> Predictions:
    one = decode(payload, Prediction)
    _check_seqs(one.seq, one.seq)
    _check_numbers(one.ts, one.label if isinstance(one.label, int) else 0)
    return Predictions(
        ts=[one.ts],
        device=one.device,
        boot=one.boot,
        seq=one.seq,
        model=one.model,
        model_version=one.model_version,
        label=None if one.label is None else [one.label],
        probability=None if one.probability is None else [one.probability],
        probabilities=_columns(one.probabilities),
        value=None if one.value is None else [one.value],
        values=_columns(one.values),
        score=None if one.score is None else [one.score],
        scores=_columns(one.scores),
        replayed=one.replayed,
    )


def _columns(cells: dict[str, float | None] | None) -> dict[str, list[float | None]] | None:
    return None if cells is None else {name: [cell] for name, cell in cells.items()}


def _read_predictions(payload: bytes) -> Predictions:
    many = decode(payload, Predictions)
    rows = len(many.ts)
    if rows == 0:
        raise InputError("Its columns are empty.")
    _check_seqs(many.seq, many.seq + rows - 1)
    _check_numbers(*many.ts)
    columns: list[list[Any] | None] = [many.label, many.probability, many.value, many.score]
    for named in (many.probabilities, many.values, many.scores):
        columns.extend((named or {}).values())
    if any(column is not None and len(column) != rows for column in columns):
        raise InputError("Its columns differ in length.")
    _check_numbers(0, *(label for label in many.label or () if isinstance(label, int)))
    return many


def _read_event(payload: bytes) -> Event:
    event = decode(payload, Event)
    _check_seqs(event.seq, event.seq)
    _check_numbers(event.ts)
    for boot, ranges in (event.dropped or {}).items():
        _boot(boot)
        for first, last in ranges:
            _check_seqs(first, last)
    return event


def _read_status(payload: bytes) -> Status:
    status = decode(payload, Status)
    _check_numbers(status.ts, status.connection)
    _check_seqs(0, status.end or 0)
    if status.previous is not None:
        _boot(status.previous.boot)
        _check_seqs(0, status.previous.end)
    return status


def _read_heartbeat(payload: bytes) -> Heartbeat:
    heartbeat = decode(payload, Heartbeat)
    _check_seqs(0, heartbeat.seq)
    _check_seqs(0, heartbeat.next_seq)
    _check_numbers(heartbeat.ts)
    encode(heartbeat)  # it is stored as JSON: a number that JSON's writer refuses must be found here
    return heartbeat


_READERS: dict[Kind, Callable[[bytes], Message]] = {
    Kind.PREDICTION: _read_prediction,
    Kind.PREDICTIONS: _read_predictions,
    Kind.EVENT: _read_event,
    Kind.STATUS: _read_status,
    Kind.HEARTBEAT: _read_heartbeat,
}
