"""Whether the exported graph answers as scikit-learn does, on the user's rows and on rows made to hurt."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Model
from lineside_contract.errors import InputError
from lineside_export import reference
from lineside_export.check import Comparison, compare
from lineside_export.probes import probes
from lineside_export.subject import Subject

# At most so many of the user's rows are compared: scikit-learn answers a forest's rows slowly.
MOST_ROWS = 20_000
_SHOWN = 3


class Verification(NamedTuple):
    """How many rows were compared, user's and made; `doubt` says what differs, or is empty."""

    rows: int
    made: int
    ties: int
    doubt: str


def verify(subject: Subject, model: Model, seed: int) -> Verification:
    """Compare a converted model with the original. Raises InputError only if scikit-learn refuses the rows."""
    chosen = _chosen(subject, seed)
    given = _compare(subject, model, subject.data.inputs[chosen])
    made_rows = probes(subject.model, subject.data.inputs, seed)
    made = _compare(subject, model, made_rows)
    doubts = []
    if given.mismatches:
        shown = [
            f"line {subject.data.lines[chosen[mismatch.row]]}: {mismatch}"
            for mismatch in given.mismatches[:_SHOWN]
        ]
        doubts.append(f"{len(given.mismatches)} of {given.rows} rows ({'; '.join(shown)})")
    if made.mismatches:
        first = made.mismatches[0]
        doubts.append(
            f"{len(made.mismatches)} of {made.rows} rows made to test it "
            f"(at {_values(made_rows[first.row])}: {first})"
        )
    estimator = subject.schema.estimator
    doubt = f"The exported model does not answer as scikit-learn's {estimator} does: it differs in "
    doubt = doubt + " and in ".join(doubts) + "." if doubts else ""
    return Verification(given.rows, made.rows, given.ties + made.ties, doubt)


def refuse(verification: Verification) -> None:
    """Raise InputError if there is any doubt."""
    if verification.doubt:
        raise InputError(
            verification.doubt,
            hint="The converter does not know this model well; use another estimator, "
            "or write it all the same with --allow-mismatch.",
        )


def _chosen(subject: Subject, seed: int) -> NDArray[np.intp]:
    held_back, other = subject.rows.held_back, subject.rows.calibration
    room = max(0, MOST_ROWS - len(held_back))
    if len(other) > room:
        other = np.sort(np.random.default_rng(seed).choice(other, room, replace=False))
    return np.sort(np.concatenate([held_back[:MOST_ROWS], other]))


def _compare(subject: Subject, model: Model, inputs: NDArray[np.float32]) -> Comparison:
    expected = reference.answer(subject.model, subject.schema, inputs)
    return compare(expected, model.predict(np.ascontiguousarray(inputs)), subject.schema.task)


def _values(row: NDArray[np.float32]) -> str:
    cells = [f"{value:.9g}" for value in row[:8].tolist()]
    return f"[{', '.join(cells)}{', ...' if len(row) > 8 else ''}]"
