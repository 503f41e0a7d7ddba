"""Which of a model's channels are text, and what they may say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_contract.errors import InputError
from lineside_contract.manifest import Channel
from lineside_contract.numbers import is_number
from lineside_export.columns.coded import encoded, has_encoders, known
from lineside_export.columns.decode import unseen
from lineside_export.columns.places import Place, places
from lineside_export.columns.tabulate import ask
from lineside_export.rows import Table

# A channel has no more texts than these; more are free text, or numbers of things.
MOST_CATEGORIES = 1000


class Texts(NamedTuple):
    """A model that takes codes, and its channels: those of text with their texts and what it has no answer to."""

    model: Any
    channels: tuple[Channel, ...]

    @property
    def categories(self) -> tuple[tuple[str, ...], ...]:
        """The texts of each channel, none for numbers; empty if there are only numbers."""
        found = tuple(tuple(channel.categories) for channel in self.channels)
        return found if any(found) else ()


def find(model: Any, table: Table, channels: Sequence[str], length: int) -> Texts:
    """Find a model's channels of text and let tables take the place of its encoders.

    `length` is that of its windows. Raises InputError for text that cannot be a channel.
    """
    width = len(channels) * length
    texts = {column: list(found) for column, found in known(model, width).items()}
    if length == 1:
        for place in sorted(places(model, width), key=lambda place: place.step is None):
            _add_from_rows(texts, place, table, channels)
    elif texts:
        raise InputError(
            "A model of windows takes no text.", hint="Encode it as numbers before the windows are cut."
        )
    for column, found in texts.items():
        _check_number(channels[column], found)
    if not texts and not has_encoders(model, width):
        return Texts(model, tuple(Channel(name=name) for name in channels))
    made = encoded(model, texts, width)
    return Texts(
        made.model,
        tuple(
            Channel(name=name, categories=texts.get(column, []), refuses=made.refuses.get(column, []))
            for column, name in enumerate(channels)
        ),
    )


def _add_from_rows(texts: dict[int, list[str]], place: Place, table: Table, channels: Sequence[str]) -> None:
    """Add to the texts that encoders know those in the rows that a step tells from unknown ones.

    A vectorizer keeps no list of texts, and a step before an encoder may make several texts one.
    """
    if place.step is None:
        for column in place.columns:
            first = table.columns[channels[column]][0]
            if column not in texts and not is_number(first.strip() or "0"):
                texts[column] = [first.strip()]  # nothing depends on it: one text is enough to make it text
        return
    if hasattr(place.step, "predict"):
        return
    base = [_value(texts.get(column, table.columns[channels[column]])[0]) for column in place.columns]
    for index, column in enumerate(place.columns):
        there = texts.get(column, [])
        cells = {cell.strip() for cell in table.columns[channels[column]]} - {"", *there}
        if not there:
            word = next((cell for cell in cells if not is_number(cell)), None)
            if word is None or _answer(place, base, index, word) is None:
                continue  # numbers; or a slip among numbers, which reading them tells
        new = sorted(cells)
        _check_number(channels[column], new)
        wanted = [*new, unseen([*new, *there])] if there else new
        answers = [_answer(place, base, index, text) for text in wanted]
        unknown = answers.pop() if there else None
        more = [
            text
            for text, answer in zip(new, answers, strict=True)
            if answer is not None and (unknown is None or (answer != unknown).any())
        ]
        if more:
            texts[column] = there + more


def _answer(place: Place, base: list[Any], index: int, text: str) -> NDArray[Any] | None:
    row = np.array([base], object)
    row[0, index] = text
    return ask(place.step, row, flat=place.flat)


def _value(cell: str) -> object:
    return float(cell) if is_number(cell) else cell


def _check_number(channel: str, found: Sequence[str]) -> None:
    if len(found) > MOST_CATEGORIES:
        raise InputError(
            f"The column {channel!r} has {len(found):,} different texts; a channel has at most {MOST_CATEGORIES:,}.",
            hint="Free text is no reading: train on categories or numbers made of it, or leave the column out.",
        )
