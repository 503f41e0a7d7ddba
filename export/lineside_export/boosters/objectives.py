"""What a booster was trained for, and what is therefore done with the sums of its leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from lineside_contract.errors import InputError
from lineside_export.trees.ensemble import Link

# These links answer classes; the others values.
CLASSES: frozenset[Link] = frozenset({"logistic", "softmax", "one against rest"})


def link_of(library: str, objective: str, known: Mapping[str, Link]) -> Link:
    """Return an objective's link. Raises InputError for one that is not known."""
    if objective not in known:
        refuse(
            library, f"was trained with the objective {objective!r}, which is none of those that are known"
        )
    return known[objective]


def refuse(library: str, what: str, hint: str = "Train it with one of the usual objectives.") -> NoReturn:
    """Raise InputError: a model of `library` that `what`."""
    raise InputError(f"The {library} model {what}.", hint=hint)
