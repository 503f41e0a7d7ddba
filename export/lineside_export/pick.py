"""Which candidate is shipped, and why: rules only, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Literal, NamedTuple, TypeAlias

from msgspec.structs import replace

from lineside_contract.errors import InputError, nearest
from lineside_contract.manifest import Candidate
from lineside_export.candidates import EXACT, FLOAT_ARITHMETIC, LEAVES, ORIGINAL

Objective: TypeAlias = Literal["latency", "size", "balanced"]

# Two latencies closer than this are the same: medians of one model differ by as much from run to run.
NOISE = 0.1
# Sizes closer than this are the same: then accuracy decides.
AS_SMALL = 0.05
# By fewer rows than this nobody can tell what an inexact candidate loses.
LEAST_ROWS = 10
# What differs less from the original differs by float32's roundings.
AS_EXACT = 1e-5


class Rules(NamedTuple):
    """What is asked of a candidate.

    tolerance: how much of the metric may be lost, absolute. min_agreement: the least share of rows that keep their
    answer. candidate: the only one wanted, by name. max_bytes: of the model. max_latency_us: of one row, here.
    rows: how many judge.
    """

    objective: Objective = "balanced"
    tolerance: float = 0.005
    min_agreement: float = 0.99
    candidate: str | None = None
    max_bytes: int | None = None
    max_latency_us: float | None = None
    rows: int = LEAST_ROWS


def pick(candidates: Sequence[Candidate], original: float, rules: Rules) -> list[Candidate]:
    """Give every candidate its verdict and reason. Exactly one is chosen.

    The first candidate is exact: Lineside's own writing, or skl2onnx's if there is none. Beside one of our own
    skl2onnx's is only taken if it is asked for: on rows that nobody tried its float32 may answer otherwise. Those
    already dropped or failed stay so.
    `original` is the original model's metric. An exact one never loses too much: it was held against the original
    row by row, and can only differ at ties. If these are so many that it does, and another decides them as the
    original, that one is the first.

    Raises InputError if the candidate that was asked for is not good enough, or if nothing good is small or fast
    enough.
    """
    plain = _plain(candidates, original, rules)
    good = [_drop(candidate, plain, original, rules) for candidate in candidates]
    fitting = [_limit(candidate, rules) for candidate in good]
    left = _eligible(fitting, plain, rules)
    if rules.candidate is not None:
        best = _wanted(fitting, rules.candidate)
    elif left:
        best = _clearest(OBJECTIVES[rules.objective](left, plain), left, plain)
    else:
        raise _nothing_fits([candidate for candidate in good if candidate.verdict == "kept"], rules)
    return [_finish(candidate, best, plain, rules) for candidate in fitting]


def _plain(candidates: Sequence[Candidate], original: float, rules: Rules) -> Candidate:
    exact = [each for each in candidates if each.name in EXACT and each.verdict == "kept"]
    true = [each for each in exact if original - (each.metric or 0.0) <= rules.tolerance]
    return [*true, *candidates][0]


def _eligible(candidates: Sequence[Candidate], plain: Candidate, rules: Rules) -> list[Candidate]:
    """Return those that may be taken unasked: of what is good enough the exact one alone, if few rows say so."""
    left = [candidate for candidate in candidates if candidate.verdict == "kept"]
    if plain in left and rules.rows < LEAST_ROWS:
        return [plain]
    return [candidate for candidate in left if candidate is plain or candidate.name != ORIGINAL] or left


def _drop(candidate: Candidate, plain: Candidate, original: float, rules: Rules) -> Candidate:
    if candidate.verdict != "kept" or candidate is plain:
        return candidate
    lost = original - (candidate.metric or 0.0)
    if lost > rules.tolerance:
        return _dropped(candidate, f"loses {lost:.4f}; at most {rules.tolerance:g} may be lost")
    if _agreement(candidate) < rules.min_agreement:
        reason = f"agrees on {_agreement(candidate):.4f} of the rows; at least {rules.min_agreement:g} must"
        return _dropped(candidate, reason)
    if _size(candidate, plain) >= 1 and _latency(candidate, plain) >= 1 - NOISE:
        return _dropped(candidate, f"neither smaller nor faster than {plain.name}")
    return candidate


def _limit(candidate: Candidate, rules: Rules) -> Candidate:
    if candidate.verdict != "kept" or _excess(candidate, rules) <= 1:
        return candidate
    return _dropped(candidate, f"{_cost(candidate)}; asked for {_limits(rules)}")


def _dropped(candidate: Candidate, reason: str) -> Candidate:
    return replace(candidate, verdict="dropped", reason=_noted(candidate, reason))


def _noted(candidate: Candidate, reason: str) -> str:
    """Return a reason with what was noted about the candidate before it was judged."""
    return f"{reason} ({candidate.reason})" if candidate.reason else reason


def _excess(candidate: Candidate, rules: Rules) -> float:
    """Return by what factor a candidate is beyond the limit that it is farthest beyond; up to 1 it is within."""
    costs = [(candidate.bytes, rules.max_bytes), (candidate.latency_1_us, rules.max_latency_us)]
    return max((cost or 0) / limit if limit is not None else 0.0 for cost, limit in costs)


def _cost(candidate: Candidate) -> str:
    return f"{candidate.bytes:,} bytes and {candidate.latency_1_us:.1f} us a row"


def _limits(rules: Rules) -> str:
    limits = {"bytes": rules.max_bytes, "us a row": rules.max_latency_us}
    return " and ".join(f"at most {limit:,} {unit}" for unit, limit in limits.items() if limit is not None)


def _nothing_fits(good: Sequence[Candidate], rules: Rules) -> InputError:
    closest = min(good, key=lambda candidate: _excess(candidate, rules))
    return InputError(
        f"No version of the model fits {_limits(rules)}: the nearest is {closest.name} with {_cost(closest)}.",
        hint="Allow that much, or a greater loss (--tolerance, --min-agreement), or train a smaller model.",
    )


def _wanted(candidates: Sequence[Candidate], name: str) -> Candidate:
    by_name = {candidate.name: candidate for candidate in candidates}
    if name not in by_name:
        hint = nearest(name, by_name) or f"There are: {', '.join(by_name)}."
        if name == LEAVES:
            hint = "It is tried with --lossy-trees."
        raise InputError(f"There is no candidate called {name!r}.", hint=hint)
    if by_name[name].verdict != "kept":
        usable = [candidate.name for candidate in candidates if candidate.verdict == "kept"]
        raise InputError(
            f"The candidate {name} cannot be taken: {by_name[name].reason.rstrip('.')}.",
            hint=f"These can be taken: {', '.join(usable)}."
            if usable
            else "None of the others can be taken.",
        )
    return by_name[name]


def _finish(candidate: Candidate, best: Candidate, plain: Candidate, rules: Rules) -> Candidate:
    if candidate is best:
        return replace(
            candidate, verdict="chosen", reason=_noted(candidate, _praise(candidate, plain, rules))
        )
    if candidate.verdict == "kept":
        better = "was asked for" if rules.candidate else f"is better for {rules.objective}"
        if candidate.name == ORIGINAL and candidate is not plain and not rules.candidate:
            better = "is ours, exact also where skl2onnx's float32 is not"
        elif best is plain and rules.rows < LEAST_ROWS and not rules.candidate:
            better = f"is exact, and only {rules.rows} rows judge this"
        return replace(candidate, reason=_noted(candidate, f"good, but {best.name} {better}"))
    return candidate


def _praise(best: Candidate, plain: Candidate, rules: Rules) -> str:
    why = "asked for" if rules.candidate else f"best for {rules.objective}"
    if best is plain:
        return why if rules.candidate else f"{why}: nothing inexact is worth its loss"
    return (
        f"{why}: {_size(best, plain):.0%} of {plain.name}'s bytes, {_latency(best, plain):.0%} of its latency"
    )


def _size(candidate: Candidate, plain: Candidate) -> float:
    return (candidate.bytes or 0) / (plain.bytes or 1)


def _latency(candidate: Candidate, plain: Candidate) -> float:
    """Return the latency of one row in terms of float32's."""
    return (candidate.latency_1_us or 0.0) / (plain.latency_1_us or 1.0)


