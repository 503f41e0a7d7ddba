"""Whether the exported graph answers as the original does, on the user's rows and on rows made to hurt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers, Model
from lineside_contract.errors import InputError
from lineside_contract.messages import Label
from lineside_export import reference
from lineside_export.ask import ask
from lineside_export.check import compare
from lineside_export.equidistant import equidistant
from lineside_export.networks.network import Network
from lineside_export.probes import probes
from lineside_export.subject import Subject

# At most so many of the user's rows are compared: scikit-learn answers a forest's rows slowly.
MOST_ROWS = 20_000
_SHOWN = 3
_OUTPUTS = {"probabilities": "probability", "values": "value", "scores": "score"}


class Verification(NamedTuple):
    """How many rows were compared, user's and made; `doubt` says what differs, or is empty.

    only_missing: it differs only where a reading is missing, and none is in the user's rows.
    """

    rows: int
    made: int
    ties: int
    doubt: str
    only_missing: bool = False


class Trials(NamedTuple):
    """What a model is asked: the user's rows (their indices), rows made to hurt, and the original's answers.

    chance: which rows of either the original answers by chance.
    """

    chosen: NDArray[np.intp]
    made: NDArray[np.float32]
    expected: tuple[Answers, Answers]
    chance: tuple[NDArray[np.bool_], NDArray[np.bool_]]


def trials(subject: Subject, seed: int) -> Trials:
    """Let the original answer once what every writing is asked. Raises InputError if it refuses the rows."""
    chosen = _chosen(subject, seed)
    given = subject.data.inputs[chosen]
    expected = reference.answer(subject.model, subject.schema, given)
    check_numbers(expected, subject.schema.classes)
    hard = probes(subject.coded, subject.data.inputs, seed, subject.channels, missing=_takes_missing(subject))
    made, of_made = _answered(subject, hard)
    chance = [equidistant(subject.coded, rows) for rows in (given, made)]
    return Trials(chosen, made, (expected, of_made), (chance[0], chance[1]))


def check_numbers(answers: Answers, classes: Sequence[Label]) -> None:
    """Raise InputError if an output is infinite in any of the rows, or no number in all: nobody can use it."""
    for field, what in _OUTPUTS.items():
        columns = getattr(answers, field)
        if columns is None:
            continue
        infinite = np.isinf(columns).sum(axis=0)
        empty = ~np.isfinite(columns).any(axis=0)
        for column in np.flatnonzero((infinite > 0) | empty).tolist():
            of = repr(classes[column]) if len(classes) == columns.shape[1] else f"output {column} (from 0)"
            rows = int(infinite[column]) or len(columns)
            raise InputError(
                f"The model's {what} of {of} is {'infinite' if infinite[column] else 'NaN'} in {rows} of "
                f"{len(columns)} rows; a prediction has no room for that.",
                hint="Leave that output out of the model, or bound what it is made of, such as by a Clip before a "
                "Log; or leave out the rows, if no device meets such.",
            )


def verify(subject: Subject, model: Model, asked: Trials) -> Verification:
    """Compare a converted model with the original."""
    task, threshold = subject.schema.task, subject.schema.threshold
    found = ask(model, subject.data.inputs[asked.chosen])
    given = compare(asked.expected[0], found, task, asked.chance[0], threshold)
    made = compare(asked.expected[1], ask(model, asked.made), task, asked.chance[1], threshold)
    doubts = []
    if given.mismatches:
        shown = [
            f"line {subject.data.lines[asked.chosen[mismatch.row]]}: {mismatch}"
            for mismatch in given.mismatches[:_SHOWN]
        ]
        doubts.append(f"{len(given.mismatches)} of {given.rows} rows ({'; '.join(shown)})")
    if made.mismatches:
        first = made.mismatches[0]
        doubts.append(
            f"{len(made.mismatches)} of {made.rows} rows made to test it "
            f"(at {_values(asked.made[first.row])}: {first})"
        )
    estimator = subject.schema.estimator
    doubt = f"The exported model does not answer as the original {estimator} does: it differs in "
    doubt = doubt + " and in ".join(doubts) + "." if doubts else ""
    missing = set(np.flatnonzero(np.isnan(asked.made).any(axis=1)).tolist())
    only_missing = (
        bool(made.mismatches)
        and not given.mismatches
        and not np.isnan(subject.data.inputs).any()
        and all(mismatch.row in missing for mismatch in made.mismatches)
    )
    return Verification(given.rows, made.rows, given.ties + made.ties, doubt, only_missing)


def refusal(subject: Subject, verification: Verification) -> InputError:
    """Return what to raise for a verification that left a doubt."""
    why = "The converter does not know this model well; use another estimator"
    if isinstance(subject.model, Network):
        why = "If so little is apart, it magnifies float32's roundings, and so it will on a device: scale its inputs"
    return InputError(verification.doubt, hint=f"{why}, or write it all the same with --allow-mismatch.")


def _chosen(subject: Subject, seed: int) -> NDArray[np.intp]:
    held_back, other = subject.rows.held_back, subject.rows.calibration
    room = max(0, MOST_ROWS - len(held_back))
    if len(other) > room:
        other = np.sort(np.random.default_rng(seed).choice(other, room, replace=False))
    return np.sort(np.concatenate([held_back[:MOST_ROWS], other]))


def _takes_missing(subject: Subject) -> bool:
    """Tell whether the original answers rows with missing readings, also where the user's rows have none."""
    inputs = subject.data.inputs
    if isinstance(subject.model, Network):
        return bool(np.isnan(inputs).any())  # a network computes with anything
    numbers = [index for index, channel in enumerate(subject.channels) if not channel.categories]
    row = inputs[:1].copy()
    row[0, numbers[:1]] = np.nan
    try:
        reference.answer(subject.model, subject.schema, row)
    except InputError:
        return False
    return True


def _answered(subject: Subject, made: NDArray[np.float32]) -> tuple[NDArray[np.float32], Answers]:
    """Return the made rows that the original answers, with the answers: some models take no negative values."""
    try:
        return made, reference.answer(subject.model, subject.schema, made)
    except InputError:
        kept = made[_takes(subject, made)]
        kept = kept if len(kept) else subject.data.inputs[:1]
        return kept, reference.answer(subject.model, subject.schema, kept)


def _takes(subject: Subject, rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    try:
        reference.answer(subject.model, subject.schema, rows)
    except InputError:
        if len(rows) == 1:
            return np.zeros(1, bool)
        half = len(rows) // 2
        return np.concatenate([_takes(subject, rows[:half]), _takes(subject, rows[half:])])
    return np.ones(len(rows), bool)


def _values(row: NDArray[np.float32]) -> str:
    cells = [f"{value:.9g}" for value in row[:8].tolist()]
    return f"[{', '.join(cells)}{', ...' if len(row) > 8 else ''}]"
