"""The table of docs/coverage.md: written from verdicts, and read back to be compared with them."""

from __future__ import annotations

import math
from collections import Counter
from importlib.metadata import version
from typing import NamedTuple

from sklearn_coverage.cases import NOT_READINGS, WITHOUT_INFERENCE, Case, estimators
from sklearn_coverage.judge import DOES_NOT_APPLY, EXACT, REFUSED, WITHIN, Verdict

_KINDS = {
    "classifier": "Classifiers",
    "regressor": "Regressors",
    "outlier detector": "Outlier detectors",
    "clusterer": "Clusterings",
    "transformer": "Transformers",
}
_HEAD = """# scikit-learn coverage

Every estimator of scikit-learn {sklearn} (skl2onnx {skl2onnx}, onnxruntime {onnxruntime}), exported as
`lineside export` does it. `make coverage` writes this page.

{summary}

**How it is judged.** Each estimator is trained on 240 rows of six channels of very different size and place (of
counts, categories or positive readings where it takes nothing else; with missing readings where it takes them) and
goes through the export itself: whatever the export writes it compares with scikit-learn on rows of the file and on
rows made to hurt, and refuses what differs. What is left is compared once more, on 200 rows that neither training nor
export has seen, in every way that it was written. Two columns: the estimator alone, and behind a `StandardScaler`
(behind `MinMaxScaler(clip=True)` where it takes no negative readings; a dash where it takes categories, which nobody
scales). Nothing predicts after a transformer alone, so a `Ridge` stands behind it, and the transformer's own columns
are compared as well. Parameters are the defaults where those make sense for such rows.

- **exact**: the same labels, and every number within 1e-5 of its standard deviation over the rows (a probability
  within 1e-5), give or take 1e-6 of itself. That is float32's rounding: scikit-learn computes in float64.
- **within 1e-4**, **within 1e-3**: the same labels except at ties, numbers within that much.
- **refused**: the export says why, and writes nothing.
"""


class Row(NamedTuple):
    """An estimator's line of the table: what is said of it alone and behind a scaler."""

    alone: str
    scaled: str
    reason: str


def write(verdicts: dict[Case, tuple[Verdict, Verdict]]) -> str:
    """Return the whole document."""
    packages = {name.replace("scikit-learn", "sklearn"): version(name) for name in _PACKAGES}
    parts = [_HEAD.format(summary=_summary(verdicts), **packages)]
    for kind, title in _KINDS.items():
        parts.append(f"## {title}\n\n| estimator | alone | scaled | why |\n|---|---|---|---|")
        there = {case.name: verdict for case, verdict in verdicts.items() if case.kind == kind}
        parts[-1] += "".join(_line(name, row(*there[name])) for name in sorted(there, key=str.lower)) + "\n"
    parts.append(_left_out())
    return "\n".join(parts)


_PACKAGES = ("scikit-learn", "skl2onnx", "onnxruntime")


def row(alone: Verdict, scaled: Verdict) -> Row:
    """Say two verdicts in words."""
    reason = alone.reason or scaled.reason
    return Row(_said(alone), _said(scaled), " ".join(reason.replace("|", "/").split()))


def read(text: str) -> dict[str, Row]:
    """Return the document's lines by estimator."""
    found = {}
    for line in text.partition("\n## ")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == len(Row._fields) + 1 and cells[0] != "estimator":
            found[cells[0]] = Row(*cells[1:])
    return found


def _line(name: str, said: Row) -> str:
    return f"\n| {name} | {said.alone} | {said.scaled} | {said.reason} |"


def _said(verdict: Verdict) -> str:
    if verdict.verdict == DOES_NOT_APPLY:
        return "-"
    if verdict.verdict != WITHIN:
        return verdict.verdict
    return f"within 1e{math.ceil(math.log10(verdict.off))}"


def _summary(verdicts: dict[Case, tuple[Verdict, Verdict]]) -> str:
    lines = ["| | exact | within 1e-3 | refused |", "|---|---|---|---|"]
    every = len(verdicts) + len(NOT_READINGS)
    for place, title in enumerate(("alone", "behind a scaler")):
        count = Counter(pair[place].verdict for pair in verdicts.values())
        refused = count[REFUSED] + len(NOT_READINGS)
        lines.append(f"| {title} | {count[EXACT]} | {count[WITHIN]} | {refused} |")
    everything = len(estimators())
    text = (
        f"Of {everything} estimators {everything - every} have no inference on new rows. Of the other {every}, none "
        "is silently wrong:"
    )
    return text + "\n\n" + "\n".join(lines)


def _left_out() -> str:
    lines = ["## No inference on new rows, or none on readings\n", "| estimator | why |", "|---|---|"]
    reasons = WITHOUT_INFERENCE | NOT_READINGS
    lines += [f"| {name} | {reasons[name]} |" for name in sorted(reasons, key=str.lower)]
    return "\n".join(lines) + "\n"