def _agreement(candidate: Candidate) -> float:
    return 1.0 if candidate.agreement is None else candidate.agreement


def _fastest(left: Sequence[Candidate], plain: Candidate) -> Candidate:
    least = min(_latency(candidate, plain) for candidate in left)
    as_fast = [candidate for candidate in left if _latency(candidate, plain) <= least * (1 + NOISE)]
    return min(as_fast, key=lambda candidate: _size(candidate, plain))


def _smallest(left: Sequence[Candidate], plain: Candidate) -> Candidate:
    least = min(_size(candidate, plain) for candidate in left)
    as_small = [candidate for candidate in left if _size(candidate, plain) <= least * (1 + AS_SMALL)]
    return min(as_small, key=lambda candidate: (-_agreement(candidate), _latency(candidate, plain)))


def _balanced(left: Sequence[Candidate], plain: Candidate) -> Candidate:
    def both(candidate: Candidate) -> float:
        return sqrt(_size(candidate, plain) * _latency(candidate, plain))

    least = min(map(both, left))
    # What is not clearly better than float32 is not worth giving up exactness for.
    if plain in left and least >= 1 - NOISE:
        return plain
    as_good = [candidate for candidate in left if both(candidate) <= least * (1 + NOISE)]
    return min(as_good, key=lambda candidate: (-_agreement(candidate), both(candidate)))


def _clearest(best: Candidate, left: Sequence[Candidate], plain: Candidate) -> Candidate:
    """Return the steadiest among those that are as good as the best in everything measured.

    That is one that computes in float32, as every processor does alike; then the one nearest to the original.
    """
    equal = [
        each
        for each in left
        if _agreement(each) >= _agreement(best)
        and _size(each, plain) <= _size(best, plain) * (1 + AS_SMALL)
        and _latency(each, plain) <= _latency(best, plain) * (1 + NOISE)
    ]
    return min(
        equal,
        key=lambda each: (
            each.name not in FLOAT_ARITHMETIC,
            max(each.largest_difference or 0.0, AS_EXACT),
            each is not best,
        ),
    )


OBJECTIVES: dict[Objective, Callable[[Sequence[Candidate], Candidate], Candidate]] = {
    "latency": _fastest,
    "size": _smallest,
    "balanced": _balanced,
}
