"""What changed between two runs beyond noise, told from the single measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from lineside_benchmarks.report import Report
from lineside_benchmarks.table import middle
from lineside_contract.errors import InputError

_FALSE_ALARMS = 0.05
_SMALLEST = 0.02


class Change(Struct, frozen=True, kw_only=True):
    """One quantity in both runs: medians, their ratio, the test's probability, and what that comes to.

    verdict: "changed"; "same" (within noise, or by less than 2 %); "too few" (so few measurements that no difference
    could be told from chance).
    """

    benchmark: str
    quantity: str
    before: float
    after: float
    ratio: float | None
    probability: float | None
    verdict: str


class _Pair(NamedTuple):
    benchmark: str
    quantity: str
    before: list[float]
    after: list[float]


def read(path: Path) -> Report:
    """Read a run's JSON. Raises InputError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = str(error).rstrip(".")
        raise InputError(
            f"{path} is no run: {what}.",
            hint="Name the JSON file that `lineside bench NAME` wrote into its folder.",
        ) from error


def compare(before: Report, after: Report) -> list[Change]:
    """Test every quantity that both runs measured: Mann and Whitney's rank test, two-sided, on all measurements
    (Ann. Math. Statist. 18, 1947), which asks nothing of how they are distributed; the probabilities are adjusted
    for their number after Holm (Scand. J. Statist. 6, 1979), so that among all of them there is one false alarm in
    twenty comparisons of runs.
    """
    pairs = [
        _Pair(name, quantity, table.samples[quantity], after.tables[name].samples[quantity])
        for name, table in before.tables.items()
        if name in after.tables
        for quantity in table.samples
        if table.samples[quantity] and after.tables[name].samples.get(quantity)
    ]
    adjusted = _holm([_probability(pair.before, pair.after) for pair in pairs])
    return [_change(pair, probability) for pair, probability in zip(pairs, adjusted, strict=True)]


def _probability(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Return the chance that two sets of the same quantity differ so much; None if so few cannot tell."""
    from scipy.stats import mannwhitneyu

    # With three of each even the clearest difference has a probability of 0.1.
    if min(len(before), len(after)) < 4:
        return None
    if len({*before, *after}) == 1:
        return 1.0
    return float(mannwhitneyu(before, after).pvalue)


def _holm(probabilities: Sequence[float | None]) -> list[float | None]:
    told = sorted((p, index) for index, p in enumerate(probabilities) if p is not None)
    found: list[float | None] = [None] * len(probabilities)
    highest = 0.0
    for rank, (p, index) in enumerate(told):
        highest = max(highest, min(1.0, p * (len(told) - rank)))
        found[index] = highest
    return found


def _change(pair: _Pair, probability: float | None) -> Change:
    before, after = middle(pair.before), middle(pair.after)
    ratio = after / before if before else None
    little = ratio is not None and abs(ratio - 1) < _SMALLEST
    if probability is None:
        verdict = "too few"
    else:
        verdict = "changed" if probability < _FALSE_ALARMS and not little else "same"
    return Change(
        benchmark=pair.benchmark,
        quantity=pair.quantity,
        before=before,
        after=after,
        ratio=ratio,
        probability=probability,
        verdict=verdict,
    )


def to_json(changes: Sequence[Change]) -> str:
    """Return changes as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(list(changes)), indent=2).decode()


def to_text(changes: Sequence[Change]) -> str:
    """Return what changed, largest first, and how much did not."""
    counted = {
        verdict: [one for one in changes if one.verdict == verdict]
        for verdict in ("changed", "same", "too few")
    }
    moved = sorted(counted["changed"], key=lambda one: -abs((one.ratio or 0.0) - 1))
    lines = [
        f"{one.benchmark:<12} {one.quantity}: {one.before:.4g} -> {one.after:.4g}"
        f" ({'' if one.ratio is None else f'{one.ratio - 1:+.0%}, '}p = {one.probability:.2g})"
        for one in moved
    ]
    lines.append(
        f"{len(moved)} of {len(changes)} quantities changed beyond noise, {len(counted['same'])} did not,"
        f" {len(counted['too few'])} have too few measurements to tell."
    )
    return "\n".join(lines)
