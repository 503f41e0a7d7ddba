"""From a model that takes texts to one that takes their codes."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from lineside_contract.errors import InputError
from lineside_export.columns.places import Place, places
from lineside_export.columns.tabulate import Source, Tabulated, tabulate

Refused = Literal["unknown", "missing"]


class Coded(NamedTuple):
    """A model that takes codes, and by column what it has no answer to."""

    model: Any
    refuses: dict[int, list[Refused]]


def encoded(model: Any, categories: Mapping[int, Sequence[str]], width: int) -> Coded:
    """Return a copy of a model whose encoders take codes: tables that scikit-learn's own encoders filled.

    categories: by column of the input, the texts that it may hold. width: how many columns there are. Raises
    InputError for a column of text that is not encoded, or together with others.
    """
    made = copy.deepcopy(model)
    refuses: dict[int, set[Refused]] = defaultdict(set)
    seen: set[int] = set()
    for place in places(made, width):
        texts = [column for column in place.columns if column in categories]
        if place.step is None:
            seen.update(texts)
            continue
        if hasattr(place.step, "predict"):
            _number_categories(place.step, categories)
            seen.update(texts)
            continue
        found = _tabulated(place, categories)
        if found is not None:
            place.put(found.step)
            seen.update(texts)
            for column, refused in zip(place.columns, found.refuses, strict=True):
                refuses[column] |= refused
        elif texts:
            raise _not_encoded(place)
    if len(seen) < len(categories):
        raise InputError(
            f"A column of text reaches {type(model).__name__} as it is.",
            hint="Encode it in a ColumnTransformer, or leave it out of the training and --ignore it.",
        )
    return Coded(made, {column: sorted(refuses[column]) for column in categories})


def has_encoders(model: Any, width: int) -> bool:
    """Tell whether a model has encoders that know their categories, of text or of numbers."""
    return any(_categories(place.step, len(place.columns)) for place in places(model, width))


def known(model: Any, width: int) -> dict[int, list[str]]:
    """Return the texts that a model's encoders know, by column; columns of numbers are left out."""
    found: dict[int, list[str]] = defaultdict(list)
    for place in places(model, width):
        for column, values in zip(place.columns, _categories(place.step, len(place.columns)), strict=False):
            texts = [value for value in values if isinstance(value, str)]
            found[column] += [text for text in texts if text not in found[column]]
    return {column: texts for column, texts in found.items() if texts}


def _tabulated(place: Place, categories: Mapping[int, Sequence[str]]) -> Tabulated | None:
    """Return tables instead of a transformer; of a pipeline as many steps as can be tables, then the others."""
    sources = _sources(place, categories)
    if not sources:
        return None
    steps = [step for _, step in getattr(place.step, "steps", [])]
    for count in range(len(steps), 1, -1):
        if found := tabulate(Pipeline(place.step.steps[:count]), sources, flat=place.flat):
            rest = place.step.steps[count:]
            return found._replace(step=Pipeline([("lookup", found.step), *rest]) if rest else found.step)
    if not steps:
        return tabulate(place.step, sources, flat=place.flat)
    if found := tabulate(steps[0], sources, flat=place.flat):
        return found._replace(step=Pipeline([("lookup", found.step), *place.step.steps[1:]]))
    return None


def _sources(place: Place, categories: Mapping[int, Sequence[str]]) -> list[Source]:
    """Return what each column of a place may hold, or nothing if a column is of any numbers."""
    encoders = _categories(place.step, len(place.columns))
    sources = []
    for index, column in enumerate(place.columns):
        texts = categories.get(column)
        if texts is not None:
            sources.append(Source(texts, np.arange(len(texts), dtype=np.float32)))
            continue
        exact = _exact(encoders[index]) if encoders else np.empty(0)
        if not len(exact):
            return []
        sources.append(Source(exact.tolist(), exact.astype(np.float32)))
    return sources


def _exact(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the numbers that a reading, which is a float32, can equal; none if there is text among them."""
    if any(isinstance(value, str) for value in values):
        return np.empty(0)
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    exact: NDArray[np.float64] = numbers[numbers == numbers.astype(np.float32)]
    return exact


def _number_categories(model: Any, categories: Mapping[int, Sequence[str]]) -> None:
    """Let histogram gradient boosting, which encodes by itself, know the codes instead of the texts."""
    encoder = model._preprocessor.named_transformers_["encoder"]
    columns = np.flatnonzero(model.is_categorical_).tolist()
    for index, column in enumerate(columns):
        if column in categories:
            codes = {text: code for code, text in enumerate(categories[column])}
            numbers = [codes.get(value, np.nan) for value in encoder.categories_[index]]
            encoder.categories_[index] = np.array(numbers, np.float64)


def _categories(step: Any, width: int) -> list[Any]:
    """Return the categories of each column that a transformer, or the first encoder inside it, knows."""
    if getattr(step, "_preprocessor", None) is not None:
        return _own_categories(step, width)
    inner = [each for _, each in getattr(step, "steps", [])]
    inner += [each[1] for each in getattr(step, "transformer_list", [])]
    for each in [step, *inner]:
        found = getattr(each, "categories_", None)
        if isinstance(found, list) and len(found) == width:
            return found
    return []


def _own_categories(model: Any, width: int) -> list[Any]:
    found: list[Any] = [[] for _ in range(width)]
    encoder = model._preprocessor.named_transformers_["encoder"]
    for column, values in zip(np.flatnonzero(model.is_categorical_), encoder.categories_, strict=True):
        found[column] = values
    return found


def _not_encoded(place: Place) -> InputError:
    return InputError(
        f"{type(place.step).__name__} takes columns of text together with others, which no table can say.",
        hint="Give each column of text an encoder of its own in the ColumnTransformer.",
    )
