"""docs/coverage.md says what the export does: a part of it is judged anew each day, and all of it has its place."""

from __future__ import annotations

import datetime
import os
from importlib.metadata import version
from pathlib import Path

import pytest
from sklearn_coverage import document
from sklearn_coverage.cases import NOT_READINGS, WITHOUT_INFERENCE, cases, estimators
from sklearn_coverage.judge import DOES_NOT_APPLY, EXACT, REFUSED, WITHIN, Verdict, judge

TEXT = (Path(__file__).parents[2] / "docs" / "coverage.md").read_text()
ROWS = document.read(TEXT)
CASES = cases()
# Another part each day, so that two weeks see all of them; LINESIDE_COVERAGE_DAY repeats a day's.
PARTS = 14
DAY = int(os.environ.get("LINESIDE_COVERAGE_DAY", datetime.date.today().toordinal()))
TODAY = [case for number, case in enumerate(CASES) if number % PARTS == DAY % PARTS]

same_version = pytest.mark.skipif(
    f"scikit-learn {version('scikit-learn')} (" not in TEXT,
    reason="docs/coverage.md is of another scikit-learn",
)


@same_version
def test_every_estimator_has_its_place() -> None:
    assert {case.name for case in CASES} == ROWS.keys()
    assert estimators().keys() == ROWS.keys() | WITHOUT_INFERENCE.keys() | NOT_READINGS.keys()


def test_at_least_165_are_exact_and_none_is_silently_wrong() -> None:
    alone = [row.alone for row in ROWS.values()]
    assert sum(said == "exact" or said.startswith("within") for said in alone) >= 165
    assert not [name for name, row in ROWS.items() if "WRONG" in (row.alone, row.scaled)]


def test_every_refusal_has_a_reason() -> None:
    refused = [row for row in ROWS.values() if "refused" in (row.alone, row.scaled)]
    assert refused
    assert all(row.reason for row in refused)


@same_version
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", TODAY, ids=lambda case: case.name)
def test_the_document_is_current(case) -> None:
    """Exact on one processor may be within 1e-4 on another, which sums in another order."""
    found = document.row(judge(case, scaled=False), judge(case, scaled=True))
    for said, now in zip(ROWS[case.name][:2], found[:2], strict=True):
        assert _class(now) == _class(said), found
    if "refused" in found[:2]:
        assert found.reason == ROWS[case.name].reason


def _class(said: str) -> str:
    return "as scikit-learn" if said in ("exact", "within 1e-4") else said


def test_a_document_is_read_back_as_it_was_written() -> None:
    verdicts = {
        case: (Verdict(EXACT), Verdict(WITHIN, 3e-4) if number % 2 else Verdict(REFUSED, reason="no | such"))
        for number, case in enumerate(CASES[:4])
    }
    verdicts[CASES[4]] = Verdict(EXACT), Verdict(DOES_NOT_APPLY)
    read = document.read(document.write(verdicts))
    assert read == {case.name: document.row(*verdict) for case, verdict in verdicts.items()}
    assert {row.scaled for row in read.values()} == {"within 1e-3", "refused", "-"}
