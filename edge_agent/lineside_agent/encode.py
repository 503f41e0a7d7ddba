"""From a model's answers to the messages that go into the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import count
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers, without_label
from lineside_contract.manifest import Manifest
from lineside_contract.messages import Predictions
from lineside_contract.topics import Kind

# One message in columns holds at most so many predictions: some 50 kB, well below what brokers take.
MOST_IN_COLUMNS = 500
_NS_PER_MS = 1_000_000


class Code(IntEnum):
    """What the outbox calls a kind of message."""

    PREDICTION = 1
    PREDICTIONS = 2
    EVENT = 3


TOPICS = {Code.PREDICTION: Kind.PREDICTION, Code.PREDICTIONS: Kind.PREDICTIONS, Code.EVENT: Kind.EVENT}


class Identity(NamedTuple):
    """Who predicts, and with what: the same in every message of a boot."""

    device: str
    boot: str
    model: str
    model_version: str


class Encoder:
    """Turns answers into encoded messages, numbered from a given sequence number on."""

    def __init__(
        self, identity: Identity, manifest: Manifest, messages: Literal["single", "columns"]
    ) -> None:
        self._identity = identity._asdict()
        self._classes = [str(label) for label in manifest.outputs.classes]
        self._targets = manifest.outputs.targets
        self._single = messages == "single"
        self._encode = msgspec.json.Encoder().encode
        self._lines = msgspec.json.Encoder().encode_lines
        self._start = _start(identity)

    def encode(
        self, timestamps: NDArray[np.int64], answers: Answers, seq: int
    ) -> Iterator[tuple[int, int, bytes]]:
        """Yield (code, how many, payload) for n answers; timestamps are nanoseconds, shape (n,)."""
        ts = (timestamps // _NS_PER_MS).tolist()
        columns = self._columns(answers)
        if self._single:
            yield from self._rows(ts, columns, seq)
            return
        for start in range(0, len(ts), MOST_IN_COLUMNS):
            end = min(start + MOST_IN_COLUMNS, len(ts))
            cut = {name: _cut(column, start, end) for name, column in columns.items()}
            message = Predictions(ts=ts[start:end], seq=seq + start, **self._identity, **cut)
            yield Code.PREDICTIONS, end - start, self._encode(message)

    def _rows(self, ts: list[int], columns: dict[str, Any], seq: int) -> list[tuple[int, int, bytes]]:
        # What changes from row to row is encoded in one call: JSON has no line break of its own. What is the
        # same in every message of a boot was encoded before, and is put around it.
        # A list, because msgspec 0.22 never frees an iterator that it was given.
        rows = list(map(_result(tuple(columns)), *map(_by_row, columns.values())))
        results = self._lines(rows).split(b"\n")
        start = self._start
        return [
            (Code.PREDICTION, 1, start % (stamp, number) + result[1:])
            for stamp, number, result in zip(ts, count(seq), results)
        ]

    def _columns(self, answers: Answers) -> dict[str, Any]:
        """Return the answers as fields of a message, in its order, each a list over the rows or lists by name."""
        columns: dict[str, Any] = {}
        if answers.label is not None:
            columns["label"] = labels = answers.label.tolist()
        if answers.probabilities is not None:
            by_class = dict(zip(self._classes, answers.probabilities.T.tolist(), strict=True))
            # Of the label that was given, which need not be the most probable: thresholds can be tuned.
            columns["probability"] = [by_class[str(label)][row] for row, label in enumerate(labels)]
            columns["probabilities"] = by_class
        for row in without_label(answers):
            columns["label"][row] = None
            if "probability" in columns:
                columns["probability"][row] = None
        if answers.values is not None:
            columns |= _one_or_many("value", "values", answers.values, self._targets)
        if answers.scores is not None:
            names = self._classes or [str(at) for at in range(answers.scores.shape[1])]
            columns |= _one_or_many("score", "scores", answers.scores, names)
        return columns


def _start(identity: Identity) -> bytes:
    """Return how the JSON of every prediction begins, with places for its time and number."""
    who, model = (
        msgspec.json.encode(fields)[1:-1].replace(b"%", b"%%")
        for fields in (
            {"device": identity.device, "boot": identity.boot},
            {"model": identity.model, "model_version": identity.model_version},
        )
    )
    return b'{"ts":%%d,%b,"seq":%%d,%b,' % (who, model)


@lru_cache
def _result(names: tuple[str, ...]) -> type[msgspec.Struct]:
    """Return a type for those fields of a prediction that are its result."""
    return msgspec.defstruct("Result", names)


def _by_row(column: Any) -> list[Any]:
    if isinstance(column, dict):
        return [dict(zip(column, row, strict=True)) for row in zip(*column.values(), strict=True)]
    found: list[Any] = column
    return found


def _one_or_many(one: str, many: str, values: NDArray[np.float32], names: list[str]) -> dict[str, Any]:
    if values.shape[1] == 1:
        return {one: values[:, 0].tolist()}
    return {many: dict(zip(names, values.T.tolist(), strict=True))}


def _cut(column: Any, start: int, end: int) -> Any:
    if isinstance(column, dict):
        return {name: values[start:end] for name, values in column.items()}
    return column[start:end]
